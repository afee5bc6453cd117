"""A tunnel into a business cluster: real API servers, real servers and agents of konnectivity.

All are on this machine, where an API server would reach a pod's address itself. That it goes by the
tunnel shows where there is no agent: then it reaches nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from e2e.polling import eventually
from tests.integration.apiserver import TIED, find_binary, free_ports
from tests.integration.operators.cluster.conftest import ADDON, Workspace, soon
from tests.integration.operators.cluster.standin import KONNECTIVITY_VERSION, StandIn, own_address

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound
from kok.operators.cluster import naming
from kok.runtime.process.main import Process

AGENT = "konnectivity-agent"
HELLO = "/api/v1/namespaces/default/pods/http:web:{port}/proxy/hello"
SERVERS = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


@asynccontextmanager
async def a_pod(admin: Kube) -> AsyncIterator[str]:
    """A pod of the business cluster that answers; the path by which an API server asks it."""

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello from inside")

    app = web.Application()
    app.router.add_get("/hello", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    [port] = free_ports(1)
    await web.TCPSite(runner, own_address(), port).start()
    try:
        await _pod(admin)
        yield HELLO.format(port=port)
    finally:
        await runner.cleanup()


async def _pod(admin: Kube) -> None:
    container = {"name": "web", "image": "web"}
    spec = {
        "containers": [container],
        "nodeName": "n1",
        "automountServiceAccountToken": False,
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    await admin.apply({**account, "metadata": {"name": "default", "namespace": "default"}})
    await admin.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": spec,
        }
    )
    status = {"phase": "Running", "podIP": own_address(), "podIPs": [{"ip": own_address()}]}
    await admin.patch(kinds.POD, "web", "default", {"status": status}, subresource="status")


class Agent:
    """The agent as its Addon has it, with what a pod would give it; killed and started again."""

    def __init__(self, admin: Kube, directory: Path) -> None:
        self._admin = admin
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._proxy: asyncio.Server | None = None
        self._hosts: dict[str, str] = {}

    async def start(self, audience: str = "system:konnectivity-server") -> None:
        """From the Deployment in the business cluster; `audience` is what its token is for."""
        live = await self._deployment()
        pod = live["spec"]["template"]["spec"]
        [container] = pod["containers"]
        self._hosts = {
            name: alias["ip"] for alias in pod["hostAliases"] for name in alias["hostnames"]
        }
        await self._files(audience)
        self._proxy = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        port = self._proxy.sockets[0].getsockname()[1]
        folder = container["volumeMounts"][0]["mountPath"]
        health, admin_port = free_ports(2)
        words = [word.replace(folder, str(self._directory)) for word in container["args"]]
        words += [
            f"--health-server-port={health}",
            f"--admin-server-port={admin_port}",
            f"--kubeconfig={self._directory / 'kubeconfig'}",
        ]
        program = find_binary("proxy-agent", KONNECTIVITY_VERSION, "KOK_TEST_PROXY_AGENT")
        self._process = _spawn([program, *words], self._directory / "agent.log", port)

    async def kill(self) -> None:
        """As a node does that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None

    async def _deployment(self) -> Manifest:
        async def there() -> Manifest | None:
            return await self._admin.get(kinds.DEPLOYMENT, AGENT, "kube-system")

        found: Manifest = await soon(there)
        return found

    async def _files(self, audience: str) -> None:
        told = await self._admin.get(kinds.CONFIGMAP, AGENT, "kube-system")
        assert told is not None
        (self._directory / "ca.crt").write_text(told["data"]["ca.crt"])
        (self._directory / "server-token").write_text(await self._token(audience))
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [
                {
                    "name": "a",
                    "cluster": {
                        "server": self._admin.server,
                        "certificate-authority": str(self._directory / "ca.crt"),
                    },
                }
            ],
            "users": [{"name": "a", "user": {"token": await self._token()}}],
        }
        (self._directory / "kubeconfig").write_text(yaml.safe_dump(config))

    async def _token(self, *audiences: str) -> str:
        answer = await self._admin.raw(
            "POST",
            f"/api/v1/namespaces/kube-system/serviceaccounts/{AGENT}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": list(audiences)} if audiences else {},
            },
        )
        return str(answer["status"]["token"])

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A proxy, which stands for `hostAliases`: names lead where these say."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        host, _, port = head.split()[1].rpartition(":")
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(
                self._hosts.get(host, host), int(port)
            )
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        writer.close()


