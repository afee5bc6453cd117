"""Each promise of docs/security.md, and each fault in docs/machines.md, names the tests that hold it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from scripts import conditions

PAGE = (conditions.ROOT / "docs" / "security.md").read_text()
MARK = re.compile(r"<!-- tests?: (.+?) -->", re.DOTALL)
WITHOUT = {
    "Who is who",
    "What is not promised",
    "Set-up for tenants that do not trust each other",
    "How to report a weakness",
}
"""Sections that promise nothing."""


def shown_faults() -> dict[str, list[str]]:
    """What shows them, by what happens, as the manual about machines lists it."""
    manual = (conditions.ROOT / "docs" / "machines.md").read_text()
    section = manual.partition("## Faults, and what shows them")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (.+?) \| .+ \| (.+?) \|$", section)
    return {what: re.findall(r"`([^`]+)`", shown) for what, shown in rows[1:]}


def promises() -> Iterator[tuple[str, str]]:
    """Section and text of each item of a list under a heading that makes promises."""
    for section in re.split(r"(?m)^## ", PAGE)[1:]:
        title, _, body = section.partition("\n")
        if title.strip() in WITHOUT:
            continue
        for item in re.split(r"(?m)^- ", body)[1:]:
            yield title.strip(), re.split(r"\n\n(?! )", item)[0]


def named_tests() -> list[str]:
    return [name.strip() for found in MARK.findall(PAGE) for name in found.split(",")]


def test_every_promise_names_its_test() -> None:
    without = [f"{title}: {text[:70]}" for title, text in promises() if not MARK.search(text)]
    assert without == []


def test_every_fault_names_what_shows_it() -> None:
    faults = shown_faults()
    assert len(faults) > 12
    assert [what for what, shown in faults.items() if not shown] == []


@pytest.mark.parametrize(
    "named", sorted({*named_tests(), *(one for shown in shown_faults().values() for one in shown)})
)
def test_a_test_that_a_promise_names_exists(named: str) -> None:
    """`path` for all tests of a file, or `path::name`; a scenario of the lab is a file."""
    path, _, name = named.partition("::")
    file = conditions.ROOT / path
    assert file.is_file(), path
    if name:
        tree = ast.parse(file.read_text())
        found = {
            n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in found
