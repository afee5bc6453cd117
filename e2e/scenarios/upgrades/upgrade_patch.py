"""Patch levels forth and back under 50 requests a second: nobody notices.

A Cluster with two API servers behind a NodePort, and one with a single API server behind a load
balancer, which is replaced by surge.
"""

from __future__ import annotations

import asyncio

from e2e.fixtures import clusters, etcd
from e2e.framework.balancer import Balancer, balancer
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.load import loading, undisturbed
from e2e.load.moves import move, note

NAMESPACE = "e2e-upgrade-patch"
OLD, NEW = "1.37.0", "1.37.1"
TWO, ONE = "two", "one"


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=1, workers=0) as w:
        with report.step(f"Kubernetes {OLD}", "versions_s"):
            await w.lab.want(kubernetes=f"v{OLD}")
        async with etcd.fresh_namespaces(w, NAMESPACE), enough_rights(w), balancer(w) as given:
            with report.step(f"two Clusters of {OLD}, side by side", "created_s"):
                await asyncio.gather(
                    clusters.create(w, NAMESPACE, TWO, version=OLD, profile="standard"),
                    behind(w, given, ONE, version=OLD),
                )
            await forth_and_back(w, TWO, NEW, OLD, NEW)
            await forth_and_back(w, ONE, NEW, OLD)


async def behind(w: Environment, given: Balancer, name: str, **spec: object) -> None:
    """A Cluster whose API has the address of a load balancer."""
    waits = etcd.says("Ready", "False", "WaitingForAddress")
    endpoint = {"type": "LoadBalancer"}
    await w.apply(clusters.manifest(NAMESPACE, name, endpoint=endpoint, **spec))
    await w.until(clusters.KIND, NAMESPACE, name, waits, clusters.SOON)
    await given.serve(NAMESPACE, f"{name}-apiserver")
    await clusters.at_rest(w, NAMESPACE, name)


async def forth_and_back(w: Environment, name: str, *versions: str) -> None:
    """Takes a Cluster to each of these versions in turn, under load all the time."""
    async with loading(w, NAMESPACE, name) as load:
        for number, version in enumerate(versions, start=1):
            await move(w, load, (NAMESPACE, name), version, figure=f"{name}_{number}")
        told = await load.finish()
    note(w, told, f"{name}_rest")
    undisturbed(told, rest=True)
