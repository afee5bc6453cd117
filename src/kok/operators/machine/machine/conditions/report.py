"""The status of a Machine: its one author, in every pass the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kok.api.machine.machine import MachineStatus
from kok.operators.machine.component import catalog
from kok.operators.machine.machine import last_good
from kok.operators.machine.machine.conditions.health import of_health
from kok.operators.machine.machine.conditions.types import JOINED, REACHABLE, READY
from kok.operators.machine.machine.conditions.verdicts import judge, phase, reachable
from kok.operators.machine.machine.decide import Decision
from kok.operators.machine.machine.view import MachineView
from kok.runtime import conditions
from kok.runtime.conditions import Verdict


@dataclass(slots=True)
class Outcome:
    """What acting found out."""

    of_node: dict[str, Verdict | None] = field(default_factory=dict)
    """Conditions of the Node's labels, taints and certificates; None: there is nothing to say."""


def report(
    status: MachineStatus, view: MachineView, decision: Decision, outcome: Outcome | None = None
) -> None:
    """Sets everything that shows how the Machine is."""
    found = judge(status, view, decision, (outcome or Outcome()).of_node)
    _put(status, view, found)
    if found[READY].holds is True and status.first_ready is None:
        status.first_ready = view.now
    last_good.judge(status, view.machine, view.now)
    if outcome is not None:
        _put(status, view, {type_: said for type_, said in outcome.of_node.items() if said})
        status.drop_conditions([type_ for type_, said in outcome.of_node.items() if not said])
    of_host = of_health(status, view)
    _put(status, view, {type_: said for type_, said in of_host.items() if said})
    status.drop_conditions([type_ for type_, said in of_host.items() if not said])
    _software(status, view)
    status.phase = phase(status, view, found)


def report_removal(status: MachineStatus, view: MachineView, told: str | None) -> None:
    """Sets what shows of a Machine that is being removed; `told`: what is waited for, if it is."""
    _put(status, view, {REACHABLE: reachable(view)})
    if told is not None:
        status.removal = told


def _put(status: MachineStatus, view: MachineView, found: Mapping[str, Verdict]) -> None:
    generation = view.machine.metadata.generation
    conditions.put(status, found, now=view.now, generation=generation)


def _software(status: MachineStatus, view: MachineView) -> None:
    node = view.objects.node
    runtime = next((c for c in status.components if c.desired and catalog.exclusive(c.name)), None)
    if node is not None and node.kubelet and status.is_true(JOINED):
        status.kubelet = node.kubelet
        status.runtime = node.runtime.replace("://", " ") or status.runtime
    elif runtime is not None and runtime.found:
        status.runtime = f"{runtime.name} {runtime.found}"
