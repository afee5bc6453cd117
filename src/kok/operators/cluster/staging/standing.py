"""How what goes over many Clusters stands, and words for sentences about it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

AT_ONCE = 0.05
"""Seconds until the next pass where something may go on."""
NAMED = 5
"""Clusters that a sentence names at most."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How it is, in a word for people, a reason and a sentence."""

    phase: str
    reason: str
    message: str
    ready: bool = False


def named(keys: Sequence[str]) -> str:
    """Clusters, for sentences; not more than a few of them."""
    more = len(keys) - NAMED
    return ", ".join(keys[:NAMED]) + (f" and {more} more" if more > 0 else "")


def clock(moment: datetime) -> str:
    """For sentences."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def length(time: timedelta) -> str:
    """For sentences."""
    seconds = int(time.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
