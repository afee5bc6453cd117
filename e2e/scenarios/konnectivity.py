"""A control plane that reaches into its cluster though nothing leads there from the meta cluster.

The worker's firewall drops every connection from the meta cluster's hosts but SSH, by which KOK looks
after it. Logs, exec, attach, port-forward, cp, proxies, a webhook and an aggregated API work all the
same, also while agents are restarted and killed and API servers are replaced; then, without the tunnel
and with the firewall open, what needs no more than the kubelet.
"""

from __future__ import annotations

from e2e.fixtures import clusters, etcd, inside, tunnel, userfiles
from e2e.fixtures.tunnel import AGENT
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import Predicate, has, until, until_gone
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.load import loading, undisturbed
from e2e.load.moves import note, unnoticed
from e2e.polling import eventually
from kok.api import KubeNode
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError

NAMESPACE = "e2e-konnectivity"
SHOP, WORKER = "shop", "worker-2"
WORKERS = f"{SHOP}-workers"
SYSTEM = "kube-system"
KUBENODE = KubeNode.info.kind
SOON, LONG = 180.0, 900.0
CHAIN = "LAB-NO-META"
_TABLE = f"t='iptables -w -t mangle'; c={CHAIN}; "
_CLOSE = (
    _TABLE + "set -e; $t -N $c 2>/dev/null || $t -F $c; for a; do "
    "$t -A $c -s $a -p tcp --dport 22 -j RETURN; "
    "$t -A $c -s $a -p tcp --syn -j DROP; "
    "$t -A $c -s $a -m conntrack --ctdir ORIGINAL -j DROP; done; "
    "$t -C PREROUTING -j $c 2>/dev/null || $t -I PREROUTING -j $c"
)
_OPEN = _TABLE + "$t -D PREROUTING -j $c; $t -F $c; $t -X $c; true"
_ZERO = _TABLE + "$t -Z $c"
# Of connections that end a late packet may look like the first of another.
_DROPPED = _TABLE + "$t -nvxL $c | awk '/DROP/ && /flags:/ {n += $1} END {print n + 0}'"
_ANY_DROPPED = _TABLE + "$t -nvxL $c | awk '/DROP/ {n += $1} END {print n + 0}'"


async def run(report: Report) -> None:
    """The scenario; it removes what it made, also after a failure of an earlier run."""
    async with environment(report, meta=1, workers=2) as w:
        with report.step("the images of tunnels are served", "served_s"):
            await w.lab.want_konnectivity()
        await opened(w)
        async with etcd.fresh_namespaces(w, NAMESPACE, within=LONG), enough_rights(w):
            try:
                await made(w)
                async with await w.business(NAMESPACE, SHOP) as kube:
                    await reaches(w, kube)
                    await left(w, kube)
                await gone(w)
            finally:
                await opened(w)


async def made(w: Environment) -> None:
    """A Cluster with two API servers and a node, still without a tunnel."""
    text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE, cluster=SHOP)
    _, node = userfiles.documents(text)
    with w.report.step("a Cluster with a node", "created_s"):
        await w.apply(
            userfiles.ssh_secret(w.lab, WORKER, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            clusters.manifest(NAMESPACE, SHOP, profile="standard"),
            node,
        )
        await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)
        await clusters.at_rest(w, NAMESPACE, SHOP)


async def reaches(w: Environment, kube: Kube) -> None:
    """What does not work without a tunnel works with it, whatever befalls either end."""
    kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)
    with w.report.step("pods that are to be reached", "pods_s"):
        authority = await inside.run_pods(w, kube, WORKER)
    await closed(w)
    with w.report.step("without a tunnel nothing leads inside"):
        await inside.nothing_works(w, kube, kubeconfig)
        # Some of it was sent on connections of before.
        if not int(await w.lab.exec(WORKER, "sh", "-c", _ANY_DROPPED)):
            raise AssertionError("the firewall should have dropped what API servers sent")
    with w.report.step("the Cluster says so", "told_s"):
        told = has("ClusterReachable", "False", "KubeletsUnreachable")
        await w.until(clusters.KIND, NAMESPACE, SHOP, told, LONG)
    with w.report.step("spec.network.tunnel: Always", "tunnel_s"):
        await tunnel.turn(w, NAMESPACE, SHOP, "Always")
        await eventually(lambda: tunnel.answers(kube), SOON, every=0.5, unless=(KubeError,))
        await w.until(clusters.KIND, NAMESPACE, SHOP, has("ClusterReachable"), SOON)
    with w.report.step("the NetworkPolicy closes the straight way", "fenced_s"):
        await fenced(w, _no_way_inside)
    # The servers of before tried it straight, and may have done so to their end.
    await w.lab.exec(WORKER, "sh", "-c", _ZERO)
    with w.report.step("all of it works through the tunnel", "works_s"):
        await inside.be_asked(kube, authority)
        await inside.all_works(w, kube, kubeconfig, WORKER)
    await agents_restarted(w, kube)
    await agent_killed(w, kube)
    await servers_replaced(w)
    with w.report.step("all of it still works, and nothing went another way", "works_again_s"):
        await inside.all_works(w, kube, kubeconfig, WORKER)
        if count := await dropped(w):
            raise AssertionError(
                f"{count} times the meta cluster tried another way than the tunnel"
            )


