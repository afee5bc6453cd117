"""The operator dies behind any write of an Addon, and the next one goes on: nothing is left behind."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.operators.cluster.addons.test_holders import namespace_of
from tests.integration.operators.cluster.addons.test_objects import (
    GROUP,
    THING,
    an_object,
    config,
    definition,
    text,
)
from tests.integration.operators.cluster.conftest import (
    ADDON,
    MortalClusters,
    Workspace,
    condition,
    usable,
)
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import Access
from kok.operators.cluster.addon.bundle import BundleRenderer
from kok.operators.cluster.addon.reconcile import AddonReconciler
from kok.operators.cluster.businesscluster.connections import Connections, ConnectionSpec
from kok.operators.cluster.cluster.reconcile import ClusterReconciler
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.reconciler import Reconciler
from kok.runtime.sandbox.pool import SandboxPool

FIRST = (
    namespace_of("ours"),
    namespace_of("theirs"),
    definition("things", "Thing"),
    an_object(f"{GROUP}/v1", "Thing", "one"),
    config("first", a="1"),
    config("second", "1", a="1"),
)
SECOND = (namespace_of("ours"), config("first", a="2"), config("third", "2", a="2"))


class CountedConnections(Connections):
    """Writes into business clusters are writes of the operator, too."""

    def __init__(self, mortal: MortalAddons) -> None:
        super().__init__(9, 30.0)
        self._mortal = mortal

    def _client(self, spec: ConnectionSpec, access: Access, connections: int) -> Kube:
        kube = super()._client(spec, access, connections)
        return kube.guarded(lambda method, path: self._mortal.spend(f"{method} {path}"))


class MortalAddons(MortalClusters):
    """The same operator, whose writes into business clusters count.

    All its lives render in the same processes: those of a new one take seconds to start, and nothing
    is kept in them.
    """

    def __init__(self, *args: Any, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._sandboxes = SandboxPool()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Sequence[Reconciler[Any]]]:
        settings, wakeups = ClusterSettings(business_api="public"), Wakeups()
        connections = CountedConnections(self)
        try:
            yield (
                ClusterReconciler(settings, connections, wakeups),
                AddonReconciler(settings, connections, wakeups, BundleRenderer(self._sandboxes)),
            )
        finally:
            await connections.close()


def as_wanted(addon: Manifest) -> bool:
    fits = (addon.get("status") or {}).get("observedGeneration") == addon["metadata"]["generation"]
    return fits and condition(addon).get("reason") == "AsWanted"


def one_each() -> Iterator[int]:
    return itertools.repeat(1)


async def test_an_addon_comes_changes_and_goes_whenever_its_operator_dies(
    workspace: Workspace, kube: Kube, namespace: str, standin: StandIn
) -> None:
    mortal = MortalAddons(kube, namespace)
    off = [{"name": name, "enabled": False} for name in ("coredns", "kube-proxy", "flannel")]
    await workspace.make(addons=off)
    await workspace.patch({"metadata": {"finalizers": [mortal.finalizer]}})
    await mortal.work(usable)
    async with workspace.business() as admin:

        async def names() -> set[str]:
            found = await admin.list(kinds.CONFIGMAP, "default", labels="kok.dev/addon")
            return {m["metadata"]["name"] for m in found}

        await admin.create(namespace_of("theirs"))
        mortal.lives = one_each()
        await workspace.addon("app", text(*FIRST))
        await mortal.work(as_wanted, ADDON, "app")
        assert await names() == {"first", "second"}
        assert await admin.get(THING, "one", "default")

        await workspace.patch({"spec": {"source": {"inline": text(*SECOND)}}}, "app", ADDON)
        await mortal.work(as_wanted, ADDON, "app")
        assert await names() == {"first", "third"}
        found = await workspace.there(ADDON, "app")
        assert {one["name"] for one in found["status"]["inventory"]} == {"ours", "first", "third"}
        await mortal.quiet()

        # Removed while half of it is applied: what was recorded goes, whatever had been made.
        mortal.lives = one_each()
        await workspace.patch({"spec": {"source": {"inline": text(*FIRST)}}}, "app", ADDON)
        for _ in range(3):
            await mortal.live()
        await workspace.delete(ADDON, "app")
        await mortal.work(lambda addon: not addon, ADDON, "app")
        assert await names() == set()
        crd = await admin.get(kinds.CUSTOMRESOURCEDEFINITION, f"things.{GROUP}")
        assert crd is None or crd["metadata"]["deletionTimestamp"]
        ours = await admin.get(kinds.NAMESPACE, "ours")
        assert ours is None or ours["metadata"]["deletionTimestamp"]
        theirs = await admin.get(kinds.NAMESPACE, "theirs")
        assert theirs is not None
        assert "deletionTimestamp" not in theirs["metadata"]
        assert "kok" not in str(theirs["metadata"])
    killed = {point.rpartition(" before ")[2].split(" ")[0] for point in mortal.points}
    assert {"PATCH", "DELETE"} <= killed, mortal.points
    assert len(mortal.points) > 10
