"""One pass over one EtcdBackup: it is stored by Jobs, and then proven by them whenever asked."""

from __future__ import annotations

from collections.abc import Sequence

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.kube import kinds
from kok.operators.etcd import metrics
from kok.operators.etcd.backups.stored import proven_at
from kok.operators.etcd.etcdbackup import decide, delete
from kok.operators.etcd.etcdbackup.conditions import Outcome, tell
from kok.operators.etcd.etcdbackup.decide import Decision
from kok.operators.etcd.etcdbackup.observe import View, observe
from kok.operators.etcd.etcdbackup.snapshot import Snapshot
from kok.operators.etcd.etcdbackup.trial import Trial
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged


class EtcdBackups(Staged[EtcdBackup, View, Decision, Outcome]):
    """The reconciler of EtcdBackups."""

    tells_early = True

    def __init__(self, own: EtcdSettings, slots: Slots) -> None:
        self._own = own
        self._slots = slots

    @property
    def model(self) -> type[EtcdBackup]:
        """The kind."""
        return EtcdBackup

    @property
    def wakes_on(self) -> Sequence[Wake]:
        """The end of a Job, and of the container that does the work in its pod."""
        return [Wake(kinds.JOB), Wake(kinds.POD)]

    async def observe(self, p: Pass[EtcdBackup]) -> View:
        """The EtcdCluster and the Job under way. Raises `KubeError` and `Unreadable`."""
        return await observe(p)

    def decide(self, p: Pass[EtcdBackup], view: View) -> Decision:
        """An attempt, a trial, or nothing."""
        del view
        return decide.decide(p.obj, p.now)

    def outcome(self, view: View, decision: Decision) -> Outcome:
        """The phase as it is recorded, until something else is found out."""
        del view
        return Outcome(decision.phase)

    def record(self, p: Pass[EtcdBackup], view: View, decision: Decision) -> bool:
        """A trial that was asked for; it is written with the first attempt at it."""
        del view
        if decision.asked is not None:
            p.status.proven_at = proven_at(p.obj)
            p.status.verification = decision.asked.model_copy()
        return False

    async def act(
        self, p: Pass[EtcdBackup], view: View, decision: Decision, outcome: Outcome
    ) -> float | None:
        """One step of an attempt or of a trial. Raises `Wait` for what an attempt lacks."""
        if decision.step == "Attempt":
            attempt = Snapshot(p, view.source, outcome, self._own, self._slots)
            return await attempt.go_on(view.job)
        if decision.step == "Trial":
            return await Trial(p, view.cluster, outcome, self._own, self._slots).go_on(view.job)
        return None

    def conditions(
        self,
        p: Pass[EtcdBackup],
        view: View,
        decision: Decision,
        outcome: Outcome,
        ended: Exception | None,
    ) -> None:
        """What was found out, and metrics of it."""
        del view, decision, ended
        tell(p, outcome)
        metrics.show_backup(p.obj, p.status.phase)

    def rest(
        self, p: Pass[EtcdBackup], view: View, decision: Decision, outcome: Outcome
    ) -> float | None:
        """Seconds until a trial that failed is made again."""
        del p, view, outcome
        return decision.after

    async def finalize(self, p: Pass[EtcdBackup]) -> Result | Done:
        """Removes what is stored, if it may."""
        return await delete.finalize(p, self._own)

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is shown of it any more."""
        del uid
        metrics.forget_backup(*key)
