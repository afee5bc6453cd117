"""What people reported of control planes.

One Cluster without nodes goes through all of them, and serves through all of them.
"""

from __future__ import annotations

import time
from typing import Any

from e2e.framework.environment import Environment
from e2e.framework.follow import Predicate, condition, has, until
from e2e.stories import told, webhooks
from kok.api import Cluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds

NAMESPACE, SHOP = "e2e-reports", "shop"
CLUSTER = Cluster.info.kind
API_SERVER = f"{SHOP}-apiserver"
RUNS, CANNOT_RUN = "1.37.1", "1.37.99"
SOON, LONG = 120.0, 900.0
BACK_WITHIN = 5.0
"""Seconds in which what is changed by hand has to be as it was."""
QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")


async def tell(w: Environment) -> None:
    """All of them, one after the other; nothing is left."""
    await told(
        w,
        NAMESPACE,
        mistakes_are_answered,
        no_way_from_pods_to_the_api,
        amounts_as_in_a_pod,
        additions_by_hand,
        a_version_without_image,
        a_quota,
        never_ready,
        one_more_api_server,
        a_webhook_of_the_tenant,
    )


def cluster(name: str = SHOP, **spec: Any) -> Manifest:
    """A small Cluster."""
    return {
        "apiVersion": CLUSTER.api_version,
        "kind": CLUSTER.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"version": RUNS, "profile": "edge", **spec},
    }


async def mistakes_are_answered(w: Environment) -> None:
    """flags and amounts that cannot work are refused by kubectl apply with a sentence"""
    flag = {"extraArgs": [{"name": "anonymous-auth", "value": "false"}]}
    await w.refused(
        cluster("bad", apiServer=flag), "anonymous-auth is set by the operator and cannot be"
    )
    amounts = {"resources": {"requests": {"cpu": "lots"}}}
    await w.refused(cluster("bad", apiServer=amounts), "write an amount such as 8Gi, 512Mi")


async def no_way_from_pods_to_the_api(w: Environment) -> None:
    """with IPv6 first on a meta cluster without IPv6 the Cluster says why it is not made"""
    network = {
        "podCIDRs": ["fd00:64::/56", "10.64.0.0/16"],
        "serviceCIDRs": ["fd00:65::/112", "10.65.0.0/20"],
    }
    await w.apply(cluster("six", network=network))
    await w.until(CLUSTER, NAMESPACE, "six", _said("Ready", "False", "IPFamilyMissing"), SOON)
    await w.kube.delete(CLUSTER, "six", NAMESPACE)
    await w.gone(CLUSTER, NAMESPACE, "six", LONG)


async def amounts_as_in_a_pod(w: Environment) -> None:
    """a Cluster with amounts as any pod takes them comes to life"""
    # Without a request it would be the limit, and no second pod would fit beside it later on.
    resources = {"requests": {"cpu": "50m", "memory": "3e8"}, "limits": {"cpu": 1}}
    await w.apply(cluster(apiServer={"resources": resources}))
    await w.until(CLUSTER, NAMESPACE, SHOP, has("Ready"), LONG)
    await _at_rest(w)


async def additions_by_hand(w: Environment) -> None:
    """what somebody adds to a Deployment and a Service is taken back at once"""
    await _taken_back(
        w,
        kinds.DEPLOYMENT,
        {"spec": {"template": {"spec": {"hostNetwork": True}}}},
        lambda m: "hostNetwork" not in m["spec"]["template"]["spec"],
    )
    await _taken_back(
        w,
        kinds.SERVICE,
        {"spec": {"externalIPs": ["192.0.2.7"]}},
        lambda m: "externalIPs" not in m["spec"],
    )
    await _at_rest(w)


async def _taken_back(w: Environment, kind: Kind, patch: Manifest, holds: Predicate) -> None:
    begun = time.monotonic()
    await w.kube.patch(kind, API_SERVER, NAMESPACE, patch)
    await until(w.kube, kind, API_SERVER, NAMESPACE, holds, within=SOON)
    took = time.monotonic() - begun
    w.report.figures[f"{kind.kind.lower()}-back-s"] = round(took, 2)
    if took > BACK_WITHIN:
        raise AssertionError(f"{kind.kind} {API_SERVER} was as it should be after {took:.1f} s")


async def a_version_without_image(w: Environment) -> None:
    """a version that has no image is told with its reason, and can be taken back"""
    await _change(w, {"version": CANNOT_RUN})
    await _told_while_serving(w, "ImageUnavailable")
    await _change(w, {"version": RUNS})
    await _at_rest(w)


