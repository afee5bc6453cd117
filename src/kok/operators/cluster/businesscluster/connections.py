"""One client for each business cluster, kept while it is used and its credentials hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kok import pki
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.http.access import Access, AccessError
from kok.kube.objects.ownership import owned_by
from kok.operators.cluster.businesscluster.followed import FOLLOWED_MOST, FollowedKinds
from kok.operators.cluster.businesscluster.look import BusinessLook
from kok.operators.cluster.businesscluster.rbac import CLUSTER
from kok.operators.cluster.businesscluster.reach import ReachWatch
from kok.operators.cluster.businesscluster.watches import Watches
from kok.operators.cluster.endpoint import Endpoint
from kok.operators.cluster.naming import FIELD_MANAGER, KUBECONFIG
from kok.operators.cluster.settings import ClusterSettings
from kok.pki import Leaf
from kok.runtime.controller.reconciler import Key
from kok.workload.identity import Identity, Untrusted, identity_of
from kok.workload.pool import Pool

WORKING, ASKING = 5 + FOLLOWED_MOST, 1
"""Connections to one business cluster at most: to work with (all but two of them watch, once there is
that much to be followed), and to ask with the users' certificate."""


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """How to reach one business cluster, and as whom."""

    ours: Access
    """As the operator, by the address that suits where we run."""
    users: Access
    """As its admin, by the public address: proves that it works for its users."""
    digest: str
    """Changes with any of it."""
    closed: Sequence[str] = ()
    """Address ranges into which the public address must not lead."""


def connection_spec(
    ours: Identity, users: Identity, *, server: str, public: str, closed: Sequence[str] = ()
) -> ConnectionSpec:
    """The operator's identity at `server`, the admin's at `public`. Raises `AccessError`."""
    digest = ours.digest(users.digest(), server, public, *closed)
    return ConnectionSpec(ours.at(server), users.at(public), digest, closed)


@dataclass(slots=True)
class Checked:
    """A set of objects that was found as intended."""

    digest: str
    at: float
    """Monotonic seconds."""


