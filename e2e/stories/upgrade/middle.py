"""What happens while an upgrade is under way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from e2e.faults import disruption, quorum
from e2e.fixtures import clusters, etcd
from e2e.framework.environment import Environment
from e2e.framework.follow import condition, has
from e2e.polling import eventually
from e2e.stories import webhooks
from e2e.stories.upgrade import (
    NAMESPACE,
    NEXT,
    RUNS,
    SHOP,
    WHERE,
    afresh,
    begun,
    change,
    serves,
    through,
)
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.errors import KubeError

OPERATOR = "kok-cluster"
SPARED = "meta-1"
"""The node on which the meta cluster itself stands."""
ROLES = (
    (kinds.CLUSTERROLE, "kubeadm:get-nodes"),
    (kinds.CLUSTERROLEBINDING, "kubeadm:get-nodes"),
    (kinds.CLUSTERROLEBINDING, "kubeadm:cluster-admins"),
)
"""The admin's own right goes last, and with it all that he might do about it."""


async def operator_killed_at_every_step(w: Environment) -> None:
    """the operator is killed at each step that it records, and goes on where it was"""
    await change(w, version=NEXT)
    async with asyncio.timeout(clusters.LONG):
        killed = await _killing(w)
    w.report.line(f"killed at {', '.join(killed)}")
    if missing := {"Preflight", "APIServer", "Controllers"} - set(killed):
        raise AssertionError(f"it was never killed at {sorted(missing)}, only at {killed}")
    clusters.ended(await clusters.get(w, *WHERE), RUNS, NEXT)
    await serves(w)
    w.report.figures["upgrade_kills"] = len(killed)
    await afresh(w)


async def _killing(w: Environment) -> list[str]:
    """Kills the operator whenever another step is recorded, until nothing is under way any more."""
    killed: list[str] = []
    done = clusters.settled(NEXT)
    fields = {"metadata.name": SHOP}
    async with aclosing(w.kube.watch(clusters.KIND, NAMESPACE, fields=fields)) as events:
        async for event in events:
            if event.type not in {"ADDED", "MODIFIED"}:
                continue
            step = ((event.object.get("status") or {}).get("upgrade") or {}).get("step")
            if step and (not killed or killed[-1] != step):
                killed.append(step)
                await disruption.kill_operator(w, OPERATOR)
            elif killed and done(event.object):
                break
    return killed


async def etcd_without_quorum(w: Environment) -> None:
    """etcd loses its quorum in the middle: told, and once it is back the upgrade goes on"""
    leader, others = await etcd.leading(w, NAMESPACE, f"{SHOP}-etcd")
    await begun(w)
    async with quorum.cut_off(w, NAMESPACE, (leader, others[0])):
        lost = etcd.says("EtcdReady", "False")
        found = await w.until(clusters.KIND, NAMESPACE, SHOP, lost, clusters.LONG)
        w.report.line(f"Ready: {condition(found, 'Ready').get('message')}")
    await through(w)
    await afresh(w)


async def meta_node_dies(w: Environment) -> None:
    """a meta node with a part of the control plane dies in the middle; with its return all goes on"""
    node = await _node_of_ours(w)
    await disruption.system_away_from(w, [node])
    await begun(w)
    await w.lab.kill(node)
    try:
        found = await w.until(clusters.KIND, NAMESPACE, SHOP, _hurt, clusters.LONG)
        w.report.line(f"{node} is dead; Ready: {condition(found, 'Ready').get('message')}")
    finally:
        await w.lab.start(node)
    await through(w)
    await afresh(w)


async def _node_of_ours(w: Environment) -> str:
    """A node with a pod of the Cluster that may die."""
    for pod in await w.kube.list(kinds.POD, NAMESPACE):
        node = pod["spec"].get("nodeName")
        if node and node != SPARED:
            return str(node)
    raise AssertionError(f"all of {SHOP} runs on {SPARED}: the lab needs more meta nodes")


def _hurt(found: Manifest) -> bool:
    return not (has("ControlPlaneReady")(found) and has("EtcdReady")(found))


async def webhook_blocks(w: Environment) -> None:
    """a webhook of the tenant refuses what the upgrade has to change: it is named, and what serves serves"""
    async with await w.business(*WHERE) as inside:
        # kube-proxy has the version of Kubernetes.
        await inside.apply(webhooks.refusing("apps", "daemonsets"))
        await change(w, version=NEXT)
        await w.until(clusters.KIND, NAMESPACE, SHOP, _names_webhook, clusters.LONG)
        await serves(w)
        await inside.delete(webhooks.KIND, webhooks.NAME)
    await through(w)
    await afresh(w)


def _names_webhook(found: Manifest) -> bool:
    said = (condition(found, t) for t in ("Progressing", "AddonsReady"))
    return any(webhooks.WEBHOOK in str(one.get("message") or "") for one in said)


async def roles_deleted(w: Environment) -> None:
    """the tenant deletes our roles inside in the middle: they are back, and the upgrade ends"""
    async with await w.business(*WHERE) as inside:
        await begun(w)
        for kind, name in ROLES:
            await inside.delete(kind, name)
        for kind, name in ROLES:

            async def back(kind: Kind = kind, name: str = name) -> bool:
                return await inside.get(kind, name) is not None

            # Until the binding is back, the admin himself is nobody.
            await eventually(back, clusters.LONG, every=1.0, unless=(KubeError,))
    await through(w)
    await afresh(w)
