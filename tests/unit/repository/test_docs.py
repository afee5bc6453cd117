"""Every reason that a user may meet is documented, and the page in docs/ is the newest one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import conditions

OPERATORS = conditions.ROOT / "src" / "kok" / "operators"
# Which argument of these calls is a reason; all are made by operators.
CALLS = {"Wait": 0, "Invalid": 0, "event": 0, "set_condition": 2}


def test_the_page_is_up_to_date() -> None:
    assert conditions.TARGET.read_text() == conditions.page(), "run make docs"


def test_a_reason_without_a_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="Lost has no text"):
        conditions.sections('LOST: Final = "Lost"\nFOUND: Final = "Found"\n"""It is there."""\n')


def test_reasons_stand_under_their_headings() -> None:
    found = conditions.sections('# --- one\nA: Final = "A"\n"""a"""\n# --- two\nB = "B"\n"""b"""\n')
    assert [(s.title, s.words) for s in found] == [("one", [("A", "a")]), ("two", [("B", "b")])]


def test_operators_give_only_reasons_that_are_constants() -> None:
    loose = [
        f"{file.relative_to(OPERATORS)}:{call.lineno}"
        for file in sorted(OPERATORS.rglob("*.py"))
        for call in _calls(file)
        if isinstance(reason := _reason(call), ast.Constant) and isinstance(reason.value, str)
    ]
    assert loose == []


def _calls(file: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and _name(node) in CALLS:
            yield node


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _reason(call: ast.Call) -> ast.expr | None:
    position = CALLS[_name(call)]
    named = {word.arg: word.value for word in call.keywords}
    return call.args[position] if len(call.args) > position else named.get("reason")
