"""The status of a Machine: its one author, in every pass the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kok.api.machine.machine import MachineStatus
from kok.operators.machine.component import catalog
from kok.operators.machine.machine import last_good
from kok.operators.machine.machine.conditions.gpu import GPU_READY, gpu_ready
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
    _optional(status, view, {GPU_READY: gpu_ready(status, view)})
    if found[READY].holds is True and status.first_ready is None:
        status.first_ready = view.now
    last_good.judge(status, view.machine, view.now)
    if outcome is not None:
        _optional(status, view, outcome.of_node)
    _optional(status, view, of_health(status, view))
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


def _optional(
    status: MachineStatus, view: MachineView, found: Mapping[str, Verdict | None]
) -> None:
    """Conditions of which there need not be any."""
    _put(status, view, {type_: said for type_, said in found.items() if said})
    status.drop_conditions([type_ for type_, said in found.items() if not said])


def _software(status: MachineStatus, view: MachineView) -> None:
    node = view.objects.node
    runtime = next((c for c in status.components if c.desired and catalog.exclusive(c.name)), None)
    if node is not None and node.kubelet and status.is_true(JOINED):
        status.kubelet = node.kubelet
        status.runtime = node.runtime.replace("://", " ") or status.runtime
    elif runtime is not None and runtime.found:
        status.runtime = f"{runtime.name} {runtime.found}"
