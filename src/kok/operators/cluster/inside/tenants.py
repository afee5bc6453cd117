"""One client for each business cluster, kept while it is used and its credentials hold."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.http.access import Access
from kok.operators.cluster.inside.watches import Watching
from kok.operators.cluster.naming import FIELD_MANAGER
from kok.runtime.controller.reconciler import Key
from kok.workload.deferred_close import Lingering
from kok.workload.identity import Identity

WORKING, ASKING = 8, 1
"""Connections to one business cluster at most: to work with (six of them watch), and to ask with
the users' certificate."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach one business cluster, and as whom."""

    ours: Access
    """As the operator, by the address that suits where we run."""
    users: Access
    """As its admin, by the public address: proves that it works for its users."""
    digest: str
    """Changes with any of it."""
    closed: Sequence[str] = ()
    """Address ranges into which the public address must not lead."""


def way(
    ours: Identity, users: Identity, *, server: str, public: str, closed: Sequence[str] = ()
) -> Way:
    """The operator's identity at `server`, the admin's at `public`. Raises `AccessError`."""
    digest = ours.digest(users.digest(), server, public, *closed)
    return Way(ours.at(server), users.at(public), digest, closed)


@dataclass(slots=True)
class Checked:
    """A set of objects that was found as intended."""

    digest: str
    at: float
    """Monotonic seconds."""


class Tenant:
    """One business cluster as this process knows it; all of it can be found out again."""

    def __init__(self, digest: str, kube: Kube, admin: Kube) -> None:
        """`kube` works with the operator's rights, `admin` asks with the users'."""
        self.digest = digest
        self.kube = kube
        self.admin = admin
        self.watching: Watching | None = None
        self.bootstrapped: Checked | None = None
        self.resolved: tuple[float, tuple[str, ...]] | None = None
        """When the endpoint's name was resolved (monotonic), and to which addresses."""

    @property
    def excess(self) -> str | None:
        """What of its answers is more than is read or kept, as a sentence; None if nothing."""
        found = self.kube.excess or self.admin.excess
        if found is None and self.watching is not None:
            found = self.watching.excess
        return found

    def watch(
        self,
        on_nodes: Callable[[], None],
        on_object: Callable[[str], None],
        on_rights: Callable[[], None],
        on_requests: Callable[[], None],
    ) -> None:
        """Starts to follow nodes and what they ask for, addons' objects and our own rights.

        `on_object` gets the name of the Addon whose object changed; `on_rights` is called when
        somebody took from what operators may do.
        """

        def doubt() -> None:
            self.bootstrapped = None
            on_rights()

        if self.watching is None:
            self.watching = Watching(self.kube, on_nodes, on_object, doubt, on_requests)

    async def unwatch(self) -> None:
        """Ends watches."""
        if self.watching is not None:
            await self.watching.close()

    async def close(self) -> None:
        """Ends watches and connections."""
        await self.unwatch()
        await self.kube.close()
        await self.admin.close()


class Tenants:
    """All business clusters that this process is connected to."""

    def __init__(self, limit: int, timeout: float) -> None:
        """`limit`: how many at most; `timeout`: seconds for one request."""
        self._limit = limit
        self._timeout = timeout
        self._open: OrderedDict[Key, Tenant] = OrderedDict()
        self._lingering = Lingering()

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._open)

    def get(self, key: Key) -> Tenant | None:
        """A connected one."""
        tenant = self._open.get(key)
        if tenant is not None:
            self._open.move_to_end(key)
        return tenant

    async def connect(self, key: Key, way_: Way) -> Tenant:
        """The Tenant for exactly this way; another one's connections are closed.

        Nothing is sent yet. Raises `AccessError` for unusable certificates.
        """
        tenant = self.get(key)
        if tenant is not None and tenant.digest == way_.digest:
            return tenant
        self.drop(key)
        while len(self._open) >= self._limit:
            self.drop(next(iter(self._open)))
        kube = self._client(way_, way_.ours, WORKING)
        admin = self._client(way_, way_.users, ASKING)
        tenant = self._open[key] = Tenant(way_.digest, kube, admin)
        return tenant

    def _client(self, way_: Way, access: Access, connections: int) -> Kube:
        public = access.server == way_.users.server
        return Kube(
            access,
            field_manager=FIELD_MANAGER,
            timeout=self._timeout,
            connections=connections,
            limits=TENANT,
            closed=way_.closed if public else (),
        )

    def drop(self, key: Key) -> None:
        """The cluster is gone, or its access is another one."""
        tenant = self._open.pop(key, None)
        if tenant is not None:
            self._lingering.add(key, tenant.unwatch, tenant.close)

    async def close(self) -> None:
        """Closes all at once."""
        tenants = list(self._open.values())
        self._open.clear()
        await asyncio.gather(self._lingering.close(), *(tenant.close() for tenant in tenants))