async def a_quota(w: Environment) -> None:
    """a quota that refuses pods is quoted, and the rollout goes on without it"""
    await w.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small", "namespace": NAMESPACE},
            "spec": {"hard": {"limits.memory": "1Gi"}},
        }
    )
    await _change(w, {"scheduler": {"podAnnotations": {"example.com/roll": "1"}}})
    told = await _told_while_serving(w, "PodsRefused")
    if "small" not in told or "spec.scheduler.resources" not in told:
        raise AssertionError(f"neither the quota nor what to do is named: {told}")
    await w.kube.delete(QUOTA, "small", NAMESPACE)
    await _at_rest(w)


async def never_ready(w: Environment) -> None:
    """a pod that runs and is never ready is told with what its probe was answered"""
    # No etcd is that quick.
    flags = [{"name": "etcd-readycheck-timeout", "value": "1ns"}]
    await _change(w, {"apiServer": {"extraArgs": flags}})
    await w.until(CLUSTER, NAMESPACE, SHOP, _hangs("NotReady"), LONG)
    await _serves(w)
    await _change(w, {"apiServer": {"extraArgs": []}})
    await _at_rest(w)


async def one_more_api_server(w: Environment) -> None:
    """a second API server restarts not the first"""
    before = await _pods(w)
    await _change(w, {"apiServer": {"replicas": 2}})
    await _at_rest(w)
    after = await _pods(w)
    if len(after) != 2 or not before <= after:
        raise AssertionError(f"pods {sorted(before)} became {sorted(after)}")
    await _change(w, {"apiServer": {"replicas": 1}})
    await _at_rest(w)


async def a_webhook_of_the_tenant(w: Environment) -> None:
    """a webhook that blocks the tenant's own cluster has a condition, and Ready tells of serving"""
    async with await w.business(NAMESPACE, SHOP) as inside:
        await inside.apply(webhooks.refusing("apps", "deployments"))
        await _change(w, {"addons": [{"name": "coredns", "values": {"replicas": 3}}]})
        await w.until(CLUSTER, NAMESPACE, SHOP, _blocked, LONG)
        await _serves(w)
        await inside.delete(webhooks.KIND, webhooks.NAME)
    await w.until(
        CLUSTER, NAMESPACE, SHOP, lambda m: condition(m, "AddonsReady")["status"] == "True", LONG
    )


def _blocked(manifest: Manifest) -> bool:
    """Whether the addons are told to be held up by the webhook, and not merely to be under way."""
    found = condition(manifest, "AddonsReady")
    return found.get("status") == "False" and webhooks.WEBHOOK in found.get("message", "")


async def _change(w: Environment, spec: Manifest) -> None:
    await w.kube.patch(CLUSTER, SHOP, NAMESPACE, {"spec": spec})


async def _pods(w: Environment) -> set[str]:
    """UIDs of the API servers' pods with the number of their restarts."""
    labels = {"kok.dev/cluster": SHOP, "app.kubernetes.io/component": "kube-apiserver"}
    return {
        f"{pod['metadata']['uid']} {sum(c['restartCount'] for c in pod['status']['containerStatuses'])}"
        for pod in await w.kube.list(kinds.POD, NAMESPACE, labels=labels)
        if not pod["metadata"].get("deletionTimestamp")
    }


async def _at_rest(w: Environment) -> None:
    """The Cluster serves and nothing is under way."""
    await w.until(
        CLUSTER,
        NAMESPACE,
        SHOP,
        lambda m: (
            has("Ready")(m) and has("ControlPlaneReady")(m) and has("Progressing", "False")(m)
        ),
        LONG,
    )


async def _serves(w: Environment) -> None:
    """The API answers a user, and `Ready` says so."""
    async with await w.business(NAMESPACE, SHOP) as inside:
        await inside.list(kinds.NAMESPACE)
    await w.until(CLUSTER, NAMESPACE, SHOP, has("Ready"), SOON)


async def _told_while_serving(w: Environment, reason: str) -> str:
    """The sentence of the control plane, once it has that reason; the API serves meanwhile."""
    found = await w.until(CLUSTER, NAMESPACE, SHOP, _hangs(reason), LONG)
    await _serves(w)
    return str(condition(found, "ControlPlaneReady")["message"])


def _hangs(reason: str) -> Predicate:
    """Whether both conditions of a rollout name what it waits for, and Ready's sentence does."""

    def check(manifest: Manifest) -> bool:
        plane = condition(manifest, "ControlPlaneReady")
        return (
            plane.get("reason") == reason
            and condition(manifest, "Progressing").get("reason") == reason
            and plane["message"] in condition(manifest, "Ready").get("message", "")
        )

    return check


def _said(type_: str, status: str, reason: str | None = None) -> Predicate:
    """Whether a condition has that status, and a sentence."""

    def check(manifest: Manifest) -> bool:
        return has(type_, status, reason)(manifest) and bool(condition(manifest, type_)["message"])

    return check
