"""Golden files: what is rendered may change only on purpose.

    KOK_UPDATE_GOLDEN=1 pytest tests/unit/operators

writes them anew. Look at the difference before committing it: a changed pod template of a member
or of a control plane is a roll of all of them when the operator is upgraded, and another Machine
spec is work on every host. Tests of an operator say `from tests.unit.golden import etcd as golden`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

T = TypeVar("T")


class Golden(Generic[T]):
    """The golden files of one operator, in `golden/` beside its tests."""

    def __init__(self, operator: str, write: Callable[[T], str], suffix: str = "") -> None:
        """``write`` makes a file's text of what is rendered; ``suffix`` ends the files' names."""
        self._folder = Path(__file__).parent / "operators" / operator / "golden"
        self._write = write
        self._suffix = suffix

    def check(self, name: str, rendered: T) -> None:
        """Compares with the file of that name, or writes it."""
        path = self._folder / f"{name}{self._suffix}"
        text = self._write(rendered)
        if os.environ.get("KOK_UPDATE_GOLDEN"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; see {__file__}"


def _yaml(**style: bool) -> Callable[[Sequence[dict[str, Any]]], str]:
    return lambda documents: yaml.safe_dump_all(documents, width=100, **style)


etcd = Golden("etcd", _yaml(sort_keys=True, explicit_start=True), ".yaml")
cluster = Golden("cluster", _yaml(sort_keys=False, allow_unicode=True), ".yaml")
machine: Golden[str] = Golden("machine", str)
