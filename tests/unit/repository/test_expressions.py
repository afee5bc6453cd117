"""Every regular expression of the source takes time in proportion to the text, whatever it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.unit.repository.expressions import SOURCE, expressions, nested, slow

TESTS = Path(__file__).parents[2]
FOUND = list(expressions())
BAD = {
    "a repetition that begins anew at each character": r"(\w+://[^\s/:@]+:)[^\s/@]+@",
    "one that begins anew at each separator": r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    "two neighbours that pass the same": r"^(\d+\.?\d*)(?:e\d+)?$",
}


@pytest.mark.parametrize("pattern", BAD.values(), ids=BAD)
def test_expressions_that_are_quadratic_are_found(pattern: str) -> None:
    assert slow(pattern) is not None


def test_a_repetition_in_a_repetition_is_found() -> None:
    assert nested(r"(a+b?)+$")
    assert not nested(r"(a{1,8}b)+$")


def test_all_of_them_are_found() -> None:
    """Nobody gets hold of one by another way: `re` is imported whole, and nothing else for it."""
    text = "".join(file.read_text() for file in SOURCE.rglob("*.py"))
    assert len(FOUND) >= len(re.findall(r"\bre\.compile\(", text)) > 10
    assert not re.findall(r"(?m)^\s*(?:from re import|import re as|import regex)", text)


def test_one_that_is_put_together_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import re\nre.search(prefix + 'x*', text)\n")
    with pytest.raises(AssertionError, match=r"a\.py:2: write the expression as one text"):
        list(expressions(tmp_path))


@pytest.mark.parametrize(
    ("pattern", "flags"), [(p, f) for _, p, f in FOUND], ids=[place for place, _, _ in FOUND]
)
def test_it_is_linear(pattern: str, flags: int) -> None:
    assert not nested(pattern, flags)
    assert slow(pattern, flags) is None


def test_what_tests_expect_of_a_sentence_is_taken_literally() -> None:
    """A value put into `match=` as it is, a key in base64 for example, fails one run in four."""
    loose = [
        f"{file.relative_to(TESTS)}:{value.lineno}"
        for file in TESTS.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "match"
        for value in ast.walk(keyword.value)
        if isinstance(value, ast.FormattedValue) and not escaped(value, keyword.value)
    ]
    assert not loose, f"re.escape() what is put into these: {loose}"


def escaped(value: ast.FormattedValue, whole: ast.expr) -> bool:
    """Whether this value, or the whole text that it is a part of, went through `re.escape`."""
    return any(ast.unparse(it).startswith("re.escape(") for it in (value.value, whole))
