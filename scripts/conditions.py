"""Writes docs/conditions.md from the constants in the code: `make docs`."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "conditions.md"
SOURCES = (
    ("Every kind", "runtime/controller/reasons.py", None),
    ("CAs of Clusters and EtcdClusters", "pki/trust.py", "CAReason"),
    ("EtcdCluster", "operators/etcd/reasons.py", None),
    ("Backups and restores of etcd", "backup/reasons.py", "Reason"),
    ("Cluster, Addon and FleetUpgrade", "operators/cluster/reasons.py", None),
    ("KubeNode, Machine, Host and Component", "operators/machine/reasons.py", None),
)
"""Titles, files below src/kok, and the class that holds the constants if the module does not."""
HEAD = """\
# Conditions and reasons

<!-- Written by `make docs` from the constants in the code; do not edit. -->

Each object says how it is in `status.conditions`: a `type`, a `status` (`True`, `False` or
`Unknown`), a `reason` (one word, below) and a `message` (a sentence that names the objects
concerned and says what to do). `Ready` sums up the others:

    kubectl get kok -A
    kubectl wait -n team-a cluster.kok.dev/shop --for=condition=Ready
    kubectl describe -n team-a machine.kok.dev/shop-workers-w1
"""
_HEADING = re.compile(r"^# --- (.+?)\s*$")


@dataclass
class Section:
    """Words with their meaning under one heading."""

    title: str
    words: list[tuple[str, str]] = field(default_factory=list)


def sections(source: str, holder: str | None = None) -> list[Section]:
    """The constants of a module, or of a class in it, with the text below each.

    Raises `ValueError` for a constant without text: no reason may go without a meaning.
    """
    headings = {
        number: found.group(1)
        for number, line in enumerate(source.splitlines(), start=1)
        if (found := _HEADING.match(line))
    }
    out = [Section("")]
    body = ast.parse(source).body
    if holder:
        (body,) = (n.body for n in body if isinstance(n, ast.ClassDef) and n.name == holder)
    for node, after in zip(body, [*body[1:], None], strict=True):
        word = _word(node)
        if word is None:
            continue
        while headings and min(headings) < node.lineno:
            out.append(Section(headings.pop(min(headings))))
        out[-1].words.append((word, _text(word, after)))
    return [section for section in out if section.words]


def _word(node: ast.stmt) -> str | None:
    """The text that a constant holds; None for other statements."""
    if (
        isinstance(node, ast.AnnAssign | ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return node.value.value
    return None


def _text(word: str, node: ast.stmt | None) -> str:
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return " ".join(node.value.value.split())
    raise ValueError(f"{word} has no text below it that says what it means")


def page() -> str:
    """The whole of docs/conditions.md."""
    out = [HEAD]
    for title, file, holder in SOURCES:
        out.append(f"## {title}\n")
        source = (ROOT / "src" / "kok" / file).read_text(encoding="utf-8")
        for section in sections(source, holder):
            if section.title:
                out.append(f"### {section.title[0].upper()}{section.title[1:]}\n")
            out.append("| word | meaning |\n|---|---|")
            out += [
                f"| `{word}` | {text.replace('|', chr(92) + '|')} |" for word, text in section.words
            ]
            out.append("")
    return "\n".join(out)


def main(argv: list[str]) -> int:
    """Writes the page; with `--check` tells by the exit code whether it is as it should be."""
    if argv == ["--check"]:
        if TARGET.exists() and TARGET.read_text(encoding="utf-8") == page():
            return 0
        sys.stderr.write(f"{TARGET.relative_to(ROOT)} is out of date: run make docs\n")
        return 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{TARGET.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
