"""As whom commands talk to the meta cluster: what kubectl takes is taken here as well."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from typer.testing import CliRunner

from kok.cli.identity import from_environment, from_files
from kok.cli.main import app
from kok.cli.options import KubectlOptions
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import AccessError

ROOT = Path(__file__).parents[3]


def config(
    name: str = "one", server: str = "https://api.example:6443/", **user: Any
) -> dict[str, Any]:
    """A kubeconfig with one context, whose cluster and user are called as it is."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "n"}}],
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user}],
    }


def written(path: Path, document: Any) -> str:
    """The path of a file with a document."""
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return str(path)


def plug_in(tmp_path: Path, *, fails: bool = False, ends: str = "2099-01-01T00:00:00Z") -> Any:
    """A login plug-in that hands out tokens of its own count, as those of clouds do."""
    count = tmp_path / "count"
    count.write_text("0")
    script = tmp_path / "login"
    script.write_text(
        f"""#!{sys.executable}
import json, pathlib, sys
if {fails}:
    sys.exit("the session has ended; run: cloud login")
count = pathlib.Path({str(count)!r})
number = int(count.read_text()) + 1
count.write_text(str(number))
status = {{"token": f"token-{{number}}", "expirationTimestamp": {ends!r}}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""
    )
    script.chmod(0o755)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(script),
        "interactiveMode": "Never",
    }


def token(access: Any, *, refused: bool = False) -> str | None:
    """What goes with the next request."""
    assert access.renew is not None
    return str(access.renew(refused))


def test_a_login_plug_in_is_run_and_its_token_kept_while_it_is_good(tmp_path: Path) -> None:
    path = written(tmp_path / "config", config(exec=plug_in(tmp_path)))
    access = from_files(path)
    assert (access.server, access.namespace) == ("https://api.example:6443", "n")
    assert token(access) == token(access) == "token-1"
    assert token(access, refused=True) == "token-2"


def test_a_token_that_has_run_out_is_fetched_anew(tmp_path: Path) -> None:
    plugin = plug_in(tmp_path, ends="2020-01-01T00:00:00Z")
    access = from_files(written(tmp_path / "config", config(exec=plugin)))
    assert (token(access), token(access)) == ("token-2", "token-3")


def test_what_a_login_plug_in_complains_of_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "config", config(exec=plug_in(tmp_path, fails=True)))
    with pytest.raises(AccessError, match=r"user 'one' .* cannot log in: .*run: cloud login"):
        from_files(path)


async def test_a_refused_token_is_renewed_by_the_plug_in(api: FakeApi, tmp_path: Path) -> None:
    async def check(request: web.Request) -> web.StreamResponse | None:
        if request.headers["Authorization"] == "Bearer token-2":
            return None
        return refusal(401, "Unauthorized", "Unauthorized")

    api.script("*", ".", check)
    path = written(tmp_path / "config", config("one", api.address, exec=plug_in(tmp_path)))
    async with Kube(from_files(path), field_manager="test") as kube:
        assert await kube.list(kinds.SECRET, "ns") == []


def test_several_files_are_one_and_the_first_names_the_context(tmp_path: Path) -> None:
    files = os.pathsep.join(
        written(tmp_path / name, config(name, f"https://{name}", token=name))
        for name in ("first", "second")
    )
    merged = f"{tmp_path / 'none'}{os.pathsep}{files}"
    assert from_environment(environ={"KUBECONFIG": merged}).server == "https://first"
    other = from_environment(KubectlOptions(context="second"), {"KUBECONFIG": merged})
    assert (other.server, token(other)) == ("https://second", "second")


def test_certificates_may_be_inline_or_in_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes(b"FILE")
    user = {"client-certificate": "c.pem", "client-key-data": base64.b64encode(b"PEM").decode()}
    access = from_files(written(tmp_path / "config", config(**user)))
    assert (access.certificate, access.key) == (b"FILE", b"PEM")


def test_a_named_kubeconfig_goes_before_all_others(tmp_path: Path) -> None:
    path = written(tmp_path / "config", config(token="t"))
    environ = {"KUBECONFIG": "/nowhere", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert (
        from_environment(KubectlOptions(kubeconfig=path), environ).server
        == "https://api.example:6443"
    )


def test_without_any_cluster_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="set KUBECONFIG or write --kubeconfig"):
        from_environment(environ={"KUBECONFIG": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("broken", "context", "sentence"),
    [
        ("token: s3cret\n\t- broken", None, "not YAML"),
        ("just text", None, "the kubeconfig cannot be used"),
        ("", None, "the kubeconfig cannot be used"),
        (config(token="s3cret"), "other", "the kubeconfig cannot be used: .*other"),
        (config(**{"client-key": "gone.pem", "client-certificate": "gone.pem"}), None, "gone.pem"),
        ({**config(), "clusters": [{"name": "one", "cluster": {}}]}, None, "has no server"),
    ],
)
def test_an_unusable_kubeconfig_is_refused_with_a_sentence(
    tmp_path: Path, broken: Any, context: str | None, sentence: str
) -> None:
    with pytest.raises(AccessError, match=sentence) as caught:
        from_files(written(tmp_path / "config", broken), context)
    assert "s3cret" not in str(caught.value)


def test_somebody_may_act_as_another(tmp_path: Path) -> None:
    path = written(tmp_path / "config", config(token="t"))
    access = from_environment(KubectlOptions(path, user="jane", groups=("a", "b")))
    assert access.headers == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
    )
    with pytest.raises(AccessError, match="--as-group needs --as"):
        from_environment(KubectlOptions(path, groups=("a",)))


def test_an_operator_in_its_pod_loads_nothing_of_it() -> None:
    code = (
        "import sys, kok.cli.identity, kok.runtime.process.main, kok.operators.machine as one;"
        "import kok.operators.cluster, kok.operators.etcd; print('kubernetes' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"


def test_the_file_of_a_key_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kok.cli.identity._memory", lambda: str(tmp_path / "memory"))
    (tmp_path / "memory").mkdir()
    user = {
        f"client-{part}-data": base64.b64encode(b"PEM").decode() for part in ("certificate", "key")
    }
    assert from_files(written(tmp_path / "config", config(**user))).key == b"PEM"
    assert list((tmp_path / "memory").iterdir()) == []


async def test_the_options_reach_the_api_server(api: FakeApi, tmp_path: Path) -> None:
    asked: list[tuple[str | None, list[str]]] = []

    async def look(request: web.Request) -> web.StreamResponse | None:
        groups = request.headers.getall("Impersonate-Group", [])
        asked.append((request.headers.get("Impersonate-User"), groups))
        return None

    api.script("*", ".", look)
    path = written(tmp_path / "config", config("one", api.address, token="t"))
    options = ("--kubeconfig", path, "--context", "one", "--as", "jane", "--as-group", "ops")
    result = await asyncio.to_thread(CliRunner().invoke, app, ["status", *options])
    assert result.exit_code == 0, result.output
    assert set(map(json.dumps, asked)) == {json.dumps(("jane", ["ops"]))}
