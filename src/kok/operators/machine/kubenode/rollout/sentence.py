"""How far a rollout is, as a sentence. Pure."""

from __future__ import annotations

from kok.api.fields import span
from kok.api.machine.rollout import Rollout, RolloutNode, RolloutStatus
from kok.operators.machine.kubenode.rollout.budget import Budget

SHOWN = 3
"""Nodes that a sentence names at most."""


def sentence(
    record: RolloutStatus, budget: Budget, policy: Rollout, rolling: frozenset[str]
) -> str:
    """What is done, and what is waited for."""
    parts = [f"{record.updated} of {record.total} nodes are through"]
    if record.phase in ("RollingOut", "Paused") and record.batch:
        parts[0] += f", batch {record.batch}"
    parts += [_of_row(row) for row in record.nodes[:SHOWN]]
    if len(record.nodes) > SHOWN:
        parts.append(f"and {len(record.nodes) - SHOWN} more")
    free = rolling - {row.machine for row in record.nodes}
    if record.phase == "Paused":
        parts.append("no further node is begun while spec.rollout.paused is true")
    elif record.phase == "RollingOut" and record.batch_ended is not None:
        until = record.batch_ended + span(policy.pause)
        parts.append(f"the next batch begins at {until:%Y-%m-%d %H:%M:%S} UTC")
    elif record.phase == "RollingOut" and free and len(budget.out) >= budget.limit:
        out = sorted(budget.out - {row.machine for row in record.nodes})
        if out:
            parts.append(f"{', '.join(out[:SHOWN])} must serve before a further node is begun")
    return "; ".join(parts)[:2048]


def _of_row(row: RolloutNode) -> str:
    words = {
        "Draining": "is drained first",
        "Changing": "is changed",
        "Soaking": "serves, and has to go on so for a while",
        "Failed": "has failed",
        "Skipped": "was skipped",
        "RollingBack": "goes back to what it ran before",
        "RolledBack": "runs again what it ran before",
    }
    return f"{row.machine} {words[row.state]}" + (f" ({row.why[:300]})" if row.why else "")
