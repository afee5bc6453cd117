"""Which code may turn what into an identity: read from the sources, since a slip is not seen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src/kok"
OPERATORS = sorted((SOURCE / "operators").rglob("*.py"))
FROM_OBJECTS = {"AccessError", "by_certificate", "in_pod", "pinned_context"}
"""What operators may use: all of it takes inline PEM only, none of it a file, token or proxy."""

METHODS = {"delete", "get", "head", "options", "patch", "post", "put", "request"}
UNGUARDED = {
    "kube/http/session.py",  # for the meta cluster
    "kube/http/inbound.py",  # the guard itself
    "backup/stores/s3/http.py",  # a process of the tenant's own
}


def imported(tree: ast.AST, module: str) -> Iterator[str]:
    """Names that a source takes from a module, and the module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and f"{node.module}." in f"{module}.":
            yield from (module for a in node.names if f"{node.module}.{a.name}" == module)
        elif isinstance(node, ast.Import):
            yield from (module for alias in node.names if alias.name == module)


@pytest.mark.parametrize("path", OPERATORS, ids=lambda p: str(p.relative_to(SOURCE)))
def test_operators_make_identities_from_checked_parts_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    taken = set(imported(tree, "kok.kube.http.access")) - {"Access"}
    assert taken <= FROM_OBJECTS
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            assert called != "from_kubeconfig", f"line {node.lineno}"


@pytest.mark.parametrize("path", OPERATORS, ids=lambda p: str(p.relative_to(SOURCE)))
def test_operators_name_the_type_of_an_identity_and_never_make_one(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if "Access" not in imported(tree, "kok.kube.http.access"):
        return
    made = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Access"
    ]
    assert made == []


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_no_session_is_led_on_or_keeps_cookies(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        given = {one.arg: ast.unparse(one.value) for one in node.keywords}
        where = f"line {node.lineno}"
        if node.func.attr == "ClientSession":
            assert given.get("cookie_jar") == "aiohttp.DummyCookieJar()", where
        session = ast.unparse(node.func.value).lower().endswith("session")
        if session and node.func.attr in METHODS:
            assert given.get("allow_redirects") == "False", where


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_only_the_meta_cluster_and_stores_are_connected_to_without_a_guard(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "TCPConnector"
    ]
    assert not plain or str(path.relative_to(SOURCE)) in UNGUARDED


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_no_session_takes_proxies_or_passwords_from_its_environment(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "trust_env":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
