"""Pages name paths, commands and code that are there: what is moved is moved in the pages, too."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from e2e.run import modules

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PATH = re.compile(r"[\w.<>*-]+(/[\w.<>*-]+)*/?")
ENDINGS = (".py", ".yaml", ".md", ".json", ".toml", ".sh", "/")
ELSEWHERE = ("~", "/", "http", ".")
EXAMPLES = {"shop", "p.status.operation"}
"""What docs/developing/pass.md calls by a name that is no code of ours."""


@cache
def tracked() -> str:
    """All files, each between slashes and on a line of its own."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
    return "\n".join(f"/{name}/" for name in done.stdout.splitlines() if (ROOT / name).exists())


def quoted(page: Path) -> set[str]:
    """What stands in backticks, outside of blocks of code."""
    return set(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))


def paths(page: Path) -> Iterator[str]:
    for text in sorted(quoted(page)):
        if not PATH.fullmatch(text) or text.startswith(ELSEWHERE):
            continue
        first = text.split("/", 1)[0]
        if text.endswith(ENDINGS) or ("/" in text and f"/{first}/" in tracked()):
            yield text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_are_there(page: Path) -> None:
    """Whole, or from a folder on: `runtime/policy.py` is one of `src/kok`."""
    gone = [
        text
        for text in paths(page)
        if not re.search(
            "/" + re.sub(r"<\w+>|\\\*", "[^/\n]*", re.escape(text.strip("/"))) + "/", tracked()
        )
    ]

    assert not gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_make_is_asked_for_is_there(page: Path) -> None:
    targets = set(re.findall(r"(?m)^([a-z0-9-]+):", (ROOT / "Makefile").read_text()))
    text = page.read_text(encoding="utf-8")
    commands = re.findall(r"(?:`|(?<=    ))make ((?:[a-z0-9-]+ ?)+)", text)
    asked = {word for command in commands for word in command.split()}
    scenarios = set(re.findall(r"make e2e S=([a-z0-9-]+)`", text))

    assert asked <= targets
    assert scenarios <= set(modules())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_are_there(page: Path) -> None:
    dotted = {text for text in quoted(page) if re.fullmatch(r"(kok|e2e)(\.\w+)+", text)}
    gone = []
    for name in sorted(dotted):
        place = name.replace(".", "/").removeprefix("kok/")
        inside, _, last = place.rpartition("/")
        base = ROOT if name.startswith("e2e") else ROOT / "src/kok"
        module = (base / place).with_suffix(".py").is_file() or (base / place).is_dir()
        holds = [
            file
            for file in ((base / inside).with_suffix(".py"), base / inside / "__init__.py")
            if file.is_file() and re.search(rf"\b{last}\b", file.read_text(encoding="utf-8"))
        ]
        if not module and not holds:
            gone.append(name)

    assert not gone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_of_the_environment_are_there(page: Path) -> None:
    """Settings are fields of a model, so theirs are looked for by the name of the field."""
    files = [*(ROOT / "src/kok").rglob("*.py"), *(ROOT / "e2e").rglob("*.py")]
    files += [*(ROOT / "tests").rglob("*.py"), ROOT / "Makefile"]
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = {text for text in quoted(page) if re.fullmatch(r"KOK(_[A-Z0-9]+)+", text)}
    gone = [
        name
        for name in sorted(named)
        if name not in code
        and not re.search(rf"(?m)^    {name.removeprefix('KOK_').lower()}: ", code)
        and not any(name.startswith(prefix) for prefix in re.findall(r"\"(KOK_\w+_)", code))
    ]

    assert not gone


@cache
def known() -> frozenset[str]:
    """Names of functions, classes and fields in `src/kok`, and its texts of one word."""
    found = set()
    for module in (ROOT / "src" / "kok").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return frozenset(found)


def test_the_page_that_follows_a_pass_names_functions_that_there_are() -> None:
    names = {
        text.removesuffix("()")
        for text in quoted(ROOT / "docs/developing/pass.md")
        if re.fullmatch(r"\w+(\.\w+)*(\(\))?", text)
        and not text.endswith(ENDINGS)
        and text not in EXAMPLES
    }
    gone = [
        name
        for name in sorted(names)
        if not set(re.sub(r"^(p|spec)\.", "", name).split(".")) <= known()
    ]

    assert len(names) > 20
    assert not gone


def test_the_map_has_every_package_and_none_that_is_gone() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = page.partition("## The map\n")[2].partition("\nImports go one way")[0]
    folders: dict[int, Path] = {0: ROOT}
    listed = set()
    for depth, name in re.findall(r"(?m)^((?:  )+)([\w./-]+)(?= |$)", block):
        level = len(depth) // 2 - 1
        folder = folders[max(one for one in folders if one < level)] / name
        assert folder.exists(), folder
        folders = {one: where for one, where in folders.items() if one < level} | {level: folder}
        listed.add(folder.relative_to(ROOT).as_posix())
    packages = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "src/kok").iterdir()
        if (path / "__init__.py").is_file()
    }

    assert packages <= listed