async def agents_restarted(w: Environment, kube: Kube) -> None:
    """By a rollout, and each pod deleted by somebody: no request fails."""
    with w.report.step("agents are restarted while a Service is asked", "agents_restarted_s"):
        async with inside.asked_throughout(w, kube, "asked_while_agents_restart"):
            before = await agents(kube)
            note_ = {"kok.dev/e2e-restarted": "once"}
            template = {"metadata": {"annotations": note_}}
            await kube.patch(kinds.DEPLOYMENT, AGENT, SYSTEM, {"spec": {"template": template}})
            for name in before:
                await until_gone(kube, kinds.POD, name, SYSTEM, within=SOON)
            await agents_ready(kube)
            for name in await agents(kube):
                await kube.delete(kinds.POD, name, SYSTEM)
                await until_gone(kube, kinds.POD, name, SYSTEM, within=SOON)
                await agents_ready(kube)


async def agent_killed(w: Environment, kube: Kube) -> None:
    """One is killed without a word: at most what was under way fails."""
    with w.report.step("an agent is killed", "agent_killed_s"):
        await w.lab.exec(WORKER, "pkill", "-KILL", "-o", "-x", "proxy-agent")
        await eventually(lambda: tunnel.answers(kube), SOON, every=0.1, unless=(KubeError,))
        await agents_ready(kube)


async def servers_replaced(w: Environment) -> None:
    """Every API server is replaced under load: no request fails, streams are begun anew once for each."""
    roll = {"podAnnotations": {"example.com/restarted": "once"}}
    async with loading(w, NAMESPACE, SHOP, pods=True) as load:
        await load.lap()
        with w.report.step("API servers are replaced under load", "replaced_s"):
            await clusters.change(w, NAMESPACE, SHOP, apiServer=roll)
            await clusters.at_rest(w, NAMESPACE, SHOP)
        await unnoticed(w, load, (NAMESPACE, SHOP), "replaced")
        told = await load.finish()
    note(w, told, "rest")
    undisturbed(told, rest=True)


async def left(w: Environment, kube: Kube) -> None:
    """Without the tunnel it is as before: everything works straight, and nothing is left of it."""
    kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)
    await inside.stop_asking(kube)
    await opened(w)
    with w.report.step("spec.network.tunnel: Never", "never_s"):
        await tunnel.turn(w, NAMESPACE, SHOP, "Never")
        for kind in (kinds.DEPLOYMENT, kinds.PDB, kinds.SERVICEACCOUNT):
            if await kube.get(kind, AGENT, SYSTEM) is not None:
                raise AssertionError(f"{kind.kind} {AGENT} is left in the business cluster")
        await fenced(w, lambda policy: not _no_way_inside(policy))
    with w.report.step("what needs no more than the kubelet works without it", "straight_s"):
        await inside.kubelet_works(w, kube, kubeconfig, WORKER)


async def gone(w: Environment) -> None:
    """All of it is deleted."""
    with w.report.step("all of it deleted", "deleted_s"):
        await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
        await w.gone(KUBENODE, NAMESPACE, WORKERS, LONG)
        await w.kube.delete(clusters.KIND, SHOP, NAMESPACE)
        await w.gone(clusters.KIND, NAMESPACE, SHOP, LONG)


# --- the firewall, and the agents


async def closed(w: Environment) -> None:
    """The worker drops what the meta cluster's hosts begin, or began, but for SSH."""
    addresses = [str(host.address) for host in await w.lab.hosts() if host.role == "meta"]
    await w.lab.exec(WORKER, "sh", "-c", _CLOSE, "sh", *addresses)


async def opened(w: Environment) -> None:
    """It drops nothing any more."""
    await w.lab.exec(WORKER, "sh", "-c", _OPEN)


async def fenced(w: Environment, predicate: Predicate) -> None:
    """Waits until the API servers' NetworkPolicy is so: they may end for a while."""
    await w.until(kinds.NETWORKPOLICY, NAMESPACE, f"{SHOP}-apiserver", predicate, SOON)


def _no_way_inside(policy: Manifest) -> bool:
    """Whether it lets API servers go to no address: what else they need are pods."""
    peers = [peer for rule in policy["spec"]["egress"] for peer in rule["to"]]
    return not any("ipBlock" in peer for peer in peers)


async def dropped(w: Environment) -> int:
    """Connections that the meta cluster's hosts tried to begin since this was set to zero."""
    return int(await w.lab.exec(WORKER, "sh", "-c", _DROPPED))


async def agents(kube: Kube) -> list[str]:
    """Names of the agents' pods that are not on their way out."""
    found = await kube.list(kinds.POD, SYSTEM, labels={"app.kubernetes.io/name": AGENT})
    return [p["metadata"]["name"] for p in found if not p["metadata"].get("deletionTimestamp")]


async def agents_ready(kube: Kube) -> None:
    """Waits until all agents that are wanted are connected."""
    await until(kube, kinds.DEPLOYMENT, AGENT, SYSTEM, _complete, within=SOON)


def _complete(found: Manifest) -> bool:
    spec, status = found["spec"], found.get("status") or {}
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and status.get("availableReplicas", 0) >= spec["replicas"]
        and status.get("updatedReplicas", 0) >= spec["replicas"]
    )
