"""What a pass costs that has nothing to do, in a real business cluster."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.addons.test_objects import config, text
from tests.integration.operators.cluster.conftest import (
    ADDON,
    LIMIT,
    Workspace,
    condition,
    running,
)
from tests.integration.operators.cluster.standin import StandIn

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.operators.cluster.addon.bundle import BundleRenderer
from kok.operators.cluster.addon.reconcile import AddonReconciler
from kok.operators.cluster.businesscluster.connections import Connections
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.clock import SystemClock
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.sandbox.pool import KEPT_EACH, SandboxPool
from kok.runtime.sandbox.process import run_limited
from kok.runtime.settings import Settings

FINALIZER = "kok.dev/cluster-operator"
CHEAP = 0.03
"""Seconds of a processor's time."""


class Bench:
    """Passes over the Addons of a namespace, with all that they do counted."""

    def __init__(self, kube: Kube, connections: Connections, namespace: str) -> None:
        self.rendered = 0
        self.writes: list[str] = []
        self._namespace = namespace
        wakeups, settings = Wakeups(), ClusterSettings(business_api="public")
        bundles = BundleRenderer(SandboxPool(run=self._render))
        reconciler = AddonReconciler(settings, connections, wakeups, bundles)
        counted = kube.guarded(lambda method, path: self.writes.append(f"{method} {path}"))
        clock = SystemClock()
        recorder = Recorder(counted, "test", clock.now)
        tools = Tools("cluster", FINALIZER, counted, recorder, clock, Settings())
        self._passes = Passes(reconciler, tools)

    async def _render(self, *given: Any) -> Any:
        self.rendered += 1
        return await run_limited(*given)

    async def once(self, name: str) -> float:
        """Seconds of this process in one pass."""
        self.writes.clear()
        began = time.process_time()
        await self._passes.reconcile((self._namespace, name), 0)
        return time.process_time() - began

    async def until_at_rest(self, name: str) -> None:
        """Passes until two in a row render and write nothing."""
        async with asyncio.timeout(LIMIT):
            quiet = 0
            while quiet < 2:
                before = self.rendered
                await self.once(name)
                quiet = quiet + 1 if self.rendered == before and not self.writes else 0
                # Watches have a turn.
                await asyncio.sleep(0.2)


@asynccontextmanager
async def bench(kube: Kube, namespace: str) -> AsyncIterator[Bench]:
    connections = Connections(9, 30.0)
    try:
        yield Bench(kube, connections, namespace)
    finally:
        await connections.close()


async def test_what_is_as_it_should_be_is_neither_rendered_nor_written(
    workspace: Workspace, kube: Kube, api_server: ApiServer, namespace: str, standin: StandIn
) -> None:
    # More than is remembered of what a rendering came to, as many charts are.
    large = [config(f"part-{n}", text="{{ 'x' * 100_000 }}") for n in range(4)]
    assert len(large) * 100_000 > KEPT_EACH
    async with running(api_server, namespace):
        await workspace.make()
        await workspace.until_ready()
        await workspace.addon("large", text(*large))
        await workspace.until_reason("AsWanted", "large", kind=ADDON)
    async with bench(kube, namespace) as on, workspace.business() as admin:
        for name in ("large", "shop-coredns"):
            await on.until_at_rest(name)
            rendered = on.rendered
            costs = [await on.once(name) for _ in range(10)]
            assert on.rendered == rendered
            assert on.writes == []
            assert statistics.median(costs) < CHEAP, (name, costs)

        # Another content is rendered, and what somebody changes is put right.
        await workspace.patch({"spec": {"source": {"inline": text(*large[:2])}}}, "large", ADDON)
        await on.until_at_rest("large")
        found = await workspace.there(ADDON, "large")
        assert found["status"]["objects"] == 2
        assert condition(found)["reason"] == "AsWanted"
        await admin.patch(kinds.CONFIGMAP, "part-0", "default", {"data": {"text": "edited"}})
        await on.until_at_rest("large")
        live = await admin.get(kinds.CONFIGMAP, "part-0", "default")
        assert live is not None
        assert live["data"] == {"text": "x" * 100_000}
