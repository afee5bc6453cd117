"""Which events wake which EtcdCluster, and what is then done."""

from __future__ import annotations

from collections.abc import Sequence

from kok.api.etcdcluster import EtcdCluster
from kok.operators.etcd import delete, reconcile
from kok.operators.etcd.observe import CHILD_KINDS
from kok.runtime.reconciler import Done, OperatorSpec, Pass, Result, Wake
from kok.runtime.settings import Settings


class EtcdClusters:
    """The reconciler of EtcdClusters; it keeps nothing between passes."""

    @property
    def model(self) -> type[EtcdCluster]:
        """See `Reconciler`."""
        return EtcdCluster

    @property
    def wakes_on(self) -> Sequence[Wake]:
        """Every kind of child, found by its owner's labels."""
        return [Wake(kind) for kind in CHILD_KINDS]

    async def reconcile(self, p: Pass[EtcdCluster]) -> Result:
        """See `reconcile`."""
        return await reconcile.reconcile(p)

    async def finalize(self, p: Pass[EtcdCluster]) -> Result | Done:
        """See `delete`."""
        return await delete.finalize(p)


def operator(settings: Settings) -> OperatorSpec:
    """The etcd operator; all its settings are the runtime's."""
    del settings
    return OperatorSpec("etcd", [EtcdClusters()])
