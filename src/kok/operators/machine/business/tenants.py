"""Connections to business clusters, shared by their Machines; one dead cluster slows no other."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from kok import pki
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine.business import nodes
from kok.operators.machine.business.certificates import Request, request_of
from kok.operators.machine.business.nodes import NodeView
from kok.runtime.reconciler import Key

FIELD_MANAGER = "kok-machine"
LINGER = 30.0
"""Seconds for which a replaced client stays open: somebody may still be using it."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the operator reaches one business cluster."""

    kubeconfig: str = field(repr=False)

    @property
    def digest(self) -> str:
        """Changes with it."""
        return hashlib.sha256(self.kubeconfig.encode()).hexdigest()


def way(internal: str, public: str, *, inside: bool) -> Way:
    """The operators' credentials, with the server address that suits where we run.

    Raises `PkiError` for a text that is no kubeconfig.
    """
    if inside:
        return Way(internal)
    ours, server = pki.parse_kubeconfig(internal), pki.parse_kubeconfig(public).server
    return Way(pki.kubeconfig(ours.cluster_name, server, ours.ca_pem, ours.user, ours.credentials))


class Pulse:
    """Whether an API server answers, by how the last request to it ended."""

    def __init__(self) -> None:
        self.answers: bool | None = None
        """None before the first request."""
        self.changed: Callable[[], None] = lambda: None

    def observe(self, _method: str, status: int) -> None:
        """Takes note of how a request ended; 0 means that there was no answer."""
        before, self.answers = self.answers, status not in (0, 502, 503, 504)
        if before is not None and before != self.answers:
            self.changed()


class Tenant:
    """One business cluster: its nodes and certificate requests as they are now."""

    def __init__(self, digest: str, kube: Kube, pulse: Pulse) -> None:
        """Needs a running event loop."""
        self.digest = digest
        self.kube = kube
        self.opened = asyncio.get_running_loop().time()
        """When it was connected, in the event loop's time."""
        self._pulse = pulse
        pulse.changed = lambda: self._wake(*self._wakes)
        self.nodes: dict[str, NodeView] = {}
        self.requests: dict[str, Request] = {}
        self.synced = asyncio.Event()
        """Set once all nodes are known."""
        self._wakes: dict[str, dict[str, Callable[[], None]]] = {}
        self._tasks = [
            asyncio.create_task(self._follow_nodes(), name="nodes"),
            asyncio.create_task(self._follow_requests(), name="certificate requests"),
        ]

    def on_node(self, node: str, uid: str, wake: Callable[[], None]) -> None:
        """Has `wake` of a Machine called whenever anything about that node changes."""
        self._wakes.setdefault(node, {})[uid] = wake

    def forget(self, node: str, uid: str) -> None:
        """A Machine is no longer interested in that node."""
        interested = self._wakes.get(node, {})
        interested.pop(uid, None)
        if not interested:
            self._wakes.pop(node, None)

    @property
    def used(self) -> bool:
        """Whether any Machine is interested."""
        return bool(self._wakes)

    @property
    def answers(self) -> bool | None:
        """Whether the last request got an answer; None before the first."""
        return self._pulse.answers

    @property
    def known(self) -> bool:
        """Whether it answers and its nodes are known."""
        return self.answers is not False and self.synced.is_set()

    @property
    def age(self) -> float:
        """Seconds since it was connected."""
        return asyncio.get_running_loop().time() - self.opened

    def pending(self, node: str) -> list[Request]:
        """Requests of that node for serving certificates that nobody has decided."""
        return [request for request in self.requests.values() if request.node == node]

    async def close(self) -> None:
        """Ends watches and connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.kube.close()

    async def _follow_nodes(self) -> None:
        listed: dict[str, NodeView] = {}
        async for event in self.kube.watch(kinds.NODE):
            if event.type == "SYNCED":
                gone = self.nodes.keys() - listed.keys()
                for name in gone:
                    del self.nodes[name]
                listed = {}
                self.synced.set()
                self._wake(*gone, *self._wakes)
                continue
            seen = nodes.view(event.object)
            if event.type == "DELETED":
                self.nodes.pop(seen.name, None)
                listed.pop(seen.name, None)
                self._wake(seen.name)
                continue
            listed[seen.name] = seen
            before = self.nodes.get(seen.name)
            self.nodes[seen.name] = seen
            if before is None or nodes.gist(before) != nodes.gist(seen):
                self._wake(seen.name)

    async def _follow_requests(self) -> None:
        async for event in self.kube.watch(kinds.CSR):
            if event.type == "SYNCED":
                continue
            name = event.object["metadata"]["name"]
            request = None if event.type == "DELETED" else request_of(event.object)
            if request is None:
                self.requests.pop(name, None)
            else:
                self.requests[name] = request
                self._wake(request.node)

    def _wake(self, *names: str) -> None:
        for name in dict.fromkeys(names):
            for wake in list(self._wakes.get(name, {}).values()):
                wake()


class Tenants:
    """All business clusters that Machines of this process belong to."""

    def __init__(self, timeout: float) -> None:
        """`timeout`: seconds for one request."""
        self._timeout = timeout
        self._open: dict[Key, Tenant] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, key: Key) -> Tenant | None:
        """A connected one."""
        return self._open.get(key)

    async def connect(self, key: Key, way_: Way) -> Tenant:
        """The Tenant for exactly this way; one by another way is closed.

        Raises `AccessError` for an unusable kubeconfig.
        """
        tenant = self._open.get(key)
        if tenant is not None and tenant.digest == way_.digest:
            return tenant
        pulse = Pulse()
        kube = await Kube.from_kubeconfig(
            way_.kubeconfig,
            field_manager=FIELD_MANAGER,
            timeout=self._timeout,
            observer=pulse.observe,
        )
        fresh = Tenant(way_.digest, kube, pulse)
        self._open[key] = fresh
        if tenant is not None:
            self._retire(key, tenant)
        return fresh

    def leave(self, key: Key, node: str, uid: str) -> None:
        """A Machine is gone; the last one closes the connection."""
        tenant = self._open.get(key)
        if tenant is not None:
            tenant.forget(node, uid)
            if not tenant.used:
                del self._open[key]
                self._retire(key, tenant)

    async def close(self) -> None:
        """Closes all."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await asyncio.gather(*(tenant.close() for tenant in self._open.values()))
        self._open.clear()

    def _retire(self, key: Key, tenant: Tenant) -> None:
        task = asyncio.create_task(_close_later(tenant), name=f"close {'/'.join(key)}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close_later(tenant: Tenant) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(LINGER)
    await tenant.close()
