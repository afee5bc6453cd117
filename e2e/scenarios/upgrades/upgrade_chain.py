"""Kubernetes 1.34 to 1.37 in one go, minor by minor, with a node that follows.

What would skip minors without being asked to chain them is refused. One API server, which is replaced
by surge each time, under load.
"""

from __future__ import annotations

from e2e.fixtures import clusters, etcd, userfiles
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import has
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.load import loading, undisturbed
from e2e.load.moves import move, note
from kok.api import KubeNode

NAMESPACE = "e2e-upgrade-chain"
FIRST, *HOPS = ("1.34.4", "1.35.4", "1.36.4", "1.37.1")
SHOP, WORKER = "shop", "worker-2"
WORKERS = f"{SHOP}-workers"
KUBENODE = KubeNode.info.kind
LONG = 900.0


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=1, workers=2) as w:
        for version in (FIRST, *HOPS):
            with report.step(f"Kubernetes {version}"):
                await w.lab.want(kubernetes=f"v{version}")
        async with etcd.fresh_namespaces(w, NAMESPACE, within=LONG), enough_rights(w):
            await made(w)
            await no_minor_is_skipped(w)
            async with loading(w, NAMESPACE, SHOP) as load:
                chained = {"upgrade": {"chained": True}}
                where, target = (NAMESPACE, SHOP), HOPS[-1]
                seen = await move(w, load, where, target, figure="chain", **chained)
                if seen.hops != HOPS:
                    raise AssertionError(f"the way was {seen.hops}, not {HOPS}")
                for hop in HOPS:
                    begun = min(at for (version, _), at in seen.at.items() if version == hop)
                    report.line(f"{hop} was begun {begun - min(seen.at.values()):.1f} s after all")
                with report.step("the node follows", "node_follows_s"):
                    await clusters.node_at(w, where, WORKER, target)
                    await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)
                told = await load.finish()
            note(w, told, "rest")
            undisturbed(told, rest=True)
            await gone(w)


async def made(w: Environment) -> None:
    """The user's file of a first Cluster and its node, at the oldest version."""
    text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE, cluster=SHOP, version=FIRST)
    with w.report.step(f"a Cluster of {FIRST} with a node", "created_s"):
        await w.apply(
            userfiles.ssh_secret(w.lab, WORKER, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            *userfiles.documents(text),
        )
        await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)
        await clusters.at_rest(w, NAMESPACE, SHOP, FIRST)


async def no_minor_is_skipped(w: Environment) -> None:
    """Several minors at once have to be meant."""
    sentence = f"{FIRST} -> {HOPS[-1]} skips 1.35; upgrade to 1.35.x first, or set"
    with w.report.step("minors that would be skipped are refused at kubectl apply"):
        await clusters.refused(w, sentence, NAMESPACE, SHOP, version=HOPS[-1])


async def gone(w: Environment) -> None:
    """The node first, which needs its Cluster to leave."""
    with w.report.step("all of it deleted", "deleted_s"):
        await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
        await w.gone(KUBENODE, NAMESPACE, WORKERS, LONG)
        await w.kube.delete(clusters.KIND, SHOP, NAMESPACE)
        await w.gone(clusters.KIND, NAMESPACE, SHOP, LONG)
