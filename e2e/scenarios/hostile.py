"""Tenants that mean harm: what they try gains them nothing, and others notice nothing.

An admin of a business cluster makes its API servers connect to everything in the meta cluster that
is not his: first while nobody enforces NetworkPolicies, which shows that the attack is one, and then
while they hold. A tenant of the meta cluster has KOK's kubeconfigs lead to a server of his own, writes
templates that take for ever, and claims another tenant's host.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from e2e import attacks, business, userfiles
from e2e.attacks import Target
from e2e.demo import first_cluster
from e2e.follow import condition, has, is_not, until
from e2e.install import NAMESPACE as OPERATORS
from e2e.report import Report
from e2e.rights import nothing_was_refused
from e2e.world import World, world
from kok.api import Cluster, Component, KubeNode, Machine, names
from kok.api.meta import Kind, Manifest
from kok.kube import kinds

NAMESPACE, VICTIM = "e2e-hostile", "e2e-victim"
WORKER = "worker-1"
SHOP, TOYS, LATE = "shop", "toys", "late"
MACHINE = f"{SHOP}-workers-{WORKER}"
CLUSTER = Cluster.info.kind
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
LONG = 900.0


async def run(report: Report) -> None:
    """The scenario; nothing is left of it, and nobody enforces policies afterwards."""
    async with world(report, meta=1, workers=1) as w:
        await w.lab.ignore_policies()
        await emptied(w)
        begin = datetime.now(UTC)
        await w.namespace(VICTIM)
        await w.apply(cluster(VICTIM, TOYS))
        await first_cluster(w, namespace=NAMESPACE, worker=WORKER)
        await w.until(CLUSTER, VICTIM, TOYS, has("Ready"), LONG)
        restarts = await _restarts(w)
        targets = await _targets(w)
        try:
            await by_api_servers(w, targets)
            await what_is_needed_still_works(w)
            await own_server(w)
            await endless_template(w)
            await another_tenants_host(w)
        finally:
            with report.step("nobody enforces NetworkPolicies any more"):
                await w.lab.ignore_policies()
        if (now := await _restarts(w)) > restarts:
            raise AssertionError(f"operators were restarted: {restarts} became {now}")
        with report.step("everything deleted"):
            await emptied(w)
        await nothing_was_refused(w, begin)


async def emptied(w: World) -> None:
    """Removes what this or an earlier run made; nodes first, which need their Cluster to leave."""
    for kind in (KubeNode.info.kind, CLUSTER):
        for namespace in (NAMESPACE, VICTIM):
            await _without(w, kind, namespace)
    await asyncio.gather(w.drop_namespace(NAMESPACE, LONG), w.drop_namespace(VICTIM, LONG))


async def _without(w: World, kind: Kind, namespace: str) -> None:
    made = [m["metadata"]["name"] for m in await w.kube.list(kind, namespace)]
    await asyncio.gather(*(w.kube.delete(kind, name, namespace) for name in made))
    await asyncio.gather(*(w.gone(kind, namespace, name, LONG) for name in made))


def cluster(namespace: str, name: str, **spec: Any) -> Manifest:
    """The smallest Cluster."""
    proxy = {"name": "kube-proxy", "values": {"conntrack": {"maxPerCore": 0, "min": 0}}}
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"version": "1.37.1", "profile": "edge", "addons": [proxy], **spec},
    }


# --- by the API servers of a business cluster


async def _targets(w: World) -> dict[str, Target]:
    """What an admin of the Cluster shop has no business with."""
    api = await w.kube.get(kinds.SERVICE, "kubernetes", "default") or {}
    meta = str(w.lab.host("meta-1").address)
    operator = await _pod(w, OPERATORS, {"app.kubernetes.io/component": "cluster"})
    dns = await _pod(w, "kube-system", {"k8s-app": "kube-dns"})
    etcd = await _pod(w, VICTIM, {names.LABEL_OWNER_NAME: names.etcd_cluster(TOYS)})
    server = await _pod(
        w, VICTIM, {names.LABEL_CLUSTER: TOYS, names.LABEL_COMPONENT: "kube-apiserver"}
    )
    found = (
        Target("meta-api", "https", meta, 6443, "/version"),
        Target("meta-service", "https", api["spec"]["clusterIP"], 443, "/version"),
        Target("meta-kubelet", "https", meta, 10250, "/healthz"),
        Target("operator", "http", operator, 8080, "/healthz"),
        Target("dns", "http", dns, 9153, "/metrics"),
        Target("others-etcd", "http", etcd, 2381, "/health"),
        Target("others-api", "https", server, 6443, "/version"),
    )
    return {target.name: target for target in found}


async def _pod(w: World, namespace: str, labels: dict[str, str]) -> str:
    pods = await w.kube.list(kinds.POD, namespace, labels=labels)
    addresses = [p["status"]["podIP"] for p in pods if (p.get("status") or {}).get("podIP")]
    if not addresses:
        raise AssertionError(f"no pod of {namespace} with {labels} has an address")
    return str(addresses[0])


async def by_api_servers(w: World, targets: dict[str, Target]) -> None:
    """Every way to every target, without and with an enforcing network."""
    async with await w.business(NAMESPACE, SHOP) as kube:
        with w.report.step("without enforcement API servers reach all of the meta cluster"):
            open_ = await _reached(kube, targets)
            missing = [name for name in targets if not any(o.startswith(f"{name} ") for o in open_)]
            if missing:
                raise AssertionError(f"the attack itself does not work on {missing}: {open_}")
            unused = [how for how in attacks.WAYS if not any(o.endswith(f" {how}") for o in open_)]
            if unused:
                raise AssertionError(f"nothing is reached by a {unused[0]}: {open_}")
            w.report.line(f"reached: {', '.join(open_)}")
        with w.report.step("NetworkPolicies are enforced", "enforced_s"):
            await w.lab.enforce_policies()
            # What it is connected to already, it keeps: only new connections are judged.
            await _new_api_server(w)
    async with await w.business(NAMESPACE, SHOP) as kube:
        with w.report.step("with enforcement they reach none of it"):
            left = await _reached(kube, targets)
            if left:
                raise AssertionError(f"API servers of {SHOP} reach {', '.join(left)}")
    w.report.figures["ways_closed"] = len(open_)


async def _new_api_server(w: World) -> None:
    labels = f"{names.LABEL_CLUSTER}={SHOP},{names.LABEL_COMPONENT}=kube-apiserver"
    await w.lab.kubectl("delete", "pod", "-n", NAMESPACE, "-l", labels, "--wait", timeout=120)
    rollout = ("rollout", "status", f"deployment/{SHOP}-apiserver", "-n", NAMESPACE)
    await w.lab.kubectl(*rollout, "--timeout=600s", timeout=620)
    await w.until(CLUSTER, NAMESPACE, SHOP, has("Ready"), LONG)


async def _reached(kube: Any, targets: dict[str, Target]) -> list[str]:
    tried = list(attacks.all_of(targets))
    results = await asyncio.gather(*(way(kube, target) for _, way, target in tried))
    return [what for (what, _, _), reached in zip(tried, results, strict=True) if reached]


async def what_is_needed_still_works(w: World) -> None:
    """Logs come from the node, a policy comes back, and a new Cluster comes up."""
    kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)
    with w.report.step("the API server reaches its own node"):
        async with await w.business(NAMESPACE, SHOP) as kube:
            await business.dns_check(w.lab, kube, kubeconfig, within=LONG)
    with w.report.step("a NetworkPolicy deleted by hand comes back", "policy_back_s"):
        policy = f"{SHOP}-apiserver"
        before = await w.kube.get(kinds.NETWORKPOLICY, policy, NAMESPACE)
        if before is None:
            raise AssertionError(f"there is no NetworkPolicy {policy}")
        await w.kube.delete(kinds.NETWORKPOLICY, policy, NAMESPACE)
        uid = before["metadata"]["uid"]
        await w.until(kinds.NETWORKPOLICY, NAMESPACE, policy, is_not(uid), LONG)
    with w.report.step("a new Cluster behind NetworkPolicies", "enforced_cluster_s"):
        await w.apply(cluster(VICTIM, LATE))
        await w.until(CLUSTER, VICTIM, LATE, has("Ready"), LONG)


# --- by what lies in the tenant's namespace


async def own_server(w: World) -> None:
    """Kubeconfigs that lead to the tenant's server, with the operator's own token to be shown."""
    async with (
        await w.business(NAMESPACE, SHOP) as kube,
        attacks.trap(str(w.lab.state.machine)) as trap,
    ):
        with w.report.step("kubeconfigs that ask for an operator's token get none"):
            await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"spec": {"paused": True}})
            await w.until(CLUSTER, NAMESPACE, SHOP, has("Paused"), LONG)
            text = json.dumps(_kubeconfig(trap.url))
            data = {"kubeconfig": base64.b64encode(text.encode()).decode()}
            for secret in (
                names.admin_kubeconfig_secret(SHOP),
                names.internal_kubeconfig_secret(SHOP),
            ):
                await w.kube.patch(kinds.SECRET, secret, NAMESPACE, {"data": data})
            # New processes know nothing of the business cluster but what they read now.
            await _new_operators(w)
            # What the machine operator has to do inside the business cluster shows that it gets there.
            labels = {"spec": {"labels": {"e2e": "hostile"}}}
            await w.kube.patch(KubeNode.info.kind, f"{SHOP}-workers", NAMESPACE, labels)
            await until(kube, kinds.NODE, WORKER, "", _labelled, within=LONG)
            await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"spec": {"paused": False}})
            await w.until(CLUSTER, NAMESPACE, SHOP, has("Ready"), LONG)
            await w.until(
                kinds.SECRET,
                NAMESPACE,
                names.admin_kubeconfig_secret(SHOP),
                lambda m: m["data"]["kubeconfig"] != data["kubeconfig"],
                LONG,
            )
        if trap.credentials or trap.requests:
            raise AssertionError(f"operators asked the tenant's server: {trap.requests}")


def _labelled(node: Manifest) -> bool:
    return (node["metadata"].get("labels") or {}).get("e2e") == "hostile"


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {"tokenFile": TOKEN}}],
    }


async def _new_operators(w: World) -> None:
    deployments = [f"deployment/{m['metadata']['name']}" for m in await _deployments(w)]
    await w.lab.kubectl("rollout", "restart", "-n", OPERATORS, *deployments)
    for name in deployments:
        status = ("rollout", "status", name, "-n", OPERATORS, "--timeout=600s")
        await w.lab.kubectl(*status, timeout=620)


async def _deployments(w: World) -> Sequence[Manifest]:
    return await w.kube.list(kinds.DEPLOYMENT, OPERATORS)


async def endless_template(w: World) -> None:
    """A template of 60,000 characters that no parser likes stops no operator."""
    bad = "{{ " + "(" * 30_000 + "x" * 30_000
    component = {
        "apiVersion": Component.info.kind.api_version,
        "kind": Component.info.kind.kind,
        "metadata": {"name": "bad-1", "namespace": NAMESPACE},
        "spec": {"name": "bad", "version": "1", "scripts": {"probe": bad}},
    }
    with w.report.step("an endless template stops nobody", "template_s"):
        await w.apply(component)
        await w.until(Component.info.kind, NAMESPACE, "bad-1", has("Ready", "False"), LONG)
        policy = f"{TOYS}-scheduler"
        before = await w.kube.get(kinds.PDB, policy, VICTIM)
        if before is None:
            raise AssertionError(f"there is no PodDisruptionBudget {policy}")
        await w.kube.delete(kinds.PDB, policy, VICTIM)
        await w.until(kinds.PDB, VICTIM, policy, is_not(before["metadata"]["uid"]), LONG)


async def another_tenants_host(w: World) -> None:
    """A Machine with somebody's address and no credentials disturbs nobody, and learns nothing."""
    ssh = w.lab.ssh(WORKER)
    squatter = {
        "apiVersion": Machine.info.kind.api_version,
        "kind": Machine.info.kind.kind,
        "metadata": {"name": "squatter", "namespace": VICTIM},
        "spec": {
            "cluster": TOYS,
            "node": "squatter",
            "address": ssh.address,
            "ssh": {"user": "root", "secret": userfiles.SSH_SECRET},
        },
    }
    with w.report.step("another tenant's host is not to be had"):
        await w.apply(squatter)
        said = await w.until(Machine.info.kind, VICTIM, "squatter", has("Ready", "False"), LONG)
        text = json.dumps(said["status"])
        if NAMESPACE in text or MACHINE in text:
            raise AssertionError(f"the squatter learns of another tenant: {text}")
        await w.kube.patch(Machine.info.kind, MACHINE, NAMESPACE, _nudge())
        held = await w.until(Machine.info.kind, NAMESPACE, MACHINE, has("Ready"), LONG)
        if condition(held, "Ready").get("reason") == "HostInUse":
            raise AssertionError("the squatter holds another tenant's host")
        await w.kube.delete(Machine.info.kind, "squatter", VICTIM)
        await w.gone(Machine.info.kind, VICTIM, "squatter", LONG)


def _nudge() -> dict[str, Any]:
    """An annotation of ours wakes whoever looks after the object."""
    return {"metadata": {"annotations": {"kok.dev/e2e": datetime.now(UTC).isoformat()}}}


async def _restarts(w: World) -> int:
    """How often containers of operators that run now were restarted."""
    pods = await w.kube.list(kinds.POD, OPERATORS)
    return sum(
        int(status.get("restartCount", 0))
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
    )
