"""One pass over an Addon: render, record, apply, prune, report."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from kok.api.cluster.addon import Addon, AddonStatus
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.errors import KubeError, TooLarge, Unreachable
from kok.kube.http.paths import object_path
from kok.operators.cluster import reasons
from kok.operators.cluster.addon import apply as inventory
from kok.operators.cluster.addon.apply import Taken, entries, install, remove
from kok.operators.cluster.addon.bundle import LOOK_AGAIN, Bundle, BundleRenderer
from kok.operators.cluster.addon.context import context_of
from kok.operators.cluster.addon.crashes import pod_error
from kok.operators.cluster.addon.health import Workload, counts, judge
from kok.operators.cluster.businesscluster.connections import Connection, Connections, reconnect
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.conditions import Verdict
from kok.runtime.controller.errors import Paused, ReconcileStop, Wait
from kok.runtime.controller.reasons import ANSWER_TOO_LARGE
from kok.runtime.controller.reconciler import DONE, Done, Key, Pass, Result, Wake

IDLE = 300.0
"""Seconds until the next look where a change of the Cluster wakes the Addon anyway."""
REMOVAL = timedelta(seconds=60)
"""How long the removal of an addon's objects is waited for at most."""
REMOVAL_WITH_CLUSTER = timedelta(seconds=20)
"""The same when the whole cluster is going."""
ASK_PODS = timedelta(seconds=15)
"""How long an addon is not healthy before its pods are asked why."""

TAKEN_OVER = 32
"""Addons that are no more whose objects one pass takes over."""
_ADDON = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
"""What an Addon that is the value of a label may be called."""


