"""What is said in one condition."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition: `holds` is None where it cannot be known."""

    holds: bool | None
    reason: str
    message: str = ""
