"""One pass over an Addon: render, record, apply, remove what is left over, report."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Unreachable
from kok.kube.http.paths import object_path
from kok.operators.cluster import reasons
from kok.operators.cluster.addon import conditions as conditions_
from kok.operators.cluster.addon import decide as decide_
from kok.operators.cluster.addon import observe as observe_
from kok.operators.cluster.addon.apply import (
    ObjectTaken,
    in_namespace,
    install,
    inventory_entries,
    merge_inventory,
    remove,
    stale_entries,
    unreachable_as_wait,
)
from kok.operators.cluster.addon.bundle import LOOK_AGAIN, Bundle, BundleRenderer
from kok.operators.cluster.addon.conditions import AddonOutcome
from kok.operators.cluster.addon.crashes import pod_error
from kok.operators.cluster.addon.decide import ASK_PODS, IDLE, AddonDecision, require_dependencies
from kok.operators.cluster.addon.delete import Removal
from kok.operators.cluster.addon.health import Workload, judge
from kok.operators.cluster.addon.observe import AddonView, needed_names, parts_of
from kok.operators.cluster.businesscluster.connections import Connection, Connections, reconnect
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged

TAKEN_OVER = 32
"""Addons that are no more whose objects one pass takes over."""
_ADDON = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
"""What an Addon that is the value of a label may be called."""


class AddonReconciler(Staged[Addon, AddonView, AddonDecision, AddonOutcome]):
    """Keeps Addons."""

    model = Addon

    def __init__(
        self,
        settings: ClusterSettings,
        connections: Connections,
        wakeups: Wakeups,
        bundles: BundleRenderer,
    ) -> None:
        """`connections` and `wakeups` are shared with the reconciler of Clusters."""
        self._settings = settings
        self._connections = connections
        self._wakeups = wakeups
        self._bundles = bundles
        self.wakes_on: Sequence[Wake] = (
            Wake(Cluster.info.kind, key=wakeups.of_cluster),
            Wake(Addon.info.kind, key=wakeups.of_addon),
            # What Addons are made of; of it no more than metadata is watched.
            Wake(kinds.SECRET, key=wakeups.of_secret),
            Wake(kinds.CONFIGMAP, key=wakeups.of_config_map),
        )

    async def observe(self, p: Pass[Addon]) -> AddonView:
        """Reads the meta cluster; what is in the business cluster is asked for by `act`."""
        addon = p.obj
        self._wakeups.register(
            addon.namespace, addon.name, addon.spec.cluster, needed_names(addon), p.wake
        )
        self._wakeups.register_parts((addon.namespace, addon.name), parts_of(addon))
        return await observe_.observe(p.kube, addon)

    def decide(self, p: Pass[Addon], view: AddonView) -> AddonDecision:
        """Whether to keep it applied, to leave with its Cluster, or to wait for that."""
        return decide_.decide(p.obj, view, p.now)

    def outcome(self, view: AddonView, decision: AddonDecision) -> AddonOutcome:
        """Nothing is known before anything was done."""
        del view, decision
        return AddonOutcome()

    async def act(
        self, p: Pass[Addon], view: AddonView, decision: AddonDecision, outcome: AddonOutcome
    ) -> float | None:
        """Keeps the objects applied, or removes what may hold something outside."""
        cluster = view.cluster
        if cluster is not None and decision.leaves:
            left = await Removal(p, self._settings, self._connections).remove_all(cluster)
            return 1.0 if left else None
        if isinstance(decision.context, Wait):
            raise decision.context
        if cluster is None:
            raise AssertionError("a Cluster that is missing has no context")
        async with self._bundles.held(p.kube, p.obj, decision.context) as made:
            require_dependencies(p.obj, view)
            await self._record(p, made)
            connection = await self._answering(p, cluster)
            outcome.workloads = await self._apply(p, connection, made)
            outcome.version, outcome.applied = made.version, True
            outcome.kubernetes_version = decision.context.version
        return await self._judge(p, connection, decision, outcome)

    async def look(
        self, p: Pass[Addon], view: AddonView, decision: AddonDecision, outcome: AddonOutcome
    ) -> float | None:
        """Goes as far as there is nothing to change: the clients refuse the first write."""
        return await self.act(p, view, decision, outcome)

    def conditions(
        self,
        p: Pass[Addon],
        view: AddonView,
        decision: AddonDecision,
        outcome: AddonOutcome,
        ended: Exception | None,
    ) -> None:
        """All of the status but the inventory, which is recorded before anything is applied."""
        del view
        conditions_.report(p.status, p.obj, decision, outcome, ended=ended, now=p.now)

    async def finalize(self, p: Pass[Addon]) -> Result | Done:
        """One pass of the clean-up, in the order and within the time that `Removal` has."""
        return await Removal(p, self._settings, self._connections).step()

    def forget(self, key: Key, uid: str) -> None:
        """Nobody is woken for it any more."""
        del uid
        self._wakeups.forget(key)
        self._bundles.forget(key)

    async def _judge(
        self, p: Pass[Addon], connection: Connection, decision: AddonDecision, found: AddonOutcome
    ) -> float | None:
        """How the workloads are; seconds until the next look."""
        asked = decision.ask_pods
        with unreachable_as_wait(p):
            health = judge(
                found.workloads,
                has_nodes=await _has_nodes(connection),
                pod_error=await pod_error(connection.kube, found.workloads) if asked else "",
            )
        found.health = health
        if health.holds is not True:
            # What pods say changes without their workload.
            return LOOK_AGAIN if asked else ASK_PODS.total_seconds()
        return None

    async def _record(self, p: Pass[Addon], made: Bundle) -> None:
        """What the source was found to be holds from now on, whoever goes on after us."""
        if p.status.source != made.source:
            p.status.source = made.source
            if made.source is not None and not p.paused:
                await p.latch()

    async def _answering(self, p: Pass[Addon], cluster: Cluster) -> Connection:
        """The business cluster, if it is known to answer: a dead one is not waited for here."""
        reachable = cluster.status.condition(reasons.ENDPOINT_REACHABLE)
        if reachable is None or reachable.status != "True":
            why = reachable.message if reachable is not None else "it is new"
            ran = cluster.status.version is not None
            reason = reasons.CLUSTER_UNREACHABLE if ran else reasons.WAITING_FOR_CLUSTER
            raise Wait(reason, f"{cluster} cannot be reached: {why}", IDLE)
        connection = await reconnect(p.kube, self._connections, self._settings, cluster)
        if connection is None:
            raise Wait(reasons.WAITING_FOR_CLUSTER, f"{cluster} has no kubeconfig yet", 5.0)
        return connection

    async def _apply(self, p: Pass[Addon], connection: Connection, made: Bundle) -> list[Workload]:
        kube = p.guarded(connection.kube)
        with unreachable_as_wait(p):
            wanted = await inventory_entries(kube, made.manifests, made.namespace)
        known = [a for a in wanted if a is not None]
        before = list(p.status.inventory)
        # Recorded before anything is applied, so that nothing can be left behind.
        p.status.inventory = merge_inventory(before, known)
        p.status.objects = len(known)
        if p.status.inventory != before and not p.paused:
            await p.latch()
        both = zip(made.manifests, wanted, strict=True)
        ready = [in_namespace(m, a) for m, a in both if a is not None]
        found = await self._install(p, kube, ready)
        unknown = [m for m, a in zip(made.manifests, wanted, strict=True) if a is None]
        if unknown:
            kind = f"{unknown[0]['apiVersion']} {unknown[0]['kind']}"
            raise Wait(reasons.KIND_UNKNOWN, f"the business cluster has no kind {kind} yet", 2.0)
        with unreachable_as_wait(p):
            left = await remove(kube, stale_entries(before, known), p.obj.name)
        p.status.inventory = merge_inventory(left, known)
        return found

    async def _install(self, p: Pass[Addon], kube: Kube, wanted: list[Manifest]) -> list[Workload]:
        """Takes over what carries the name of an Addon that this Cluster does not have.

        A Cluster that began with a backup finds the marks of Addons of the one that was backed up.
        """
        gone: set[str] = set()
        while True:
            try:
                with unreachable_as_wait(p):
                    return await install(kube, wanted, p.obj.name, gone)
            except ObjectTaken as taken:
                # A server that answers with ever new names must not keep the pass busy for ever.
                if not _ADDON.fullmatch(taken.other) or len(gone) >= TAKEN_OVER:
                    raise
                live = await p.kube.get(Addon.info.kind, taken.other, p.obj.namespace)
                if live is not None and live["spec"].get("cluster") == p.obj.spec.cluster:
                    raise
                p.log.info("objects of an Addon that is no more are taken over", of=taken.other)
                gone.add(taken.other)


async def _has_nodes(connection: Connection) -> bool:
    """Whether the business cluster has a node at all; asked only while that is not known."""
    if connection.watches is not None and connection.watches.nodes is not None:
        return bool(connection.watches.nodes)
    first = await connection.kube.raw("GET", object_path(kinds.NODE), query={"limit": "1"})
    items = first.get("items") or [] if isinstance(first, dict) else None
    if not isinstance(items, list):
        raise Unreachable(f"{connection.kube.server} did not answer with a list of Nodes")
    return bool(items)
