"""All regular expressions of the source, and texts that make a bad one slow.

An expression is quadratic if a repetition that passed much can be begun anew at each character, or
shares what it passes with its neighbour. The attacks are built from its own parts: what stands
before a repetition, what it repeats, many times, and a character that nothing expects.
"""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[3] / "src" / "kok"
_CALLS = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
_parser: Any = sys.modules["re"]._parser
_many = _parser.MAXREPEAT
LONG = 1000
"""Repetitions beyond this are attacked."""


def expressions(source: Path = SOURCE) -> Iterator[tuple[str, str, int]]:
    """Place, text and flags of each; raises `AssertionError` for one that is put together."""
    for file in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and _is_call(node.func)):
                continue
            place = f"{file.relative_to(source)}:{node.lineno}"
            first, *rest = node.args
            assert isinstance(first, ast.Constant), f"{place}: write the expression as one text"
            flags = [a for a in rest if _is_flag(a)] + [k.value for k in node.keywords]
            yield place, str(first.value), sum(_flag(a) for a in flags)


def _is_call(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in _CALLS
    )


def _is_flag(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return text.startswith("re.")


def _flag(node: ast.expr) -> int:
    return int(eval(ast.unparse(node), {"re": re})) if _is_flag(node) else 0  # noqa: S307


def nested(pattern: str, flags: int = 0) -> bool:
    """Whether a repetition without bound stands in another one: then time may double with each
    character."""
    return _nested(_parser.parse(pattern, flags), inside=False)


def _nested(tree: Any, *, inside: bool) -> bool:
    for op, value in tree:
        name = str(op)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            endless = value[1] == _many
            if (endless and inside) or _nested(value[2], inside=inside or endless):
                return True
        elif any(_nested(inner, inside=inside) for inner in _inner(name, value)):
            return True
    return False


def _inner(name: str, value: Any) -> list[Any]:
    if name == "SUBPATTERN":
        return [value[-1]]
    if name == "BRANCH":
        return list(value[1])
    if name in {"ASSERT", "ASSERT_NOT"}:
        return [value[1]]
    return [value] if name == "ATOMIC_GROUP" else []


def attacks(pattern: str, flags: int, size: int) -> Iterator[str]:
    """Texts of about so many characters that an expression should be slow with."""
    tree = _parser.parse(pattern, flags)
    whole = _sample(tree)
    bases = {whole, *(whole[:cut] for cut in range(1, min(len(whole), 40)))}
    for base in sorted(f"{base}{separator}" for base in bases for separator in ("", "-", " ")):
        yield (base * (size // len(base) + 1))[:size]
    for before, pumps in _repeats(tree, ""):
        for pump in pumps:
            yield before + (pump * (size // len(pump) + 1))[:size] + "\x00"
    for quote in "\"'":
        # A string of escaped quotes that never ends: each could begin another one.
        yield quote + f"\\{quote}" * (size // 2)
    for char in " \t\n=:/.@-_aA0+,\"'\\":
        yield char * size
        yield f"a{char}" * (size // 2)


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, list[str]]]:
    """What stands before each long repetition, and what it can pass."""
    for op, value in tree:
        name = str(op)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            yield from _repeats(value[2], before)
            if value[1] == _many or value[1] > LONG:
                yield before, _samples(value[2])
        for inner in _inner(name, value):
            yield from _repeats(inner, before)
        before += _sample([(op, value)])


def _samples(tree: Any) -> list[str]:
    found = {_sample(tree)}
    if len(tree) == 1 and str(tree[0][0]) in {"IN", "ANY", "NOT_LITERAL"}:
        found |= {c for c in map(chr, range(32, 127)) if _passes(tree[0], c)}
    return sorted(text for text in found if text)


def _sample(tree: Any) -> str:
    """A text that the expression matches, more or less."""
    out = ""
    for op, value in tree:
        name = str(op)
        if name == "LITERAL":
            out += chr(value)
        elif name in {"IN", "ANY", "NOT_LITERAL"}:
            out += next((c for c in "a0A_/ -=.\n" if _passes((op, value), c)), "a")
        elif name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            out += _sample(value[2]) * max(value[0], min(1, value[1]))
        elif name == "BRANCH":
            out += _sample(value[1][0])
        elif name in {"SUBPATTERN", "ATOMIC_GROUP"}:
            out += _sample(_inner(name, value)[0])
    return out


def _passes(part: Any, char: str) -> bool:
    op, value = part
    name = str(op)
    if name == "ANY":
        return char != "\n"
    if name == "NOT_LITERAL":
        return bool(chr(value) != char)
    negated = any(str(kind) == "NEGATE" for kind, _ in value)
    return any(_holds(kind, what, char) for kind, what in value) != negated


def _holds(kind: Any, what: Any, char: str) -> bool:
    name = str(kind)
    if name == "LITERAL":
        return bool(chr(what) == char)
    if name == "RANGE":
        return bool(what[0] <= ord(char) <= what[1])
    if name == "CATEGORY":
        short = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
        category = str(what).removeprefix("CATEGORY_")
        found = re.match(short[category.removeprefix("NOT_")], char) is not None
        return found != category.startswith("NOT_")
    return False


def seconds(pattern: re.Pattern[str], text: str) -> float:
    """Processor time of one pass over a text, the best of three: other work does not count."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        pattern.sub("", text)
        best = min(best, time.process_time() - began)
    return best


def slow(pattern: str, flags: int = 0, *, size: int = 1500) -> str | None:
    """The beginning of a text that takes much more than four times as long if it is four times as
    long; None if there is none."""
    compiled = re.compile(pattern, flags)
    for short, long in zip(
        attacks(pattern, flags, size), attacks(pattern, flags, 4 * size), strict=True
    ):
        # One pass is enough to clear nearly all of them.
        began = time.process_time()
        compiled.sub("", long)
        if time.process_time() - began < 0.02:
            continue
        if seconds(compiled, long) > 9 * max(seconds(compiled, short), 0.001):
            return long[:60]
    return None
