"""Which events wake which EtcdCluster, and what is then done."""

from __future__ import annotations

from collections.abc import Sequence

from kok.api.etcd.etcdrestore import EtcdRestore
from kok.kube import kinds
from kok.operators.etcd import metrics
from kok.operators.etcd.etcdbackup.reconcile import EtcdBackups
from kok.operators.etcd.etcdcluster.reconcile import EtcdClusters
from kok.operators.etcd.etcdrestore import reconcile as restores
from kok.operators.etcd.etcdrestore.reconcile import Restore
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.reconciler import Done, Key, OperatorSpec, Pass, Result, Wake
from kok.runtime.settings import Settings


class EtcdRestores:
    """The reconciler of EtcdRestores."""

    def __init__(self, own: EtcdSettings) -> None:
        self._own = own

    @property
    def model(self) -> type[EtcdRestore]:
        """See `Reconciler`."""
        return EtcdRestore

    @property
    def wakes_on(self) -> Sequence[Wake]:
        """The end of a Job or of its work; what the EtcdCluster does is looked at while it does it."""
        return [Wake(kinds.JOB), Wake(kinds.POD)]

    async def reconcile(self, p: Pass[EtcdRestore]) -> Result:
        """See `restores.reconcile`."""
        try:
            return await Restore(p, self._own).run()
        finally:
            metrics.show_restore(p.obj, p.status.phase)

    async def finalize(self, p: Pass[EtcdRestore]) -> Result | Done:
        """See `restores.reconcile`."""
        return await restores.finalize(p)

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is shown of it any more."""
        del uid
        metrics.forget_restore(*key)


def operator(settings: Settings) -> OperatorSpec:
    """The etcd operator and its reconcilers, which share the limit on Jobs."""
    del settings  # The runtime hands them to each pass.
    own = EtcdSettings()
    slots = Slots(own.worker_jobs)
    return OperatorSpec("etcd", [EtcdClusters(own), EtcdBackups(own, slots), EtcdRestores(own)])
