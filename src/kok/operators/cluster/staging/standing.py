"""How what goes over many Clusters stands, and words for sentences about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

AT_ONCE = 0.05
"""Seconds until the next pass where something may go on."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How it is, in a word for people, a reason and a sentence."""

    phase: str
    reason: str
    message: str
    ready: bool = False


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
