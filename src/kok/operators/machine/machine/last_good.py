"""The software with which a node last served well, so that it can go back to that. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime

from kok.api.fields import ArtifactBase, seconds
from kok.api.machine.machine import GoodSoftware, Machine, MachineComponent, MachineStatus
from kok.operators.machine.machine.remediation import faults

_UP_TO_DATE, _READY = "UpToDate", "Ready"


def digest(
    components: Sequence[MachineComponent], artifacts: ArtifactBase, *, adopt: bool = False
) -> str:
    """Hash of software and where it comes from; another one means other software. `adopt`: what was
    adopted stays as it is instead."""
    listed = sorted((c.manifest() for c in components), key=lambda c: str(c["name"]))
    made_of = [listed, artifacts.manifest(), *(["adopt"] if adopt else [])]
    text = json.dumps(made_of, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of(machine: Machine) -> str:
    """Hash of what a Machine's spec asks for."""
    spec = machine.spec
    return digest(spec.components, spec.artifacts, adopt=spec.adopt)


def judge(status: MachineStatus, machine: Machine, now: datetime) -> None:
    """Records what is good, once it is; the conditions of this pass stand in the status already."""
    if remaining(status, machine, now) == 0.0:
        status.last_good = GoodSoftware(
            id=of(machine),
            since=now.replace(microsecond=0),
            components=[c.model_copy(deep=True) for c in machine.spec.components],
            artifacts=machine.spec.artifacts,
            adopt=machine.spec.adopt,
        )


def due(status: MachineStatus, machine: Machine, now: datetime) -> float | None:
    """Seconds until it is to be looked whether something counts as good that has to serve for a while
    first; None: nothing has to."""
    soak = seconds(machine.spec.rollout.soak)
    known = status.last_good is not None and status.last_good.id == of(machine)
    if not soak or known:
        return None
    left = remaining(status, machine, now)
    # It may be found in this very pass that it serves.
    return left if left is not None else soak


def remaining(status: MachineStatus, machine: Machine, now: datetime) -> float | None:
    """Seconds until what the spec asks for counts as good; None: it does, or nothing says it will."""
    found = [status.condition(name) for name in (_UP_TO_DATE, _READY)]
    since = [c.last_transition_time for c in found if c is not None and c.status == "True"]
    if len(since) < len(found) or not machine.spec.components:
        return None
    if faults.disables(status.remediation):
        return None
    if status.last_good is not None and status.last_good.id == of(machine):
        return None
    left = seconds(machine.spec.rollout.soak) - (now - max(since)).total_seconds()
    return max(0.0, left)
