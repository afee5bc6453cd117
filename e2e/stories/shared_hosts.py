"""The Cluster and the two hosts that the stories about hosts share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from e2e.fixtures import clusters, userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment
from e2e.framework.follow import Predicate, has
from e2e.framework.install import NAMESPACE as OPERATORS
from kok.api import Cluster
from kok.api.meta import Manifest
from kok.api.names import machine
from kok.kube import kinds

NAMESPACE, SHOP = "e2e-hosts", "shop"
STAYS, LEAVES = "worker-2", "worker-3"
"""Not the demo's host: the demo may be running in the same lab."""
HOSTS = (STAYS, LEAVES)
WORKERS = f"{SHOP}-workers"
CLUSTER = Cluster.info.kind
SOON, LONG = 120.0, 900.0
POD_CIDR, PODS = "10.64.0.0/24", "13"
"""So small a range that nodes get fewer pod addresses than usual, and how many pods they take."""
LINKED = "/srv/kubelet"
"""Where a link at `/var/lib/kubelet` of the host that leaves leads."""
_LINK = f"""\
mkdir {LINKED} && mount --bind /var/lib/kubelet {LINKED} && umount /var/lib/kubelet
rmdir /var/lib/kubelet && ln -s {LINKED} /var/lib/kubelet && echo mine > {LINKED}/notes.txt
"""


def cluster() -> Manifest:
    """The Cluster."""
    return clusters.manifest(NAMESPACE, SHOP, network={"podCIDRs": [POD_CIDR]})


@asynccontextmanager
async def bare(w: Environment, *hosts: str) -> AsyncIterator[None]:
    """Bare hosts and a fresh namespace, and none of it at the end, whatever became of them meanwhile."""
    await _made_bare(w, hosts)
    await w.namespace(NAMESPACE)
    try:
        yield
    except BaseException as error:
        w.report.line(f"{type(error).__name__}: {error}")
        with contextlib.suppress(Exception):
            w.report.text(await w.lab.kubectl("get", "kok", "-n", NAMESPACE, "-o", "wide"))
        raise
    finally:
        await _made_bare(w, hosts)


async def _made_bare(w: Environment, hosts: tuple[str, ...]) -> None:
    await host_pool.emptied(w, NAMESPACE)
    await asyncio.gather(*(w.lab.reset(name) for name in hosts))


async def bring(w: Environment, **kubelet: Any) -> None:
    """Bare hosts, their Hosts, the Cluster, and a KubeNode with more fields of its kubelets."""
    for name in HOSTS:
        await w.lab.reset(name)
    await root(w, LEAVES, _LINK)
    nodes = host_pool.kubenode(w, NAMESPACE, WORKERS, SHOP, len(HOSTS))
    nodes["spec"]["kubelet"].update(kubelet)
    await w.apply(
        userfiles.ssh_secret(w.lab, STAYS, NAMESPACE),
        userfiles.checksums(w.lab, NAMESPACE),
        *(host_pool.host(w, NAMESPACE, name) for name in HOSTS),
        cluster(),
        nodes,
    )


async def root(w: Environment, host: str, script: str) -> str:
    """Runs a script on a host as root, without SSH; its output."""
    return await w.lab.exec(host, "sh", "-euc", script)


async def kubelet(w: Environment, **fields: Any) -> None:
    """Changes the KubeNode's fields for kubelets; None takes one away."""
    await w.kube.patch(host_pool.KUBENODE, WORKERS, NAMESPACE, {"spec": {"kubelet": fields}})


async def of_machine(
    w: Environment, host: str, predicate: Predicate, within: float = LONG
) -> Manifest:
    """The Machine of a host, once the predicate holds."""
    return await w.until(host_pool.MACHINE, NAMESPACE, machine(WORKERS, host), predicate, within)


async def all_serve(w: Environment) -> None:
    """Cluster and both nodes are as they should be, and nothing is under way."""
    await w.until(CLUSTER, NAMESPACE, SHOP, has("Ready"), LONG)
    await host_pool.serving(w, NAMESPACE, WORKERS, len(HOSTS))


async def operator_pod(w: Environment) -> str:
    """The pod of the machine operator."""
    pods = [p["metadata"] for p in await w.kube.list(kinds.POD, OPERATORS)]
    found = [p["name"] for p in pods if "machine" in p["name"] and not p.get("deletionTimestamp")]
    if len(found) != 1:
        raise AssertionError(f"there should be one pod of the machine operator, not {found}")
    return str(found[0])
