"""How a Machine is, as far as rollouts are concerned. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from kok.api.fields import seconds
from kok.api.machine.machine import GoodSoftware, Machine
from kok.api.meta import Manifest
from kok.operators.machine import cluster_version, reasons
from kok.operators.machine.machine import last_good
from kok.operators.machine.machine.operations import adopted, update
from kok.operators.machine.machine.remediation import faults, ladder
from kok.operators.machine.remote import host_paths

_BEFORE: Final = update.HOLDS | {
    reasons.CORDONING,
    reasons.DRAINING,
    reasons.DRAIN_BLOCKED,
}
"""Reasons of `UpToDate` as long as nothing of the node was changed."""
_FAILS: Final = frozenset(
    {
        reasons.SERVICE_FAILING,
        reasons.JOB_FAILED,
        reasons.JOB_TIMED_OUT,
        reasons.NOT_AS_WANTED,
        reasons.CHECKSUM_MISMATCH,
        reasons.COMPONENT_INVALID,
    }
)
"""Reasons of a Machine that something is wrong with what it was told to have."""


class State(Enum):
    """How a Machine is, as far as the budget is concerned."""

    FRESH = "it has never served, so that it disturbs nobody"
    CHANGING = "a change of it is under way, or was not proven"
    UNKNOWN = "nothing is heard of its node"
    BROKEN = "it is known not to serve"
    SERVING = "it serves"


@dataclass(frozen=True, slots=True)
class Found:
    """A Machine as it is."""

    live: Manifest
    state: State
    software: str
    """Hash of what it is told to have."""
    good: GoodSoftware | None
    between: bool
    """Whether it goes from one minor of its kubelet to another."""
    soaks: bool
    """Whether it serves with something of which it has yet to be found that it is good."""
    drains: bool
    """Whether nothing of it was changed yet: it is drained first, or waits for something."""
    drain_since: datetime | None
    """When it began to be drained, if it is."""
    trouble: str
    """What fails and will not mend itself, as a sentence."""
    given_up: bool
    """Whether another host is to take the place of its own."""

    @property
    def through(self) -> bool:
        """Whether it is as it was told to be, for good."""
        return self.state is State.SERVING and not self.soaks


def look(lives: Mapping[str, Manifest]) -> dict[str, Found]:
    """All Machines by name."""
    return {name: found(live) for name, live in lives.items()}


def found(live: Manifest) -> Found:
    """How a Machine is."""
    parsed = Machine.parse(live)
    status, now = parsed.status, state(parsed)
    software, good = last_good.of(parsed), status.last_good
    told = status.condition("UpToDate")
    under_way = update.recorded(status)
    draining = under_way is not None and under_way.step in (update.CORDONING, update.DRAINING)
    current = status.observed_generation == parsed.metadata.generation
    drains = current and (draining or (told is not None and told.reason in _BEFORE))
    soak = seconds(parsed.spec.rollout.soak)
    return Found(
        live=live,
        state=now,
        software=software,
        good=good,
        between=_between(parsed, now),
        soaks=soak > 0 and (good is None or good.id != software),
        drains=drains,
        drain_since=under_way.since if draining and under_way is not None else None,
        trouble=_trouble(parsed, now) if current else "",
        given_up=ladder.given_up(status.remediation),
    )


def state(machine: Machine) -> State:
    """How a Machine is, as far as the budget is concerned."""
    status, node = machine.status, machine.status.condition("NodeReady")
    if status.first_ready is None and not status.is_true("Ready"):
        return State.FRESH
    current = status.observed_generation == machine.metadata.generation
    if not current or not status.is_true("UpToDate"):
        return State.CHANGING
    if status.is_true("Ready"):
        return State.BROKEN if faults.disables(status.remediation) else State.SERVING
    return State.UNKNOWN if node is None or node.status == "Unknown" else State.BROKEN


def _between(machine: Machine, now: State) -> bool:
    """Whether a Machine that has served goes from one minor of its kubelet to another, or is drained:
    it was told to, is at it, or has not got its node back."""
    if machine.deleting:
        return False
    running = machine.status.kubelet
    listed = machine.spec.components
    wanted = next((c.version for c in listed if c.name == host_paths.KUBELET), "")
    if update.recorded(machine.status) is not None:
        return True
    left = host_paths.KUBELET in adopted.kept(machine, machine.status)
    told = now is not State.FRESH and bool(wanted and running) and not left
    return told and cluster_version.crosses(running or "", wanted)


def _trouble(machine: Machine, now: State) -> str:
    """What fails with what the Machine was told to have. That nothing is heard is no failure."""
    status = machine.status
    for name in ("UpToDate", "ComponentsReady", "Ready"):
        told = status.condition(name)
        if told is not None and told.status == "False" and told.reason in _FAILS:
            return f"{told.reason}: {told.message}"[:1024]
    ready, known = status.condition("Ready"), status.remediation
    if known is not None and ladder.given_up(known):
        return f"{known.fault}: {known.message}"[:1024]
    if now is not State.BROKEN:
        return ""
    if known is not None and faults.disables(known):
        return f"{known.fault}: {known.message}"[:1024]
    return f"{ready.reason}: {ready.message}"[:1024] if ready is not None else ""


def silent(live: Manifest) -> bool:
    """Whether the API says nothing of the node, so that time proves nothing against it.

    A kubelet that has ceased to post is no silence of the API.
    """
    node = Machine.parse(live).status.condition("NodeReady")
    return node is None or (node.status == "Unknown" and node.reason != reasons.NODE_NOT_READY)
