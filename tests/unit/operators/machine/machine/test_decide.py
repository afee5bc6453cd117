"""Which software is installed on the host of a Machine: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.shown import step
from tests.unit.operators.machine.views import (
    BOOTSTRAPPED,
    COMPONENTS,
    MEMBER,
    NODE,
    observed,
    seen,
)

from kok.operators.machine.machine.operations.host_steps import (
    Install,
    Step,
)
from kok.operators.machine.remote.survey import Found
from kok.runtime.conditions import Verdict


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
    early = observed(cluster=builders.cluster(), endpoint=None, connection=None)
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
