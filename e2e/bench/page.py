"""`docs/benchmarks.md`: the figures with the machine's facts, kept by name of the suite."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from e2e.bench.figure import Figure

PAGE = Path(__file__).parent.parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench` (`make bench B=name` renews one section). The machine is shared and noisy:
read ratios, which come from one run, rather than seconds. Each value is a median; a target is an
upper bound. The meta cluster's own etcd does not wait for the disk; those of business clusters do.
"""

ALSO = {"machine-recovery": "README.md", "konnectivity": "docs/networking.md"}
"""Pages of the repository that show a suite, too, where they have a block of figures."""
_FIGURES = re.compile(r"(<!-- figures -->)\n.*?\n(<!-- end of figures -->)", re.DOTALL)


def table(figures: list[Figure], versions: dict[str, str]) -> str:
    """When, on what, and the figures."""
    rows = [
        f"| {f.name} | {f.line().split()[1]} | {f.unit} | {f.line().split()[3]} | {f.verdict} "
        f"| {f.spread} | {f.note} |"
        for f in figures
    ]
    facts = ", ".join([_machine(), *(f"{k} {v}" for k, v in versions.items())])
    return "\n".join(
        [
            f"{datetime.now(UTC):%Y-%m-%d}, {facts}.",
            "",
            "| figure | value | unit | target | verdict | spread | note |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def write(suite: str, text: str, page: Path = PAGE) -> None:
    """Puts a suite's table into the page in place of the one that was there.

    If there is a manual of its subject (`etcd.md` for `etcd-backup`), that shows all of them too; what
    else shows a suite stands in `ALSO`.
    """
    page.parent.mkdir(exist_ok=True)
    old = page.read_text(encoding="utf-8") if page.exists() else HEAD
    section = f"<!-- {suite} -->\n## {suite}\n\n{text}\n<!-- /{suite} -->"
    pattern = re.compile(rf"<!-- {re.escape(suite)} -->.*?<!-- /{re.escape(suite)} -->", re.DOTALL)
    found = pattern.search(old)
    new = pattern.sub(lambda _: section, old) if found else f"{old.rstrip()}\n\n{section}"
    page.write_text(f"{new.rstrip()}\n", encoding="utf-8")
    subject = suite.partition("-")[0]
    manual = page.with_name(f"{subject}.md")
    if manual.exists():
        _renew(manual, "\n\n".join(found["text"] for found in _sections(new, subject)))
    if suite in ALSO and (shown := page.parent.parent / ALSO[suite]).exists():
        _renew(shown, text)


def _renew(shown: Path, text: str) -> None:
    renewed = embedded(shown.read_text(encoding="utf-8"), text)
    shown.write_text(renewed, encoding="utf-8")


def embedded(manual: str, text: str) -> str:
    """A manual with its block of figures renewed, if it has one."""
    return _FIGURES.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", manual)


def _sections(page: str, subject: str) -> Iterator[re.Match[str]]:
    """The sections of a page whose suites belong to a subject."""
    return re.finditer(
        rf"<!-- (?P<suite>{re.escape(subject)}(?:-\w+)*) -->\n## .*?\n\n(?P<text>.*?)\n"
        r"<!-- /(?P=suite) -->",
        page,
        re.DOTALL,
    )


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def as_json(figures: list[Figure]) -> str:
    """All figures on one line, for programs."""
    return json.dumps({f.name: round(f.value, 2) for f in figures})
