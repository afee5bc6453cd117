"""`kok addons` with the cluster operator at work and a real business cluster."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.conftest import ADDON, Workspace, running
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.client import Kube

ROOT = Path(__file__).parents[5]
Run = Callable[..., Awaitable[tuple[int, str, str]]]
OWN = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: '{{ values.a }}'}\n"
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
DAEMONSET = Kind("apps", "v1", "DaemonSet", "daemonsets")


@pytest.fixture
def run(api_server: ApiServer, namespace: str, tmp_path: Path) -> Run:
    """Runs `kok addons` in the test's namespace: exit code, output, errors."""
    config = tmp_path / "kubeconfig"
    config.write_text(api_server.kubeconfig())
    environment = {
        **os.environ,
        "KUBECONFIG": str(config),
        "PYTHONPATH": str(ROOT / "src"),
        "COLUMNS": "200",
    }
    command = (sys.executable, "-c", "from kok.cli.main import app; app()", "addons")

    async def start(*arguments: str) -> tuple[int, str, str]:
        # In a process of its own: this one prints what the operator logs.
        process = await asyncio.create_subprocess_exec(
            *command, *arguments, "-n", namespace, env=environment, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    return start


async def _generations(kube: Kube, kind: Kind, namespace: str) -> dict[str, int]:
    found = await kube.list(kind, namespace)
    return {one["metadata"]["uid"]: one["metadata"]["generation"] for one in found}


async def test_addons_come_change_and_go_and_nothing_else_is_touched(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn, run: Run
) -> None:
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        code, out, err = await run("install", "shop", "--all")
        assert (code, err) == (0, ""), out
        assert "nvidia-device-plugin: left out: no Machine of the cluster has a GPU" in out
        assert "konnectivity-agent: left out: spec.network.tunnel is Never" in out
        control_plane = await _generations(workspace.kube, DEPLOYMENT, namespace)

        async with workspace.business() as admin:
            before = await _generations(admin, DAEMONSET, "kube-flannel")
            assert before
            # What the server makes of what is applied already is no difference.
            assert await run("diff", "shop") == (0, "", "")

            code, out, err = await run("diff", "shop", "coredns", "--set", "replicas=3")
            assert (code, err) == (1, "")
            changed = [one for one in out.splitlines() if one[0] in "+-" and one[1] not in "+-"]
            assert changed == ["-  replicas: 2", "+  replicas: 3"]
            assert (await _replicas(admin)) == 2

            code, out, err = await run("install", "shop", "coredns", "--set", "replicas=3")
            assert (code, err) == (0, ""), out
            assert (await _replicas(admin)) == 3
            assert await run("diff", "shop", "coredns") == (0, "", "")
            code, out, _ = await run("upgrade", "shop", "coredns", "--reset-values")
            assert code == 0, out
            assert (await _replicas(admin)) == 2

            code, out, err = await run("remove", "shop", "kube-proxy", "--yes")
            assert (code, err) == (0, ""), out
            assert await workspace.get(ADDON, "shop-kube-proxy") is None
            assert await admin.get(DAEMONSET, "kube-proxy", "kube-system") is None
            code, out, _ = await run("list", "shop")
            assert code == 0
            assert "switched off in spec.addons" in out
            code, out, err = await run("install", "shop", "kube-proxy")
            assert (code, err) == (0, ""), out
            assert await admin.get(DAEMONSET, "kube-proxy", "kube-system") is not None

            await workspace.addon("mine", OWN, values={"a": "1", "b": "2"})
            code, out, err = await run("upgrade", "shop", "mine", "--set", "a='2'")
            assert (code, err) == (0, ""), out
            mine = await admin.get(kinds.CONFIGMAP, "x", "default")
            assert mine is not None
            assert mine["data"] == {"a": "2"}
            code, out, err = await run("remove", "shop", "mine", "--yes")
            assert (code, err) == (0, ""), out
            assert await admin.get(kinds.CONFIGMAP, "x", "default") is None

            assert await _generations(admin, DAEMONSET, "kube-flannel") == before
        assert await _generations(workspace.kube, DEPLOYMENT, namespace) == control_plane


async def _replicas(admin: Kube) -> int:
    found = await admin.get(DEPLOYMENT, "coredns", "kube-system")
    assert found is not None
    replicas: int = found["spec"]["replicas"]
    return replicas
