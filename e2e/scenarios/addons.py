"""All built-in addons on a cluster with one node, each doing what it is for; then all removed.

Beside that, in a Cluster without nodes, its network of pods is exchanged for a chart of a user's own, and
then a node joins (`e2e.stories.inside.cni`).

`kubectl top` answers; a claim is bound, and what a pod writes there outlives it; an Ingress answers outside
the cluster; a NetworkPolicy blocks and allows; kube-proxy leads to a Service in each of its modes, but for
those that the kernel cannot do, of which it is told why. Of what is removed nothing is left, neither in the
API nor on the node.
"""

from __future__ import annotations

import asyncio

from e2e.fixtures import clusters, etcd, userfiles, web
from e2e.fixtures.business_cluster import kubectl
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import Predicate, condition, has, until, until_gone, until_none_left
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.lab.images.catalog import BUSYBOX
from e2e.polling import eventually
from e2e.stories.inside import cni
from kok.addons import DEFAULTS, NAMES, TUNNEL_AGENT, builtin_addon
from kok.api import Addon, KubeNode, names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

NAMESPACE = "e2e-addons"
SHOP, WORKER = "shop", "worker-1"
WORKERS = f"{SHOP}-workers"
ADDON, KUBENODE = Addon.info.kind, KubeNode.info.kind
FURTHER = tuple(name for name in NAMES if name not in (*DEFAULTS, TUNNEL_AGENT))
HTTP, HTTPS = 30080, 30443
VALUES = {"traefik": {"nodePort": HTTP, "nodePortTLS": HTTPS}}
HOST = "web.example.com"
CLAIM, WRITER = "data", "writer"
VOLUMES = str(builtin_addon("local-path").values["path"])
SOON, LONG = 180.0, 900.0


async def run(report: Report) -> None:
    """The scenario; it removes what it made, also after a failure of an earlier run."""
    async with environment(report, meta=1, workers=2) as w:
        with report.step("the images of addons are served", "served_s"):
            await w.lab.want_konnectivity()
            await w.lab.want_addons()
        await unled(w)
        async with etcd.fresh_namespaces(w, NAMESPACE, within=LONG), enough_rights(w):
            try:
                await asyncio.gather(all_built_in(w), cni.exchanged(w, NAMESPACE))
            finally:
                await unled(w)


async def all_built_in(w: Environment) -> None:
    """A Cluster with a node and all of them, from its first pod to its last."""
    await made(w)
    await added(w)
    async with await w.business(NAMESPACE, SHOP) as inside:
        await used(w, inside)
        await removed(w, inside)
    await gone(w)


async def made(w: Environment) -> None:
    """A Cluster with a node and a tunnel, and no addon but those that come by default."""
    text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE, cluster=SHOP)
    _, node = userfiles.documents(text)
    with w.report.step("a Cluster with a node", "created_s"):
        await w.apply(
            userfiles.ssh_secret(w.lab, WORKER, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            clusters.manifest(NAMESPACE, SHOP, network={"tunnel": "Always"}),
            node,
        )
        await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)
        await clusters.at_rest(w, NAMESPACE, SHOP)
        for name in (*DEFAULTS, TUNNEL_AGENT):
            await ready(w, name)


async def added(w: Environment) -> None:
    """All that are built in."""
    with w.report.step("all further built-in addons", "added_s"):
        await clusters.change(w, NAMESPACE, SHOP, addons=wanted())
        for name in FURTHER:
            await ready(w, name)
    await clusters.at_rest(w, NAMESPACE, SHOP)


async def used(w: Environment, inside: Kube) -> None:
    """Each does what it is for."""
    kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)
    with w.report.step("kubectl top", "top_s"):
        await eventually(lambda: top_tells(w, kubeconfig), SOON, every=0.5, unless=(RuntimeError,))
    with w.report.step("a claim is bound, and what is written there outlives its pod", "volume_s"):
        await volume(w, inside, kubeconfig)
    with w.report.step("pods and a Service", "pods_s"):
        await web.run(w, inside)
    with w.report.step("an Ingress answers", "ingress_s"):
        await ingress(w, inside)
    with w.report.step("a NetworkPolicy blocks and allows", "policy_s"):
        await policy(w, inside, kubeconfig)
    await modes(w, kubeconfig)
    await inside.delete(kinds.INGRESS, web.NAME, web.SPACE)
    await web.stop(inside)