class Connection:
    """One business cluster as this process knows it; all of it can be found out again."""

    def __init__(
        self, digest: str, kube: Kube, admin: Kube, again: Callable[[], Kube] | None = None
    ) -> None:
        """`kube` works with the operator's rights, `admin` asks with the users'.

        `again` makes another client like `kube`, with connections of its own.
        """
        self.digest = digest
        self.again = again
        self.kube = kube
        self.admin = admin
        self.watches: Watches | None = None
        self.followed = FollowedKinds(kube)
        self.reach: ReachWatch | None = None
        self.bootstrapped: Checked | None = None
        self.resolved: tuple[float, tuple[str, ...]] | None = None
        """When the endpoint's name was resolved (monotonic), and to which addresses."""
        self.looked: tuple[float, object, BusinessLook] | None = None
        """When it was last looked at before an upgrade (monotonic), for what, and what was seen."""
        self.replaced: float | None = None
        """When pods of its controller manager were last seen being replaced (monotonic)."""

    @property
    def excess(self) -> str | None:
        """What of its answers is more than is read or kept, as a sentence; None if nothing."""
        found = self.kube.excess or self.admin.excess
        if found is None and self.watches is not None:
            found = self.watches.excess
        return found

    def watch(
        self,
        on_nodes: Callable[[], None],
        on_rights: Callable[[], None],
        on_requests: Callable[[], None],
        on_reach: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts to follow nodes and what they ask for, our own rights, and what API servers reach
        inside.

        `on_rights` is called when somebody took from what operators may do.
        """

        def nodes_changed() -> None:
            on_nodes()
            if self.reach is not None:
                self.reach.stir()

        def doubt() -> None:
            self.bootstrapped = None
            on_rights()

        if self.watches is None:
            watches = Watches(self.kube, nodes_changed, doubt, on_requests)
            self.watches = watches
            self.reach = ReachWatch(self.kube, lambda: watches.nodes, on_reach)

    async def unfollow(self) -> None:
        """Ends watches."""
        if self.reach is not None:
            await self.reach.close()
        if self.watches is not None:
            await self.watches.close()
        await self.followed.close()

    async def close(self) -> None:
        """Ends watches and connections."""
        await self.unfollow()
        await self.kube.close()
        await self.admin.close()


class Connections:
    """All business clusters that this process is connected to."""

    def __init__(self, limit: int, timeout: float) -> None:
        """`limit`: how many at most; `timeout`: seconds for one request."""
        self._timeout = timeout
        self._pool: Pool[Connection] = Pool(limit)

    def __len__(self) -> int:
        """How many are connected."""
        return len(self._pool)

    def get(self, key: Key) -> Connection | None:
        """A connected one."""
        return self._pool.get(key)

    async def connect(self, key: Key, spec: ConnectionSpec) -> Connection:
        """The Connection for exactly this access; another one's connections are closed.

        Nothing is sent yet. Raises `AccessError` for unusable certificates.
        """

        def make() -> Connection:
            kube = self._client(spec, spec.ours, WORKING)
            return Connection(
                spec.digest,
                kube,
                self._client(spec, spec.users, ASKING),
                again=lambda: self._client(spec, spec.ours, ASKING),
            )

        return self._pool.connect(key, spec.digest, make)[0]

    def _client(self, spec: ConnectionSpec, access: Access, connections: int) -> Kube:
        public = access.server == spec.users.server
        return Kube(
            access,
            field_manager=FIELD_MANAGER,
            timeout=self._timeout,
            connections=connections,
            limits=TENANT,
            closed=spec.closed if public else (),
        )

    def drop(self, key: Key) -> None:
        """The cluster is gone, or its access is another one."""
        self._pool.drop(key)

    async def close(self) -> None:
        """Closes all at once."""
        await self._pool.close()


class UnusableCredentials(Exception):
    """A Secret does not hold what it should; the message says what is wrong."""


def operator_server(settings: ClusterSettings, cluster: Cluster, endpoint: Endpoint) -> str:
    """Where the operator itself reaches the API: known to KOK, whatever any Secret says."""
    return (
        names.internal_url(cluster.namespace, cluster.name) if settings.internal() else endpoint.url
    )


def closed_ranges(settings: ClusterSettings, cluster: Cluster) -> Sequence[str]:
    """Where the public address must not lead: a host of somebody's choice stands for anything.

    What KOK found out by itself, such as addresses of meta nodes, may well lie in such a range.
    """
    return settings.forbidden_ranges if cluster.spec.endpoint.host else ()


async def connect(
    connections: Connections,
    settings: ClusterSettings,
    cluster: Cluster,
    endpoint: Endpoint,
    *,
    admin: Manifest | None,
    operator: Manifest | None,
    fingerprint: str | None = None,
) -> Connection | None:
    """The Connection by the admin's and the operator's Secret; None if one is missing.

    `fingerprint` is that of the CA, by default the one that the status records. Raises `Unusable`.
    """
    if admin is None or operator is None:
        return None
    try:
        ours = identity_of(operator, cluster, fingerprint)
        users = Identity(ours.ca, _users_leaf(admin, cluster))
        server = operator_server(settings, cluster, endpoint)
        closed = closed_ranges(settings, cluster)
        found = connection_spec(ours, users, server=server, public=endpoint.url, closed=closed)
        return await connections.connect((cluster.namespace, cluster.name), found)
    except (Untrusted, AccessError) as error:
        raise UnusableCredentials(str(error)) from None


def _users_leaf(admin: Manifest, cluster: Cluster) -> Leaf:
    """Certificate and key of a kubeconfig; nothing else of it counts."""
    name = f"Secret {cluster.namespace}/{admin['metadata']['name']}"
    if not owned_by(admin, cluster):
        raise Untrusted(f"{name} does not belong to {cluster}; delete it, it is made anew")
    leaf = leaf_in_kubeconfig(admin)
    if leaf is None:
        raise Untrusted(f"{name} holds no kubeconfig with a client certificate")
    return leaf


async def reconnect(
    kube: Kube, connections: Connections, settings: ClusterSettings, cluster: Cluster
) -> Connection | None:
    """The Connection of a Cluster, connected if it is not; None where that is not possible.

    For those who cannot wait for a pass over the Cluster, which may be going. Raises `KubeError`.
    """
    found = connections.get((cluster.namespace, cluster.name))
    endpoint = Endpoint.parse(cluster.status.endpoint)
    if found is not None or endpoint is None:
        return found
    admin, operator = await asyncio.gather(
        *(
            kube.get(kinds.SECRET, secret, cluster.namespace)
            for secret in credential_secrets(cluster.name)
        )
    )
    try:
        return await connect(
            connections, settings, cluster, endpoint, admin=admin, operator=operator
        )
    except UnusableCredentials:
        return None


def leaf_in_kubeconfig(live: Manifest | None) -> pki.Leaf | None:
    """The client certificate inside a kubeconfig Secret; None if it cannot be read."""
    text = pki.decode(live, KUBECONFIG)
    return pki.leaf_within(text) if text else None


def credential_secrets(cluster: str) -> tuple[str, str]:
    """The Secrets of the admin and of the operator."""
    return names.admin_kubeconfig_secret(cluster), names.operator_secret(cluster, CLUSTER)