class AddonReconciler:
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
        )

    async def reconcile(self, p: Pass[Addon]) -> Result:
        """See `Reconciler`."""
        addon = p.obj
        self._wakeups.register(
            addon.namespace, addon.name, addon.spec.cluster, addon.spec.depends_on, p.wake
        )
        cluster = await self._cluster(p)
        if cluster is not None and cluster.deleting:
            return await self._leave(p, cluster)
        try:
            return await self._keep(p, cluster)
        except Paused:
            raise
        except ReconcileStop as stop:
            _stopped(p, stop)
            raise

    async def finalize(self, p: Pass[Addon]) -> Result | Done:
        """See `Reconciler`. Bounded; does nothing where the cluster is gone."""
        addon = p.obj
        cluster = await self._cluster(p)
        began = addon.metadata.deletion_timestamp
        waited = p.now - began if began is not None else timedelta(0)
        limit = REMOVAL if cluster is not None and not cluster.deleting else REMOVAL_WITH_CLUSTER
        if cluster is not None and waited < limit and await self._remove_all(p, cluster):
            raise Wait(
                reasons.DELETING_ADDONS, f"waiting for {_left(p.status)} to go", _patience(waited)
            )
        if cluster is not None and p.status.inventory and waited >= limit:
            p.event(reasons.GAVE_UP, f"{_left(p.status)} may be left behind", warning=True)
        return DONE

    def forget(self, key: Key, uid: str) -> None:
        """Nobody is woken for it any more."""
        del uid
        self._wakeups.forget(key)
        self._bundles.forget(key)

    async def _cluster(self, p: Pass[Addon]) -> Cluster | None:
        live = await p.kube.get(
            Cluster.info.kind, p.obj.spec.cluster, p.obj.namespace, unread=FREE_FORM
        )
        return None if live is None else Cluster.parse(live)

    async def _keep(self, p: Pass[Addon], cluster: Cluster | None) -> Result:
        addon = p.obj
        if cluster is None:
            where = f"{addon.namespace}/{addon.spec.cluster}"
            raise Wait(reasons.CLUSTER_MISSING, f"Cluster {where} does not exist", 30.0)
        context = context_of(cluster)
        if context is None:
            raise Wait(reasons.WAITING_FOR_CLUSTER, f"{cluster} has no API yet", IDLE)
        async with self._bundles.held(p.kube, addon, context) as made:
            await self._check_dependencies(p)
            connection = await self._answering(p, cluster)
            found = await self._apply(p, connection, made)
            p.status.version = made.version
        p.status.workloads = counts(found)
        asked = _patient(p)
        with _asking(p):
            health = judge(
                found,
                has_nodes=await _has_nodes(connection),
                pod_error=await pod_error(connection.kube, found) if asked else "",
            )
        _report(p, Verdict(True, reasons.AS_WANTED, "all objects are applied"), health)
        if health.holds is not True:
            # What pods say changes without their workload.
            return Result(LOOK_AGAIN if asked else ASK_PODS.total_seconds())
        return Result(LOOK_AGAIN if addon.spec.source.config_map is not None else None)

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

    async def _check_dependencies(self, p: Pass[Addon]) -> None:
        for name in p.obj.spec.depends_on:
            live = await p.kube.get(Addon.info.kind, name, p.obj.namespace)
            if live is None or not Addon.parse(live).status.is_true(reasons.READY):
                state = "is not Ready" if live is not None else "does not exist"
                raise Wait(
                    reasons.WAITING_FOR_DEPENDENCIES,
                    f"Addon {p.obj.namespace}/{name}, which this one depends on, {state}",
                    30.0,
                )

    async def _apply(self, p: Pass[Addon], connection: Connection, made: Bundle) -> list[Workload]:
        kube = p.guarded(connection.kube)
        with _asking(p):
            wanted = await entries(kube, made.manifests)
        known = [a for a in wanted if a is not None]
        before = list(p.status.inventory)
        # Recorded before anything is applied, so that nothing can be left behind.
        p.status.inventory = inventory.union(before, known)
        p.status.objects = len(known)
        if p.status.inventory != before and not p.paused:
            await p.latch()
        ready = [m for m, a in zip(made.manifests, wanted, strict=True) if a is not None]
        found = await self._install(p, kube, ready)
        unknown = [m for m, a in zip(made.manifests, wanted, strict=True) if a is None]
        if unknown:
            kind = f"{unknown[0]['apiVersion']} {unknown[0]['kind']}"
            raise Wait(reasons.KIND_UNKNOWN, f"the business cluster has no kind {kind} yet", 2.0)
        with _asking(p):
            left = await remove(kube, inventory.stale(before, known), p.obj.name)
        p.status.inventory = inventory.union(left, known)
        return found

    async def _install(self, p: Pass[Addon], kube: Kube, wanted: list[Manifest]) -> list[Workload]:
        """Takes over what carries the name of an Addon that this Cluster does not have.

        A Cluster that began with a backup finds the marks of Addons of the one that was backed up.
        """
        gone: set[str] = set()
        while True:
            try:
                with _asking(p):
                    return await install(kube, wanted, p.obj.name, gone)
            except Taken as taken:
                # A server that answers with ever new names must not keep the pass busy for ever.
                if not _ADDON.fullmatch(taken.other) or len(gone) >= TAKEN_OVER:
                    raise
                live = await p.kube.get(Addon.info.kind, taken.other, p.obj.namespace)
                if live is not None and live["spec"].get("cluster") == p.obj.spec.cluster:
                    raise
                p.log.info("objects of an Addon that is no more are taken over", of=taken.other)
                gone.add(taken.other)

    async def _leave(self, p: Pass[Addon], cluster: Cluster) -> Result:
        """The Cluster is going: what may hold something outside is removed while it still can."""
        text = f"Cluster {p.obj.namespace}/{p.obj.spec.cluster} is being deleted"
        verdict = Verdict(False, reasons.CLUSTER_DELETING, text)
        _report(p, verdict, verdict)
        left = await self._remove_all(p, cluster)
        return Result(1.0 if left else None)

    async def _remove_all(self, p: Pass[Addon], cluster: Cluster) -> bool:
        """Whether something is left; nothing counts as left where nobody can be asked any more."""
        connection = await reconnect(p.kube, self._connections, self._settings, cluster)
        if connection is None:
            p.status.inventory = []
            return False
        entries_ = inventory.removal_order(p.status.inventory)
        try:
            async with asyncio.timeout(REMOVAL_WITH_CLUSTER.total_seconds()):
                p.status.inventory = await remove(p.guarded(connection.kube), entries_, p.obj.name)
        except (KubeError, TimeoutError) as error:
            p.log.info("cannot remove the addon's objects", error=str(error))
            if cluster.deleting and isinstance(error, Unreachable | TimeoutError):
                # It will not come back, and takes all that is in it along.
                p.status.inventory = []
        return bool(p.status.inventory)


