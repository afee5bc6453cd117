"""At which addresses hosts may be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kok.kube.objects.addresses import enclosing_range


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an administrator allows; the text says it to users."""

    allowed: Sequence[str] | None = None
    """Ranges; everywhere if None."""
    closed: Sequence[str] = ()
    """Ranges, wherever `allowed` reaches."""

    def takes(self, address: str) -> bool:
        """Whether a host may be at an address."""
        if enclosing_range(address, self.closed) is not None:
            return False
        return (
            self.allowed is None
            or enclosing_range(address, self.allowed, dressed=False) is not None
        )

    def __str__(self) -> str:
        closed = f"forbidden are {', '.join(self.closed) or 'none'}"
        if self.allowed is None:
            return closed
        return f"allowed are {', '.join(self.allowed) or 'none'}, {closed}"


ANYWHERE: Final = Bounds()
