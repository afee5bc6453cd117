"""Which Machine that no KubeNode stages may turn to another address or CA of its cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 600.0
"""Seconds after which the next one has its turn, though the one before does not serve again."""
SETTLED = 10.0
"""Seconds after the start in which nobody has a turn: who had the last one says so meanwhile."""


@dataclass(frozen=True, slots=True)
class _Turn:
    uid: str
    since: float


class AccessRollout:
    """One Machine of a cluster after the other, as what they turn to comes to all at once."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._held: dict[tuple[str, str], _Turn] = {}
        self._begun = monotonic()

    def free(self, cluster: tuple[str, str], uid: str) -> bool:
        """Whether it may turn now."""
        held, now = self._held.get(cluster), self._monotonic()
        if held is None:
            return now - self._begun >= SETTLED
        return held.uid == uid or now - held.since >= PATIENCE

    def take(self, cluster: tuple[str, str], uid: str) -> None:
        """It turns now, and the others wait."""
        held = self._held.get(cluster)
        if held is None or held.uid != uid:
            self._held[cluster] = _Turn(uid, self._monotonic())

    def keep(self, cluster: tuple[str, str], uid: str) -> None:
        """It turned and does not serve yet as it should: its turn goes on, unless another has one."""
        if cluster not in self._held:
            self.take(cluster, uid)

    def over(self, cluster: tuple[str, str], uid: str) -> None:
        """It serves as it should."""
        held = self._held.get(cluster)
        if held is not None and held.uid == uid:
            del self._held[cluster]

    def leave(self, namespace: str, uid: str) -> None:
        """It is gone; whichever cluster of the namespace it was of."""
        for cluster in [c for c in self._held if c[0] == namespace]:
            self.over(cluster, uid)
