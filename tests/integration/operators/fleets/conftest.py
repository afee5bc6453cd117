"""FleetUpgrades at work on a real API server; what the operator makes of each Cluster is acted out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from e2e.polling import eventually
from tests.ending import ended
from tests.integration.apiserver import ApiServer
from tests.integration.at_work import at_work, settings_in
from tests.integration.conftest import CRDS, install_crds

from kok.api import Cluster, FleetUpgrade
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.errors import Conflict, NotFound
from kok.kube.http.access import Access, from_kubeconfig
from kok.operators.cluster.fleetupgrade.reconcile import FleetUpgradeReconciler
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.reconciler import OperatorSpec
from kok.runtime.process.main import Process
from kok.versions.knowledge import Releases

LIMIT = 120.0
"""Seconds after which what a test waits for counts as not happening."""
CLUSTER, FLEET = Cluster.info.kind, FleetUpgrade.info.kind
OLD, NEW = "1.37.0", "1.37.1"


@pytest.fixture(scope="session")
def fleet_crds(api_server: ApiServer) -> None:
    """The kinds that a fleet is about."""
    asyncio.run(
        install_crds(api_server, [CRDS / f"{name}.yaml" for name in ("clusters", "fleetupgrades")])
    )


@asynccontextmanager
async def running(
    access: Access,
    *namespaces: str,
    releases: Callable[[], Releases] = Releases,
    wakeups: Wakeups | None = None,
    **settings: Any,
) -> AsyncIterator[Process]:
    """What looks after FleetUpgrades alone, in some namespaces, in this process."""
    spec = OperatorSpec("cluster", (FleetUpgradeReconciler(releases, wakeups or Wakeups()),))
    async with at_work([spec], settings_in(*namespaces, **settings), access) as process:
        yield process


@pytest.fixture
async def fleet_operator(
    api_server: ApiServer, fleet_crds: None, namespace: str
) -> AsyncIterator[Process]:
    """It looks after the test's namespace, which is its own as well."""
    async with running(from_kubeconfig(api_server.kubeconfig()), namespace) as one:
        yield one


