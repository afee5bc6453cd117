"""The tree is what CONTRIBUTING.md says of it: the same files in every kind, and no crowded folder."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "kok"
KINDS = {
    "etcd": ("etcdcluster", "etcdbackup", "etcdrestore"),
    "cluster": ("cluster", "addon", "fleetupgrade"),
    "machine": ("kubenode", "machine", "host", "component"),
}
PACKAGES = [SOURCE / "operators" / o / kind for o, kinds in KINDS.items() for kind in kinds]
PURE = ("decide", "render", "conditions")
"""Parts of a kind that do nothing but reckon."""
ENTRIES, LINES = 15, 430


def tracked() -> list[str]:
    """Files of the repository, with those that are about to be."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def part(package: Path, name: str) -> list[Path]:
    """The modules of one part: a file, or all of a folder of that name."""
    folder = package / name
    return [*package.glob(f"{name}.py"), *folder.rglob("*.py")]


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("package", PACKAGES, ids=name_of)
def test_every_kind_has_the_files_that_all_have(package: Path) -> None:
    assert part(package, "reconcile"), "there is no reconcile.py"
    assert part(package, "conditions"), "there is no conditions"
    assert (package / "__init__.py").is_file()


def test_the_table_of_files_is_the_one_that_is_checked() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)(?:\.py|/)?` \|", text, re.MULTILINE))

    assert {"reconcile", "observe", "operations", "delete", *PURE} <= listed


@pytest.mark.parametrize(
    "module",
    [module for package in PACKAGES for name in PURE for module in part(package, name)],
    ids=name_of,
)
def test_what_reckons_does_nothing_else(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    waits = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef | ast.Await)]

    assert not waits, f"lines {waits} wait for something"


def private(module: Path) -> Iterator[str]:
    """What a module imports of a library that the library keeps for itself."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{one.name}" for one in node.names]
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        else:
            continue
        ours = ("kok.", "__future__")
        yield from (n for n in names if "._" in n and not n.startswith(ours))


def test_nothing_private_of_a_library_is_used_but_of_kopf() -> None:
    fenced = SOURCE / "runtime" / "kopf"
    found = {
        name_of(module): used
        for module in sorted(SOURCE.rglob("*.py"))
        if fenced not in module.parents and (used := list(private(module)))
    }

    assert not found


def test_no_folder_is_crowded() -> None:
    entries = defaultdict(set)
    for name in tracked():
        parts = name.split("/")
        for depth in range(1, len(parts)):
            entries["/".join(parts[:depth])].add(parts[depth])

    assert not {folder: len(names) for folder, names in entries.items() if len(names) > ENTRIES}


def test_no_module_is_more_than_a_head_can_hold() -> None:
    sizes = {
        name_of(module): len(module.read_text(encoding="utf-8").splitlines())
        for module in SOURCE.rglob("*.py")
    }

    assert not {name: size for name, size in sizes.items() if size > LINES}