def _spawn(argv: list[str], log: Path, proxy: int) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            [*TIED, *argv],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env={"HTTPS_PROXY": f"http://127.0.0.1:{proxy}"},
        )


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


async def test_api_servers_reach_pods_by_agents_and_by_nothing_else(
    workspace: Workspace, standin: StandIn, cluster_operator: Process, tmp_path: Path
) -> None:
    await workspace.make(network={"tunnel": "Always"})
    await workspace.until_ready()
    async with workspace.business() as admin, a_pod(admin) as path:
        agent = Agent(admin, tmp_path)
        try:
            # There is no node, and no agent: the API answers, and says what is missing.
            with pytest.raises(KubeError, match="No agent available"):
                await admin.raw("GET", path)
            await agent.start()
            assert await answer(admin, path) == "hello from inside"

            # A lost agent is missed, and another one found.
            await agent.kill()
            await eventually(lambda: _fails(admin, path), 60.0)
            await agent.start()
            assert await answer(admin, path) == "hello from inside"

            # Another certificate restarts the servers, which read it once, and agents come back.
            before = await certificate(workspace)
            await workspace.delete(kinds.SECRET, naming.konnectivity("shop"))
            await soon(lambda: _other_certificate(workspace, before))
            await workspace.until_ready()
            assert await answer(admin, path) == "hello from inside"

            # Without a tunnel it is reached straight, nothing is left, and nothing else changed.
            await workspace.patch({"spec": {"network": {"tunnel": "Never"}}})
            await workspace.until_gone("shop-konnectivity-agent", ADDON)
            await agent.kill()
            assert await answer(admin, path) == "hello from inside"
            for kind in (kinds.SERVICE, kinds.SECRET):
                await workspace.until_gone(naming.konnectivity("shop"), kind)
            assert await certificate(workspace) is None
        finally:
            await agent.kill()


async def test_servers_tell_of_themselves_by_leases_and_take_nobody_elses_tokens(
    workspace: Workspace, standin: StandIn, cluster_operator: Process, tmp_path: Path
) -> None:
    await workspace.make(network={"tunnel": "Always"})
    await workspace.until_ready()
    async with workspace.business() as admin, a_pod(admin) as path:
        await soon(lambda: _leases(admin))
        agent = Agent(admin, tmp_path)
        try:
            await agent.start()
            assert await answer(admin, path) == "hello from inside"
            await agent.kill()
            since = len(_log(tmp_path))
            # A token for something else, as pods have it, is none for the tunnel.
            await agent.start("https://kubernetes.default.svc.cluster.local")
            # The server ends the stream before it says who it is.
            await eventually(lambda: _said(tmp_path, "cannot connect once", since), 60.0)
            with pytest.raises(KubeError, match="No agent available"):
                await admin.raw("GET", path)
        finally:
            await agent.kill()


async def answer(admin: Kube, path: str) -> str:
    """What the pod says, once an API server reaches it."""

    async def asked() -> str | None:
        with contextlib.suppress(KubeError):
            return str(await admin.raw("GET", path))
        return None

    said: str = await soon(asked)
    return said


async def certificate(workspace: Workspace) -> str | None:
    """The hash of the one with which API servers were started."""
    live = await workspace.there(kinds.DEPLOYMENT, "shop-apiserver")
    notes = live["spec"]["template"]["metadata"]["annotations"]
    found: str | None = notes.get(naming.ANNOTATION_TUNNEL)
    return found


async def _other_certificate(workspace: Workspace, before: str | None) -> bool:
    return await certificate(workspace) not in {None, before}


async def _fails(admin: Kube, path: str) -> bool:
    try:
        await admin.raw("GET", path)
    except KubeError:
        return True
    return False


async def _leases(admin: Kube) -> bool:
    try:
        found = await admin.raw(
            "GET", SERVERS, query={"labelSelector": "k8s-app=konnectivity-server"}
        )
    except NotFound:
        return False
    return bool(found["items"])


async def _said(directory: Path, words: str, since: int) -> bool:
    return words in _log(directory)[since:]


def _log(directory: Path) -> str:
    return (directory / "agent.log").read_text(errors="replace")
