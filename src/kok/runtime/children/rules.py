"""What differs between the children of one kind of owner and those of another."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

from kok.api.meta import Manifest, Resource


def _never(_manifest: Manifest, _owner: Resource) -> bool:
    return False


def _nothing(_name: str) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class ChildRules:
    """How the children of one kind of owner are made and recognised."""

    manager: str
    """The field manager that writes them."""
    outlives: Callable[[Manifest, Resource], bool] = _never
    """Whether a child must not go with its owner: it is made without a reference, see `owned_by_label`."""
    own_entries: Callable[[str], Iterable[str]] = _nothing
    """By the name of such a Secret: the entries that nothing can replace. Who wrote them owns it."""
    entries: Container[str] | None = None
    """Entries of Secrets that are kept in memory; None for all."""
    creating: str = "Creating"
    """Reason of a `Wait` for what somebody else has just made."""
    stale: str = "StaleChild"
    """Reason of a `Wait` for an earlier owner's child that is going."""
    taken: str = "NameTaken"
    """Reason of a `Wait` or `Invalid` for a name that somebody else's object has."""
