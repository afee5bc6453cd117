"""How much of what it reads one pass holds in memory.

What belongs to one object is bounded for each list and each object by itself, see `limits`. A pass
holds many of them until its end, and a namespace has many passes: so what they come to together is
counted here, and a pass that holds much has its turn among the others that do, see
`kok.runtime.fairness.memory`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kok.api.meta import Manifest
from kok.kube.budget.limits import MIB, memory_of
from kok.kube.errors import TooLarge


class PassMemoryExceeded(Exception):
    """More was read than may be held without a turn: all of it is to be let go, and read again
    when there is room. No `KubeError`, which somebody might take for an answer.
    """


@dataclass(slots=True)
class PassMemory:
    """What one pass has read so far, in bytes as `kok.kube.budget.limits.memory_of` counts them."""

    most: int
    final: bool = True
    """Whether nothing has more room: who needs more is told so."""
    size: int = 0
    _largest: int = 0
    _what: str = ""

    def take(self, found: Iterable[Manifest | None], what: str = "") -> None:
        """These are held as well; `what` they are called if they do not say so themselves.

        Raises `PassMemoryExceeded`, or `TooLarge` with a sentence for people where no more room is.
        """
        for one in found:
            if one:
                self.add(memory_of(one), _called(one) or what)

    def add(self, size: int, what: str) -> None:
        """The same of something whose size is known."""
        self.size += size
        if size > self._largest:
            self._largest, self._what = size, what
        if self.size <= self.most:
            return
        if not self.final:
            raise PassMemoryExceeded
        raise TooLarge(
            f"what is looked at for this object takes more than {self.most // MIB} MiB of memory "
            f"together, the largest of it {self._what} ({self._largest / MIB:.1f} MiB); make that smaller"
        )


def _called(one: Manifest) -> str:
    meta = one.get("metadata") or {}
    if not one.get("kind") or not meta.get("name"):
        return ""
    where = "/".join(str(meta[key]) for key in ("namespace", "name") if meta.get(key))
    return f"{one['kind']} {where}"
