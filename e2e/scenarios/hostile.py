"""Tenants that mean harm: what they try gains them nothing, and others notice nothing.

What each of them does stands in `e2e.hostile`: an admin of a business cluster, a tenant of the meta
cluster who writes in his namespace or puts a server of his own in the place of his API servers, and
a host.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from e2e.demo import first_cluster
from e2e.fixtures import clusters
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import has
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.hostile import (
    CLUSTER,
    LONG,
    NAMESPACE,
    TOYS,
    VICTIM,
    WORKER,
    host,
    impostor,
    namespace,
    network,
)
from kok.api import KubeNode
from kok.api.meta import Kind
from kok.kube import kinds


async def run(report: Report) -> None:
    """The scenario; nothing is left of it, and nobody enforces policies afterwards."""
    async with environment(report, meta=1, workers=1) as w:
        await w.lab.ignore_policies()
        await emptied(w)
        begin = datetime.now(UTC)
        await w.namespace(VICTIM)
        await w.apply(clusters.manifest(VICTIM, TOYS))
        await first_cluster(w, namespace=NAMESPACE, worker=WORKER)
        await w.until(CLUSTER, VICTIM, TOYS, has("Ready"), LONG)
        restarts = await _restarts(w)
        try:
            async with network.metadata_service(w):
                await network.by_api_servers(w, await network.targets(w))
            await network.what_is_needed_still_works(w)
            await host.lying_names(w)
            await namespace.own_server(w)
            await namespace.endless_template(w)
            await namespace.another_tenants_host(w)
            await namespace.metadata_address(w)
            await impostor.own_api_server(w)
        finally:
            with report.step("nobody enforces NetworkPolicies any more"):
                await w.lab.ignore_policies()
        if (now := await _restarts(w)) > restarts:
            raise AssertionError(f"operators were restarted: {restarts} became {now}")
        with report.step("everything deleted"):
            await emptied(w)
        await nothing_was_refused(w, begin)


async def emptied(w: Environment) -> None:
    """Removes what this or an earlier run made; nodes first, which need their Cluster to leave."""
    for kind in (KubeNode.info.kind, CLUSTER):
        for where in (NAMESPACE, VICTIM):
            await _without(w, kind, where)
    await asyncio.gather(w.drop_namespace(NAMESPACE, LONG), w.drop_namespace(VICTIM, LONG))


async def _without(w: Environment, kind: Kind, where: str) -> None:
    made = [m["metadata"]["name"] for m in await w.kube.list(kind, where)]
    await asyncio.gather(*(w.kube.delete(kind, name, where) for name in made))
    await asyncio.gather(*(w.gone(kind, where, name, LONG) for name in made))


async def _restarts(w: Environment) -> int:
    """How often containers of operators that run now were restarted."""
    pods = await w.kube.list(kinds.POD, OPERATORS)
    return sum(
        int(status.get("restartCount", 0))
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
    )
