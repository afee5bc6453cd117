"""The table of `kok status`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from kok.cli.query import Row

_COLOURS = {"True": "green", "False": "red", "Unknown": "yellow"}
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def table(rows: Sequence[Row]) -> Table:
    """One line an object; why it is not ready stands at its end."""
    out = Table(box=None, pad_edge=False)
    for heading in ("KIND", "NAMESPACE", "NAME", "PHASE", "READY", "AGE", "WHY"):
        out.add_column(heading, no_wrap=heading in {"NAME", "KIND"})
    for row in rows:
        ready = Text(row.ready or "-", style=_COLOURS.get(row.ready or "", ""))
        why = "" if row.ready == "True" else ": ".join(p for p in (row.reason, row.message) if p)
        # As text: rich would take brackets of a message for its own mark-up.
        cells = (row.kind, row.namespace, row.name, row.phase)
        out.add_row(*map(Text, cells), ready, Text(age(row.age)), Text(why))
    return out


def age(seconds: float) -> str:
    """A length of time in its largest unit.

    >>> age(7300)
    '2h'
    """
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "0s"
