"""A status has one author: conditions and phase are set in one place of each kind's package.

What other modules find out is a value, which that place turns into words: see
`kok.runtime.controller.staged`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kok.operators

ROOT = Path(kok.operators.__file__).parent
AUTHORS = ("conditions.py", "conditions")
"""The module, or the package, of a kind that is its author."""
SETTERS = {"set_condition", "drop_conditions"}
SHARED = "kok.runtime.conditions"


def is_author(path: Path) -> bool:
    return any(part in AUTHORS for part in path.relative_to(ROOT).parts)


def names_of(tree: ast.Module) -> dict[str, str]:
    """What a module calls what it imports, by where that is."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name] = alias.name
    return found


def writes(tree: ast.Module) -> Iterator[int]:
    """Lines that set or drop a condition, or assign the phase of a status."""
    names = names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _sets(node.func, names):
            yield node.lineno
        if isinstance(node, ast.Attribute) and _is_phase(node):
            yield node.lineno


def _sets(called: ast.expr, names: dict[str, str]) -> bool:
    if isinstance(called, ast.Attribute):
        owner = called.value
        module = names.get(owner.id) if isinstance(owner, ast.Name) else None
        return called.attr in SETTERS or (called.attr == "put" and module == SHARED)
    return isinstance(called, ast.Name) and names.get(called.id) == f"{SHARED}.put"


def _is_phase(node: ast.Attribute) -> bool:
    """Whether it is the phase of a status, and is assigned; a rotation has a phase of its own."""
    is_assigned = isinstance(node.ctx, ast.Store) and node.attr == "phase"
    return is_assigned and ast.unparse(node.value).endswith("status")


def authors() -> dict[str, list[int]]:
    """Lines that set what only the author may, by module."""
    found = {
        str(path.relative_to(ROOT)): sorted(writes(ast.parse(path.read_text())))
        for path in sorted(ROOT.rglob("*.py"))
        if not is_author(path)
    }
    return {module: lines for module, lines in found.items() if lines}


def test_conditions_and_phase_are_set_in_one_place_of_each_kind() -> None:
    assert authors() == {}


@pytest.mark.parametrize(
    "text",
    [
        "p.set_condition('Ready', True, 'Why')",
        "obj.status.drop_conditions(['Ready'])",
        "from kok.runtime import conditions\nconditions.put(status, {})",
        "from kok.runtime.conditions import put as said\nsaid(status, {})",
        "self.obj.status.phase = 'Ready'",
        "status.phase, status.step = 'Ready', None",
    ],
)
def test_every_way_to_do_it_is_seen(text: str) -> None:
    assert len(list(writes(ast.parse(text)))) == 1


@pytest.mark.parametrize("text", ["rotation.phase = 'Drop'", "if status.phase == 'Ready': pass"])
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert list(writes(ast.parse(text))) == []
