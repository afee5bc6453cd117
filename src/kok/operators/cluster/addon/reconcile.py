"""One pass over an Addon: render, record, apply, remove what is left over, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.kube import kinds
from kok.kube.errors import Unreachable
from kok.kube.http.paths import object_path
from kok.operators.cluster import reasons
from kok.operators.cluster.addon import conditions as conditions_
from kok.operators.cluster.addon import decide as decide_
from kok.operators.cluster.addon import observe as observe_
from kok.operators.cluster.addon.applying.install import Installed, unreachable_as_wait
from kok.operators.cluster.addon.applying.rollout import Rollout
from kok.operators.cluster.addon.bundle import LOOK_AGAIN, BundleRenderer, Work
from kok.operators.cluster.addon.conditions import AddonOutcome
from kok.operators.cluster.addon.crashes import pod_error
from kok.operators.cluster.addon.decide import ASK_PODS, IDLE, AddonDecision, require_dependencies
from kok.operators.cluster.addon.delete import Removal
from kok.operators.cluster.addon.health import judge
from kok.operators.cluster.addon.observe import AddonView, needed_names, parts_of
from kok.operators.cluster.businesscluster.connections import Connection, Connections, reconnect
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged


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
        key = (addon.namespace, addon.name)
        self._wakeups.register_parts(key, parts_of(addon))
        view = await observe_.observe(p.kube, addon)
        self._wakeups.saw(key, view.cluster)
        return view

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
            going = Removal(p, self._settings, self._connections)
            return 1.0 if await going.leave(cluster) else None
        if isinstance(decision.context, Wait):
            raise decision.context
        if cluster is None:
            raise AssertionError("a Cluster that is missing has no context")
        async with self._bundles.work(p.kube, p.obj, decision.context) as work:
            rollout, done = await self._installed(p, view, cluster, work)
            outcome.workloads = done.found
            if done.waits is None:
                outcome.version, outcome.applied = work.version, True
                outcome.kubernetes_version = decision.context.version
                outcome.revision = done.revision
            later = await self._judge(p, rollout.connection, decision, outcome)
            if outcome.health is not None:
                # What pods and custom resources say may quote what they were given.
                told = work.masked(outcome.health.message)
                outcome.health = replace(outcome.health, message=told)
            _require_all(done, outcome, later)
        return min((s for s in (rollout.look_again, later) if s is not None), default=None)

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
        cluster = self._wakeups.cluster_of(key)
        connection = self._connections.get(cluster) if cluster is not None else None
        if connection is not None:
            connection.followed.forget(key[1])
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

    async def _installed(
        self, p: Pass[Addon], view: AddonView, cluster: Cluster, work: Work
    ) -> tuple[Rollout, Installed]:
        """Applies what it comes to, unless a pass before found all as it should be."""
        rollout = await self._rollout(p, cluster)
        if isinstance(rollout, Rollout):
            known = rollout.known(work.digest, work.namespace)
            if known is not None:
                await self._begin(p, view, work)
                return rollout, known
        async with self._bundles.rendered(p.obj, work) as bundle:
            await self._begin(p, view, work)
            if isinstance(rollout, Wait):
                # Not before: what is wrong with the templates is told whether the cluster answers or not.
                raise rollout
            done = await rollout.apply(bundle.manifests, bundle.namespace, bundle.made_of)
            return rollout, done

    async def _begin(self, p: Pass[Addon], view: AddonView, work: Work) -> None:
        """What the source was found to be holds from now on, whoever goes on after us.

        Raises `Wait` for an Addon that this one depends on.
        """
        require_dependencies(p.obj, view)
        if p.status.source != work.source:
            p.status.source = work.source
            if work.source is not None and not p.paused:
                await p.latch()

    async def _rollout(self, p: Pass[Addon], cluster: Cluster) -> Rollout | Wait:
        """What is there of it, or why nobody can tell."""
        connection = await self._answering(p, cluster)
        if isinstance(connection, Wait):
            return connection
        return Rollout(p, connection, self._settings.addons_recheck)

    async def _answering(self, p: Pass[Addon], cluster: Cluster) -> Connection | Wait:
        """The business cluster, if it is known to answer: a dead one is not waited for here.

        Otherwise why nothing can be done there.
        """
        reachable = cluster.status.condition(reasons.ENDPOINT_REACHABLE)
        if reachable is None or reachable.status != "True":
            why = reachable.message if reachable is not None else "it is new"
            ran = cluster.status.version is not None
            reason = reasons.CLUSTER_UNREACHABLE if ran else reasons.WAITING_FOR_CLUSTER
            return Wait(reason, f"{cluster} cannot be reached: {why}", IDLE)
        connection = await reconnect(p.kube, self._connections, self._settings, cluster)
        return connection or Wait(
            reasons.WAITING_FOR_CLUSTER, f"{cluster} has no kubeconfig yet", 5.0
        )


def _require_all(done: Installed, found: AddonOutcome, later: float | None) -> None:
    """Raises `Wait` where a wave is yet to come, or somebody changes again and again what is applied."""
    if done.waits is not None and found.health is not None:
        why = found.health.message.removeprefix("applied").lstrip(",; ").removeprefix("but ")
        text = f"{done.waits}: {why}"
        raise Wait(reasons.WAITING_FOR_WAVE, text, later or IDLE)
    if done.fought is not None:
        raise Wait(reasons.FOUGHT_OVER, done.fought, done.patience)


async def _has_nodes(connection: Connection) -> bool:
    """Whether the business cluster has a node at all; asked only while that is not known."""
    if connection.watches is not None and connection.watches.nodes is not None:
        return bool(connection.watches.nodes)
    first = await connection.kube.raw("GET", object_path(kinds.NODE), query={"limit": "1"})
    items = first.get("items") or [] if isinstance(first, dict) else None
    if not isinstance(items, list):
        raise Unreachable(f"{connection.kube.server} did not answer with a list of Nodes")
    return bool(items)
