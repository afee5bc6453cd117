"""What is to be done next, as a value, and how it is decided, recorded and told of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from kok.runtime.controller.reasons import OPERATION_BEGUN, OPERATION_FINISHED

C_contra = TypeVar("C_contra", contravariant=True)
C = TypeVar("C")
V = TypeVar("V")
A = TypeVar("A")


class Recorded(Protocol):
    """An operation as a status holds it."""

    @property
    def type(self) -> str:
        """What is done, as one word."""
        ...

    @property
    def since(self) -> datetime:
        """When it began; another beginning is another operation."""
        ...

    @property
    def reason(self) -> str:
        """Why it is done, as a sentence."""
        ...


O = TypeVar("O", bound=Recorded)  # noqa: E741 - as the rest of the runtime's type variables


class Call(Protocol[C_contra]):
    """One change to the world. It may have been made before, with the answer lost."""

    async def run(self, context: C_contra) -> None:
        """Makes it. What it raises ends the pass, and the next one looks again."""
        ...


@dataclass(frozen=True, slots=True)
class Action(Generic[O, C]):
    """What to do now. `operation` is recorded before `call` is made."""

    reason: str
    """Why the object is not at rest: the reason of a condition."""
    message: str
    """What is done, and what is waited for; a sentence without its subject."""
    operation: O | None
    call: Call[C] | None = None
    after: float = 0.3
    """Seconds until the next look if nothing wakes the object before."""


def first(order: Sequence[Callable[[V], A | None]], view: V) -> A | None:
    """What the first plan says that has something to do. The order is the policy."""
    return next((action for plan in order if (action := plan(view)) is not None), None)


def transition(before: Recorded | None, after: Recorded | None) -> list[tuple[str, str]]:
    """Reasons and sentences of the events by which people hear of an operation's end and begin."""
    if _identity(before) == _identity(after):
        return []
    told = []
    if before is not None and after is None:
        told.append((OPERATION_FINISHED, f"{before.type}: done, {before.reason}"))
    if after is not None:
        told.append((OPERATION_BEGUN, f"{after.type}: {after.reason}"))
    return told


def _identity(operation: Recorded | None) -> tuple[str, datetime] | None:
    return (operation.type, operation.since) if operation is not None else None


def patient(
    operation: Recorded | None,
    after: float,
    now: datetime,
    pauses: Sequence[tuple[timedelta, float]],
) -> float:
    """Seconds until the next look: what has been waited for in vain is looked at less often.

    `pauses` are least seconds by age of the operation, the longest age first.
    """
    age = now - operation.since if operation is not None else timedelta()
    return max(after, next((pause for since, pause in pauses if age >= since), 0.0))
