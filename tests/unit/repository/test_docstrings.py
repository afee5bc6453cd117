"""A docstring says itself what a function does: who reads it need not go elsewhere first."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = sorted(
    path
    for folder in ("src/kok", "e2e", "scripts")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
POINTER = re.compile(r"\b(see|cf|as|like|same|above|below)\b")
REFERENCE = re.compile(r"`[^`]*`|\b(see|cf|as|like|same|above|below|of|the|in|from|for)\b|\W")
"""What a pointer to another place is made of; without it nothing of such a docstring is left."""


def points_elsewhere(docstring: str) -> bool:
    """Whether it begins with a pointer to something else, or is nothing but one."""
    if re.match(r"(see|cf\.?)\s", docstring, re.IGNORECASE):
        return True
    text = docstring.lower()
    return POINTER.search(text) is not None and not REFERENCE.sub("", text)


def definitions(tree: ast.AST) -> Iterator[Definition]:
    return (node for node in ast.walk(tree) if isinstance(node, Definition))


def public(tree: ast.Module) -> Iterator[Definition]:
    """What others may call: functions and classes of a module, and the methods of these."""
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    one
                    for one in node.body
                    if isinstance(one, Definition) and not one.name.startswith("_")
                )


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_say_what_is_done(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    empty = [
        f"line {node.lineno}: {node.name}: {found}"
        for node in definitions(tree)
        if (found := ast.get_docstring(node)) is not None and points_elsewhere(found)
    ]

    assert not empty, "say what it does, with shapes, units and errors"


@pytest.mark.parametrize(
    "module",
    [path for path in MODULES if (ROOT / "src") in path.parents],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_what_is_public_has_a_docstring(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    without = [
        f"line {node.lineno}: {node.name}" for node in public(tree) if not ast.get_docstring(node)
    ]

    assert not without


@pytest.mark.parametrize(
    "docstring",
    [
        "See `Store`.",
        "See asyncio.Protocol. Called twice.",
        "As `supported`.",
        "The same as `a`.",
    ],
)
def test_a_pointer_is_found(docstring: str) -> None:
    assert points_elsewhere(docstring)


def test_a_sentence_that_points_on_is_none() -> None:
    assert not points_elsewhere("Seconds until the next look, see `patient`.")
