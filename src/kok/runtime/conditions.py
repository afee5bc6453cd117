"""What is said in conditions, as values, and the one way in which it gets into a status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ParamSpec

from kok.api.meta import Status

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition: `holds` is None where it cannot be known; `message` is a sentence."""

    holds: bool | None
    reason: str
    message: str = ""


Check = Callable[P, Verdict | None]


def first(checks: Iterable[Check[P]], *args: P.args, **kwargs: P.kwargs) -> Verdict | None:
    """What the first check says that has something to say: the order of checks is the policy."""
    found = (check(*args, **kwargs) for check in checks)
    return next((verdict for verdict in found if verdict is not None), None)


def put(status: Status, verdicts: Mapping[str, Verdict], *, now: datetime, generation: int) -> None:
    """Sets these conditions by type, for the generation that was judged; all others stay."""
    for type_, said in verdicts.items():
        status.set_condition(
            type_, said.holds, said.reason, said.message, now=now, generation=generation
        )
