"""The cluster operator at work on a real API server; control planes are real processes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from e2e.polling import eventually
from tests.integration.apiserver import ApiServer
from tests.integration.at_work import at_work, settings_in
from tests.integration.conftest import CRDS, PATIENCE, install_crds
from tests.integration.killing import Mortal
from tests.integration.operators.cluster.standin import StandIn, own_address

from kok.api import Addon, Cluster
from kok.api.meta import Kind, Manifest
from kok.api.names import admin_kubeconfig_secret
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists
from kok.kube.http.access import from_kubeconfig
from kok.operators.cluster import operator
from kok.operators.cluster.addon.bundle import BundleRenderer
from kok.operators.cluster.addon.reconcile import AddonReconciler
from kok.operators.cluster.businesscluster.connections import Connections
from kok.operators.cluster.cluster.reconcile import ClusterReconciler
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.reconciler import Reconciler
from kok.runtime.process.main import Process
from kok.runtime.sandbox.pool import SandboxPool

LIMIT = 240.0
"""Seconds after which what a test waits for counts as not happening."""
CLUSTER, ADDON = Cluster.info.kind, Addon.info.kind


def condition(manifest: Manifest | None, type_: str = "Ready") -> dict[str, Any]:
    """One condition, or an empty mapping."""
    conditions = ((manifest or {}).get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == type_), {})


def usable(cluster: Manifest | None) -> bool:
    """Whether it can be used, and nothing is under way by which that could end for a moment."""
    ready, moving = condition(cluster), condition(cluster, "Progressing")
    return (ready.get("status"), moving.get("status")) == ("True", "False")


@pytest.fixture(scope="session")
def cluster_crds(api_server: ApiServer) -> None:
    """The kinds of the cluster operator, and a meta node with this machine's address."""
    needed = (
        "clusters",
        "addons",
        "etcdclusters",
        "etcdbackups",
        "fleetupgrades",
        "machines",
    )
    files = [CRDS / f"{name}.yaml" for name in needed]
    asyncio.run(install_crds(api_server, files))
    asyncio.run(_meta_node(api_server))


async def _meta_node(api_server: ApiServer) -> None:
    status = {
        "addresses": [{"type": "InternalIP", "address": own_address()}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "meta-1"}}
    async with await Kube.from_kubeconfig(
        api_server.kubeconfig(), field_manager="setup", timeout=PATIENCE
    ) as kube:
        with contextlib.suppress(AlreadyExists):
            await kube.create(node)
        await kube.patch(kinds.NODE, "meta-1", None, {"status": status}, subresource="status")


@asynccontextmanager
async def running(
    api_server: ApiServer, *namespaces: str, **settings: Any
) -> AsyncIterator[Process]:
    """The cluster operator at work in some namespaces, in this process."""
    wanted = settings_in(*namespaces, **settings)
    access = from_kubeconfig(api_server.kubeconfig())
    async with at_work([operator(wanted)], wanted, access) as process:
        yield process


@pytest.fixture
async def standin(kube: Kube, namespace: str, cluster_crds: None) -> AsyncIterator[StandIn]:
    """Control planes come to life."""
    async with StandIn(kube, namespace) as one:
        yield one


@pytest.fixture
async def cluster_operator(
    api_server: ApiServer, cluster_crds: None, namespace: str
) -> AsyncIterator[Process]:
    """The cluster operator at work in the test's namespace."""
    async with running(api_server, namespace) as one:
        yield one


