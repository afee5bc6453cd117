"""One client for each business cluster, kept while it is used and its credentials hold."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from kok import pki
from kok.kube.client import Kube
from kok.kube.limits import TENANT
from kok.operators.cluster.business.watching import Watching
from kok.runtime.reconciler import Key

FIELD_MANAGER = "kok-cluster"
WORKING, ASKING = 6, 1
"""Connections to one business cluster at most: to work with (four of them watch), and to ask with
the users' kubeconfig."""
LINGER = 30.0
"""Seconds for which a replaced client stays open: passes of others may still be using it."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one business cluster; kubeconfigs as text."""

    internal: str = field(repr=False)
    """With the operator's own rights, by the address inside the meta cluster."""
    admin: str = field(repr=False)
    """What users get: proves that it works for them."""
    server: str | None = None
    """Where to go instead with the operator's own rights, if we run outside."""

    @property
    def working(self) -> str:
        """The kubeconfig with the operator's own rights; raises `PkiError` if it is none."""
        if self.server is None:
            return self.internal
        found = pki.parse_kubeconfig(self.internal)
        return pki.kubeconfig(
            found.cluster_name, self.server, found.ca_pem, found.user, found.credentials
        )

    @property
    def digest(self) -> str:
        """Changes with any of it."""
        return hashlib.sha256(f"{self.internal}\0{self.admin}\0{self.server}".encode()).hexdigest()


@dataclass(slots=True)
class Checked:
    """A set of objects that was found as intended."""

    digest: str
    at: float
    """Monotonic seconds."""


class Tenant:
    """One business cluster as this process knows it; all of it can be found out again."""

    def __init__(self, digest: str, kube: Kube, admin: Kube) -> None:
        """`kube` works with the operator's rights, `admin` with the users' kubeconfig."""
        self.digest = digest
        self.kube = kube
        self.admin = admin
        self.watching: Watching | None = None
        self.bootstrapped: Checked | None = None
        self.resolved: tuple[float, tuple[str, ...]] | None = None
        """When the endpoint's name was resolved (monotonic), and to which addresses."""

    def watch(self, on_nodes: Callable[[], None], on_object: Callable[[str], None]) -> None:
        """Starts to follow nodes and addons' objects, if that is not done yet.

        `on_object` gets the name of the Addon whose object changed.
        """
        if self.watching is None:
            self.watching = Watching(self.kube, on_nodes, on_object)

    async def close(self) -> None:
        """Ends watches and connections."""
        if self.watching is not None:
            await self.watching.close()
        await self.kube.close()
        await self.admin.close()


class Tenants:
    """All business clusters that this process is connected to."""

    def __init__(self, limit: int, timeout: float) -> None:
        """`limit`: how many at most; `timeout`: seconds for one request."""
        self._limit = limit
        self._timeout = timeout
        self._open: OrderedDict[Key, Tenant] = OrderedDict()
        self._closing: dict[asyncio.Task[None], Tenant] = {}

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._open)

    def get(self, key: Key) -> Tenant | None:
        """A connected one."""
        tenant = self._open.get(key)
        if tenant is not None:
            self._open.move_to_end(key)
        return tenant

    async def connect(self, key: Key, access: Access) -> Tenant:
        """The Tenant for exactly this access; another one's connections are closed.

        Nothing is sent yet. Raises `AccessError` or `PkiError` for unusable kubeconfigs.
        """
        tenant = self.get(key)
        if tenant is not None and tenant.digest == access.digest:
            return tenant
        working = access.working
        self.drop(key)
        while len(self._open) >= self._limit:
            self.drop(next(iter(self._open)))
        kube = await self._client(working, WORKING)
        admin = await self._client(access.admin, ASKING)
        tenant = self._open[key] = Tenant(access.digest, kube, admin)
        return tenant

    async def _client(self, kubeconfig: str, connections: int) -> Kube:
        return await Kube.from_kubeconfig(
            kubeconfig,
            field_manager=FIELD_MANAGER,
            timeout=self._timeout,
            connections=connections,
            limits=TENANT,
        )

    def drop(self, key: Key) -> None:
        """The cluster is gone, or its access is another one."""
        tenant = self._open.pop(key, None)
        if tenant is not None:
            task = asyncio.create_task(_close_later(tenant), name=f"close {'/'.join(key)}")
            self._closing[task] = tenant
            task.add_done_callback(lambda done: self._closing.pop(done, None))

    async def close(self) -> None:
        """Closes all at once."""
        # A task that is cancelled before it began closes nothing, so all are closed here.
        closing = dict(self._closing)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        tenants = [*closing.values(), *self._open.values()]
        self._open.clear()
        await asyncio.gather(*(tenant.close() for tenant in tenants))


async def _close_later(tenant: Tenant) -> None:
    if tenant.watching is not None:
        await tenant.watching.close()
    await asyncio.sleep(LINGER)
    await tenant.close()
