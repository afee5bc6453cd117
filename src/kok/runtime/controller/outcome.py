"""Pure functions about the end of a pass: which conditions it leaves and when the next one comes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from kok.api.meta import Condition, Status
from kok.api.unreadable import Unreadable
from kok.kube.errors import Conflict, KubeError, without_traceback
from kok.kube.events import Event
from kok.runtime.controller.errors import Invalid, Paused, ReconcileStop, Wait
from kok.runtime.controller.reasons import (
    DELETING,
    INTERNAL_ERROR,
    PAUSED,
    READY,
    SPEC_PAUSED,
    UNREADABLE,
)
from kok.runtime.settings import Settings

WAKE_FLOOR = 5.0
"""Seconds for which an object that failed is left alone in spite of changes of its children."""

PATIENCE = 3
"""Conflicts in a row that are retried at once and shown to nobody."""
QUICK_RETRY = 0.2

End = Literal["ok", "wait", "invalid", "paused", "error", "gone", "idle", "done"]

_ERROR: End = "error"
_ENDS: tuple[tuple[type[ReconcileStop], End], ...] = (
    (Paused, "paused"),
    (Invalid, "invalid"),
    (Wait, "wait"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pass ended; `after`: seconds until the next one, None for the resync time."""

    end: End
    after: float | None = None
    error: Exception | None = None
    generation: int = 0
    conflict: bool = False
    """Whether an error means no more than that something changed under our hands."""
    quiet: float = 0.0
    """Seconds for which changes of other objects lead to no pass."""

    def kept(self) -> Outcome:
        """The same without its error, whose calls hold on to all that the pass had in memory.

        They do so by themselves: a call that has an error as its own is kept by that error.
        """
        if self.error is None:
            return self
        without_traceback(self.error)
        return replace(self, error=None, conflict=isinstance(self.error, Conflict))


def classify(error: Exception) -> tuple[End, str, str]:
    """How an exception ends a pass, with reason and message for people."""
    if isinstance(error, ReconcileStop):
        end = next((end for kind, end in _ENDS if isinstance(error, kind)), _ERROR)
        return end, error.reason, error.message
    if isinstance(error, Unreadable):
        return "error", UNREADABLE, error.message
    if isinstance(error, KubeError):
        reason = error.reason if re.fullmatch(r"[A-Za-z]\w*", error.reason) else INTERNAL_ERROR
        return "error", reason, error.message
    # What an unknown exception says may hold anything, also a secret: the log has it, redacted.
    text = f"unexpected {type(error).__name__}; the operator's log tells more"
    return "error", INTERNAL_ERROR, text


def conclude(
    status: Status,
    ready_before: Condition | None,
    error: Exception | None,
    *,
    failures: int,
    now: datetime,
    generation: int,
) -> bool:
    """Sets `Ready` on a status after a pass that ended with `error`.

    `ready_before` is the very condition object the pass began with: another one in its place
    means that the reconciler judged for itself. `failures` counts errors in a row with this one.
    Returns whether the status now speaks of this generation.
    """
    if error is None:
        return True
    end, reason, message = classify(error)
    ready = status.condition(READY)
    judged = ready is not None and ready is not ready_before
    if end == "paused" or (end == "wait" and judged):
        return True
    if judged and ready is not None and ready.status == "False":
        return True
    if end == "error" and failures < 2 and ready is not None and ready.status == "True":
        # One lost request is no outage of what the object stands for.
        return False
    status.set_condition(READY, False, reason, message, now=now, generation=generation)
    return True


def mark_paused(status: Status, paused: bool, *, now: datetime, generation: int) -> None:
    """Says `Paused` while it is so, and nothing otherwise."""
    if paused:
        text = "spec.paused is true: nothing is changed until it is false again"
        status.set_condition(PAUSED, True, SPEC_PAUSED, text, now=now, generation=generation)
    elif status.condition(PAUSED) is not None:
        status.drop_conditions([PAUSED])


def mark_deleting(
    status: Status, error: Exception | None, *, now: datetime, generation: int
) -> None:
    """Says that the object is going and what it waits for."""
    status.phase = DELETING
    message = "being cleaned up"
    if error is not None:
        _, _, message = classify(error)
    status.set_condition(READY, False, DELETING, message, now=now, generation=generation)


def ready_event(before: Condition | None, after: Condition | None, end: End) -> Event | None:
    """The event that tells of a change of `Ready`, if it changed in status or reason."""
    if after is None or (before is not None and _gist(before) == _gist(after)):
        return None
    if before is None and after.status != "True" and end in {"ok", "wait"}:
        return None
    warning = after.status != "True" and end in {"invalid", "error"}
    return Event(after.reason, after.message or after.reason, warning)


def _gist(condition: Condition) -> tuple[str, str]:
    return condition.status, condition.reason


def merge_patch(before: Any, after: Any) -> Any:
    """The JSON merge patch (RFC 7386) from one JSON object to another; empty if they are equal."""
    patch: dict[str, Any] = {}
    for key in before.keys() | after.keys():
        if key not in after:
            patch[key] = None
        elif key not in before:
            patch[key] = after[key]
        elif isinstance(before[key], dict) and isinstance(after[key], dict):
            inner = merge_patch(before[key], after[key])
            if inner:
                patch[key] = inner
        elif before[key] != after[key]:
            patch[key] = after[key]
    return patch


def backoff(failures: int, settings: Settings, spread: float) -> float:
    """Seconds to wait after so many errors in a row; `spread` is a random number in [0, 1)."""
    full = min(settings.backoff_max, settings.backoff_min * 2.0 ** min(failures - 1, 30))
    return full * (0.75 + spread / 4)


def delay_after(outcome: Outcome, failures: int, settings: Settings, spread: float) -> float:
    """Seconds until the next pass if nothing wakes the object before."""
    if outcome.conflict and failures <= PATIENCE:
        return QUICK_RETRY * failures
    if outcome.end == "error":
        return max(backoff(failures, settings, spread), outcome.after or 0.0)
    if outcome.after is not None:
        return max(0.0, outcome.after)
    return settings.resync * (0.9 + spread / 5)
