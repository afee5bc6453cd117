"""Whether and how often a host is looked at, and whose it is: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.machine.shown import step
from tests.unit.operators.machine.views import (
    KEY,
    MEMBER,
    NODE,
    RECHECK,
    machine_view,
    observed,
    seen,
)

from kok.api.machine.machine import Machine
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.observe import rival
from kok.operators.machine.machine.operations.host_steps import (
    Install,
    Reclaim,
    RecordHostKey,
    ScanHostKey,
    Step,
    SurveyHost,
)
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.survey import Owner
from kok.runtime.conditions import Verdict


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
    assert step(memory=memory, **failing) == Step(after=RECHECK)
    memory.surveyed -= RECHECK
    assert isinstance(step(memory=memory, **failing).call, SurveyHost)
    assert step(memory=memory, status={"phase": "Ready"}, objects=observed(node=NODE)) == Step()


def test_nothing_is_begun_while_something_is_under_way() -> None:
    decision = decide.decide(machine_view(memory=seen(complete=False), doing="install"))
    assert decision.step == Step()
    # Its progress is shown nevertheless.
    assert decision.seen
    assert len(decision.lacking) == 5


OTHER = "SHA256:" + "B" * 43


JUMP = {"address": "203.0.113.9", "user": "jump", "hostKey": KEY}
PLACE = {"address": "192.0.2.21", "port": 22, "hostKey": KEY}


def test_behind_another_port_or_bastion_or_by_another_key_the_host_is_looked_at_anew() -> None:
    """What was seen at the one that was used says nothing of it."""
    memory = seen(identity=MEMBER)
    around = {"memory": memory, "objects": observed(node=NODE)}
    assert step(**around) == Step()
    assert step(builders.machine(hostKey=KEY), **around) == Step()
    jump = {"user": "ops", "secret": "ops-ssh", "jump": JUMP}
    for changed in (
        builders.machine(port=2222),
        builders.machine(hostKey=OTHER),
        builders.machine(ssh=jump),
    ):
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
    memory.surveyed -= RECHECK
    assert isinstance(step(memory=memory).call, SurveyHost)
