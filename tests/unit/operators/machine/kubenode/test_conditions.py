"""What is said of a KubeNode: of its Machines, its rollout, and of what fails."""

from __future__ import annotations

from typing import Any, cast

import pytest
from prometheus_client import REGISTRY
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.kubenode.living import on

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine, MachineComponent
from kok.api.operation import Operation
from kok.operators.machine.kubenode import conditions
from kok.operators.machine.kubenode.decide import KubeNodeDecision
from kok.runtime.clock import SystemClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings


def test_the_status_counts_and_names_what_is_not_ready() -> None:
    kubenode = builders.kubenode(hosts=[{"name": n, "address": n} for n in ("w1", "w2")])
    machines = [on("w1"), on("w2", ready=False)]
    conditions.count(kubenode.status, kubenode, machines)
    assert kubenode.status.ready_summary == "1/2"
    assert kubenode.status.up_to_date_summary == "1/2"
    assert kubenode.status.selector == "kok.dev/kubenode=shop-workers"
    good, reason, message = conditions.sum_up(kubenode, machines, [], 0)
    assert (good, reason) == (False, "MachinesNotReady")
    assert message == "1 of 2 Machines are Ready; shop-workers-w2: new"


def test_machines_that_fail_alike_give_their_reason() -> None:
    def broken(name: str) -> Machine:
        machine = on(name)
        machine.status.set_condition(
            "Ready",
            False,
            "SecretMissing",
            "Secret team-a/ops-ssh does not exist",
            now=builders.NOW,
        )
        return machine

    kubenode = builders.kubenode()
    _, reason, message = conditions.sum_up(kubenode, [broken("a"), broken("b")], [], 0)
    assert reason == "SecretMissing"
    assert message.startswith("0 of 2 Machines are Ready; shop-workers-a: Secret team-a/ops-ssh")


def test_a_pool_that_is_too_small_is_named() -> None:
    kubenode = builders.kubenode(replicas=3, pool={"matchLabels": {"rack": "a"}})
    assert conditions.sum_up(kubenode, [on("a")], [], 2) == (
        False,
        "PoolExhausted",
        "the pool lacks 2 free Hosts with labels rack=a; add Hosts or lower spec.replicas",
    )


SOFTWARE = (MachineComponent(name="kubelet", version="1.37.1"),)
BUSY = {"type": "Update", "step": "Draining", "since": "2026-11-02T12:00:00Z"}
DRAINED = "the kubelet of node b goes from 1.36.4 to 1.37.1; node b is drained first: 1 pod is left"


def serving(name: str, kubelet: str, *, busy: bool = False) -> Machine:
    made = on(name)
    made.status.kubelet = kubelet
    if busy:
        made.status.operation = Operation.model_validate(BUSY)
        said = made.status.condition("UpToDate")
        assert said
        made.status.conditions = [
            c
            if c is not said
            else c.model_copy(update={"status": "False", "reason": "Draining", "message": DRAINED})
            for c in made.status.conditions
        ]
    return made


UPGRADING = "Cluster team-a/shop is being upgraded to 1.37.1, and so on"


@pytest.mark.parametrize(
    ("machines", "held", "holds", "reason", "message"),
    [
        (
            [serving("a", "1.37.1"), serving("b", "1.37.1")],
            "",
            True,
            "VersionCurrent",
            "2 of 2 nodes run 1.37.1",
        ),
        (
            [serving("a", "1.37.1"), serving("b", "1.36.4", busy=True), serving("c", "1.36.4")],
            "",
            False,
            "Following",
            f"1 of 3 nodes run 1.37.1; shop-workers-b: {DRAINED}; then shop-workers-c",
        ),
        # It has the version, and no pods yet.
        (
            [serving("b", "1.37.1", busy=True)],
            "",
            False,
            "Following",
            f"0 of 1 nodes run 1.37.1; shop-workers-b: {DRAINED}",
        ),
        (
            [serving("a", "1.37.1")],
            UPGRADING,
            False,
            "ClusterUpgrading",
            f"{UPGRADING}; 1 of 1 nodes run 1.37.1",
        ),
    ],
)
def test_how_many_nodes_have_followed(
    machines: list[Machine], held: str, reason: str, message: str, *, holds: bool
) -> None:
    decision = KubeNodeDecision("1.37.1", SOFTWARE, held)
    found = conditions.follows(builders.kubenode(), machines, decision)
    assert found == (holds, reason, message)


