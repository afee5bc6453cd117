"""The table of `kok status`, and what all tables have in common."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kok.api.printable import plain
from kok.cli.query import Row

_COLOURS = {"True": "green", "False": "red", "Unknown": "yellow"}
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


_ENOUGH = 40_000
"""Columns; no message of a condition is longer."""


def show(rows: Sequence[Row]) -> None:
    """Prints the table; like kubectl's, it cuts nothing off where the terminal is too narrow."""
    print_whole(table(rows))


def print_whole(found: Table) -> None:
    """Prints a table without cutting anything off."""
    console = Console()
    wide = Measurement.get(console, console.options.update(max_width=_ENOUGH), found).maximum
    Console(width=max(console.width, wide)).print(found, crop=False)


def table(rows: Sequence[Row]) -> Table:
    """One line an object; why it is not ready stands at its end."""
    out = empty("KIND", "NAMESPACE", "NAME", "PHASE", "READY", "AGE", "WHY")
    for row in rows:
        ready = cell(row.ready or "-")
        ready.stylize(_COLOURS.get(row.ready or "", ""))
        why = "" if row.ready == "True" else ": ".join(p for p in (row.reason, row.message) if p)
        old = "" if row.age is None else age(row.age)
        cells = (row.kind, row.namespace, row.name, row.phase)
        out.add_row(*map(cell, cells), ready, cell(old), cell(why))
    return out


def empty(*headings: str) -> Table:
    """A table with these headings, and no row so far."""
    out = Table(box=None, pad_edge=False)
    for heading in headings:
        out.add_column(heading, no_wrap=True)
    return out


def cell(text: str) -> Text:
    """What stands in a table, on one line, whoever wrote it.

    As text: rich would take brackets of a message for its own mark-up.
    """
    return Text(plain(text.replace("\n", " ")))


def age(seconds: float) -> str:
    """A length of time in its largest unit.

    >>> age(7300)
    '2h'
    """
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "0s"
