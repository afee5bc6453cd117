"""Connections to business clusters, shared by their Machines; one dead cluster slows no other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.access import Access
from kok.kube.http.paths import object_path
from kok.operators.machine.node import nodes
from kok.operators.machine.node.nodes import NodeView
from kok.runtime.controller.reconciler import Key
from kok.workload.csr import Pending, Request, by_node
from kok.workload.identity import Identity
from kok.workload.pool import Pool

FIELD_MANAGER = "kok-machine"
ASK_MIN, ASK_MAX = 0.5, 10.0
"""Seconds between two questions to an API that is silent, at first and at last."""
SILENCE = 4.0
"""Seconds without any answer that make an API one that does not answer; one lost request does not."""
COMPLAIN_EVERY = 60.0
"""Seconds between two events on the requests of one node: it can make as many as it likes."""
KEPT_MOST = 6 * 2**20
"""Bytes of what all nodes of a cluster tell that are remembered; 5,000 nodes tell less."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the operator reaches one business cluster, and as whom."""

    access: Access
    digest: str
    """Changes with any of it."""
    closed: Sequence[str] = ()
    """Address ranges into which that must not lead."""


def way(
    ours: Identity,
    *,
    public: str | None,
    internal: str,
    inside: bool,
    closed: Sequence[str] = (),
) -> Way | None:
    """The operator's identity at the address that suits where we run; None while there is none.

    `closed`: address ranges into which the public one must not lead. Raises `AccessError`.
    """
    if inside:
        return Way(ours.at(internal), ours.digest(internal))
    if public is None:
        return None
    return Way(ours.at(public), ours.digest(public, *closed), closed)


