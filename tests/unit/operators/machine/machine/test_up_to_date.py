"""What the status of a Machine says to others that wait for it before they are changed."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.shown import message, shown, step
from tests.unit.operators.machine.views import (
    ACCESS,
    MEMBER,
    NODE,
    machine_view,
    observed,
    seen,
)

from kok import pki
from kok.operators.machine.machine import decide, joining
from kok.operators.machine.machine.operations.host_steps import JoinCluster, Step
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.ssh import HostHeld, HostUnreachable
from kok.operators.machine.remote.survey import Owner


def test_a_node_of_which_nothing_is_heard_is_not_known_to_be_bad() -> None:
    silent = replace(NODE, ready=None, message="Kubelet stopped posting node status.")
    given = machine_view(memory=seen(identity=MEMBER), objects=observed(node=silent))
    status, conditions = shown(given)
    assert conditions["NodeReady"] == ("Unknown", "NodeNotReady")
    assert conditions["Ready"] == ("False", "NodeNotReady")
    assert message(status) == "Node w1: Kubelet stopped posting node status."


CRASHING = replace(MEMBER, failing="kubelet", words='"command failed" err="maxPods"')


SAYS = 'service kubelet on the host ends again and again; it said: "command failed" err="maxPods"'


def test_a_kubelet_that_crashes_is_quoted_before_its_node_is_given_up() -> None:
    memory = seen(identity=CRASHING)
    changed = {"kubeletChange": {"job": "j", "after": "2026-11-02T12:00:00Z"}}
    status, conditions = shown(
        machine_view(memory=memory, objects=observed(node=NODE), status=changed)
    )
    assert conditions["Ready"] == ("True", "NodeReady")
    assert conditions["UpToDate"] == ("False", "ServiceFailing")
    assert message(status, "UpToDate") == SAYS


def test_a_node_that_is_lost_by_a_crashing_kubelet_says_so() -> None:
    silent = replace(NODE, ready=None, message="Kubelet stopped posting node status.")
    given = machine_view(memory=seen(identity=CRASHING), objects=observed(node=silent))
    status, conditions = shown(given)
    assert conditions["NodeReady"] == ("Unknown", "ServiceFailing")
    assert message(status) == f"Node w1: Kubelet stopped posting node status.; {SAYS}"
    away = seen(identity=CRASHING)
    away.error = HostUnreachable("host 192.0.2.21 cannot be reached over SSH")
    _, conditions = shown(machine_view(memory=away, objects=observed(node=silent), wait=5.0))
    assert conditions["NodeReady"] == ("Unknown", "NodeNotReady")


def test_a_kubelet_that_crashes_before_it_joined_is_quoted() -> None:
    memory = seen(identity=replace(CRASHING, certificate=""))
    memory.joined = 1000.0
    status, conditions = shown(machine_view(memory=memory, monotonic=1016.0))
    assert conditions["Joined"] == ("False", "ServiceFailing")
    assert message(status) == SAYS


TURN = {"firstReady": "2026-11-02T11:00:00Z"}


def test_a_serving_node_turns_to_a_new_ca_when_it_is_its_turn() -> None:
    other = replace(ACCESS, ca=ACCESS.ca + pki.new_ca("next", NOW).cert_pem)
    waits = builders.machine(accessHash=ACCESS.digest)
    given = machine_view(
        waits,
        memory=seen(waits, identity=MEMBER),
        objects=observed(node=NODE, endpoint=other),
        status=TURN,
    )
    _, conditions = shown(given)
    assert conditions["Joined"] == ("True", "Joined")
    assert conditions["UpToDate"][0] == "True"
    assert (
        step(
            waits,
            memory=seen(waits, identity=MEMBER),
            objects=observed(node=NODE, endpoint=other),
            status=TURN,
        )
        == Step()
    )

    turn = builders.machine(accessHash=other.digest)
    around = {"memory": seen(turn, identity=MEMBER), "objects": observed(node=NODE, endpoint=other)}
    assert isinstance(step(turn, status=TURN, **around).call, JoinCluster)
    _, conditions = shown(machine_view(turn, status=TURN, **around))
    assert conditions["Ready"][0] == "True"
    # The next one waits for this.
    assert conditions["UpToDate"] == ("False", "Joining")


def test_a_turn_is_not_over_while_the_cluster_takes_no_nodes() -> None:
    """API servers restart for another CA: the next node had its turn before this one had joined."""
    other = replace(ACCESS, ca=pki.new_ca("next", NOW).cert_pem)
    turn = builders.machine(accessHash=other.digest)
    restarting = observed(endpoint=other, cluster=builders.cluster(status={}), node=NODE)
    joined = {
        "type": "Joined",
        "status": "True",
        "reason": "Joined",
        "lastTransitionTime": "2026-11-02T11:00:00Z",
    }
    before = {**TURN, "conditions": [joined]}
    around = {"memory": seen(turn, identity=MEMBER), "objects": restarting}
    status, conditions = shown(machine_view(turn, status=before, **around))
    assert conditions["UpToDate"] == ("False", "Joining")
    # Not even if it is not known for a moment how nodes join.
    unknown = {**around, "objects": replace(restarting, endpoint=None)}
    _, conditions = shown(replace(machine_view(turn, **unknown), status=status))
    assert conditions["UpToDate"][0] != "True"


def test_a_machine_of_its_own_waits_for_others_of_its_kind_and_a_new_one_for_nobody() -> None:
    other = replace(ACCESS, server="https://192.0.2.99:6443")
    alone = builders.machine()
    around = observed(node=NODE, endpoint=other)
    given = machine_view(alone, memory=seen(alone, identity=MEMBER), objects=around, status=TURN)
    assert joining.turning(given)
    assert isinstance(decide.decide(given).step.call, JoinCluster)
    waits = replace(given, turn=False)
    assert decide.decide(waits).step == Step(after=joining.TURN_AGAIN)
    status, conditions = shown(waits)
    assert (conditions["Joined"][0], conditions["Ready"][0]) == ("True", "True")
    told = status.condition("Joined")
    assert told
    assert "turns to the new address or CA of Cluster shop after another Machine" in told.message
    new = builders.machine(accessHash=ACCESS.digest)
    assert isinstance(
        step(new, memory=seen(new, identity=MEMBER), objects=around).call, JoinCluster
    )


def test_software_that_another_machine_left_is_not_this_ones() -> None:
    """It looks right: the same Component at the same version."""
    left = seen()
    assert left.survey
    left.survey = replace(left.survey, owner=Owner(uid="gone", installation="meta-1"))
    _, conditions = shown(machine_view(memory=left))
    assert conditions["ComponentsReady"] == ("False", "Installing")


def test_a_machine_that_waits_for_its_turn_says_so() -> None:
    """Until it was asked nobody knows whether there is a way; what was known before stays."""
    held = HostHeld("the host at 192.0.2.21 port 22 is asked again in 15 s", 15.0)
    status, conditions = shown(machine_view(memory=HostMemory(error=held)))
    assert conditions["Reachable"] == ("Unknown", "LoginWaits")
    assert "is asked again in 15 s" in message(status)
    memory = seen(identity=MEMBER)
    memory.error = held
    _, conditions = shown(machine_view(memory=memory, objects=observed(node=NODE)))
    assert conditions["Reachable"] == ("True", "Connected")
