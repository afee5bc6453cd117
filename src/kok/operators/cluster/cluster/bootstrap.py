"""The steps of a pass over a Cluster that work inside the business cluster."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from kok import pki
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.apply.serverside import intent_hash
from kok.kube.errors import Forbidden, KubeError, NotFound
from kok.operators.cluster import reasons
from kok.operators.cluster.businesscluster import rbac
from kok.operators.cluster.businesscluster.apply import Refused, apply_all
from kok.operators.cluster.businesscluster.connections import (
    Checked,
    Connection,
    Connections,
    UnusableCredentials,
    closed_ranges,
    connect,
    credential_secrets,
    operator_server,
)
from kok.operators.cluster.businesscluster.reachability import Reachability, probe, resolve
from kok.operators.cluster.businesscluster.unmanaged_nodes import handle_requests
from kok.operators.cluster.cluster.controlplane import ControlPlane
from kok.operators.cluster.cluster.decide import running_version
from kok.operators.cluster.cluster.outcome import BootstrapState, ClusterOutcome
from kok.operators.cluster.cluster.render import bootstrap
from kok.operators.cluster.endpoint import (
    Endpoint,
    family_missing,
    known_addresses,
    leads_to_nodes,
    slice_addresses,
)
from kok.operators.cluster.naming import API_SERVER, FIELD_MANAGER
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.reconciler import Pass
from kok.workload.identity import Untrusted, identity_of

RESOLVED_FOR = 60.0
"""Seconds for which the addresses behind a name are taken for granted."""
KUBELETS_MOST = 16
"""Versions of kubelets that are counted."""
HEED_AFTER, HEEDED = 0.1, 20
"""Seconds between two tries to use new rights, and how many there are."""


class Bootstrapper:
    """One pass's work on one business cluster; `probe`, `apply` and `confirm`, in this order."""

    def __init__(
        self,
        p: Pass[Cluster],
        found: ClusterOutcome,
        *,
        settings: ClusterSettings,
        connections: Connections,
        wakeups: Wakeups,
    ) -> None:
        """What comes of it is put into `found`."""
        self._found = found
        self._p = p
        self._key = (p.obj.namespace, p.obj.name)
        self._settings = settings
        self._connections = connections
        self._wakeups = wakeups
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection | None:
        """The way in, once `probe` has found one."""
        return self._connection

    async def probe(self) -> None:
        """Asks the API through its public address, if a server is ready to answer."""
        server = self._found.view.running(self._p.obj.name, API_SERVER)
        if server is None or server.ready < 1:
            return
        self._connection = await self._connect()
        if self._connection is not None:
            answered = self._p.obj.status.is_true(reasons.ENDPOINT_REACHABLE)
            self._found.reach = await probe(self._connection.admin, tries=3 if answered else 1)
            if self._found.reach.outcome != "ok":
                # Who knows what else is missing: an etcd may have lost its data.
                self._connection.bootstrapped = None
            self._count_nodes()

    async def apply(self, plane: ControlPlane) -> None:
        """Applies the bootstrap objects, or compares them with what they should be when due."""
        reach, connection = self._found.reach, self._connection
        if connection is None or reach is None or not reach.answers:
            return
        inputs = await self._inputs(plane, connection)
        if inputs is None:
            return
        wanted = bootstrap.objects(inputs)
        digest = intent_hash({"objects": wanted})
        known = connection.bootstrapped
        now = self._p.clock.monotonic()
        was = self._p.obj.status.is_true(reasons.BOOTSTRAP_READY)
        if not (known and known.digest == digest and now - known.at < self._settings.recheck):
            self._found.bootstrap = await self._apply(plane, connection, wanted, fresh=not was)
            connection.bootstrapped = Checked(digest, now) if self._found.bootstrap.done else None
        else:
            self._found.bootstrap = _DONE
        if self._found.bootstrap.done and inputs.problem:
            self._found.bootstrap = BootstrapState(False, reasons.FAMILY_MISSING, inputs.problem)

    async def confirm(self) -> None:
        """Once the rights are there: are they enough? From then on the cluster is followed."""
        connection, bootstrapped = self._connection, self._found.bootstrap
        if connection is None or bootstrapped is None or connection.bootstrapped is None:
            return
        if self._found.reach is not None and self._found.reach.outcome == "forbidden":
            self._found.reach = await probe(connection.admin)
        if connection.watches is None:
            connection.watch(
                self._on_nodes,
                self._p.wake,
                self._p.wake,
                self._p.wake,
            )
            self._wakeups.wake_addons(self._key)
        self._count_nodes()
        if connection.watches is not None:
            meta = self._found.view.meta_ranges
            self._found.unmanaged = await handle_requests(
                self._p, connection, connection.watches, meta
            )

    def _on_nodes(self) -> None:
        """Addons' pods wait for nodes, and the status counts them."""
        self._p.wake()
        self._wakeups.wake_addons(self._key)

    def _count_nodes(self) -> None:
        if self._connection is not None and self._connection.watches is not None:
            self._found.nodes = self._connection.watches.nodes
            self._found.kubelets = _counted(self._connection.watches.kubelets)
        if self._connection is not None and self._connection.reach is not None:
            self._found.inside = self._connection.reach.found
        if self._connection is not None:
            self._found.excess = self._connection.excess

    async def _connect(self) -> Connection | None:
        cluster, endpoint = self._p.obj, self._found.endpoint
        if not isinstance(endpoint, Endpoint):
            return None
        admin, operator = (
            self._found.view.get(kinds.SECRET, name) for name in credential_secrets(cluster.name)
        )
        try:
            return await connect(
                self._connections,
                self._settings,
                cluster,
                endpoint,
                admin=admin,
                operator=operator,
                fingerprint=self._found.fingerprints.get(names.cluster_ca_secret(cluster.name)),
            )
        except UnusableCredentials as error:
            # Edited by hand while its CA is refused: otherwise it would have been made anew.
            self._found.reach = Reachability("unauthorized", str(error))
            return None

    async def _inputs(
        self, plane: ControlPlane, connection: Connection
    ) -> bootstrap.BootstrapInputs | None:
        endpoint, ca = self._found.endpoint, _trusted(plane)
        if not isinstance(endpoint, Endpoint) or ca is None:
            return None
        cluster = self._p.obj
        found = () if leads_to_nodes(cluster) else await self._resolve(connection, endpoint.host)
        return bootstrap.BootstrapInputs(
            plane.resolved,
            running_version(cluster, self._found.view) or cluster.spec.version,
            endpoint,
            ca,
            slice_addresses(cluster, self._found.view.nodes, found),
            family_missing(cluster, found or known_addresses(cluster, self._found.view.nodes)),
        )

    async def _apply(
        self, plane: ControlPlane, connection: Connection, wanted: list[Manifest], *, fresh: bool
    ) -> BootstrapState:
        """Brings the objects, and first the rights to do so where they are not there."""
        try:
            if fresh:
                await self._grant(plane)
            refused = await apply_all(connection.kube, wanted, fresh=fresh)
            if _forbidden(refused) and not fresh:
                await self._grant(plane)
            tries = HEEDED
            while _forbidden(refused) and tries:
                # Bindings are heeded a moment after they were made.
                await self._p.clock.wait(asyncio.Event(), HEED_AFTER)
                refused = await apply_all(connection.kube, wanted, fresh=fresh)
                tries -= 1
        except (KubeError, pki.PkiError) as error:
            text = f"{connection.kube.server}: {error}"
            return BootstrapState(False, reasons.UNREACHABLE, text)
        return _verdict(connection, refused, fresh=fresh)

    async def _grant(self, plane: ControlPlane) -> None:
        """Puts the operators' rights in place; not while the CA is refused.

        What is refused shows in what comes after it.
        """
        endpoint, ca = self._found.endpoint, plane.keys.ca
        if ca is None or not isinstance(endpoint, Endpoint):
            return
        server = operator_server(self._settings, self._p.obj, endpoint)
        refused = await rbac.grant(
            rbac.root_access(ca, server, self._p.now),
            field_manager=FIELD_MANAGER,
            timeout=self._settings.business_timeout,
            closed=closed_ranges(self._settings, self._p.obj) if server == endpoint.url else (),
        )
        if refused:
            self._p.log.info("rights of operators refused", error=str(refused[0]))

    async def _resolve(self, connection: Connection, host: str) -> tuple[str, ...]:
        now = self._p.clock.monotonic()
        if connection.resolved is None or now - connection.resolved[0] > RESOLVED_FOR:
            found = await resolve(host)
            # A name server that fails now does not take away what it said before.
            connection.resolved = (
                now,
                found or (connection.resolved[1] if connection.resolved else ()),
            )
        return connection.resolved[1]


