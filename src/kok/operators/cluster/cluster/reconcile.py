"""One pass over a Cluster: observe, decide, put in place what may be there now, ask, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.cluster import metrics
from kok.operators.cluster.businesscluster.connections import Connection, Connections
from kok.operators.cluster.cluster.bootstrap import Bootstrapper
from kok.operators.cluster.cluster.caches import MACHINE, MachineAddressCache, MetaNodeCache
from kok.operators.cluster.cluster.conditions.report import report
from kok.operators.cluster.cluster.controlplane import ControlPlane
from kok.operators.cluster.cluster.decide import Decision, decide, next_look
from kok.operators.cluster.cluster.delete import Deletion
from kok.operators.cluster.cluster.observe import ADDON, CHILDREN, ClusterView, observe
from kok.operators.cluster.cluster.operations import (
    leadership,
    tunnels,
    upgrade_addons,
    upgrade_calls,
)
from kok.operators.cluster.cluster.operations.preflight.inspect import Around, Asked, Inspection
from kok.operators.cluster.cluster.operations.preflight.probe_pods import ProbePods
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.operators.cluster.naming import CONTROLLER_MANAGER, LABEL_PROBE
from kok.operators.cluster.releases import ReleaseSource
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged
from kok.runtime.operations.action import transition


class ClusterReconciler(Staged[Cluster, ClusterView, Decision, ClusterOutcome]):
    """Keeps Clusters."""

    model = Cluster

    def __init__(
        self,
        settings: ClusterSettings,
        connections: Connections,
        wakeups: Wakeups,
        releases: ReleaseSource | None = None,
    ) -> None:
        """`connections` and `wakeups` are shared with the reconciler of Addons; `releases` tells what is
        known of releases, by default no more than this release knows."""
        self._releases = releases or ReleaseSource()
        self._settings = settings
        self._connections = connections
        self._wakeups = wakeups
        self._nodes = MetaNodeCache()
        self._machines = MachineAddressCache()
        self._awaiting: set[Key] = set()
        """Clusters whose upgrade may wait for Addons that are not their own."""
        self.wakes_on: Sequence[Wake] = (
            *(Wake(kind) for kind in CHILDREN),
            Wake(EtcdBackup.info.kind, key=_cluster_of, labels=names.LABEL_CLUSTER),
            Wake(ADDON, key=self._waits_for),
            Wake(kinds.POD, key=_woken_by_pod, labels=names.LABEL_CLUSTER),
            Wake(kinds.NODE, key=self._nodes.changed, whole=True),
            Wake(MACHINE, key=self._machines.changed, whole=True),
        )

    async def observe(self, p: Pass[Cluster]) -> ClusterView:
        """Reads the meta cluster; what is in the business cluster is asked for by `act`."""
        key = (p.obj.namespace, p.obj.name)
        self._wakeups.register_cluster(key, p.wake)
        awaiting = upgrade_addons.are_awaited(p.obj)
        # Before anything is read: what changes from here on is not missed.
        (self._awaiting.add if awaiting else self._awaiting.discard)(key)
        machines = self._machines if self._settings.isolates() else None
        view = await observe(p.kube, p.obj, self._nodes, p.clock, machines)
        others = await upgrade_addons.other_addons(p.kube, p.obj) if awaiting else None
        return replace(view, known=self._releases.now(), others=others)

    def decide(self, p: Pass[Cluster], view: ClusterView) -> Decision:
        """What may run now, at which version, and the step of what is under way."""
        return decide(p.obj, view, self._settings, p.now)

    def outcome(self, view: ClusterView, decision: Decision) -> ClusterOutcome:
        """What is known before anything was done."""
        return ClusterOutcome(
            view, decision.hibernation, decision.upgrade, endpoint=decision.endpoint
        )

    def record(self, p: Pass[Cluster], view: ClusterView, decision: Decision) -> bool:
        """The operation and its step; of a spec that nothing is made of none is begun."""
        if p.paused or isinstance(decision.resolved, Invalid):
            return False
        action = decision.hibernation.action
        before, after = p.status.operation, action.operation if action is not None else None
        for reason, text in transition(before, after):
            p.event(reason, text)
        p.status.operation = after
        begun = upgrade_calls.record(p, decision.upgrade, view)
        self._wakeups.tell(p.obj, p.status)
        return begun or (after is not None and after != before)

    async def act(
        self, p: Pass[Cluster], view: ClusterView, decision: Decision, outcome: ClusterOutcome
    ) -> None:
        """From the foundations up: what is missing below ends the pass before what stands on it."""
        plane = ControlPlane(p, decision, outcome, self._settings)
        business = self._business(p, outcome)
        probes, pods = (
            self._probes(p, plane, decision),
            ProbePods(p.kube, p.obj, view.probes, p.now),
        )
        await plane.loosen_keys()
        await pods.clear({str(one["metadata"]["name"]) for one in probes})
        await plane.ensure_foundation()
        plane.require_keys()
        await plane.store_keys()
        await plane.issue_credentials()
        await upgrade_calls.back_up(p, decision.upgrade, view)
        if upgrade_calls.is_probing(p.obj, decision.upgrade):
            outcome.probed = await pods.keep(probes)
        await business.probe()
        leading = view.running(p.obj.name, CONTROLLER_MANAGER)
        await leadership.hand_over(p, business.connection, leading)
        await plane.ensure_controllers(business.apply(plane))
        await business.confirm()
        await tunnels.settle(p, outcome.inside)
        await self._inspect(p, plane, decision, outcome, business.connection)
        plane.require_pull_secrets()

    def _probes(self, p: Pass[Cluster], plane: ControlPlane, decision: Decision) -> list[Manifest]:
        """The pods that are to try the version which is gone to."""
        now = decision.upgrade.status
        if now is None or not upgrade_calls.is_probing(p.obj, decision.upgrade):
            return []
        return plane.probes(now.hop)

    async def _inspect(
        self,
        p: Pass[Cluster],
        plane: ControlPlane,
        decision: Decision,
        outcome: ClusterOutcome,
        connection: Connection | None,
    ) -> None:
        """The preflight of the upgrade under way, and that of a version that is only checked."""
        around = Around(
            outcome.view,
            outcome.reach,
            connection,
            outcome.certificates or p.obj.status.certificates,
            outcome.kubelets,
        )
        inspection, now, asked = Inspection(p, around), decision.upgrade.status, Asked.of(p.obj)
        if now is not None and outcome.probed is not None:
            outcome.findings = await inspection.of_upgrade(now.hop, outcome.probed)
        if asked is not None and asked.is_due(p.obj) and not p.obj.spec.hibernate:
            probes = plane.probes(asked.version)
            outcome.preflight = await inspection.dry_run(asked, probes)

    async def look(
        self, p: Pass[Cluster], view: ClusterView, decision: Decision, outcome: ClusterOutcome
    ) -> None:
        """While nothing may be changed, users still want to know whether the API answers."""
        del view
        if isinstance(decision.resolved, Invalid):
            raise decision.resolved
        await self._business(p, outcome).probe()

    def conditions(
        self,
        p: Pass[Cluster],
        view: ClusterView,
        decision: Decision,
        outcome: ClusterOutcome,
        ended: Exception | None,
    ) -> None:
        """All of the status; of an error that ended the pass the runtime tells in `Ready`."""
        del view, decision
        if isinstance(ended, Wait | Invalid):
            outcome.stopped = ended
        ready = ended is None or isinstance(ended, Wait)
        report(p.status, p.obj, outcome, p.now, ready=ready)
        self._wakeups.tell(p.obj, p.status)
        shown = p.obj.model_copy(update={"status": p.status})
        metrics.show(shown, outcome.view.known.releases)

    def rest(
        self, p: Pass[Cluster], view: ClusterView, decision: Decision, outcome: ClusterOutcome
    ) -> float | None:
        """Where something has to be looked at before the next pass comes anyway."""
        del view, decision
        soonest = next_look(p.obj, p.status, outcome, p.now)
        return soonest if soonest is not None and soonest < p.settings.resync else None

    async def finalize(self, p: Pass[Cluster]) -> Result | Done:
        """One pass of the clean-up, in the order and within the time that `Deletion` has."""
        return await Deletion(p).step()

    def forget(self, key: Key, uid: str) -> None:
        """Its connections are closed."""
        del uid
        metrics.forget(*key)
        self._connections.drop(key)
        self._wakeups.forget_cluster(key)
        self._awaiting.discard(key)
        self._machines.forget(key)

    def _waits_for(self, addon: Manifest) -> list[Key]:
        """The Cluster whose upgrade may wait for an Addon that changed; its own wake it anyway."""
        meta = addon["metadata"]
        cluster = self._wakeups.cluster_of((str(meta.get("namespace") or ""), str(meta["name"])))
        return [cluster] if cluster in self._awaiting else []

    def _business(self, p: Pass[Cluster], outcome: ClusterOutcome) -> Bootstrapper:
        return Bootstrapper(
            p,
            outcome,
            settings=self._settings,
            connections=self._connections,
            wakeups=self._wakeups,
        )


def _cluster_of(backup: Manifest) -> list[Key]:
    """The Cluster before whose upgrade a backup is made."""
    meta = backup["metadata"]
    return [(str(meta.get("namespace") or ""), str(meta["labels"][names.LABEL_CLUSTER]))]


def _woken_by_pod(pod: Manifest) -> list[Key]:
    """The Cluster whose version a pod tries, or whose controller manager ends in it."""
    meta = pod["metadata"]
    labels = meta["labels"]
    ends = labels.get(names.LABEL_COMPONENT) == CONTROLLER_MANAGER and "deletionTimestamp" in meta
    if LABEL_PROBE not in labels and not ends:
        return []
    return [(str(meta.get("namespace") or ""), str(labels[names.LABEL_CLUSTER]))]