def _patient(p: Pass[Addon]) -> bool:
    """Whether the addon is not healthy for so long that its pods are asked why."""
    before = p.status.condition(reasons.HEALTHY)
    if before is None or before.reason != reasons.NOT_HEALTHY:
        return False
    return bool(p.now - before.last_transition_time >= ASK_PODS)


async def _has_nodes(connection: Connection) -> bool:
    """Whether the business cluster has a node at all; asked only while that is not known."""
    if connection.watches is not None and connection.watches.nodes is not None:
        return bool(connection.watches.nodes)
    first = await connection.kube.raw("GET", object_path(kinds.NODE), query={"limit": "1"})
    items = first.get("items") or [] if isinstance(first, dict) else None
    if not isinstance(items, list):
        raise Unreachable(f"{connection.kube.server} did not answer with a list of Nodes")
    return bool(items)


@contextmanager
def _asking(p: Pass[Addon]) -> Iterator[None]:
    """A business cluster that is away is no error of ours.

    The Cluster's own condition says so, and wakes us when it is back.
    """
    try:
        yield
    except KubeError as error:
        reason = reasons.APPLY_FAILED
        if isinstance(error, Unreachable):
            large = isinstance(error, TooLarge)
            reason = ANSWER_TOO_LARGE if large else reasons.CLUSTER_UNREACHABLE
        text = f"Cluster {p.obj.namespace}/{p.obj.spec.cluster} {error.told}"
        raise Wait(reason, text, 10.0) from error


def _stopped(p: Pass[Addon], stop: ReconcileStop) -> None:
    """What an interrupted pass can still say."""
    status = p.obj.status
    current = status.observed_generation == p.obj.metadata.generation
    away = stop.reason in {
        ANSWER_TOO_LARGE,
        reasons.CLUSTER_UNREACHABLE,
        reasons.WAITING_FOR_CLUSTER,
    }
    verdict = Verdict(False, stop.reason, stop.message)
    if away and current and status.is_true(reasons.APPLIED):
        # What was applied is still there; only how it is cannot be seen.
        unknown = Verdict(None, stop.reason, stop.message)
        _report(p, Verdict(True, reasons.AS_WANTED, "all objects are applied"), unknown)
    else:
        _report(p, verdict, verdict)


def _report(p: Pass[Addon], applied: Verdict, health: Verdict) -> None:
    ready = applied if applied.holds is not True else health
    for type_, verdict in (
        (reasons.APPLIED, applied),
        (reasons.HEALTHY, health),
        (reasons.READY, Verdict(ready.holds is True, ready.reason, ready.message)),
    ):
        p.set_condition(type_, verdict.holds, verdict.reason, verdict.message)
    p.status.phase = "Ready" if ready.holds is True else "Pending"


def _left(status: AddonStatus) -> str:
    named = [f"{a.kind} {a.name}" for a in status.inventory[:5]]
    more = len(status.inventory) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _patience(waited: timedelta) -> float:
    """Seconds until the next look at what is being removed."""
    return max(1.0, waited.total_seconds() / 10)
