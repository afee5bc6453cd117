"""What people are told before a run: what has to be built or downloaded first, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pending:
    """Something that has to be made first.

    ``seconds`` is how long it takes: as long as last time if ``measured``, and else as on a quiet
    machine of two cores. What is downloaded has an ``origin`` and is about ``mebibytes`` large.
    """

    name: str
    seconds: float
    measured: bool = False
    mebibytes: int = 0
    origin: str = ""


def lines(pending: Sequence[Pending]) -> list[str]:
    """What is told, a line each; nothing where nothing has to be made.

    Downloads go on beside builds, which are made one after another.
    """
    downloads = [each for each in pending if each.origin]
    builds = [each for each in pending if not each.origin]
    found: list[str] = []
    if downloads:
        size = sum(each.mebibytes for each in downloads)
        found += [f"to be downloaded first, once (about {size} MiB):", *map(_line, downloads)]
    if builds:
        found += ["to be built first, once:", *map(_line, builds)]
    if found:
        whole = max(_sum(downloads), _sum(builds))
        found.append(f"  together {_about(whole)}")
    return found


def _line(each: Pending) -> str:
    said = _about(each.seconds) + (", as last time" if each.measured else "")
    origin = f" from {each.origin}, about {each.mebibytes} MiB" if each.origin else ""
    return f"  {each.name:32} {said}{origin}"


def _sum(pending: Sequence[Pending]) -> float:
    return sum(each.seconds for each in pending)


def _about(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {max(seconds, 1.0):.0f} s"
