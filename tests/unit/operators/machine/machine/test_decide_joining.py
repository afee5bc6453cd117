"""When a host is let into its cluster, and looked at after that: pure decisions."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.shown import step
from tests.unit.operators.machine.views import (
    CONNECTED,
    MEMBER,
    NODE,
    RECHECK,
    observed,
    seen,
)

from kok.operators.machine.machine import joining, surveying
from kok.operators.machine.machine.operations.host_steps import (
    JoinCluster,
    Step,
    SurveyHost,
    TakeTokenBack,
)


def test_a_prepared_host_joins_when_the_cluster_takes_nodes() -> None:
    joining = step(memory=seen())
    assert isinstance(joining.call, JoinCluster)
    assert joining.call.todo.token
    assert step(memory=seen(), objects=observed(cluster=builders.cluster())) == Step()
    deleting = builders.cluster()
    deleting.metadata.deletion_timestamp = NOW
    assert step(memory=seen(), objects=observed(cluster=deleting)) == Step()


def test_a_started_kubelet_is_given_time_before_it_is_started_anew() -> None:
    memory = seen()
    memory.joined = 990.0
    assert step(memory=memory) == Step(after=joining.FINISH_EVERY)
    memory.joined = 900.0
    assert isinstance(step(memory=memory).call, JoinCluster)


def test_the_token_is_taken_back_once_the_kubelet_is_a_member() -> None:
    memory = seen(identity=MEMBER)
    assert step(memory=memory, status={"tokenId": "abc123"}) == Step(TakeTokenBack())
    memory.token_gone = "abc123"
    assert step(memory=memory, status={"tokenId": "abc123"}, objects=observed(node=NODE)) == Step()
    left = seen(identity=replace(MEMBER, bootstrap=True))
    assert step(memory=left) == Step(TakeTokenBack())


def test_a_token_that_stays_on_the_host_is_removed_ever_more_rarely() -> None:
    left = seen(identity=replace(MEMBER, bootstrap=True))
    left.finished, left.unfinished = 1000.0, 1
    assert step(memory=left, objects=observed(node=NODE)) == Step(after=2 * joining.FINISH_EVERY)
    left.finished = 1000.0 - 2 * joining.FINISH_EVERY
    assert step(memory=left, objects=observed(node=NODE)) == Step(TakeTokenBack())
    left.finished, left.unfinished = 1000.0, 10_000
    assert step(memory=left, objects=observed(node=NODE)) == Step(after=joining.FINISH_MOST)


def test_a_kubelet_whose_node_was_deleted_is_started_anew_since_it_makes_none_by_itself() -> None:
    memory = seen(identity=MEMBER)
    again = step(memory=memory)
    assert isinstance(again.call, JoinCluster)
    assert not again.call.todo.token
    assert not again.call.todo.forget
    memory.joined = 990.0
    assert step(memory=memory) == Step(after=joining.FINISH_EVERY)
    # Not known to be gone is not gone.
    unknown = replace(CONNECTED, answers=False, nodes_known=False)
    memory.joined = None
    assert step(memory=memory, objects=observed(connection=unknown)) == Step()
    assert step(memory=memory, objects=observed(node=NODE)) == Step()


def test_a_node_that_appeared_is_asked_for_its_certificate() -> None:
    memory = seen()
    memory.joined = 999.0
    assert step(memory=memory, objects=observed(node=NODE)) == Step(TakeTokenBack())
    # One that was made for a kubelet that has yet to come up says nothing of its certificate.
    early = replace(NODE, kubelet="", ready=None, machine_id="")
    assert step(memory=memory, objects=observed(node=early)) == Step(after=joining.FINISH_EVERY)


def test_a_name_that_another_host_has_in_the_cluster_is_not_taken_over() -> None:
    stranger = observed(node=replace(NODE, machine_id="0" * 32))
    refused = step(memory=seen(), objects=stranger)
    assert refused.refusal.reason == "NodeNameTaken"
    # A Node that is not Ready may be what a reinstalled host left.
    gone = observed(node=replace(NODE, machine_id="0" * 32, ready=False))
    assert isinstance(step(memory=seen(), objects=gone).call, JoinCluster)


def test_a_changed_kubelet_that_says_nothing_is_looked_at_soon() -> None:
    memory = seen(identity=MEMBER)
    memory.changed = 1100.0
    silent = {"objects": observed(node=NODE), "status": {"kubeletChange": {"job": "j"}}}
    assert step(memory=memory, **silent, monotonic=1104.0) == Step(after=surveying.LISTEN)
    assert isinstance(step(memory=memory, **silent, monotonic=1105.0).call, SurveyHost)
    memory.surveyed = 1106.0
    assert step(memory=memory, **silent, monotonic=1107.0) == Step(after=surveying.LISTEN)
    assert step(memory=memory, objects=observed(node=NODE), monotonic=1115.0) == Step()
    # One that says nothing for long is looked at like others that do not serve.
    memory.surveyed = 1160.0
    assert step(memory=memory, **silent, monotonic=1166.0) == Step(after=RECHECK)
    assert isinstance(step(memory=memory, **silent, monotonic=1175.0).call, SurveyHost)


def test_a_kubelet_that_was_started_to_join_is_looked_at_until_its_node_is_ready() -> None:
    memory = seen()
    memory.joined = 1100.0
    assert not isinstance(step(memory=memory, monotonic=1110.0).call, SurveyHost)
    assert isinstance(step(memory=memory, monotonic=1115.0).call, SurveyHost)


def test_a_service_that_fails_is_looked_at_until_it_does_not() -> None:
    memory = seen(identity=replace(MEMBER, failing="containerd"))
    assert isinstance(
        step(memory=memory, objects=observed(node=NODE), monotonic=1015.0).call, SurveyHost
    )
    assert (
        step(memory=seen(identity=MEMBER), objects=observed(node=NODE), monotonic=1015.0) == Step()
    )
