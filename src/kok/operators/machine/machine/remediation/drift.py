"""What on a host is not as it was made, and since when. Pure.

A component drifted where it had been applied completely, and the host bears the record of that, and
something of it is another by now. Where the record tells of something else, the spec changed, or an
installation is not through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from kok.api.machine.remediation import DRIFTS, Drift
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.remote.survey import Found, Survey

_WHAT = 512
_EACH = 8
"""Deviations that are told of one component."""


def drifted(wanted: Mapping[str, Rendered], survey: Survey) -> dict[str, tuple[str, ...]]:
    """What deviates, by component."""
    found = {name: survey.found.get(name, Found()) for name in wanted}
    return {
        name: deviations(item, found[name])
        for name, item in sorted(wanted.items())
        if found[name].recorded == item.config and not item.right(found[name])
    }


def deviations(wanted: Rendered, found: Found) -> tuple[str, ...]:
    """What deviates of one component, as sentences."""
    told = []
    if found.version != wanted.version:
        told.append(f"version {found.version or 'nothing'} is there in place of {wanted.version}")
    for file in wanted.files:
        there = found.files.get(file.path)
        if there is None:
            told.append(f"file {file.path} is missing")
        elif there[1] != file.digest:
            told.append(f"file {file.path} has another content")
        elif there[0] != file.mode:
            told.append(f"file {file.path} has mode {there[0]} in place of {file.mode}")
    return tuple(text[:_WHAT] for text in (*told, *found.wrong)[:_EACH])


def left(
    lacking: Sequence[str], drift: Mapping[str, tuple[str, ...]], *, repairs: bool
) -> tuple[str, ...]:
    """What of the software that is not right is to be put right; `repairs`: also what drifted."""
    return tuple(name for name in lacking if repairs or name not in drift)


def remembered(
    known: Sequence[Drift], seen: Mapping[str, Sequence[str]], now: datetime
) -> list[Drift]:
    """What the status says: what deviates now first, then what did, the newest first."""
    now = now.replace(microsecond=0)
    there = {(name, what) for name, told in seen.items() for what in told}
    before = {(d.component, d.what): d for d in known if d.repaired is None}
    current = [
        before.get((name, what)) or Drift(component=name, what=what, since=now)
        for name, what in sorted(there)
    ]
    over = [
        d if d.repaired is not None else d.model_copy(update={"repaired": now})
        for d in known
        if d.repaired is not None or (d.component, d.what) not in there
    ]
    over.sort(key=lambda d: d.repaired or now, reverse=True)
    return [*current, *over][:DRIFTS]
