"""Reads what a pass over an EtcdBackup looks at: the EtcdCluster, and the Job that is under way."""

from __future__ import annotations

from dataclasses import dataclass

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd.etcdbackup import snapshot, trial
from kok.operators.etcd.etcdbackup.decide import decide
from kok.runtime.controller.reconciler import Pass


@dataclass(frozen=True, slots=True)
class View:
    """What one pass looks at; nothing of an EtcdBackup that is at rest."""

    cluster: EtcdCluster | None = None
    """Also one that is being deleted."""
    job: Manifest | None = None
    """The Job of the recorded attempt or trial."""

    @property
    def source(self) -> EtcdCluster | None:
        """The EtcdCluster as far as it can be backed up."""
        return self.cluster if self.cluster is not None and not self.cluster.deleting else None


async def observe(p: Pass[EtcdBackup]) -> View:
    """Raises `KubeError`, and `Unreadable` of the EtcdCluster."""
    step = decide(p.obj, p.now).step
    if step == "Rest":
        return View()
    name = snapshot.job_under_way(p.obj) if step == "Attempt" else trial.job_under_way(p.obj)
    namespace = p.obj.namespace
    job = await p.kube.get(kinds.JOB, name, namespace) if name is not None else None
    live = await p.kube.get(EtcdCluster.info.kind, p.obj.spec.etcd_cluster, namespace)
    return View(EtcdCluster.parse(live) if live is not None else None, job)
