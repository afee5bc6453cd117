"""The etcd operator: its reconcilers, and what they share."""

from __future__ import annotations

from kok.operators.etcd.etcdbackup.reconcile import EtcdBackups
from kok.operators.etcd.etcdcluster.reconcile import EtcdClusters
from kok.operators.etcd.etcdrestore.reconcile import EtcdRestores
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.reconciler import OperatorSpec
from kok.runtime.settings import Settings

__all__ = ["EtcdBackups", "EtcdClusters", "EtcdRestores", "operator"]


def operator(settings: Settings) -> OperatorSpec:
    """The etcd operator and its reconcilers, which share the limit on Jobs."""
    del settings  # The runtime hands them to each pass.
    own = EtcdSettings()
    slots = Slots(own.worker_jobs)
    return OperatorSpec("etcd", [EtcdClusters(own), EtcdBackups(own, slots), EtcdRestores(own)])
