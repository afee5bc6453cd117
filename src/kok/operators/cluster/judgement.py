"""The form in which pure functions pronounce on a condition."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Judgement:
    """A condition's status (None: unknown), its reason and a sentence."""

    status: bool | None
    reason: str
    message: str