def test_nodes_that_name_their_version_wait_for_no_control_plane() -> None:
    decision = KubeNodeDecision("1.37.1", SOFTWARE, UPGRADING)
    pinned = builders.kubenode(version="1.37.1")
    assert conditions.follows(pinned, [serving("a", "1.37.1")], decision)[0]


def test_versions_of_nodes_are_counted() -> None:
    kubenode = builders.kubenode()
    machines = [serving("a", "1.37.1"), serving("b", "1.36.4"), serving("c", "1.36.4"), on("d")]
    conditions.count(kubenode.status, kubenode, machines)
    assert kubenode.status.versions == {"1.36.4": 2, "1.37.1": 1}
    many = [serving(str(n), f"1.37.{n}") for n in range(20)]
    conditions.count(kubenode.status, kubenode, many)
    assert len(kubenode.status.versions) == 16


def test_a_kubenode_is_ready_while_a_node_is_drained_and_says_which() -> None:
    machines = [serving("a", "1.37.1"), serving("b", "1.36.4", busy=True)]
    assert conditions.sum_up(builders.kubenode(), machines, ["shop-workers-c"], 0) == (
        True,
        "Updating",
        f"shop-workers-b: {DRAINED}; still to be changed: shop-workers-c",
    )


def test_unhealthy_nodes_are_counted() -> None:
    known = {"fault": "HostDead", "since": "2026-11-02T11:00:00Z"}
    ill = builders.machine(metadata={"name": "w2"}, status={"remediation": known})
    kubenode = builders.kubenode()
    conditions.count(kubenode.status, kubenode, [on("w1"), ill])
    assert kubenode.status.unhealthy == 1


def reported(kubenode: KubeNode, machines: list[Machine], *, planned: bool = False) -> KubeNode:
    """The KubeNode as a pass leaves it."""
    made = Pass(
        obj=kubenode,
        status=kubenode.status.model_copy(deep=True),
        kube=cast("Any", None),
        clock=SystemClock(),
        now=builders.NOW,
        log=cast("Any", None),
        settings=Settings(),
    )
    outcome = conditions.Outcome(planned=planned)
    conditions.report(made, machines, [], KubeNodeDecision("1.37.1"), outcome)
    kubenode.status = made.status
    return kubenode


def test_what_is_said_of_a_rollout_was_compared_with_the_spec() -> None:
    time = "2026-11-02T11:00:00Z"
    rollout = {"id": "abc", "phase": "Done", "since": time, "endedAt": time}
    kubenode = builders.kubenode(status={"rollout": rollout})
    # A pass that came to its end before that knows nothing of what the spec means now.
    assert reported(kubenode, []).status.condition("RolledOut") is None
    told = reported(kubenode, [], planned=True).status.condition("RolledOut")
    assert told is not None
    assert told.status == "True"


def test_a_held_breaker_is_told_and_shown_until_it_is_not() -> None:
    known = {"fault": "HostDead", "since": "2026-11-02T11:00:00Z"}
    ill = [
        builders.machine(metadata={"name": f"w{n}"}, status={"remediation": known})
        for n in range(30)
    ]
    well = [on(f"b{n}") for n in range(70)]
    labels = {"namespace": "team-a", "name": "shop-workers"}

    def held() -> float | None:
        return REGISTRY.get_sample_value("kok_kubenode_remediation_held", labels)

    kubenode = reported(builders.kubenode(), [*ill, *well])
    told = kubenode.status.condition("RemediationAllowed")
    assert told is not None
    assert (told.status, told.reason) == ("False", "TooManyUnhealthy")
    assert told.message.startswith("30 of 100 nodes are unhealthy")
    assert told.message.endswith(": w0, w1, w10 and 27 more")
    assert held() == 1
    kubenode = reported(kubenode, [*ill[:23], *well])
    assert kubenode.status.condition("RemediationAllowed") is None
    assert held() is None
    # Where nothing is remedied nothing is held.
    off = builders.kubenode(remediation={"mode": "Off"})
    assert reported(off, ill).status.condition("RemediationAllowed") is None
