"""The inner end of a tunnel on this machine: agents as their Addon has them, and a pod behind them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from tests.ending import ended
from tests.integration.apiserver import TIED, find_binary, free_ports
from tests.integration.operators.cluster.conftest import Workspace, soon
from tests.integration.operators.cluster.standin import own_address
from tests.integration.operators.cluster.standin.tunnelservers import KONNECTIVITY_VERSION

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.access import ssl_context
from kok.operators.cluster import naming

AGENT = "konnectivity-agent"
SAYS = "hello from inside"
_OPEN = b"open "


class Pod:
    """A pod of the business cluster: what it answers, and how an API server asks it."""

    def __init__(self, port: int) -> None:
        proxy = f"/api/v1/namespaces/default/pods/http:web:{port}/proxy"
        self.hello = f"{proxy}/hello"
        """It answers at once."""
        self.held = f"{proxy}/held"
        """It begins to answer, and ends once all are let go."""
        self._release = asyncio.Event()

    def let_go(self) -> None:
        """What is held ends."""
        self._release.set()

    def app(self) -> web.Application:
        """What runs in it."""
        app = web.Application()
        app.router.add_get("/hello", self._hello)
        app.router.add_get("/held", self._held)
        return app

    async def _hello(self, _: web.Request) -> web.Response:
        return web.Response(text=SAYS)

    async def _held(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(_OPEN)
        await self._release.wait()
        await answer.write(SAYS.encode())
        return answer


@asynccontextmanager
async def a_pod(admin: Kube) -> AsyncIterator[Pod]:
    """A pod of the business cluster that answers."""
    [port] = free_ports(1)
    pod = Pod(port)
    runner = web.AppRunner(pod.app(), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, own_address(), port, backlog=1024).start()
    try:
        await _pod(admin)
        yield pod
    finally:
        pod.let_go()
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


class Held:
    """Requests to the pod that were answered in part, and go on."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._turns = asyncio.Semaphore(64)
        self.ends: list[asyncio.Task[str]] = []
        """What the rest of each said; raises `aiohttp.ClientError` where it broke off."""

    async def open(self, count: int) -> None:
        """So many more, all at the same time."""
        await asyncio.gather(*(self._one() for _ in range(count)))

    async def _one(self) -> None:
        async with self._turns:
            answer = await self._session.get(self._url)
            begun = await answer.content.readexactly(len(_OPEN))
            assert begun == _OPEN, f"{answer.status}: {begun!r}"
        self.ends.append(asyncio.create_task(_rest(answer)))


async def _rest(answer: aiohttp.ClientResponse) -> str:
    try:
        return (await answer.content.read()).decode()
    finally:
        answer.close()


@asynccontextmanager
async def holding(admin: Kube, pod: Pod) -> AsyncIterator[Held]:
    """Requests by connections of their own, of which the operators' client has few."""
    context = ssl_context(admin.access)
    connector = aiohttp.TCPConnector(limit=0, ssl=context)
    limit = aiohttp.ClientTimeout(total=None, sock_connect=120)
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
        held = Held(session, f"{admin.server}{pod.held}")
        try:
            yield held
        finally:
            await ended(held.ends)


class Agent:
    """The agent as its Addon has it, with what a pod would give it; killed and started again."""

    def __init__(self, admin: Kube, directory: Path, ports: Sequence[int] | None = None) -> None:
        """`ports` are those of the servers, to which the Service leads in turn; by default its own."""
        directory.mkdir(exist_ok=True)
        self._admin = admin
        self._directory = directory
        self._ports = ports
        self._turn = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self._proxy: asyncio.Server | None = None
        self._hosts: dict[str, str] = {}
        self._figures = 0

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

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
        health, self._figures = free_ports(2)
        words = [word.replace(folder, str(self._directory)) for word in container["args"]]
        words += [
            f"--health-server-port={health}",
            f"--admin-server-port={self._figures}",
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

    def log(self) -> str:
        """All that it said so far."""
        return (self._directory / "agent.log").read_text(errors="replace")

    async def figure(self, name: str) -> int:
        """One of its metrics, 0 as long as it does not tell."""
        url = f"http://127.0.0.1:{self._figures}/metrics"
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                text = await answer.text()
            found = re.search(
                rf"^konnectivity_network_proxy_agent_{name} (\S+)$", text, re.MULTILINE
            )
            return int(float(found[1])) if found else 0
        return 0

    async def servers(self) -> int:
        """How many servers it is connected with."""
        return await self.figure("open_server_connections")

    async def connections(self) -> int:
        """How many connections into the cluster it holds."""
        return await self.figure("open_endpoint_connections")

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
        """A proxy, which stands for `hostAliases` and the Service: names lead where these say."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        host, _, port = head.split()[1].rpartition(":")
        if host in self._hosts and self._ports:
            port = str(self._ports[next(self._turn) % len(self._ports)])
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


async def answer(admin: Kube, path: str) -> str:
    """What the pod says, once an API server reaches it."""

    async def asked() -> str | None:
        with contextlib.suppress(KubeError):
            return str(await admin.raw("GET", path))
        return None

    said: str = await soon(asked)
    return said


async def fails(admin: Kube, path: str) -> bool:
    """Whether an API server does not reach it."""
    try:
        await admin.raw("GET", path)
    except KubeError:
        return True
    return False


async def certificate(workspace: Workspace) -> str | None:
    """The hash of the one with which API servers were started."""
    live = await workspace.there(kinds.DEPLOYMENT, "shop-apiserver")
    notes: dict[str, Any] = live["spec"]["template"]["metadata"]["annotations"]
    found: str | None = notes.get(naming.ANNOTATION_TUNNEL)
    return found
