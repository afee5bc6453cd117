"""What a pass over an EtcdRestore is about. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.operators.etcd import clusterstatus

OVER = {"Complete", "Failed"}


@dataclass(frozen=True, slots=True)
class Decision:
    """What is gone on with now.

    `Await` an EtcdCluster of that name; `GiveUp`, since the one that was to be restored is gone;
    `Refuse`, since it has got its first data otherwise; `Verify` the backup, and then `Follow`
    what the EtcdCluster does with it.
    """

    step: Literal["Await", "GiveUp", "Refuse", "Verify", "Follow", "Rest"]
    phase: str
    """As it is recorded."""


def decide(obj: EtcdRestore, cluster: EtcdCluster | None) -> Decision:
    """`cluster` is the one that is to be restored, if it is there."""
    phase = obj.status.phase or "Pending"
    if phase in OVER:
        return Decision("Rest", phase)
    if cluster is None:
        return Decision("Await" if obj.status.cluster_uid is None else "GiveUp", phase)
    if clusterstatus.is_void(cluster, obj):
        return Decision("Refuse", phase)
    return Decision("Verify" if phase in {"Pending", "Verifying"} else "Follow", phase)