_DONE = BootstrapState(True, reasons.AS_WANTED, "all objects for joining nodes are applied")


def _verdict(connection: Connection, refused: Sequence[Refused], *, fresh: bool) -> BootstrapState:
    if not refused:
        return _DONE
    # A young API server makes its namespaces and roles a moment after it began to answer.
    passing = NotFound | Forbidden if fresh else NotFound
    young = all(isinstance(r.error, passing) for r in refused)
    reason = reasons.CREATING if young else reasons.APPLY_FAILED
    return BootstrapState(False, reason, f"{connection.kube.server} refused {refused[0]}")


def _counted(versions: Iterable[str]) -> dict[str, int]:
    """How many there are of each version; of too many versions the commonest."""
    return dict(Counter(filter(None, versions)).most_common(KUBELETS_MOST))


def _forbidden(results: Sequence[Refused]) -> bool:
    return any(isinstance(r.error, Forbidden) for r in results)


def _trusted(plane: ControlPlane) -> bytes | None:
    """The CA to trust: the checked one, or the recorded one while another is refused."""
    if plane.keys.ca is not None:
        return plane.keys.ca.trust_pem
    cluster = plane.cluster
    operator = plane.view.get(kinds.SECRET, names.operator_secret(cluster.name, rbac.CLUSTER))
    try:
        return identity_of(operator, cluster).ca if operator is not None else None
    except Untrusted:
        return None
