"""What the status of a Machine says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.shown import message, shown, step
from tests.unit.operators.machine.views import (
    CONNECTED,
    MEMBER,
    NODE,
    machine_view,
    observed,
    seen,
)

from kok.kube.errors import Forbidden
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.decide import Decision
from kok.operators.machine.machine.install_plan import take_results
from kok.operators.machine.machine.operations.host_steps import SurveyHost
from kok.operators.machine.node import nodes
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote.commands import EndpointUnreachable, HostTaken
from kok.operators.machine.remote.jobs import JobResult
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.ssh import HostKeyChanged, HostUnreachable, ScriptFailed
from kok.operators.machine.remote.survey import Found, Owner


def test_a_serving_machine() -> None:
    given = machine_view(memory=seen(identity=MEMBER), objects=observed(node=NODE))
    status, conditions = shown(given)
    assert set(conditions) == {
        *("Reachable", "PreflightPassed", "ComponentsReady", "Joined", "NodeReady", "UpToDate"),
        "Ready",
    }
    assert {s for s, _ in conditions.values()} == {"True"}
    assert (status.phase, status.runtime, status.kubelet) == (
        "Ready",
        "containerd 2.3.7",
        "1.37.1",
    )
    assert status.facts
    assert status.facts.hostname == "worker-1"
    assert [(c.name, c.state, c.found) for c in status.components] == [
        (n, "Ready", v) for n, v in builders.VERSIONS.items()
    ]


def test_a_second_look_at_the_same_changes_nothing() -> None:
    given = machine_view(memory=seen(identity=MEMBER), objects=observed(node=NODE))
    before = shown(given)[0].manifest()
    later = replace(given, now=NOW + timedelta(hours=1))
    assert shown(later)[0].manifest() == before


@pytest.mark.parametrize(
    ("node", "reason", "text"),
    [
        (None, "NodeMissing", "there is no Node w1 in Cluster shop yet"),
        (replace(NODE, ready=False, message="no CNI"), "NodeNotReady", "Node w1: no CNI"),
        (
            replace(NODE, kubelet="1.36.4"),
            "NodeOutdated",
            "Node w1 is Ready but its kubelet is 1.36.4, wanted is 1.37.1",
        ),
    ],
)
def test_a_machine_is_ready_only_if_its_node_is_as_wanted(
    node: NodeView | None, reason: str, text: str
) -> None:
    status, conditions = shown(
        machine_view(memory=seen(identity=MEMBER), objects=observed(node=node))
    )
    assert conditions["Ready"] == ("False", reason)
    assert message(status) == text


def test_a_node_that_is_not_kept_whole_is_told_and_not_called_bad() -> None:
    bare = observed(node=NODE.bare())
    status, conditions = shown(machine_view(memory=seen(identity=MEMBER), objects=bare))
    assert conditions["NodeReady"] == ("Unknown", "AnswerTooLarge")
    assert "more labels, taints and words than are kept" in message(status, "NodeReady")


def test_labels_that_change_leave_a_machine_ready_that_was() -> None:
    machine = builders.machine(labels={"tier": "gold"})
    labelled = replace(NODE, labels_json='{"tier": "gold"}')
    given = machine_view(
        machine, memory=seen(machine, identity=MEMBER), objects=observed(node=labelled)
    )
    ready = shown(given)[0].manifest()
    other = builders.machine(labels={"tier": "silver"})
    given = machine_view(
        other, seen(other, identity=MEMBER), ready, objects=observed(node=labelled)
    )
    status, conditions = shown(given)
    assert conditions["Ready"][0] == "True"
    assert conditions["UpToDate"] == ("False", "NodeOutdated")
    assert message(status) == "Node w1 is Ready but its labels and taints are not set yet"


def test_labels_that_are_not_set_yet_keep_a_machine_from_being_ready() -> None:
    machine = builders.machine(labels={"tier": "gold"})
    given = machine_view(
        machine, memory=seen(machine, identity=MEMBER), objects=observed(node=NODE)
    )
    assert shown(given)[1]["Ready"] == ("False", "NodeOutdated")
    labelled = replace(NODE, labels_json='{"tier": "gold"}')
    assert nodes.patch(labelled, {"tier": "gold"}, [], None) is None
    given = machine_view(
        machine, memory=seen(machine, identity=MEMBER), objects=observed(node=labelled)
    )
    assert shown(given)[1]["Ready"] == ("True", "NodeReady")


def test_waiting_for_the_cluster_is_no_failure() -> None:
    status, conditions = shown(
        machine_view(memory=seen(), objects=observed(cluster=builders.cluster(), connection=None))
    )
    assert conditions["ComponentsReady"] == ("True", "ComponentsReady")
    assert conditions["Ready"] == ("False", "WaitingForCluster")
    assert status.phase == "Pending"


def test_an_unreachable_host_does_not_make_a_serving_node_unready() -> None:
    memory = seen(identity=MEMBER)
    memory.error = HostUnreachable("host 192.0.2.21 cannot be reached over SSH")
    status, conditions = shown(machine_view(memory=memory, objects=observed(node=NODE), wait=5.0))
    assert conditions["Reachable"] == ("False", "HostUnreachable")
    assert conditions["Ready"] == ("True", "NodeReady")
    # A Machine that is not a node yet has that for its reason.
    fresh = HostMemory(error=HostUnreachable("host 192.0.2.21 cannot be reached over SSH"))
    status, conditions = shown(machine_view(memory=fresh, wait=5.0))
    assert conditions["Ready"] == ("False", "HostUnreachable")
    assert status.phase == "Failed"


def test_a_changed_host_key_is_for_people_to_look_at() -> None:
    memory = seen(identity=MEMBER)
    memory.error = HostKeyChanged("host 192.0.2.21 shows key SHA256:x", "SHA256:x")
    status, conditions = shown(machine_view(memory=memory, objects=observed(node=NODE), wait=5.0))
    assert conditions["Ready"] == ("False", "HostKeyChanged")
    assert message(status) == "host 192.0.2.21 shows key SHA256:x"


def test_a_dead_business_api_makes_the_node_unknown() -> None:
    joined = {"type": "Joined", "status": "True", "reason": "Joined"}
    before = {"conditions": [{**joined, "lastTransitionTime": "2026-11-02T12:00:00Z"}]}
    dead = observed(node=NODE, connection=replace(CONNECTED, answers=False, nodes_known=False))
    _, conditions = shown(machine_view(memory=seen(identity=MEMBER), status=before, objects=dead))
    assert conditions["NodeReady"] == ("Unknown", "ClusterUnreachable")
    assert conditions["Ready"] == ("Unknown", "ClusterUnreachable")
    assert conditions["Joined"] == ("True", "Joined")


def test_a_failed_job_is_told_with_its_words() -> None:
    memory = seen(complete=False)
    install = step(memory=memory)
    status = {"components": [{"name": "runc", "job": install.started["runc"].manifest()}]}
    given = machine_view(memory=memory, status=status)
    job = install.started["runc"].id
    memory.jobs[job] = JobResult(
        job, 77, "ChecksumMismatch", "has SHA-256 a but b", "-- downloading"
    )
    news = take_results(given.status.components, memory.jobs)
    assert [(c.name, r.reason) for c, r in news] == [("runc", "ChecksumMismatch")]
    # The same news is told once.
    assert take_results(given.status.components, memory.jobs) == []
    found, conditions = shown(given)
    assert conditions["ComponentsReady"] == ("False", "ChecksumMismatch")
    assert message(found) == "runc 1.1.5: has SHA-256 a but b; it is tried again"
    assert found.phase == "Failed"
    runc = next(c for c in found.components if c.name == "runc")
    assert runc.job
    assert (runc.state, runc.job.exit, runc.job.log) == ("Failed", 77, "-- downloading")


def test_the_root_of_a_failure_is_told_not_what_it_stopped() -> None:
    memory = seen(complete=False)
    install = step(memory=memory)
    components = [{"name": n, "job": j.manifest()} for n, j in install.started.items()]
    given = machine_view(memory=memory, status={"components": components})
    for name, job in install.started.items():
        failed = name == "runc"
        memory.jobs[job.id] = JobResult(
            job.id, 1 if failed else 76, "JobFailed" if failed else "DependencyFailed", name
        )
    take_results(given.status.components, memory.jobs)
    assert message(shown(given)[0]).startswith("runc 1.1.5: runc")


def test_the_way_from_the_host_to_the_api_is_told() -> None:
    memory = seen()
    memory.error = EndpointUnreachable("host 192.0.2.21 cannot reach the cluster's API")
    _, conditions = shown(machine_view(memory=memory, wait=5.0))
    assert conditions["Reachable"] == ("True", "Connected")
    assert conditions["Joined"] == ("False", "EndpointUnreachable")


def test_a_step_that_fails_on_the_host_is_told_wherever_it_is() -> None:
    error = ScriptFailed("a step on host 192.0.2.21 ended with code 1: No space left on device", 1)
    status, conditions = shown(machine_view(memory=HostMemory(error=error), wait=5.0))
    assert conditions["Reachable"] == ("False", "ScriptFailed")
    assert "No space left" in message(status)
    memory = seen(complete=False)
    memory.error = error
    status, conditions = shown(machine_view(memory=memory, wait=5.0))
    assert conditions["Reachable"] == ("True", "Connected")
    memory.surveyed = 1000.0
    status, conditions = shown(machine_view(memory=memory))
    assert conditions["ComponentsReady"] == ("False", "ScriptFailed")
    assert "No space left" in message(status)
    memory = seen()
    memory.error = error
    assert shown(machine_view(memory=memory))[1]["Joined"] == ("False", "ScriptFailed")
    memory.error = Forbidden(403, "Forbidden", "secrets is forbidden")
    status, conditions = shown(machine_view(memory=memory))
    assert conditions["Joined"] == ("False", "Joining")
    assert message(status, "Joined") == "the API of Cluster shop: secrets is forbidden"


def test_a_host_in_use_fails_the_preflight() -> None:
    memory = seen(mine=False, complete=False)
    assert memory.survey
    owner = Owner("uid-9", "team-b/other", "team-b/blog", "elsewhere")
    memory.survey = replace(memory.survey, owner=owner)
    status, conditions = shown(machine_view(memory=memory))
    assert conditions["PreflightPassed"] == ("False", "HostInUse")
    assert conditions["Ready"] == ("False", "HostInUse")
    assert status.phase == "Failed"


@pytest.mark.parametrize("looking", [{"doing": "look"}, {"monotonic": 1100.0}])
def test_what_is_in_the_way_of_a_host_is_told_while_it_is_looked_at_again(
    looking: dict[str, Any],
) -> None:
    # Its kubelet, which serves somebody else, holds the ports as well.
    memory = seen(mine=False, complete=False, ports=frozenset({10248, 10250}))
    assert memory.survey
    owner = Owner("uid-9", "team-b/other", "team-b/blog", "elsewhere")
    memory.survey = replace(memory.survey, owner=owner)
    memory.surveyed = 1000.0
    told = [shown(machine_view(memory=memory, **each)) for each in ({}, looking)]
    assert [conditions["PreflightPassed"] for _, conditions in told] == [("False", "HostInUse")] * 2
    assert message(told[0][0]) == message(told[1][0])


def test_preflight_warnings_are_shown_and_keep_nobody() -> None:
    status, conditions = shown(machine_view(memory=seen(complete=False, facts={"swap": "1"})))
    assert [(f.check, f.level) for f in status.preflight] == [("Swap", "Warning")]
    assert conditions["PreflightPassed"] == ("True", "PreflightPassed")
    assert "swap" in message(status, "PreflightPassed")


def test_after_a_restart_what_was_known_stays_until_it_is_known_anew() -> None:
    given = machine_view(memory=seen(identity=MEMBER), objects=observed(node=NODE))
    status, before = shown(given)
    fresh = replace(given, memory=HostMemory(), status=status)
    assert isinstance(decide.decide(fresh).step.call, SurveyHost)
    assert shown(fresh)[1] == before


def test_a_restarted_operator_does_not_call_a_node_unready_before_it_knows() -> None:
    given = machine_view(memory=seen(identity=MEMBER), objects=observed(node=NODE))
    status, before = shown(given)
    listing = replace(CONNECTED, answers=None, nodes_known=False)
    young = replace(given, objects=observed(connection=listing), status=status)
    assert shown(young)[1] == before


def test_nor_when_it_comes_to_know_in_the_middle_of_a_pass() -> None:
    given = machine_view(memory=seen(identity=MEMBER), objects=observed(node=NODE))
    status, before = shown(given)
    # The nodes were being listed when the pass looked, and are known when it judges.
    late = observed(connection=replace(CONNECTED, nodes_known=False))
    assert shown(replace(given, objects=late, status=status))[1] == before


def test_a_cluster_that_takes_the_operators_rights_is_told_and_how_they_come_back() -> None:
    given = machine_view(memory=seen(identity=MEMBER), objects=observed(node=NODE))
    status, _ = shown(given)
    refusing = replace(
        given, objects=observed(connection=replace(CONNECTED, refused=True)), status=status
    )
    status, conditions = shown(refusing)
    assert conditions["NodeReady"] == ("Unknown", "ClusterRefuses")
    assert conditions["Ready"] == ("Unknown", "ClusterRefuses")
    assert "ClusterRoleBinding kok:machine-operators" in message(status, "NodeReady")


def test_an_identity_that_is_not_the_clusters_own_is_named() -> None:
    text = "Secret team-a/shop-operator-machine does not belong to Cluster team-a/shop"
    strange = observed(connection=None, endpoint=None, untrusted=text)
    status, conditions = shown(machine_view(memory=seen(), objects=strange))
    assert conditions["NodeReady"] == ("Unknown", "WaitingForCluster")
    assert text in message(status, "NodeReady")


def test_a_changed_spec_is_not_called_up_to_date_before_the_host_was_compared() -> None:
    given = machine_view(memory=seen(identity=MEMBER), objects=observed(node=NODE))
    status, _ = shown(given)
    fewer = [{"name": "kubelet", "version": "1.37.1"}]
    changed = builders.machine(metadata={"generation": 2}, components=fewer)
    _, conditions = shown(replace(given, machine=changed, status=status))
    assert conditions["UpToDate"] == ("Unknown", "Updating")
    assert conditions["Ready"] == ("True", "NodeReady")


def test_a_component_that_goes_is_shown_until_it_is_gone() -> None:
    memory = seen(identity=MEMBER)
    assert memory.survey
    extra = {**memory.survey.found, "agent": Found("1.0", recorded="x", begun=True)}
    memory.survey = replace(memory.survey, found=extra)
    status, conditions = shown(machine_view(memory=memory, objects=observed(node=NODE)))
    agent = next(c for c in status.components if c.name == "agent")
    assert (agent.state, agent.desired, agent.found) == ("Removing", None, "1.0")
    assert conditions["UpToDate"] == ("False", "Installing")
    assert conditions["Ready"] == ("True", "NodeReady")


def test_a_stolen_host_shows_in_the_way_to_it() -> None:
    taken = HostTaken("host 192.0.2.21 serves Machine team-b/x", Owner("uid-9"))
    memory = seen(complete=False)
    memory.error = taken
    assert isinstance(decide.decide(machine_view(memory=memory, wait=2.0)), Decision)
    assert shown(machine_view(memory=memory, wait=2.0))[1]["Reachable"][0] == "True"