class Actors:
    """Clusters do as they are raised, at once or as they are told."""

    def __init__(self, kube: Kube, *namespaces: str) -> None:
        self.kube = kube
        self.namespaces = namespaces
        self.hanging: set[str] = set()
        """Names of Clusters whose upgrades are blocked."""
        self.held: set[str] = set()
        """Names of Clusters whose upgrades take until they are let go."""
        self.raises: dict[str, list[Manifest]] = defaultdict(list)
        """What was found in `status.raised` of each, in its order."""
        self.most = 0
        """How many were under way at the same time at most."""
        self._under_way: set[str] = set()
        self._seen: dict[str, Manifest] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Actors:
        """Begins."""
        for namespace in self.namespaces:
            self._tasks.append(asyncio.create_task(self._watch(namespace)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends, and tells what went wrong."""
        for error in await ended(self._tasks):
            if error is not None:
                raise error

    async def let_go(self, *names: str) -> None:
        """What was held or hung goes on."""
        self.held -= set(names)
        self.hanging -= set(names)
        for live in list(self._seen.values()):
            if live["metadata"]["name"] in names:
                await self._act(live)

    async def _watch(self, namespace: str) -> None:
        async for event in self.kube.watch(CLUSTER, namespace):
            if event.type in {"ADDED", "MODIFIED"}:
                self._seen[event.object["metadata"]["uid"]] = event.object
                await self._act(event.object)

    async def _act(self, live: Manifest) -> None:
        meta, status = live["metadata"], live.get("status") or {}
        name, raised, upgrade = meta["name"], status.get("raised"), status.get("upgrade")
        if raised is None:
            return
        if raised not in self.raises[name]:
            self.raises[name].append(raised)
        runs = status.get("version")
        if runs == raised["to"] and upgrade is None:
            self._under_way.discard(name)
            return
        self._under_way.add(name)
        self.most = max(self.most, len(self._under_way))
        if upgrade is None:
            await self._write(live, {"upgrade": _upgrade(runs or OLD, raised["to"])})
        elif name in self.hanging:
            if not upgrade.get("blockedBy"):
                told = {**upgrade, "blockedBy": ["NodeSkew: node w1 is too old"]}
                await self._write(live, {"upgrade": told})
        elif name not in self.held:
            await self._write(live, {"upgrade": None, "version": raised["to"]})

    async def _write(self, live: Manifest, status: Manifest) -> None:
        meta = live["metadata"]
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": status}
        # Changed or deleted under our hands: the next event tells.
        with contextlib.suppress(Conflict, NotFound):
            await self.kube.patch(
                CLUSTER, meta["name"], meta["namespace"], patch, subresource="status"
            )


def _upgrade(now: str, to: str) -> Manifest:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "from": now,
        "to": to,
        "hop": to,
        "hopFrom": now,
        "step": "Preflight",
        "since": moment,
        "movedAt": moment,
    }


class Fleets:
    """Short ways to the objects of a test."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    async def clusters(self, *names: str, namespace: str | None = None, **spec: Any) -> None:
        """Makes Clusters that run the old version."""
        where = namespace or self.namespace
        for name in names:
            await self.kube.create(
                {
                    "apiVersion": CLUSTER.api_version,
                    "kind": CLUSTER.kind,
                    "metadata": {"name": name, "namespace": where},
                    "spec": {"version": OLD, "profile": "edge", **spec},
                }
            )
            ran = {"status": {"version": OLD}}
            await self.kube.patch(CLUSTER, name, where, ran, subresource="status")

    async def make(
        self, name: str = "patch", namespace: str | None = None, **spec: Any
    ) -> Manifest:
        """Makes a FleetUpgrade of all Clusters."""
        return await self.kube.create(
            {
                "apiVersion": FLEET.api_version,
                "kind": FLEET.kind,
                "metadata": {"name": name, "namespace": namespace or self.namespace},
                "spec": {"selector": {}, "target": {"version": NEW}, **spec},
            }
        )

    async def change(self, patch: Manifest, name: str = "patch") -> None:
        """Changes a FleetUpgrade."""
        await self.kube.patch(FLEET, name, self.namespace, patch)

    async def annotate(self, name: str = "patch", **annotations: str) -> None:
        """Sets `kok.dev/...` annotations."""
        told = {f"kok.dev/{key}": value for key, value in annotations.items()}
        await self.change({"metadata": {"annotations": told}}, name)

    async def cluster(self, name: str, namespace: str | None = None) -> Manifest:
        """One Cluster."""
        found = await self.kube.get(CLUSTER, name, namespace or self.namespace)
        assert found is not None
        return found

    async def until(
        self,
        holds: Callable[[FleetUpgrade], object],
        name: str = "patch",
        namespace: str | None = None,
    ) -> FleetUpgrade:
        """The FleetUpgrade as soon as `holds` does."""
        last: Manifest = {}
        watch = self.kube.watch(FLEET, namespace or self.namespace, fields={"metadata.name": name})
        try:
            async with asyncio.timeout(LIMIT), aclosing(watch) as events:
                async for event in events:
                    if event.type not in {"ADDED", "MODIFIED"}:
                        continue
                    last = event.object
                    if holds(found := FleetUpgrade.parse(last)):
                        return found
        except TimeoutError:
            raise AssertionError(f"it stayed as it is: {last.get('status')}") from None
        raise AssertionError("a watch never ends")

    async def until_raised(self, name: str) -> None:
        """As soon as a Cluster is raised, which its row says a moment before it is."""

        async def raised() -> bool:
            return bool((await self.cluster(name)).get("status", {}).get("raised"))

        await eventually(raised, LIMIT)

    async def until_phase(self, phase: str, name: str = "patch", **where: Any) -> FleetUpgrade:
        """The FleetUpgrade once it has that phase."""
        return await self.until(lambda fleet: fleet.status.phase == phase, name, **where)


def states(fleet: FleetUpgrade) -> dict[str, str]:
    """State of each Cluster by its name alone."""
    return {key.partition("/")[2]: row.state for key, row in fleet.status.table().items()}


@pytest.fixture
def fleets(kube: Kube, namespace: str, fleet_crds: None) -> Fleets:
    """Short ways to the namespace of the test."""
    return Fleets(kube, namespace)


@pytest.fixture
async def actors(kube: Kube, namespace: str, fleet_crds: None) -> AsyncIterator[Actors]:
    """Clusters of the test's namespace do as they are raised."""
    async with Actors(kube, namespace) as one:
        yield one