async def removed(w: Environment, inside: Kube) -> None:
    """Those that do not come by default go, and nothing of them stays."""
    objects: list[Manifest] = []
    for name in FURTHER:
        objects += (await addon(w, name))["status"]["inventory"]
    with w.report.step("all of them removed", "removed_s"):
        await clusters.change(w, NAMESPACE, SHOP, addons=[clusters.PROXY])
        for name in FURTHER:
            await w.gone(ADDON, NAMESPACE, names.cluster_addon(SHOP, name), LONG)
        await until_none_left(inside, objects, within=SOON)
        await eventually(lambda: clean(w), SOON, every=0.5)
    await clusters.at_rest(w, NAMESPACE, SHOP)


async def gone(w: Environment) -> None:
    """The Cluster and its node are deleted."""
    with w.report.step("all of it deleted", "deleted_s"):
        await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
        await w.gone(KUBENODE, NAMESPACE, WORKERS, LONG)
        await w.kube.delete(clusters.KIND, SHOP, NAMESPACE)
        await w.gone(clusters.KIND, NAMESPACE, SHOP, LONG)


# --- the Addons


def wanted(mode: str = "iptables") -> list[Manifest]:
    """`spec.addons` with all that are built in, and kube-proxy in that mode."""
    proxy = {**clusters.PROXY["values"], "mode": mode}
    further = [{"name": name, "values": VALUES.get(name, {})} for name in FURTHER]
    return [{"name": "kube-proxy", "values": proxy}, *further]


async def ready(w: Environment, name: str) -> None:
    """Waits until the Addon of that name is."""
    await w.until(ADDON, NAMESPACE, names.cluster_addon(SHOP, name), has("Ready"), LONG)


async def addon(w: Environment, name: str) -> Manifest:
    """The Addon of that name."""
    found = await w.kube.get(ADDON, names.cluster_addon(SHOP, name), NAMESPACE)
    if found is None:
        raise AssertionError(f"there is no Addon of {name}")
    return found


# --- what they are for


async def top_tells(w: Environment, kubeconfig: str) -> bool:
    """Whether `kubectl top` has figures of the node and of pods."""
    nodes = await kubectl(w.lab, kubeconfig, "top", "nodes", "--no-headers")
    pods = await kubectl(w.lab, kubeconfig, "top", "pods", "-A", "--no-headers")
    of_node = [line.split() for line in nodes.splitlines() if line.startswith(f"{WORKER} ")]
    return bool(of_node) and "<unknown>" not in nodes and "metrics-server-" in pods


async def volume(w: Environment, inside: Kube, kubeconfig: str) -> None:
    """By the default class; the directory goes with the claim."""
    claim: Manifest = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": web.SPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    await inside.apply(claim)
    for line, said in (("echo written >/data/file", "written"), ("true", "written")):
        await inside.apply(with_claim(f"{line}; exec sleep infinity"))
        await until(inside, kinds.POD, WRITER, web.SPACE, etcd.pod_ready, within=SOON)
        out = await kubectl(w.lab, kubeconfig, "exec", WRITER, "--", "cat", "/data/file")
        same(out.strip(), said, "the file")
        await inside.delete(kinds.POD, WRITER, web.SPACE)
        await until_gone(inside, kinds.POD, WRITER, web.SPACE, within=SOON)
    bound = await inside.get(kinds.PVC, CLAIM, web.SPACE)
    name = (bound or {}).get("spec", {}).get("volumeName", "")
    same((await w.lab.exec(WORKER, "ls", VOLUMES)).strip(), f"{name}_{web.SPACE}_{CLAIM}", VOLUMES)
    await inside.delete(kinds.PVC, CLAIM, web.SPACE)
    await until_gone(inside, kinds.PV, name, "", within=SOON)
    same((await w.lab.exec(WORKER, "ls", VOLUMES)).strip(), "", VOLUMES)


