"""One pass over one EtcdCluster: observe, decide, record, bring reality nearer to the spec, and say so.

What was learnt is recorded before anything is built upon it: the cluster's ID, and which members
have started. From then on these never again start with an empty volume.
"""

from __future__ import annotations

from collections.abc import Sequence

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd import clusterstatus, metrics, reasons
from kok.operators.etcd.etcdcluster import decide, delete
from kok.operators.etcd.etcdcluster.act import act
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.etcdcluster.conditions import figures, report
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.decide import Decision
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.metrics import show
from kok.operators.etcd.etcdcluster.observe import View, observe
from kok.operators.etcd.etcdcluster.observed.children import CHILD_KINDS
from kok.operators.etcd.etcdcluster.observed.watches import Watches
from kok.operators.etcd.settings import EtcdSettings, Tuning
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged


class EtcdClusters(Staged[EtcdCluster, View, Decision, Outcome]):
    """The reconciler of EtcdClusters; between passes it knows when it looked, and nothing else."""

    tells_early = True

    def __init__(self, own: EtcdSettings | None = None, tuning: Tuning | None = None) -> None:
        self._own = own or EtcdSettings()
        self.tuning = tuning or Tuning()
        """By what each pass goes that begins from now on."""
        self._watches = Watches()

    @property
    def model(self) -> type[EtcdCluster]:
        """The kind."""
        return EtcdCluster

    @property
    def wakes_on(self) -> Sequence[Wake]:
        """Every kind of child, found by its owner's labels; backups and restores."""
        return [
            *(Wake(kind) for kind in (*CHILD_KINDS, kinds.JOB)),
            Wake(EtcdBackup.info.kind, cluster_of, whole=True),
            Wake(EtcdRestore.info.kind, cluster_of, whole=True),
        ]

    async def observe(self, p: Pass[EtcdCluster]) -> View:
        """Reads children, members, backups and restores. Raises `KubeError` and `Unreadable`."""
        return await observe(p, self._own, self.tuning, self._watches)

    def decide(self, p: Pass[EtcdCluster], view: View) -> Decision:
        """What is done and said."""
        return decide.decide(p, view, self._own)

    def outcome(self, view: View, decision: Decision) -> Outcome:
        """Nothing was found out yet."""
        del view, decision
        return Outcome()

    def record(self, p: Pass[EtcdCluster], view: View, decision: Decision) -> bool:
        """What was learnt, the cluster's and the members' IDs above all, and what is begun."""
        del view
        p.status.take_facts(decision.status)
        p.events.extend(decision.events)
        return decision.latched

    async def act(
        self, p: Pass[EtcdCluster], view: View, decision: Decision, outcome: Outcome
    ) -> float | None:
        """Children, then one step of a restore or of what is done about members."""
        return await act(p, view, decision, outcome, self._own)

    def conditions(
        self,
        p: Pass[EtcdCluster],
        view: View,
        decision: Decision,
        outcome: Outcome,
        ended: Exception | None,
    ) -> None:
        """What was judged, and what acting found out beside it; then figures, and metrics."""
        del ended
        obj = p.obj.model_copy(update={"status": p.status})
        report.tell(
            p.status,
            decision.verdicts,
            decision.phase,
            outcome,
            now=p.now,
            generation=p.obj.metadata.generation,
        )
        figures.settle(p.obj.status, obj, view.observed)
        show(obj, view.observed)

    def rest(
        self, p: Pass[EtcdCluster], view: View, decision: Decision, outcome: Outcome
    ) -> float | None:
        """Seconds until the next look where nothing is to be done."""
        del outcome
        status, obj = p.status, p.obj.model_copy(update={"status": p.status})
        proven = status.is_true(reasons.READY) and status.is_true(reasons.UP_TO_DATE)
        calm = decision.troubled or proven or roles.is_down(status)
        tuning = view.observed.tuning
        look = tuning.look_healthy if calm else tuning.look_troubled
        due = scheduled.until_next(obj, p.now)
        return look if due is None or clusterstatus.stands_still(status) else min(look, due)

    async def finalize(self, p: Pass[EtcdCluster]) -> Result | Done:
        """Removes what belongs to a deleted EtcdCluster."""
        return await delete.finalize(p, self.tuning)

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is shown, or known, of it any more."""
        del uid
        metrics.forget(*key)
        self._watches.forget(key)


def cluster_of(work: Manifest) -> list[Key]:
    """The EtcdCluster that a backup is of, or that a restore is for."""
    return [(work["metadata"]["namespace"], work["spec"]["etcdCluster"])]
