"""Connections to business clusters, shared by their Machines; one dead cluster slows no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.http.access import Access
from kok.kube.http.paths import object_path
from kok.operators.machine.node import nodes
from kok.operators.machine.node.nodes import NodeView
from kok.runtime.controller.reconciler import Key
from kok.workload.availability import Availability, AvailabilityTimings
from kok.workload.csr import Request, by_node
from kok.workload.identity import Identity
from kok.workload.informers import NodeInformer, RequestInformer
from kok.workload.pool import Pool

FIELD_MANAGER = "kok-machine"
COMPLAIN_EVERY = 60.0
"""Seconds between two events on the requests of one node: it can make as many as it likes."""
KEPT_MOST = 6 * 2**20
"""Bytes of what all nodes of a cluster tell that are remembered; 5,000 nodes tell less."""


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """Where the operator reaches one business cluster, and as whom."""

    access: Access
    digest: str
    """Changes with any of it."""
    closed: Sequence[str] = ()
    """Address ranges into which that must not lead."""


def connection_spec(
    ours: Identity,
    *,
    public: str | None,
    internal: str,
    inside: bool,
    closed: Sequence[str] = (),
) -> ConnectionSpec | None:
    """The operator's identity at the address that suits where we run; None while there is none.

    `closed`: address ranges into which the public one must not lead. Raises `AccessError`.
    """
    if inside:
        return ConnectionSpec(ours.at(internal), ours.digest(internal))
    if public is None:
        return None
    return ConnectionSpec(ours.at(public), ours.digest(public, *closed), closed)


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """What was known of a business cluster's API at one moment."""

    answers: bool | None
    """Whether it answers; None before the first request."""
    refused: bool
    """Whether it answers that we may not look: what was known is no longer heard of."""
    excess: str | None
    """Why its nodes cannot be followed, as a sentence, if there are more than can be."""
    nodes_known: bool
    """Whether it answers and all its nodes are known."""
    silence: float
    """Seconds for which it has not answered although it was asked."""
    age: float
    """Seconds since it was connected."""


class ClusterConnection:
    """One business cluster: its nodes and certificate requests as they are now."""

    def __init__(self, digest: str, kube: Kube, availability: Availability) -> None:
        """Needs a running event loop. `availability` is told of the requests of `kube`."""
        self.digest = digest
        self.kube = kube
        self._opened = asyncio.get_running_loop().time()
        self._availability = availability
        ask = partial(kube.raw, "GET", object_path(kinds.NODE), query={"limit": "1"})
        availability.follow(ask, self.wake_all)
        kube.turned = self.wake_all
        self._wakes: dict[str, dict[str, Callable[[], None]]] = {}
        self._nodes = NodeInformer(
            kube,
            self._seen,
            limit=KEPT_MOST,
            on_change=self._node_changed,
            on_synced=self._synced,
        )
        self._requests = RequestInformer(kube, on_change=self._request_changed)
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
    def nodes(self) -> Mapping[str, NodeView]:
        """Its Nodes by name, as they are now."""
        return self._nodes.nodes

    @property
    def synced(self) -> asyncio.Event:
        """Set once all nodes are known."""
        return self._nodes.synced

    @property
    def answers(self) -> bool | None:
        """Whether it answers; None before the first request."""
        return self._availability.answers

    def state(self) -> ConnectionState:
        """As it is now, whatever is found out later."""
        return ConnectionState(
            answers=self.answers,
            refused=self._availability.refused,
            excess=self.kube.excess_of(kinds.NODE),
            nodes_known=self.answers is not False and self.synced.is_set(),
            silence=self._availability.silence,
            age=asyncio.get_running_loop().time() - self._opened,
        )

    def pending(self, asker: str) -> list[Request]:
        """Requests of that user for certificates that nobody has decided, the newest at most."""
        return self._requests.pending.of(asker)

    def decided(self, request: Request) -> None:
        """Somebody has decided a request, or it is gone."""
        self._requests.pending.decided(request)

    def saw(self, node: Manifest) -> NodeView:
        """A Node as somebody was told of it, which the watch may have overtaken; as it is by now. It is
        kept without what it tells once all tell too much."""
        meta = node["metadata"]
        known = self.nodes.get(str(meta["name"]))
        if known is not None and nodes.is_newer(known, meta):
            # What was newer is told once: the next event, by which that would come back, is minutes away.
            return known
        return self._nodes.put(node)

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
        await asyncio.gather(
            self._nodes.close(), self._requests.close(), self._availability.close()
        )

    async def close(self) -> None:
        """Ends watches and connections."""
        await self.unfollow()
        await self.kube.close()

    def _seen(self, node: Manifest) -> NodeView:
        return nodes.view(node, self.nodes.get(str(node["metadata"]["name"])))

    def _synced(self) -> None:
        # What came before a list that is read anew was not seen.
        self._nodes.nodes |= {name: nodes.after_gap(node) for name, node in self.nodes.items()}
        self.wake_all()

    def _node_changed(self, name: str, before: NodeView | None, now: NodeView | None) -> None:
        if before is None or now is None or nodes.gist(before) != nodes.gist(now):
            self._wake(name)

    def _request_changed(self, before: Request | None, now: Request | None) -> None:
        del before
        if now is not None:
            self._wake(now.asker)

    def _wake(self, *names: str) -> None:
        for name in dict.fromkeys(names):
            for wake in list(self._wakes.get(name, {}).values()):
                wake()


class ClusterConnections:
    """All business clusters that Machines of this process belong to."""

    def __init__(self, timeout: float, timings: AvailabilityTimings | None = None) -> None:
        """`timeout`: seconds for one request; `timings`: when an API counts as silent."""
        self._timeout = timeout
        self._timings = timings
        self._pool: Pool[ClusterConnection] = Pool()

    def get(self, key: Key) -> ClusterConnection | None:
        """A connected one."""
        return self._pool.get(key)

    async def connect(self, key: Key, spec: ConnectionSpec) -> ClusterConnection:
        """The connection of exactly this kind; one by another way is closed.

        Raises `AccessError` for unusable certificates.
        """
        connection, before = self._pool.connect(key, spec.digest, lambda: self._made(spec))
        if before is not None:
            # Those that it would have told of changes have to turn to the new one.
            before.wake_all()
        return connection

    def leave(self, namespace: str, uid: str) -> None:
        """A Machine is gone, of whichever cluster; the last of a cluster closes the connection."""
        for key, connection in self._pool:
            if key[0] != namespace:
                continue
            connection.forget(uid)
            if not connection.used:
                self._pool.drop(key)

    async def close(self) -> None:
        """Closes all."""
        await self._pool.close()

    def _made(self, spec: ConnectionSpec) -> ClusterConnection:
        availability = Availability(asyncio.get_running_loop().time, self._timings)
        kube = Kube(
            spec.access,
            field_manager=FIELD_MANAGER,
            timeout=self._timeout,
            observer=availability.observe,
            limits=TENANT,
            closed=spec.closed,
        )
        return ClusterConnection(spec.digest, kube, availability)


async def read_node(kube: Kube, name: str) -> NodeView | None:
    """A Node as the API server has it now, however late the watch may be. Raises `KubeError`."""
    found = await kube.get(kinds.NODE, name)
    return nodes.view(found) if found is not None else None
