"""An admin of a business cluster makes its API servers connect to all of the meta cluster.

First while nobody enforces NetworkPolicies, which shows that the attack is one, and then while they
hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from e2e.fixtures import business_cluster, clusters
from e2e.framework.environment import Environment
from e2e.framework.follow import has, is_not
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.hostile import (
    CLUSTER,
    LATE,
    LONG,
    METADATA,
    NAMESPACE,
    SHOP,
    TOYS,
    VICTIM,
    attacks,
)
from e2e.hostile import addresses as addresses_of
from e2e.hostile.attacks import Target
from kok.api import names
from kok.kube import kinds

META = "meta-1"
_UNIT = "e2e-metadata"


@asynccontextmanager
async def metadata_service(w: Environment) -> AsyncIterator[None]:
    """A server where clouds have theirs: an address that every pod of the meta node reaches."""
    serve = f"TCP-LISTEN:80,bind={METADATA},fork,reuseaddr"
    await w.lab.exec(META, "ip", "address", "replace", f"{METADATA}/32", "dev", "lo")
    try:
        await w.lab.exec(
            META, "systemd-run", "--collect", "--unit", _UNIT, "socat", serve, "EXEC:echo role"
        )
        try:
            yield
        finally:
            await w.lab.exec(META, "systemctl", "stop", _UNIT)
    finally:
        await w.lab.exec(META, "ip", "address", "delete", f"{METADATA}/32", "dev", "lo")


async def targets(w: Environment) -> dict[str, Target]:
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
        # The API server itself refuses to be a proxy to link-local addresses.
        Target("metadata", "http", METADATA, 80, "/latest", frozenset({"webhook"})),
    )
    return {target.name: target for target in found}


async def _pod(w: Environment, namespace: str, labels: dict[str, str]) -> str:
    found = await addresses_of(w, namespace, labels)
    if not found:
        raise AssertionError(f"no pod of {namespace} with {labels} has an address")
    return found[0]


async def by_api_servers(w: Environment, targets: dict[str, Target]) -> None:
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


async def _new_api_server(w: Environment) -> None:
    labels = f"{names.LABEL_CLUSTER}={SHOP},{names.LABEL_COMPONENT}=kube-apiserver"
    await w.lab.kubectl("delete", "pod", "-n", NAMESPACE, "-l", labels, "--wait", timeout=120)
    rollout = ("rollout", "status", f"deployment/{SHOP}-apiserver", "-n", NAMESPACE)
    await w.lab.kubectl(*rollout, "--timeout=600s", timeout=620)
    await w.until(CLUSTER, NAMESPACE, SHOP, has("Ready"), LONG)


async def _reached(kube: Any, targets: dict[str, Target]) -> list[str]:
    tried = list(attacks.all_of(targets))
    results = await asyncio.gather(*(way(kube, target) for _, way, target in tried))
    return [what for (what, _, _), reached in zip(tried, results, strict=True) if reached]


async def what_is_needed_still_works(w: Environment) -> None:
    """Logs come from the node, a policy comes back, and a new Cluster comes up."""
    kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)
    with w.report.step("the API server reaches its own node"):
        async with await w.business(NAMESPACE, SHOP) as kube:
            await business_cluster.dns_check(w.lab, kube, kubeconfig, within=LONG)
    with w.report.step("a NetworkPolicy deleted by hand comes back", "policy_back_s"):
        policy = f"{SHOP}-apiserver"
        before = await w.kube.get(kinds.NETWORKPOLICY, policy, NAMESPACE)
        if before is None:
            raise AssertionError(f"there is no NetworkPolicy {policy}")
        await w.kube.delete(kinds.NETWORKPOLICY, policy, NAMESPACE)
        uid = before["metadata"]["uid"]
        await w.until(kinds.NETWORKPOLICY, NAMESPACE, policy, is_not(uid), LONG)
    with w.report.step("a new Cluster behind NetworkPolicies", "enforced_cluster_s"):
        await w.apply(clusters.manifest(VICTIM, LATE))
        await w.until(CLUSTER, VICTIM, LATE, has("Ready"), LONG)
