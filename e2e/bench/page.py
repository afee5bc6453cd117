"""`docs/benchmarks.md`: the figures with the machine's facts, kept by name of the suite."""

from __future__ import annotations

import json
import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from e2e.bench.figure import Figure

PAGE = Path(__file__).parent.parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench` (`make bench B=name` renews one section). The machine is shared and noisy:
read ratios, which come from one run, rather than seconds. Each value is a median; a target is an
upper bound.
"""


def section(suite: str, figures: list[Figure], versions: dict[str, str]) -> str:
    """One suite's part of the page."""
    rows = [
        f"| {f.name} | {f.line().split()[1]} | {f.unit} | {f.line().split()[3]} | {f.verdict} "
        f"| {f.spread} | {f.note} |"
        for f in figures
    ]
    facts = ", ".join([_machine(), *(f"{k} {v}" for k, v in versions.items())])
    return "\n".join(
        [
            f"<!-- {suite} -->",
            f"## {suite}",
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, {facts}.",
            "",
            "| figure | value | unit | target | verdict | spread | note |",
            "|---|---|---|---|---|---|---|",
            *rows,
            f"<!-- /{suite} -->",
        ]
    )


def write(suite: str, text: str, page: Path = PAGE) -> None:
    """Puts a section into the page in place of the one that was there."""
    page.parent.mkdir(exist_ok=True)
    old = page.read_text(encoding="utf-8") if page.exists() else HEAD
    pattern = re.compile(rf"<!-- {re.escape(suite)} -->.*?<!-- /{re.escape(suite)} -->", re.DOTALL)
    new = pattern.sub(lambda _: text, old) if pattern.search(old) else f"{old.rstrip()}\n\n{text}"
    page.write_text(f"{new.rstrip()}\n", encoding="utf-8")


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def as_json(figures: list[Figure]) -> str:
    """All figures on one line, for programs."""
    return json.dumps({f.name: round(f.value, 2) for f in figures})
