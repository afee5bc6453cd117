"""Verdicts: which check speaks, and what gets into a status."""

from __future__ import annotations

from datetime import UTC, datetime

from kok.api.meta import Status
from kok.runtime.conditions import Verdict, first, put

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_order_of_checks_is_the_policy() -> None:
    def silent(_: int) -> None:
        return None

    def small(size: int) -> Verdict | None:
        return Verdict(False, "Small") if size < 3 else None

    def fine(size: int) -> Verdict:
        return Verdict(True, "Fine", str(size))

    assert first((silent, small, fine), 1) == Verdict(False, "Small")
    assert first((silent, small, fine), 3) == Verdict(True, "Fine", "3")
    assert first((silent, small), 3) is None


def test_what_is_said_gets_into_the_status_and_the_rest_stays() -> None:
    status = Status()
    put(status, {"Other": Verdict(True, "Fine")}, now=NOW, generation=1)

    put(status, {"Ready": Verdict(None, "Asking", "asked")}, now=NOW, generation=2)

    assert [(c.type, c.status, c.observed_generation) for c in status.conditions] == [
        ("Other", "True", 1),
        ("Ready", "Unknown", 2),
    ]
