"""What the generated CRDs say, read from `crds/` as a user would get them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kok.api.fields import QUANTITY_RULE

FOLDER = Path(__file__).parents[2] / "crds"
ITEM, VALUE = "[]", "{}"
"""Path segments for the items of a list and for the values of a map."""

Path_ = tuple[str, ...]
Schema = dict[str, Any]


@functools.cache
def crds() -> dict[str, dict[str, Any]]:
    """The CustomResourceDefinitions by kind."""
    found = [yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("*.yaml"))]
    return {crd["spec"]["names"]["kind"]: crd for crd in found}


def version(kind: str) -> dict[str, Any]:
    """The one version of a kind: schema, columns, subresources."""
    (only,) = crds()[kind]["spec"]["versions"]
    return dict(only)


def nodes(kind: str, below: str | None = None) -> Iterator[tuple[Path_, Schema]]:
    """All parts of a kind's schema with their paths; `below` is `spec`, `status` or all."""
    for path, schema in _walk(version(kind)["schema"]["openAPIV3Schema"], ()):
        if below is None or path[:1] == (below,):
            yield path, schema


def _walk(schema: Schema, path: Path_) -> Iterator[tuple[Path_, Schema]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _walk(inner, (*path, name))
    if isinstance(schema.get("items"), dict):
        yield from _walk(schema["items"], (*path, ITEM))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _walk(schema["additionalProperties"], (*path, VALUE))


@dataclass(frozen=True)
class Rule:
    """One CEL rule: where it stands, and what it answers (a text or a CEL expression)."""

    kind: str
    path: Path_
    cel: str
    message: str
    expression: bool

    @property
    def is_format(self) -> bool:
        """Whether it only holds a text against one form."""
        if self.cel == QUANTITY_RULE:
            return True
        return bool(re.fullmatch(r"self\.matches\(r'[^']*'\)", self.cel))

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(self.path) or '(root)'}: {self.message}"

    def answers(self, sentence: str) -> bool:
        """Whether the sentence is one that this rule gives."""
        if not self.expression:
            return sentence == self.message
        return re.fullmatch(_pattern(self.message), sentence, re.DOTALL) is not None


def _pattern(expression: str) -> str:
    """The texts of a CEL expression that joins texts and values; a value may be anything."""
    depth, out = 0, []
    for token in re.findall(r"'[^']*'|[()]|[^'()]+", expression):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 0:
            out.append(re.escape(token[1:-1]) if token.startswith("'") else ".*")
    return "".join(out)


@functools.cache
def rules() -> tuple[Rule, ...]:
    """Every CEL rule of every kind."""
    return tuple(
        Rule(
            kind,
            path,
            rule["rule"],
            rule.get("message") or rule["messageExpression"],
            "messageExpression" in rule,
        )
        for kind in crds()
        for path, schema in nodes(kind)
        for rule in schema.get("x-kubernetes-validations", ())
    )
