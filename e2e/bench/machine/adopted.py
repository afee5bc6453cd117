"""How long it takes to adopt a node that kubeadm made, and to give it back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from e2e.bench import clusters
from e2e.bench.figure import Figure, figure
from e2e.bench.machine.nodes import FIRST, LONG, ROUNDS
from e2e.fixtures import rolling, userfiles
from e2e.fixtures.hosts import kubeadm_node
from e2e.fixtures.rolling import KUBENODE, WORKERS
from e2e.framework.environment import Environment
from e2e.framework.follow import has, until
from kok.api import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds

CLUSTER = "adopting"


async def adopted(w: Environment) -> AsyncIterator[Figure]:
    """A node of kubeadm's that serves, from its KubeNode to a Ready Machine; then it is released."""
    name, namespace = f"worker-{FIRST}", clusters.NAMESPACE
    proxy = {"name": "kube-proxy", "values": {"conntrack": {"maxPerCore": 0, "min": 0}}}
    await w.apply(
        userfiles.checksums(w.lab, namespace),
        clusters.manifest(CLUSTER, {**clusters.EDGE, "addons": [proxy]}),
    )
    try:
        await w.until(Cluster.info.kind, namespace, CLUSTER, has("BootstrapReady"), LONG)
        await kubeadm_node.join(w, name, namespace, CLUSTER)
        await w.apply(userfiles.ssh_secret(w.lab, name, namespace))
        async with await w.business(namespace, CLUSTER) as inside:
            await until(inside, kinds.NODE, name, "", has("Ready"), within=LONG)
        taken, given = [], []
        policy = {"cluster": CLUSTER, "adopt": True, "onRemove": "Release"}
        for _ in range(ROUNDS):
            begin = w.report.elapsed
            await w.apply(rolling.kubenode(w, namespace, (name,), **policy))
            await w.until(KUBENODE, namespace, WORKERS, _serves, LONG)
            taken.append(w.report.elapsed - begin)
            begin = w.report.elapsed
            await w.kube.delete(KUBENODE, WORKERS, namespace)
            await w.gone(KUBENODE, namespace, WORKERS, LONG)
            given.append(w.report.elapsed - begin)
        note = "a node of kubeadm's until its Machine is Ready"
        yield figure("machine-adopted", taken, "s", 6.0, note=note)
        yield figure("machine-released", given, "s", note="until its KubeNode is gone")
    finally:
        await w.lab.reset(name)
        await clusters.delete(w, CLUSTER)
        await w.kube.delete(kinds.SECRET, userfiles.SSH_SECRET, namespace)


def _serves(found: Manifest) -> bool:
    return bool((found.get("status") or {}).get("ready") == 1)