class Pulse:
    """Whether an API server answers, by how the last requests to it ended."""

    def __init__(self, monotonic: Callable[[], float], silence: float = SILENCE) -> None:
        """`silence`: seconds without any answer that make an API one that does not answer."""
        self.answers: bool | None = None
        """None before the first request."""
        self.silent_since: float | None = None
        """When the first request after the last answer was lost."""
        self.refused = False
        """Whether the last question was answered so that we are nobody, or may not ask."""
        self.changed: Callable[[], None] = lambda: None
        self.doubted: Callable[[], None] = lambda: None
        """Called for every request that got no answer."""
        self._monotonic = monotonic
        self._silence = silence

    def observe(self, method: str, status: int) -> None:
        """Takes note of how a request ended; 0 means that there was no answer."""
        if status not in (0, 502, 503, 504):
            self.silent_since = None
            # A single write may be refused by anything, a webhook for example.
            turned = method == "GET" and (status in (401, 403)) != self.refused
            self.refused = self.refused != turned
            self._set(answers=True, turned=turned)
            return
        if self.silent_since is None:
            self.silent_since = self._monotonic()
        if not self.answers or self.silence >= self._silence:
            self._set(answers=False)
        self.doubted()

    @property
    def silence(self) -> float:
        """Seconds since the first request that was lost after the last answer."""
        return 0.0 if self.silent_since is None else self._monotonic() - self.silent_since

    def _set(self, *, answers: bool, turned: bool = False) -> None:
        before, self.answers = self.answers, answers
        if turned or (before is not None and before != answers):
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
        pulse.changed, pulse.doubted = self.wake_all, self._doubt
        kube.turned = self.wake_all
        self.nodes: dict[str, NodeView] = {}
        self._pending = Pending()
        self._kept = 0
        """Bytes of what all nodes tell."""
        self.synced = asyncio.Event()
        """Set once all nodes are known."""
        self._wakes: dict[str, dict[str, Callable[[], None]]] = {}
        self._tasks = [
            asyncio.create_task(self._follow_nodes(), name="nodes"),
            asyncio.create_task(self._follow_requests(), name="certificate requests"),
        ]
        self._asking: asyncio.Task[None] | None = None
        self._complained: dict[str, float] = {}

    def on_node(self, node: str, uid: str, wake: Callable[[], None]) -> None:
        """Has `wake` of a Machine called whenever anything about that node changes."""
        for about in (node, by_node(node)):
            self.on_asker(about, uid, wake)

    def on_asker(self, asker: str, uid: str, wake: Callable[[], None]) -> None:
        """Has `wake` of a Machine called whenever that user asks for a certificate."""
        self._wakes.setdefault(asker, {})[uid] = wake

    def forget(self, uid: str) -> None:
        """A Machine is no longer interested in anything."""
        for about in [about for about, wakes in self._wakes.items() if uid in wakes]:
            del self._wakes[about][uid]
            if not self._wakes[about]:
                del self._wakes[about]

    def wake_all(self) -> None:
        """Wakes all Machines."""
        self._wake(*self._wakes)

    @property
    def used(self) -> bool:
        """Whether any Machine is interested."""
        return bool(self._wakes)

    @property
    def answers(self) -> bool | None:
        """Whether it answers; None before the first request."""
        return self._pulse.answers

    @property
    def refused(self) -> bool:
        """Whether it answers that we may not look: what was known is no longer heard of."""
        return self._pulse.refused

    @property
    def silence(self) -> float:
        """Seconds for which it has not answered although it was asked."""
        return self._pulse.silence

    @property
    def excess(self) -> str | None:
        """Why its nodes cannot be followed, as a sentence, if there are more than can be."""
        return self.kube.excess_of(kinds.NODE)

    @property
    def known(self) -> bool:
        """Whether it answers and its nodes are known."""
        return self.answers is not False and self.synced.is_set()

    @property
    def age(self) -> float:
        """Seconds since it was connected."""
        return asyncio.get_running_loop().time() - self.opened

    def pending(self, asker: str) -> list[Request]:
        """Requests of that user for certificates that nobody has decided, the newest at most."""
        return self._pending.of(asker)

    def decided(self, request: Request) -> None:
        """Somebody has decided a request, or it is gone."""
        self._pending.decided(request)

    def may_complain(self, node: str) -> bool:
        """Whether something may be told of a node's requests: once a minute, whatever it asks."""
        now = asyncio.get_running_loop().time()
        if now - self._complained.get(node, -COMPLAIN_EVERY) < COMPLAIN_EVERY:
            return False
        self._complained.pop(node, None)
        self._complained[node] = now
        # Nodes come and go, and their names may be anything.
        while now - self._complained[first := next(iter(self._complained))] >= COMPLAIN_EVERY:
            del self._complained[first]
        return True

    async def unfollow(self) -> None:
        """Ends watches; what is known stays."""
        tasks = [*self._tasks, *([self._asking] if self._asking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Ends watches and connections."""
        await self.unfollow()
        await self.kube.close()

    def _doubt(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="asking")

    async def _ask(self) -> None:
        """Asks until there is an answer: a silent API gives nobody else a reason to."""
        delay = ASK_MIN
        while self._pulse.silent_since is not None:
            await asyncio.sleep(delay)
            delay = min(ASK_MAX, delay * 2)
            with contextlib.suppress(KubeError):
                await self.kube.raw("GET", object_path(kinds.NODE), query={"limit": "1"})

    async def _follow_nodes(self) -> None:
        async for event in self.kube.watch(kinds.NODE):
            if event.type == "SYNCED":
                self.synced.set()
                self._wake(*self._wakes)
                continue
            self._heed(event.object, gone=event.type == "DELETED")
            del event

    def _heed(self, node: Manifest, *, gone: bool) -> None:
        name = str(node["metadata"]["name"])
        before = self.nodes.get(name)
        if gone:
            self._forget(name)
            self._wake(name)
            return
        seen = self.saw(node)
        if before is None or nodes.gist(before) != nodes.gist(seen):
            self._wake(name)

    def saw(self, node: Manifest) -> NodeView:
        """A Node as it is now. It is kept without what it tells once all tell too much."""
        seen = nodes.view(node)
        self._forget(seen.name)
        if self._kept + seen.size > KEPT_MOST:
            seen = seen.bare()
        self._kept += seen.size
        self.nodes[seen.name] = seen
        return seen

    def _forget(self, name: str) -> None:
        before = self.nodes.pop(name, None)
        self._kept -= before.size if before is not None else 0

    async def _follow_requests(self) -> None:
        async for event in self.kube.watch(kinds.CSR):
            if event.type != "SYNCED":
                self._take(event.object, gone=event.type == "DELETED")
            del event

    def _take(self, csr: Manifest, *, gone: bool) -> None:
        request = self._pending.take(csr, gone=gone)
        if request is not None:
            self._wake(request.asker)

    def _wake(self, *names: str) -> None:
        for name in dict.fromkeys(names):
            for wake in list(self._wakes.get(name, {}).values()):
                wake()


class Tenants:
    """All business clusters that Machines of this process belong to."""

    def __init__(self, timeout: float, silence: float = SILENCE) -> None:
        """`timeout`: seconds for one request; `silence`: after how many an API does not answer."""
        self._timeout = timeout
        self._silence = silence
        self._pool: Pool[Tenant] = Pool()

    def get(self, key: Key) -> Tenant | None:
        """A connected one."""
        return self._pool.get(key)

    async def connect(self, key: Key, way_: Way) -> Tenant:
        """The Tenant for exactly this way; one by another way is closed.

        Raises `AccessError` for unusable certificates.
        """
        tenant, before = self._pool.connect(key, way_.digest, lambda: self._tenant(way_))
        if before is not None:
            # Those that it would have told of changes have to turn to the new one.
            before.wake_all()
        return tenant

    def leave(self, namespace: str, uid: str) -> None:
        """A Machine is gone, of whichever cluster; the last of a cluster closes the connection."""
        for key, tenant in self._pool:
            if key[0] != namespace:
                continue
            tenant.forget(uid)
            if not tenant.used:
                self._pool.drop(key)

    async def close(self) -> None:
        """Closes all."""
        await self._pool.close()

    def _tenant(self, way_: Way) -> Tenant:
        pulse = Pulse(asyncio.get_running_loop().time, self._silence)
        kube = Kube(
            way_.access,
            field_manager=FIELD_MANAGER,
            timeout=self._timeout,
            observer=pulse.observe,
            limits=TENANT,
            closed=way_.closed,
        )
        return Tenant(way_.digest, kube, pulse)


async def read_node(kube: Kube, name: str) -> NodeView | None:
    """A Node as the API server has it now, however late the watch may be. Raises `KubeError`."""
    found = await kube.get(kinds.NODE, name)
    return nodes.view(found) if found is not None else None
