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
GOES_BACK: Final = frozenset({"RollingBack", "RolledBack", "Skipped"})
"""States of nodes that are to have what they last ran well with."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nodes may take, and what follows."""

    policy: Rollout
    drain_timeout: str

    @staticmethod
    def of(policy: Rollout, drain_timeout: str) -> Patience:
        """As the spec of a KubeNode says; `drain_timeout` is the one that holds for all its drains."""
        return Patience(policy, policy.drain_timeout or drain_timeout)

    def drained(self, found: Found) -> datetime | None:
        """Until when the node has to be drained; None if it is not."""
        since = found.drain_since
        return since + span(self.drain_timeout) if since is not None else None


@dataclass(frozen=True, slots=True)
class Judge:
    """Tells what has become of each node by now."""

    target: str
    """Hash of the software that the rollout is about."""
    patience: Patience
    now: datetime

    def all(self, record: RolloutStatus, machines: Mapping[str, Found]) -> list[RolloutNode]:
        """The nodes that were begun and are not through."""
        names = {*record.members, *(row.machine for row in record.nodes)} & set(machines)
        rows = (self._row(record.node(name), name, machines[name]) for name in sorted(names))
        found = [row for row in rows if row is not None]
        if record.phase != "Aborted":
            return found
        return [
            self._turned(row, "RollingBack", "the rollout was aborted")
            if row.state in IN_FLIGHT | {"Failed"} and machines[row.machine].good is not None
            else row
            for row in found
        ]

    def _row(self, before: RolloutNode | None, name: str, found: Found) -> RolloutNode | None:
        if before is not None and before.state in GOES_BACK:
            return self._back(before, found)
        if found.software != self.target or found.through or self._proven(before, found):
            return None
        row = before or RolloutNode(machine=name, state="Changing", since=self._second)
        if row.state == "Failed":
            return self._failed(row, row.why, found)
        return self._judged(self._turned(row, _doing(found), ""), found)

    def _proven(self, before: RolloutNode | None, found: Found) -> bool:
        """Whether it has been well with what is wanted, whatever it does now.

        One that was told to go back to what it ran well with has yet to be well with that again.
        """
        good = found.good
        if good is None or good.id != self.target:
            return False
        return before is None or good.since > before.since

    def _other(self, found: Found) -> bool:
        """Whether there is other software that the node can go back to."""
        return found.good is not None and found.good.id != self.target

    def _judged(self, row: RolloutNode, found: Found) -> RolloutNode:
        policy, until = self.patience.policy, self.patience.drained(found)
        late = until is not None and self.now >= until
        if late and policy.on_drain_timeout == "Skip" and self._other(found):
            why = f"the node was not drained within {self.patience.drain_timeout}"
            return self._turned(row, "Skipped", why)
        failing = (row.failing or self._second) if found.trouble else None
        row = row.model_copy(update={"failing": failing, "why": found.trouble})
        # A host that is given up is never drained by itself.
        if row.state == "Draining" and not found.given_up:
            return row
        if failing is not None and self.now - failing >= FAILS_FOR:
            return self._failed(row, found.trouble, found)
        late = self.now - row.since >= span(policy.deadline)
        if row.state == "Changing" and late and not silent(found.live):
            why = found.trouble or f"the change was not through within {policy.deadline}"
            return self._failed(row, why, found)
        return row

    def _failed(self, row: RolloutNode, why: str, found: Found) -> RolloutNode:
        back = self.patience.policy.on_failure == "Rollback" and self._other(found)
        return self._turned(row, "RollingBack" if back else "Failed", why)

    def _back(self, row: RolloutNode, found: Found) -> RolloutNode | None:
        good = found.good is not None and found.good.id == found.software
        if row.state == "RollingBack" and good and found.software == self.target and found.through:
            # It came round by itself before it was told to go back.
            return None
        if row.state == "RollingBack" and good and found.state is State.SERVING:
            return self._turned(row, "RolledBack", row.why)
        return row

    def _turned(self, row: RolloutNode, state: NodeState, why: str) -> RolloutNode:
        since = row.since if row.state == state else self._second
        return row.model_copy(update={"state": state, "since": since, "why": why[:1024]})

    @property
    def _second(self) -> datetime:
        return self.now.replace(microsecond=0)


def _doing(found: Found) -> NodeState:
    if found.drains:
        return "Draining"
    changes = found.state is State.CHANGING or not found.soaks
    return "Changing" if changes else "Soaking"


def wake(
    record: RolloutStatus, machines: Mapping[str, Found], patience: Patience, now: datetime
) -> float | None:
    """Seconds until something is due that no event tells of."""
    due: list[datetime | None] = []
    for row in record.nodes:
        if row.failing is not None and row.state in IN_FLIGHT:
            due.append(row.failing + FAILS_FOR)
        if row.state == "Changing":
            due.append(row.since + span(patience.policy.deadline))
        if row.state == "Draining" and row.machine in machines:
            due.append(patience.drained(machines[row.machine]))
    if record.batch_ended is not None and record.phase == "RollingOut":
        due.append(record.batch_ended + span(patience.policy.pause))
    left = [(moment - now).total_seconds() for moment in due if moment is not None]
    return min((seconds for seconds in left if seconds > 0), default=None)
