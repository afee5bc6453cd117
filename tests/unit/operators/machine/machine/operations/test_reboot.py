"""The one boot of its host for which a Component may ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import GPU, NOW, VERSIONS
from tests.unit.operators.machine.machine.operations.removals import JOINED
from tests.unit.operators.machine.machine.shown import message, shown
from tests.unit.operators.machine.views import MEMBER, NODE, machine_view, observed, seen

from kok.api.machine.machine import HostReboot
from kok.operators.machine.gpus import Gpus
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations import reboot, update
from kok.operators.machine.machine.operations.host_steps import (
    Install,
    JoinCluster,
    NoteReboots,
    RebootHost,
    Step,
)
from kok.operators.machine.machine.operations.update_calls import EMPTY, CordonNode, EmptyNode
from kok.operators.machine.machine.view import MachineView

WHY = "nouveau holds the GPUs"
OURS = "team-a/shop-workers-w1"
SINCE = NOW.isoformat()
SERVED = {"conditions": [JOINED], "firstReady": SINCE, "kubelet": "1.37.1"}


def machine() -> Any:
    listed = {**VERSIONS, **GPU}
    return builders.machine(components=[{"name": n, "version": v} for n, v in listed.items()])


def view(
    *, asks: bool = True, boot: str = "one", node: Any = None, complete: bool = True, **status: Any
) -> MachineView:
    """A host with all its software, which may ask for a boot in the boot `boot`."""
    made = machine()
    asked = {"nvidia-driver": WHY} if asks else {}
    memory = seen(made, complete=complete, boot=boot, reboots=asked, gpus=Gpus(1), identity=MEMBER)
    emptied = status.pop("emptied", None)
    if emptied:
        memory.emptied = emptied
    return machine_view(made, memory, status, objects=observed(node=node))


def step(**given: Any) -> Step:
    return decide.decide(view(**given)).step


def config() -> str:
    call = step().call
    assert isinstance(call, NoteReboots)
    return call.known[0].config


def known(**changes: Any) -> dict[str, Any]:
    """The request as it is recorded."""
    return {
        "component": "nvidia-driver",
        "config": config(),
        "boot": "one",
        "reason": WHY,
        "since": SINCE,
        **changes,
    }


def test_a_request_is_recorded_before_anything_is_done() -> None:
    found = step()
    assert isinstance(found.call, NoteReboots)
    assert found.after == 0.0
    (one,) = found.call.known
    assert (one.component, one.boot, one.reason, one.done) == ("nvidia-driver", "one", WHY, None)


def test_a_host_that_never_served_is_booted_without_a_drain_and_before_it_joins() -> None:
    assert step(reboots=[known()]) == Step(RebootHost("one"))


def test_other_software_comes_first() -> None:
    assert isinstance(step(complete=False, reboots=[known()]).call, Install)


def test_whoever_comes_after_a_death_boots_the_host_that_has_not_booted() -> None:
    """The same decision however often it is made: the host itself does it once."""
    assert step(reboots=[known()]) == step(reboots=[known()])


def test_after_the_boot_it_is_noted_as_done_and_the_host_goes_on() -> None:
    found = step(asks=False, boot="", reboots=[known()])
    assert isinstance(found.call, NoteReboots)
    (one,) = found.call.known
    assert one.done is not None
    after = step(asks=False, boot="", reboots=[known(done=SINCE)])
    assert not isinstance(after.call, NoteReboots | RebootHost)


def test_for_one_configuration_there_is_one_boot() -> None:
    """The same driver that asks again in another boot gets none, and that is told."""
    found = step(boot="two", reboots=[known(done=SINCE)])
    assert isinstance(found.call, NoteReboots)
    (one,) = found.call.known
    assert one.in_vain
    vain = view(boot="two", reboots=[known(done=SINCE, inVain=True)])
    refusal = decide.decide(vain).step.refusal
    assert refusal is not None
    assert refusal.reason == "RebootInVain"
    status, conditions = shown(vain)
    assert conditions["ComponentsReady"] == ("False", "RebootInVain")
    assert WHY in message(status, "ComponentsReady")


def test_another_configuration_may_have_one_of_its_own() -> None:
    found = step(boot="two", reboots=[known(config="0123456789abcdef", done=SINCE)])
    assert isinstance(found.call, NoteReboots)
    (one,) = found.call.known
    assert (one.boot, one.done, one.in_vain) == ("two", None, False)


def test_a_boot_by_hand_puts_a_vain_request_right() -> None:
    found = step(asks=False, boot="", reboots=[known(done=SINCE, inVain=True)])
    assert isinstance(found.call, NoteReboots)
    assert not found.call.known[0].in_vain


def test_software_that_is_gone_asks_for_nothing() -> None:
    survey = builders.survey(boot="one", reboots={"gone": "why"})
    assert reboot.noted([], {}, survey, NOW) == []
    one = HostReboot.model_validate(known(component="gone"))
    assert reboot.noted([one], {}, survey, NOW) == []


@pytest.mark.parametrize(
    ("node", "operation", "emptied", "call"),
    [
        (NODE, None, None, CordonNode),
        (
            replace(NODE, unschedulable=True, closed="8", cordoned_by=OURS),
            "Draining",
            None,
            EmptyNode,
        ),
    ],
)
def test_a_node_that_serves_is_drained_first(
    node: Any, operation: str | None, emptied: Any, call: type
) -> None:
    recorded = {"type": "Update", "step": operation, "since": SINCE, "reason": "why"}
    more = {"operation": recorded} if operation else {}
    found = step(node=node, reboots=[known()], **SERVED, **more)
    assert found.action is not None
    assert isinstance(found.action.call, call)
    assert found.call is None


def test_once_it_is_empty_its_host_is_booted() -> None:
    node = replace(NODE, unschedulable=True, closed="8", cordoned_by=OURS)
    recorded = {"type": "Update", "step": "Draining", "since": NOW, "reason": "why"}
    emptied = (f"{NOW.isoformat()} {node.uid} 8", EMPTY)
    seen_now = view(node=node, reboots=[known()], operation=recorded, emptied=emptied, **SERVED)
    decided = decide.decide(seen_now)
    assert decided.step.call == RebootHost("one")
    assert decided.operation is not None
    assert decided.operation.step == update.CHANGING
    assert shown(seen_now)[1]["ComponentsReady"] == ("False", "Rebooting")


def test_an_operator_that_knows_nothing_of_the_host_does_not_let_pods_back() -> None:
    """It was restarted after the boot was recorded, and has not looked at the host yet."""
    node = replace(NODE, unschedulable=True, closed="8", cordoned_by=OURS)
    recorded = {"type": "Update", "step": "Changing", "since": SINCE, "reason": "why"}
    blind = view(node=node, reboots=[known()], operation=recorded, **SERVED)
    blind.memory.survey = None
    assert update.finish(blind) is None
    done = view(asks=False, node=node, reboots=[known(done=SINCE)], operation=recorded, **SERVED)
    assert update.finish(done) is not None


def test_a_host_that_waits_for_its_boot_does_not_join() -> None:
    assert not isinstance(step(reboots=[known()]).call, JoinCluster)
