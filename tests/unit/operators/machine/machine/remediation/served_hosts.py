"""Hosts that are nodes and were for a while, and what is seen of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.views import MEMBER, NODE, machine_view, observed, seen

from kok.api.machine.machine import Machine
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.watching import Told, Watched

SERVED = {
    "firstReady": "2026-11-02T11:00:00Z",
    "phase": "Ready",
    "kubelet": "1.37.1",
    "conditions": [
        {
            "type": "Joined",
            "status": "True",
            "reason": "Joined",
            "lastTransitionTime": "2026-11-02T11:00:00Z",
        }
    ],
}
OK = Told("ok", 0.0)
WELL = Watched("d", {"containerd": OK, "kubelet": OK}, {"containerd": OK, "kubelet": OK}, rounds=3)


def memory(watched: Watched | None = WELL, **changes: Any) -> HostMemory:
    found = seen(changes.pop("machine", None), **changes)
    found.identity = MEMBER
    found.watched = watched
    return found


def serving(watched: Watched | None = WELL, **changes: Any) -> MachineView:
    """A host that is a node and was for a while."""
    machine = changes.pop("machine", None)
    status = {**SERVED, **changes.pop("status", {})}
    base = machine_view(machine, memory(watched, machine=machine), status)
    return replace(base, **{"objects": observed(node=NODE), **changes})


def with_service(name: str, word: str, since: float = 900.0) -> Watched:
    return replace(WELL, services={**WELL.services, name: Told(word, since, "enabled signal")})


def policy(**fields: Any) -> Machine:
    return builders.machine(remediation=fields)


def after(view: MachineView, seconds: float, **changes: Any) -> MachineView:
    """The next pass, with what the one before recorded."""
    record = decide.decide(view).remedy.record
    status = view.status.model_copy(update={"remediation": record})
    now = view.now + timedelta(seconds=seconds)
    return replace(view, status=status, now=now, **changes)