def with_claim(line: str) -> Manifest:
    """A pod that has the volume at /data."""
    return web.pod(
        WRITER,
        BUSYBOX,
        line,
        container={"volumeMounts": [{"name": CLAIM, "mountPath": "/data"}]},
        volumes=[{"name": CLAIM, "persistentVolumeClaim": {"claimName": CLAIM}}],
    )


async def ingress(w: Environment, inside: Kube) -> None:
    """Of the default class, at a port of the node, which another host asks."""
    backend = {"service": {"name": web.NAME, "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    await inside.apply(
        {
            "apiVersion": kinds.INGRESS.api_version,
            "kind": kinds.INGRESS.kind,
            "metadata": {"name": web.NAME, "namespace": web.SPACE},
            "spec": {"rules": [{"host": HOST, "http": {"paths": [path]}}]},
        }
    )

    async def answers() -> bool:
        return await from_outside(w, HOST) == f"{web.SAYS}\n200"

    await eventually(answers, SOON, every=0.5)
    # Whose name nobody claims is told so.
    other = await from_outside(w, "other.example.com")
    same(other.rpartition("\n")[2], "404", "a host without an Ingress")


async def from_outside(w: Environment, host: str) -> str:
    """What the meta node is answered at the node's port, and the status behind it."""
    url = f"http://{w.lab.ssh(WORKER).address}:{HTTP}/"
    line = 'curl -s -m 5 -H "Host: $1" -w "%{http_code}" "$2" || true'
    return (await w.lab.exec("meta-1", "sh", "-c", line, "sh", host, url)).strip()


async def policy(w: Environment, inside: Kube, kubeconfig: str) -> None:
    """Only a friend may ask, until the policy goes."""
    await led(w)
    for pod in (web.FRIEND, web.STRANGER):
        same(await web.asked(w, kubeconfig, pod), web.SAYS, f"{pod}, without a policy")
    await inside.apply(
        {
            "apiVersion": kinds.NETWORKPOLICY.api_version,
            "kind": kinds.NETWORKPOLICY.kind,
            "metadata": {"name": web.NAME, "namespace": web.SPACE},
            "spec": {
                "podSelector": {"matchLabels": {"app": web.NAME}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": web.FRIEND}}}]}],
            },
        }
    )

    async def refused() -> bool:
        return await web.asked(w, kubeconfig, web.STRANGER) == web.UNANSWERED

    await eventually(refused, SOON, every=0.2)
    same(await web.asked(w, kubeconfig, web.FRIEND), web.SAYS, "a friend, with the policy")
    await inside.delete(kinds.NETWORKPOLICY, web.NAME, web.SPACE)

    async def answered() -> bool:
        return await web.asked(w, kubeconfig, web.STRANGER) == web.SAYS

    await eventually(answered, SOON, every=0.2)


async def modes(w: Environment, kubeconfig: str) -> None:
    """There and back, the Service asked all the time."""
    able = "yes" in await w.lab.exec(WORKER, "sh", "-c", _HAS_IPVS)
    # Between iptables and IPVS nothing is cleared away: nftables comes between.
    order = ("nftables", "ipvs", "nftables", "iptables") if able else ("nftables", "iptables")
    before = await web.count(w, kubeconfig)
    for number, mode in enumerate(order):
        with w.report.step(f"kube-proxy by {mode}", f"mode_{number}_{mode}_s"):
            await clusters.change(w, NAMESPACE, SHOP, addons=wanted(mode))
            await w.until(ADDON, NAMESPACE, f"{SHOP}-kube-proxy", runs_by(mode), LONG)
            await answering(w, kubeconfig, mode)
    if not able:
        await no_ipvs(w, kubeconfig)
    answered, failed = (b - a for a, b in zip(before, await web.count(w, kubeconfig), strict=True))
    w.report.figures |= {"answered_over_modes": answered, "unanswered_over_modes": failed}
    if not answered:
        raise AssertionError("nobody asked while the modes changed")


async def no_ipvs(w: Environment, kubeconfig: str) -> None:
    """What this kernel cannot do is told with kube-proxy's words, and the way back works."""
    with w.report.step("the kernel has no IPVS: the Addon says so", "no_ipvs_s"):
        await clusters.change(w, NAMESPACE, SHOP, addons=wanted("ipvs"))
        await w.until(ADDON, NAMESPACE, f"{SHOP}-kube-proxy", complains_of("ipvs"), LONG)
        # iptables' rules are still there.
        await answering(w, kubeconfig)
        await clusters.change(w, NAMESPACE, SHOP, addons=wanted())
        await w.until(ADDON, NAMESPACE, f"{SHOP}-kube-proxy", runs_by("iptables"), LONG)
        await answering(w, kubeconfig, "iptables")


async def answering(w: Environment, kubeconfig: str, mode: str = "") -> None:
    """The Service answers inside and, by way of the Ingress, outside; in that mode, if one is given."""

    async def looked() -> bool:
        asked = await web.asked(w, kubeconfig, web.FRIEND)
        return asked == web.SAYS and await from_outside(w, HOST) == f"{web.SAYS}\n200"

    await eventually(looked, SOON, every=0.2, unless=(RuntimeError,))
    if mode:
        same((await w.lab.exec(WORKER, "curl", "-s", _MODE)).strip(), mode, "kube-proxy's mode")


def runs_by(mode: str) -> Predicate:
    """Whether the Addon is Ready with that mode."""

    def check(found: Manifest) -> bool:
        return found["spec"]["values"].get("mode") == mode and has("Ready")(found)

    return check


def complains_of(word: str) -> Predicate:
    """Whether the Addon says that its pods are not up, with that word of theirs."""

    def check(found: Manifest) -> bool:
        said = condition(found, "Healthy")
        return said.get("status") == "False" and word in said.get("message", "").lower()

    return check


def same(found: str, expected: str, what: str) -> None:
    """Raises `AssertionError` with both, if they differ."""
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, expected {expected!r}")


# --- the node

_MODE = "http://127.0.0.1:10249/proxyMode"
_HAS_IPVS = "modprobe -q ip_vs 2>/dev/null; test ! -e /proc/net/ip_vs || echo yes"
_RULES = "nft list tables 2>/dev/null | grep -c kube-network-policies || true"
_CAN_QUEUE = (
    "t='inet kok-e2e'; nft \"add table $t; add chain $t c; add rule $t c queue num 99 bypass; "
    'delete table $t" 2>/dev/null && echo yes || true'
)
_CHAINS = "E2E-POLICIES", "E2E-POLICIES-IN"
# Packets are led to the queue as the addon's own rules do it, with the same exceptions.
_LEAD = (
    "set -e; t='iptables -w -t mangle'; "
    "$t -N $1 2>/dev/null || $t -F $1; $t -N $2 2>/dev/null || $t -F $2; "
    "$t -A $1 -m owner --uid-owner 0 -j RETURN; $t -A $2 -i lo -j RETURN; "
    "for c; do $t -A $c -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN; "
    "$t -A $c -j NFQUEUE --queue-num 98 --queue-bypass; done; "
    "$t -C POSTROUTING -j $1 2>/dev/null || $t -A POSTROUTING -j $1; "
    "$t -C INPUT -j $2 2>/dev/null || $t -A INPUT -j $2"
)
_UNLEAD = (
    "t='iptables -w -t mangle'; $t -D POSTROUTING -j $1; $t -D INPUT -j $2; "
    "for c; do $t -F $c; $t -X $c; done 2>/dev/null; true"
)


async def led(w: Environment) -> None:
    """Not every kernel has nftables' `queue`; where it has none, iptables does the same."""
    if "yes" not in await w.lab.exec(WORKER, "sh", "-c", _CAN_QUEUE):
        w.report.line("nftables has no queue here: iptables leads packets to the addon instead")
        await w.lab.exec(WORKER, "sh", "-c", _LEAD, "sh", *_CHAINS)


async def unled(w: Environment) -> None:
    """As it was."""
    await w.lab.exec(WORKER, "sh", "-c", _UNLEAD, "sh", *_CHAINS)


async def clean(w: Environment) -> bool:
    """Whether nothing of removed addons is left on the node."""
    rules = (await w.lab.exec(WORKER, "sh", "-c", _RULES)).strip()
    return rules == "0" and not (await w.lab.exec(WORKER, "ls", VOLUMES)).strip()
