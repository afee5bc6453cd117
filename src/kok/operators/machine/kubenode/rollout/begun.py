"""What becomes of nodes that a rollout has begun: through, failed, skipped, or back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kok.api.fields import span
from kok.api.machine.rollout import NodeState, Rollout, RolloutNode, RolloutStatus
from kok.operators.machine.kubenode.rollout.states import Found, State, silent

FAILS_FOR: Final = timedelta(seconds=30)
"""For which something has to fail until a node counts as failed: services are started again, jobs are
tried again."""
IN_FLIGHT: Final = frozenset({"Draining", "Changing", "Soaking"})
"""States of nodes that nothing is known against."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nodes may take, and what follows."""

    policy: Rollout
    drain_timeout: timedelta

    @staticmethod
    def of(policy: Rollout, drain_timeout: str) -> Patience:
        """As the spec of a KubeNode says; `drain_timeout` is the one that holds for all its drains."""
        return Patience(policy, span(policy.drain_timeout or drain_timeout))


def judged(
    record: RolloutStatus,
    target: str,
    machines: Mapping[str, Found],
    patience: Patience,
    now: datetime,
) -> list[RolloutNode]:
    """The nodes that were begun and are not through, as they are by now.

    `target`: hash of the software that the rollout is about.
    """
    rows = []
    aborted = record.phase == "Aborted"
    for name in sorted({*record.members, *(n.machine for n in record.nodes)} & set(machines)):
        row = _row(record.node(name), name, machines[name], target, patience, now)
        under_way = row is not None and row.state in IN_FLIGHT | {"Failed"}
        if aborted and row is not None and under_way and machines[name].good is not None:
            row = _turned(row, "RollingBack", now, "the rollout was aborted")
        if row is not None:
            rows.append(row)
    return rows


def _row(
    before: RolloutNode | None,
    name: str,
    found: Found,
    target: str,
    patience: Patience,
    now: datetime,
) -> RolloutNode | None:
    if before is not None and before.state in ("RollingBack", "RolledBack", "Skipped"):
        return _back(before, found, now)
    good = found.good is not None and found.good.id == target
    if found.software != target or found.through or good:
        return None
    row = before or RolloutNode(machine=name, state="Changing", since=now)
    if row.state == "Failed":
        return _failed(row, row.why, found, patience, now)
    row = _turned(row, _doing(found), now, "")
    skips = patience.policy.on_drain_timeout == "Skip"
    if skips and _drained_too_long(found, patience, now) and found.good is not None:
        why = f"the node was not drained within {patience.drain_timeout}"
        return _turned(row, "Skipped", now, why)
    failing = (row.failing or now) if found.trouble else None
    row = row.model_copy(update={"failing": failing, "why": found.trouble})
    if failing is not None and row.state != "Draining" and now - failing >= FAILS_FOR:
        return _failed(row, found.trouble, found, patience, now)
    late = now - row.since >= span(patience.policy.deadline)
    if row.state == "Changing" and late and not silent(found.live):
        why = found.trouble or f"the change was not through within {patience.policy.deadline}"
        return _failed(row, why, found, patience, now)
    return row


def _failed(
    row: RolloutNode, why: str, found: Found, patience: Patience, now: datetime
) -> RolloutNode:
    back = patience.policy.on_failure == "Rollback" and found.good is not None
    return _turned(row, "RollingBack" if back else "Failed", now, why)


def _back(row: RolloutNode, found: Found, now: datetime) -> RolloutNode:
    good = found.good is not None and found.good.id == found.software
    if row.state == "RollingBack" and good and found.state is State.SERVING:
        return _turned(row, "RolledBack", now, row.why)
    return row


def _doing(found: Found) -> NodeState:
    if found.drains:
        return "Draining"
    changes = found.state is State.CHANGING or not found.soaks
    return "Changing" if changes else "Soaking"


def _drained_too_long(found: Found, patience: Patience, now: datetime) -> bool:
    since = found.drain_since
    return since is not None and now - since >= patience.drain_timeout


def _turned(row: RolloutNode, state: NodeState, now: datetime, why: str) -> RolloutNode:
    since = row.since if row.state == state else now.replace(microsecond=0)
    return row.model_copy(update={"state": state, "since": since, "why": why[:1024]})


def wake(
    record: RolloutStatus, machines: Mapping[str, Found], patience: Patience, now: datetime
) -> float | None:
    """Seconds until something is due that no event tells of."""
    due: list[datetime] = []
    for row in record.nodes:
        found = machines.get(row.machine)
        if row.failing is not None and row.state in IN_FLIGHT:
            due.append(row.failing + FAILS_FOR)
        if row.state == "Changing":
            due.append(row.since + span(patience.policy.deadline))
        if row.state == "Draining" and found is not None and found.drain_since is not None:
            due.append(found.drain_since + patience.drain_timeout)
    if record.batch_ended is not None and record.phase == "RollingOut":
        due.append(record.batch_ended + span(patience.policy.pause))
    left = [(moment - now).total_seconds() for moment in due if moment > now]
    return min(left, default=None)
