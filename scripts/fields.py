"""Writes docs/etcd-fields.md from the models in the code: `make docs`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kok.api import KINDS
from kok.api.crd import crd

TARGET = Path(__file__).parents[1] / "docs" / "etcd-fields.md"
DOCUMENTED = tuple(kind for kind in KINDS if kind.info.kind.kind.startswith("Etcd"))
HEAD = """\
# Every field of the etcd operator's kinds

<!-- Written by `make docs` from the models in the code; do not edit. -->

`kubectl explain` tells the same of the version that is installed. What is right now stands in
`status`; [conditions.md](conditions.md) has the words in `status.conditions`, and
[etcd.md](etcd.md) how to use it all.
"""

Schema = dict[str, Any]


def fields(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """All fields below `path`, which itself is not among them, as (`spec.storage.size`, schema)."""
    if "items" in schema:
        yield from fields(f"{path}[]", schema["items"])
    for name, inner in (schema.get("properties") or {}).items():
        yield f"{path}.{name}", inner
        yield from fields(f"{path}.{name}", inner)


def table(schema: Schema) -> str:
    """A row for each field of a kind's spec and status."""
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for part in ("spec", "status"):
        for path, inner in fields(part, schema["properties"][part]):
            cells = (f"`{path}`", _type(inner), _default(inner), _meaning(inner))
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "items" in schema:
        return f"list of {schema['items'].get('type', 'value')}s"
    if "additionalProperties" in schema:
        return "map"
    return str(schema.get("format") or schema.get("type", ""))


def _default(schema: Schema) -> str:
    value = schema.get("default")
    return "" if value in (None, "", [], {}) or isinstance(value, dict) else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _meaning(schema: Schema) -> str:
    text = str(schema.get("description", ""))
    rules = schema.get("x-kubernetes-validations") or ()
    if any("cannot be changed" in rule.get("message", "") for rule in rules):
        text = f"{text} Cannot be changed."
    return text.replace("|", "\\|")


def page() -> str:
    """The whole of docs/etcd-fields.md."""
    out = [HEAD]
    for kind in DOCUMENTED:
        schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        out += [f"## {kind.info.kind.kind}\n", f"{schema['description']}\n", f"{table(schema)}\n"]
    return "\n".join(out)


def main(argv: list[str]) -> int:
    """Writes the page; with `--check` tells by the exit code whether it is as it should be."""
    if argv == ["--check"]:
        if TARGET.exists() and TARGET.read_text(encoding="utf-8") == page():
            return 0
        sys.stderr.write("docs/etcd-fields.md is out of date: run make docs\n")
        return 1
    TARGET.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"docs/{TARGET.name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
