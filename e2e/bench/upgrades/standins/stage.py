"""Where many Clusters are of which nothing runs: an API server, stand-ins for the rest, and the operator."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.bench.bare.control_plane import end, start
from e2e.bench.upgrades.many import Place, each, only_by_spec
from e2e.bench.upgrades.standins.meta import client, furnish, meta
from e2e.bench.upgrades.standins.operator import LEASES, Operator, operator
from e2e.fixtures.clusters import KIND as CLUSTER
from e2e.framework.install import CHECKOUT
from kok.api.meta import Manifest
from kok.kube.client import Kube

EACH = 10
"""Clusters in a namespace."""


@dataclass(frozen=True, slots=True)
class Stage:
    """All that runs, and where Clusters go."""

    kube: Kube
    running: Operator
    places: Sequence[Place]

    async def make(
        self, manifests: Callable[[str, str], Sequence[Manifest]], version: str, within: float
    ) -> float:
        """Creates what belongs to each Cluster; seconds until all are at that version."""
        began = time.monotonic()
        for some in few(self.places):
            for place in some:
                for one in manifests(*place):
                    await self.kube.create(one)
            await each(self.kube, some, only_by_spec(version), within)
        return time.monotonic() - began


@asynccontextmanager
async def staged(count: int) -> AsyncIterator[Stage]:
    """Ready for so many Clusters."""
    places = [(f"team-{n // EACH:02}", f"shop-{n % EACH}") for n in range(count)]
    with tempfile.TemporaryDirectory(prefix="kok-standins-") as folder:
        home = Path(folder)
        async with meta(home) as kubeconfig, await client(kubeconfig, "bench") as kube:
            await furnish(kube, [LEASES, *dict.fromkeys(namespace for namespace, _ in places)])
            async with _stand_ins(home, kubeconfig), operator(home, kubeconfig) as running:
                yield Stage(kube, running, places)


def few(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """Those of one namespace after another: what is not measured is to overload nothing."""
    for begin in range(0, len(places), EACH):
        yield places[begin : begin + EACH]


def cluster(namespace: str, name: str, **spec: Any) -> Manifest:
    """A small Cluster."""
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"profile": "edge", **spec},
    }


@asynccontextmanager
async def _stand_ins(home: Path, kubeconfig: Path) -> AsyncIterator[None]:
    """All that stands in for the rest of Kubernetes, as a process of its own."""
    module = ("-m", "e2e.bench.upgrades.standins", str(kubeconfig))
    path = {"PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"}
    process = await start(Path(sys.executable), *module, log=home / "stand-ins.log", env=path)
    try:
        yield
    finally:
        await end(process)
