"""What is done next for a Machine: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.views import (
    BOOTSTRAPPED,
    COMPONENTS,
    KEY,
    MEMBER,
    NODE,
    FakeTenant,
    machine_view,
    observed,
    seen,
)

from kok.api.machine.machine import Machine
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.observe import rival
from kok.operators.machine.machine.operations.host_steps import (
    Install,
    JoinCluster,
    Reclaim,
    RecordHostKey,
    ScanHostKey,
    Step,
    SurveyHost,
    TakeTokenBack,
)
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.survey import Found, Owner
from kok.runtime.conditions import Verdict


def step(*args: Any, **kwargs: Any) -> Any:
    return decide.decide(machine_view(*args, **kwargs)).step


# --- the way to the host


def test_without_credentials_nothing_is_tried() -> None:
    problem = Verdict(False, "SecretMissing", "Secret team-a/ops-ssh does not exist")
    assert step(objects=observed(credentials=None, refusal=problem)) == Step(
        refusal=problem, after=5.0
    )


def test_a_host_key_is_recorded_before_anything_else_is_sent() -> None:
    first = machine_view(status={"hostKey": None})
    assert decide.decide(first).step == Step(ScanHostKey())
    assert decide.decide(replace(first, memory=HostMemory(shown_key=KEY))).step == Step(
        RecordHostKey(KEY), 0.0
    )
    assert isinstance(decide.decide(machine_view()).step.call, SurveyHost)


def test_a_pinned_key_needs_no_scan() -> None:
    pinned = builders.machine(hostKey=KEY)
    assert isinstance(step(pinned, status={"hostKey": None}).call, SurveyHost)


def test_errors_are_waited_out() -> None:
    assert step(wait=7.0) == Step(after=7.0)


def test_the_first_look_asks_for_everything_at_once() -> None:
    machine = builders.machine(
        components=[
            {
                "name": "containerd",
                "version": "2.3.7",
                "params": {
                    "mirrors": {"*": ["http://mirror:5000/"], "a": ["http://a", "http://b"]}
                },
            }
        ]
    )
    look = step(machine)
    assert look.call.request.urls == (
        "http://artifacts.example/",
        "http://mirror:5000/v2/",
        "http://a/v2/",
    )
    assert look.call.request.towards == "192.0.2.10"
    assert [q.name for q in look.call.request.questions] == ["containerd"]


def test_a_host_is_looked_at_again_after_a_while_or_when_other_things_are_asked() -> None:
    memory = seen(identity=MEMBER)
    assert step(memory=memory, objects=observed(node=NODE)) == Step()
    memory.surveyed = 399.0
    assert isinstance(step(memory=memory).call, SurveyHost)
    memory.surveyed = 1000.0
    other = builders.machine(components=[{"name": "kubelet", "version": "1.37.1"}])
    assert isinstance(step(other, memory=memory).call, SurveyHost)


def test_a_host_whose_node_fails_is_looked_at_more_often() -> None:
    memory = seen(identity=MEMBER)
    failing = {"status": {"phase": "Ready"}, "objects": observed(node=replace(NODE, ready=False))}
    assert step(memory=memory, **failing) == Step(after=decide.RECHECK)
    memory.surveyed -= decide.RECHECK
    assert isinstance(step(memory=memory, **failing).call, SurveyHost)
    assert step(memory=memory, status={"phase": "Ready"}, objects=observed(node=NODE)) == Step()


def test_nothing_is_begun_while_something_is_under_way() -> None:
    decision = decide.decide(machine_view(memory=seen(complete=False), doing="install"))
    assert decision.step == Step()
    # Its progress is shown nevertheless.
    assert decision.seen
    assert len(decision.lacking) == 5


OTHER = "SHA256:" + "B" * 43
PLACE = {"address": "192.0.2.21", "port": 22, "hostKey": KEY}


def test_behind_another_port_or_by_another_key_the_host_is_looked_at_anew() -> None:
    """What was seen at the one that was used says nothing of it."""
    memory = seen(identity=MEMBER)
    around = {"memory": memory, "objects": observed(node=NODE)}
    assert step(**around) == Step()
    assert step(builders.machine(hostKey=KEY), **around) == Step()
    for changed in (builders.machine(port=2222), builders.machine(hostKey=OTHER)):
        assert isinstance(step(changed, **around).call, SurveyHost)


@pytest.mark.parametrize(
    ("port", "key", "annotation", "mine", "taken"),
    [
        (22, KEY, "", False, True),
        # Its sshd listens at another port by now, or its key was changed, or both.
        (2222, KEY, "", False, True),
        (22, OTHER, "", True, True),
        (2222, OTHER, "", True, True),
        # It was reinstalled.
        (22, OTHER, "", False, True),
        (22, KEY, OTHER, False, True),
        # Another box behind the same address, as of a NAT.
        (2222, OTHER, "", False, False),
        (2222, KEY, OTHER, False, False),
    ],
)
def test_another_host_than_the_one_that_was_used_is_left_alone(
    port: int, key: str, annotation: str, *, mine: bool, taken: bool
) -> None:
    annotations = {"kok.dev/trust-host-key": annotation} if annotation else {}
    machine = builders.machine(metadata={"annotations": annotations}, port=port, hostKey=key)
    status = {"installedOn": PLACE}
    memory = seen(machine, complete=False, mine=mine)
    given = machine_view(machine, memory=memory, status=status)
    look = decide.decide(replace(given, memory=HostMemory())).step
    assert isinstance(look.call, SurveyHost)
    memory.asked = look.call.request.digest
    found = decide.decide(given).step
    assert isinstance(found.call, Install) is taken
    if not taken:
        assert found.refusal is not None
        assert found.refusal.reason == "AnotherHost"
        assert "port 22, with key" in found.refusal.message
        assert "write spec.port and spec.hostKey as they were" in found.refusal.message
    # Of what an earlier release has installed nobody knows where that was.
    assert isinstance(
        decide.decide(replace(given, status=machine_view().status)).step.call, Install
    )


# --- who has the host


def other(name: str, created: str, **spec: Any) -> Machine:
    return builders.machine(
        metadata={"name": name, "uid": f"uid-{name}", "creationTimestamp": created}, **spec
    )


def test_the_elder_of_two_machines_has_the_host() -> None:
    mine = other("mine", "2026-11-02T11:00:00Z", node="a")
    elder = other("elder", "2026-11-02T10:00:00Z", node="b")
    younger = other("younger", "2026-11-02T12:00:00Z", node="c")
    assert rival(mine, [younger]) is None
    found = rival(mine, [younger, elder])
    assert found == Verdict(
        False,
        "HostInUse",
        "host 192.0.2.21 already serves Machine team-a/elder; delete that Machine first, or use "
        "another host",
    )
    assert rival(mine, [other("elsewhere", "2026-11-02T10:00:00Z", port=2222, node="b")]) is None


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("192.0.2.21", "::ffff:192.0.2.21"),
        ("192.0.2.21", "3221226005"),
        ("Rack1.example.", "rack1.example"),
        ("2001:db8::1", "2001:DB8:0::1"),
    ],
)
def test_a_host_is_the_same_however_its_address_is_written(one: str, same: str) -> None:
    mine = other("mine", "2026-11-02T11:00:00Z", node="a", address=one)
    found = rival(mine, [other("elder", "2026-11-02T10:00:00Z", node="b", address=same)])
    assert found is not None
    assert found.reason == "HostInUse"


def test_nobody_is_held_up_from_another_namespace_by_an_address_written_down() -> None:
    mine = other("mine", "2026-11-02T11:00:00Z")
    squatter = other("squatter", "2026-11-02T10:00:00Z")
    squatter.metadata.namespace = "team-z"
    assert rival(mine, [squatter]) is None
    # One further down that is of the namespace is found nevertheless.
    assert rival(mine, [squatter, other("elder", "2026-11-02T10:30:00Z")]) is not None


def test_a_node_name_is_given_once_in_a_cluster() -> None:
    mine = other("mine", "2026-11-02T11:00:00Z")
    twin = other("twin", "2026-11-02T10:00:00Z", address="192.0.2.99")
    found = rival(mine, [twin])
    assert found
    assert found.reason == "NodeNameTaken"
    assert rival(mine, [other("x", "2026-11-02T10:00:00Z", address="x", cluster="blog")]) is None


def test_a_host_that_says_that_it_is_somebody_elses_is_left_alone() -> None:
    memory = seen(mine=False, complete=False)
    assert memory.survey
    owner = Owner("uid-9", "team-b/other", "team-b/blog", "another meta cluster")
    memory.survey = replace(memory.survey, owner=owner)
    refused = step(memory=memory)
    assert refused.refusal.reason == "HostInUse"
    assert "serves a Machine of another namespace" in refused.refusal.message
    for foreign in ("team-b", "blog"):
        assert foreign not in refused.refusal.message


def test_a_host_of_the_same_namespace_is_told_by_name() -> None:
    memory = seen(mine=False, complete=False)
    assert memory.survey
    owner = Owner("uid-9", "team-a/other", "team-a/blog", "another meta cluster")
    memory.survey = replace(memory.survey, owner=owner)
    assert (
        "serves Machine team-a/other of Cluster team-a/blog" in step(memory=memory).refusal.message
    )


def test_what_a_machine_of_ours_left_behind_is_cleaned_up() -> None:
    memory = seen(mine=False, complete=False)
    assert memory.survey
    owner = Owner("uid-gone", "team-a/gone", "team-a/shop", "meta-1")
    memory.survey = replace(memory.survey, owner=owner)
    assert step(memory=memory, objects=observed(left_behind=True)) == Step(Reclaim(owner))
    # Not known to be gone is not gone.
    assert step(memory=memory).refusal is not None


def test_a_host_that_names_one_dead_owner_after_the_other_is_cleaned_up_at_intervals() -> None:
    memory = seen(mine=False, complete=False)
    assert memory.survey
    owner = Owner("uid-gone", "team-a/gone", "team-a/shop", "meta-1")
    memory.survey, memory.reclaimed = replace(memory.survey, owner=owner), 990.0
    assert step(memory=memory, objects=observed(left_behind=True)) == Step(
        after=decide.RECLAIM_EVERY - 10
    )
    memory.reclaimed = 1000.0 - decide.RECLAIM_EVERY
    assert step(memory=memory, objects=observed(left_behind=True)) == Step(Reclaim(owner))


def test_an_unfit_host_is_refused_and_soon_looked_at_again() -> None:
    memory = seen(complete=False, mine=False, facts={"cgroup": "v1"})
    refused = step(memory=memory)
    assert refused.refusal.reason == "PreflightFailed"
    assert "failCgroupV1" in refused.refusal.message
    memory.surveyed -= decide.RECHECK
    assert isinstance(step(memory=memory).call, SurveyHost)


# --- software


def test_all_that_is_lacking_starts_at_once_in_order() -> None:
    install = step(memory=seen(complete=False, mine=False))
    assert isinstance(install.call, Install)
    names = [p.component for p in install.call.plans]
    assert set(names) == set(builders.VERSIONS)
    assert names.index("runc") < names.index("containerd") < names.index("kubelet")
    kubelet = install.call.plans[names.index("kubelet")].script
    for other_job in install.call.plans[:-1]:
        needed = other_job.component in ("containerd", "cni-plugins", "host-prep")
        assert (f"depend {other_job.id} " in kubelet) is needed


def test_a_complete_host_needs_nothing() -> None:
    assert step(memory=seen(identity=MEMBER), objects=observed(node=NODE)) == Step()


def test_software_is_prepared_while_the_control_plane_is_still_coming_up() -> None:
    early = observed(cluster=builders.cluster(), endpoint=None, tenant=None)
    assert isinstance(step(memory=seen(complete=False), objects=early).call, Install)
    assert step(memory=seen(), objects=early) == Step()


def test_an_attempt_under_way_keeps_its_identity_and_a_failed_one_does_not() -> None:
    memory = seen(complete=False)
    first = step(memory=memory)
    job = first.started["runc"]

    def again(**changes: Any) -> Any:
        before = [{"name": "runc", "job": {**job.manifest(), **changes}}]
        return step(memory=memory, status={"components": before})

    def of_runc(install: Any) -> list[str]:
        return [p.id for p in install.call.plans if p.component == "runc"]

    assert of_runc(again()) == [job.id]
    # Failed just now: what does not need it goes on, it and what needs it wait.
    waiting = again(exit=1)
    assert {p.component for p in waiting.call.plans} == {"cni-plugins", "host-prep"}
    late = (NOW - timedelta(minutes=1)).isoformat()
    retried = again(exit=1, since=late)
    assert of_runc(retried) not in ([], [job.id])
    assert retried.started["runc"].attempt == 2


def test_attempts_come_slower_and_slower() -> None:
    memory = seen(complete=False)
    waits = []
    for attempt in (1, 2, 3, 8, 50):
        job = {
            "id": "x",
            "script": "install",
            "attempt": attempt,
            "since": NOW.isoformat(),
            "exit": 1,
        }
        components = [{"name": n, "job": job} for n in builders.VERSIONS]
        waits.append(step(memory=memory, status={"components": components}).after)
    assert waits == [5.0, 10.0, 20.0, 300.0, 300.0]


def test_going_back_to_an_earlier_configuration_is_a_new_job() -> None:
    memory = seen(complete=False)
    first = step(memory=memory).started["runc"]
    used = {**first.manifest(), "attempt": 2, "id": "of-another-configuration", "exit": 0}
    again = step(memory=memory, status={"components": [{"name": "runc", "job": used}]})
    assert again.started["runc"].attempt == 3
    assert again.started["runc"].id != first.id


def test_software_that_is_no_longer_wanted_is_removed() -> None:
    memory = seen(identity=MEMBER)
    assert memory.survey
    extra = {**memory.survey.found, "agent": Found("1.0", recorded="x", begun=True)}
    memory.survey = replace(memory.survey, found=extra)
    install = step(memory=memory)
    assert [(p.component, p.action) for p in install.call.plans] == [("agent", "uninstall")]


def test_a_missing_component_is_named() -> None:
    few = {name: c for name, c in COMPONENTS.items() if name != "runc"}
    refused = step(objects=observed(components=few))
    assert refused.refusal == Verdict(
        False,
        "ComponentMissing",
        "Component runc-1.1.5 does not exist in namespace team-a; create it or correct "
        "spec.components",
    )


def test_a_kubelet_that_does_not_fit_the_cluster_is_neither_installed_nor_let_in() -> None:
    older = observed(
        cluster=builders.cluster(version="1.36.4", status={"conditions": [BOOTSTRAPPED]})
    )
    for memory in (seen(complete=False), seen()):
        refused = step(memory=memory, objects=older)
        assert (refused.refusal.reason, refused.refusal.message) == (
            "VersionSkew",
            "spec.components: kubelet 1.37.1 is newer than the control plane's 1.36.4; write "
            "1.36.x or older, or upgrade the Cluster first",
        )
    # One that serves already is kept in order.
    damaged = seen(identity=MEMBER)
    assert damaged.survey
    found = {**damaged.survey.found}
    found["kubelet"] = replace(found["kubelet"], files={})
    damaged.survey = replace(damaged.survey, found=found)
    assert isinstance(step(memory=damaged, objects=older).call, Install)


# --- joining


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
    assert step(memory=memory) == Step(after=decide.FINISH_EVERY)
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
    assert step(memory=left, objects=observed(node=NODE)) == Step(after=2 * decide.FINISH_EVERY)
    left.finished = 1000.0 - 2 * decide.FINISH_EVERY
    assert step(memory=left, objects=observed(node=NODE)) == Step(TakeTokenBack())
    left.finished, left.unfinished = 1000.0, 10_000
    assert step(memory=left, objects=observed(node=NODE)) == Step(after=decide.FINISH_MOST)


def test_a_kubelet_whose_node_was_deleted_is_started_anew_since_it_makes_none_by_itself() -> None:
    memory = seen(identity=MEMBER)
    again = step(memory=memory)
    assert isinstance(again.call, JoinCluster)
    assert not again.call.todo.token
    assert not again.call.todo.forget
    memory.joined = 990.0
    assert step(memory=memory) == Step(after=decide.FINISH_EVERY)
    # Not known to be gone is not gone.
    unknown = FakeTenant(answers=False, known=False)
    memory.joined = None
    assert step(memory=memory, objects=observed(tenant=unknown)) == Step()
    assert step(memory=memory, objects=observed(node=NODE)) == Step()


def test_a_node_that_appeared_is_asked_for_its_certificate() -> None:
    memory = seen()
    memory.joined = 999.0
    assert step(memory=memory, objects=observed(node=NODE)) == Step(TakeTokenBack())


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
    assert step(memory=memory, **silent, monotonic=1104.0) == Step(after=decide.LISTEN)
    assert isinstance(step(memory=memory, **silent, monotonic=1105.0).call, SurveyHost)
    memory.surveyed = 1106.0
    assert step(memory=memory, **silent, monotonic=1107.0) == Step(after=decide.LISTEN)
    assert step(memory=memory, objects=observed(node=NODE), monotonic=1115.0) == Step()
    # One that says nothing for long is looked at like others that do not serve.
    memory.surveyed = 1160.0
    assert step(memory=memory, **silent, monotonic=1166.0) == Step(after=decide.RECHECK)
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
