"""What is said of a rollout: a condition, events and numbers. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from kok.api.machine.rollout import RolloutStatus
from kok.operators.machine import reasons
from kok.runtime.conditions import Verdict

ROLLED_OUT: Final = "RolledOut"
"""Condition of a KubeNode: all its nodes have the software that the spec means."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event."""

    reason: str
    message: str
    warning: bool = False


def verdict(record: RolloutStatus) -> Verdict:
    """Condition RolledOut."""
    states: Counter[str] = Counter(row.state for row in record.nodes)
    if record.phase == "Done":
        if states["Skipped"]:
            return Verdict(False, reasons.NODES_SKIPPED, record.message)
        return Verdict(True, reasons.ROLLED_OUT, record.message)
    reason = {
        "Paused": reasons.ROLLOUT_PAUSED,
        "RollingBack": reasons.ROLLING_BACK,
        "RolledBack": reasons.ROLLED_BACK,
        "Aborted": reasons.ROLLOUT_ABORTED,
    }.get(record.phase)
    if reason is None:
        stopped = states["Failed"] > 0
        reason = reasons.ROLLOUT_STOPPED if stopped else reasons.ROLLING_OUT
    return Verdict(False, reason, f"{record.message}{_advice(reason, record)}")


def _advice(reason: str, record: RolloutStatus) -> str:
    if reason == reasons.ROLLED_BACK:
        return (
            "; it is not tried again until the spec of the KubeNode means other software, or has "
            "another rollout.retry"
        )
    if reason == reasons.ROLLOUT_ABORTED:
        return f"; spec.rollout.abort is {record.id}"
    if reason == reasons.ROLLOUT_STOPPED:
        return "; correct the spec of the KubeNode, or what is wrong with that host"
    return ""


def numbers(record: RolloutStatus | None) -> dict[str, int]:
    """Nodes by what it has come to with them."""
    if record is None:
        return {}
    states: Counter[str] = Counter(row.state for row in record.nodes)
    waiting = max(0, record.total - record.updated - len(record.nodes))
    return {**states, "Updated": record.updated, "Waiting": waiting}


def told(before: RolloutStatus | None, now: RolloutStatus | None) -> list[Told]:
    """What people hear of by events: beginnings, ends, and nodes that fail."""
    if now is None:
        return []
    if before is None or before.id != now.id:
        begins = now.phase in ("RollingOut", "Paused")
        text = f"rollout {now.id} of software to {now.total} nodes begins"
        found = [Told(reasons.ROLLING_OUT, text)] if begins else []
        before = None
    else:
        found = []
    for row in now.nodes:
        old = before.node(row.machine) if before is not None else None
        if row.state in _BAD and (old is None or old.state != row.state):
            text = f"{row.machine}: {row.why}" if row.why else row.machine
            found.append(Told(_BAD[row.state], text, warning=True))
    was = before.phase if before is not None else None
    if now.phase != was and now.phase in _ENDS:
        warning = now.phase != "Done"
        found.append(Told(_ENDS[now.phase], now.message, warning=warning))
    return found


_BAD: Final = {
    "Failed": reasons.ROLLOUT_STOPPED,
    "Skipped": reasons.NODES_SKIPPED,
    "RollingBack": reasons.ROLLING_BACK,
}
_ENDS: Final = {
    "RolledBack": reasons.ROLLED_BACK,
    "Aborted": reasons.ROLLOUT_ABORTED,
    "Done": reasons.ROLLED_OUT,
}
