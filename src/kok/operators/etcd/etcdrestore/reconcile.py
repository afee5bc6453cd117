"""One pass over one EtcdRestore: find the backup, prove it, then follow what the cluster does.

The EtcdCluster's own pass does the restore itself: only it may touch members and volumes. Both
meet in the status: here `phase: Verified` says that a backup may be used, there
`status.restore`, `restored` and `restoreFailed` say by UID what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.kube import kinds
from kok.operators.etcd import metrics, reasons
from kok.operators.etcd.etcdrestore import decide
from kok.operators.etcd.etcdrestore.conditions import Outcome, followed, tell
from kok.operators.etcd.etcdrestore.decide import OVER, Decision
from kok.operators.etcd.etcdrestore.verification import Refused, Verification, delete_jobs
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE, Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged

LOOK = 10.0


@dataclass(frozen=True, slots=True)
class View:
    """What one pass looks at."""

    cluster: EtcdCluster | None = None
    """The one that is to be restored; another one of its name is none."""


class EtcdRestores(Staged[EtcdRestore, View, Decision, Outcome]):
    """The reconciler of EtcdRestores."""

    tells_early = True

    def __init__(self, own: EtcdSettings) -> None:
        self._own = own

    @property
    def model(self) -> type[EtcdRestore]:
        """The kind."""
        return EtcdRestore

    @property
    def wakes_on(self) -> Sequence[Wake]:
        """The end of a Job or of its work; what the EtcdCluster does is looked at while it does it."""
        return [Wake(kinds.JOB), Wake(kinds.POD)]

    async def observe(self, p: Pass[EtcdRestore]) -> View:
        """The EtcdCluster. Raises `KubeError` and `Unreadable`."""
        status, namespace = p.obj.status, p.obj.namespace
        if status.phase in OVER:
            return View()
        live = await p.kube.get(EtcdCluster.info.kind, p.obj.spec.etcd_cluster, namespace)
        if live is None or status.cluster_uid not in {None, live["metadata"]["uid"]}:
            return View()
        return View(EtcdCluster.parse(live))

    def decide(self, p: Pass[EtcdRestore], view: View) -> Decision:
        """Which part of its way it is on."""
        return decide.decide(p.obj, view.cluster)

    def outcome(self, view: View, decision: Decision) -> Outcome:
        """The phase as it is recorded, until something else is found out."""
        del view
        return Outcome(decision.phase)

    def record(self, p: Pass[EtcdRestore], view: View, decision: Decision) -> bool:
        """Which EtcdCluster it is for; written with the first Job, before which nothing is done."""
        del decision
        if view.cluster is not None:
            p.status.cluster_uid = view.cluster.metadata.uid
        return False

    async def act(
        self, p: Pass[EtcdRestore], view: View, decision: Decision, outcome: Outcome
    ) -> float | None:
        """One step of finding and proving the backup, then what becomes of it. Raises `Wait`."""
        if decision.step == "Rest":
            return None
        if view.cluster is None:
            raise _absent(p.obj, decision, outcome)
        try:
            if decision.step == "Refuse":
                raise Refused(reasons.RESTORE_REFUSED, _has_data(view.cluster))
            if decision.step == "Verify":
                await Verification(p, outcome, self._own).go_on(view.cluster)
            return _follow(p, view.cluster, outcome)
        except Refused as refused:
            outcome.phase = "Failed"
            outcome.ready(False, refused.reason, refused.message)
            p.event(refused.reason, refused.message, warning=True)
            return None

    def conditions(
        self,
        p: Pass[EtcdRestore],
        view: View,
        decision: Decision,
        outcome: Outcome,
        ended: Exception | None,
    ) -> None:
        """What was found out, and metrics of it."""
        del view, decision, ended
        tell(p, outcome)
        metrics.show_restore(p.obj, p.status.phase)

    async def finalize(self, p: Pass[EtcdRestore]) -> Result | Done:
        """Ends its Jobs. A restore that has not reached its point of no return is taken back by the
        EtcdCluster's own pass, which sees that it is gone.
        """
        await delete_jobs(p)
        return DONE

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is shown of it any more."""
        del uid
        metrics.forget_restore(*key)


def _absent(obj: EtcdRestore, decision: Decision, outcome: Outcome) -> Wait:
    where = f"{obj.namespace}/{obj.spec.etcd_cluster}"
    if decision.step == "Await":
        text = f"EtcdCluster {where} does not exist"
        return Wait(reasons.ETCD_CLUSTER_MISSING, text, after=LOOK)
    text = f"the EtcdCluster {where} that was to be restored is gone"
    outcome.phase = "Failed"
    outcome.ready(False, reasons.ETCD_CLUSTER_MISSING, text)
    return Wait(reasons.ETCD_CLUSTER_MISSING, text, after=300.0)


def _follow(p: Pass[EtcdRestore], cluster: EtcdCluster, outcome: Outcome) -> float | None:
    phase, said = followed(p.obj.metadata.uid, cluster)
    if phase == "Failed":
        raise Refused(said.reason, said.message)
    outcome.phase = phase or outcome.phase
    outcome.verdicts[reasons.READY] = said
    if phase != "Complete":
        return LOOK
    p.status.completed_at = p.now.replace(microsecond=0)
    p.event(said.reason, said.message)
    return None


def _has_data(cluster: EtcdCluster) -> str:
    """Why the restore of `spec.restoreFrom` is not wanted any more."""
    by = cluster.status.restored
    how = f" by EtcdRestore {by.name}" if by is not None else ""
    return (
        f"{cluster} has got its first data{how} already, and is not overwritten by spec.restoreFrom; to "
        "have this backup all the same, create an EtcdRestore of another name. This one can be deleted"
    )