class Workspace:
    """Short ways to the test's namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    async def make(self, name: str = "shop", **spec: Any) -> Manifest:
        """Creates a Cluster, small by default."""
        return await self.kube.create(
            {
                "apiVersion": CLUSTER.api_version,
                "kind": CLUSTER.kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"version": "1.37.1", "profile": "edge", **spec},
            }
        )

    async def addon(self, name: str, text: str, cluster: str = "shop", **spec: Any) -> Manifest:
        """Creates an Addon of a user's own."""
        return await self.kube.create(
            {
                "apiVersion": ADDON.api_version,
                "kind": ADDON.kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"cluster": cluster, "source": {"inline": text}, **spec},
            }
        )

    async def get(self, kind: Kind, name: str) -> Manifest | None:
        """One object."""
        return await self.kube.get(kind, name, self.namespace)

    async def there(self, kind: Kind, name: str) -> Manifest:
        """One object that must exist."""
        found = await self.get(kind, name)
        assert found is not None, f"{kind.kind} {name} does not exist"
        return found

    async def patch(self, patch: dict[str, Any], name: str = "shop", kind: Kind = CLUSTER) -> None:
        """Changes an object."""
        await self.kube.patch(kind, name, self.namespace, patch)

    async def delete(self, kind: Kind, name: str) -> None:
        """Deletes an object, without waiting."""
        await self.kube.delete(kind, name, self.namespace)

    async def until(
        self, holds: Callable[[Manifest | None], object], name: str = "shop", kind: Kind = CLUSTER
    ) -> Manifest:
        """The object as soon as `holds` does; it is None while there is no such object."""
        last: Manifest | None = None
        try:
            watch = self.kube.watch(kind, self.namespace, fields={"metadata.name": name})
            async with asyncio.timeout(LIMIT), aclosing(watch) as events:
                async for event in events:
                    if event.type in {"ADDED", "MODIFIED"}:
                        last = event.object
                    elif event.type == "DELETED":
                        last = None
                    if (event.type != "SYNCED" or last is None) and holds(last):
                        return last or {}
        except TimeoutError:
            raise AssertionError(f"{kind.kind} {name} stayed as it is: {last}") from None
        raise AssertionError("a watch never ends")

    async def until_reason(
        self, reason: str, name: str = "shop", type_: str = "Ready", kind: Kind = CLUSTER
    ) -> Manifest:
        """The object once a condition has that reason."""
        return await self.until(lambda m: condition(m, type_).get("reason") == reason, name, kind)

    async def until_ready(self, name: str = "shop") -> Manifest:
        """The Cluster once it can be used."""
        return await self.until(usable, name)

    async def until_gone(self, name: str = "shop", kind: Kind = CLUSTER) -> None:
        """Returns once the object is gone."""
        await self.until(lambda m: m is None, name, kind)

    @asynccontextmanager
    async def business(self, name: str = "shop") -> AsyncIterator[Kube]:
        """A client of the business cluster, by its admin kubeconfig."""
        secret = await self.there(kinds.SECRET, admin_kubeconfig_secret(name))
        text = base64.b64decode(secret["data"]["kubeconfig"]).decode()
        async with await Kube.from_kubeconfig(
            text, field_manager="user", timeout=PATIENCE
        ) as client:
            yield client


@pytest.fixture
def workspace(kube: Kube, namespace: str) -> Workspace:
    """Short ways to the namespace of the test."""
    return Workspace(kube, namespace)


async def soon(check: Callable[[], Any]) -> Any:
    """What an asynchronous check gives once it is true; for what cannot be watched here."""
    return await eventually(check, LIMIT)


class MortalClusters(Mortal):
    """Looks after Cluster `shop` and its Addons, and remembers which operations it saw."""

    operator, kind = "cluster", CLUSTER

    def __init__(self, kube: Kube, namespace: str) -> None:
        super().__init__(kube, namespace, itertools.repeat(10_000), "shop")
        self.operations: dict[str, set[str]] = defaultdict(set)
        """When each type of operation was begun."""
        self.steps: list[str] = []

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Sequence[Reconciler[Any]]]:
        """With connections of its own, which end with it."""
        settings, wakeups = ClusterSettings(business_api="public"), Wakeups()
        connections = Connections(9, 30.0)
        try:
            yield (
                ClusterReconciler(settings, connections, wakeups),
                AddonReconciler(settings, connections, wakeups, BundleRenderer(SandboxPool())),
            )
        finally:
            await connections.close()

    def doing(self, found: Manifest) -> str:
        """Each operation is begun once, whoever goes on with it."""
        operation = (found.get("status") or {}).get("operation")
        if operation is not None:
            self.operations[operation["type"]].add(operation["since"])
        upgrade = (found.get("status") or {}).get("upgrade")
        if upgrade is not None:
            self.operations["Upgrade"].add(upgrade["since"])
            said = f"Upgrade {upgrade['step']}"
        else:
            said = super().doing(found)
        if said not in self.steps[-1:]:
            self.steps.append(said)
        return said
