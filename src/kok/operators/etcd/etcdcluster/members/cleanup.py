"""Removes what is left of members that etcd does not list any more."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.concurrency import all_of
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.runtime.controller.reconciler import Pass


async def remove(p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed) -> None:
    """Asks for StatefulSets and volumes of members that left to go; drops entries without any.

    Their volumes go whatever `deletionPolicy` says: it is about the data of the cluster, which
    the others hold, while these would be joined to it by nobody, and hold what is outdated.
    """
    status = obj.status
    left = [member.name for member in status.members if member.state == "Left"]
    remains = {name: _remains(obj, observed, name) for name in left}
    status.members = [m for m in status.members if m.name not in left or remains[m.name]]
    going = [child for found in remains.values() for child in found if _may_go(child)]
    await all_of(
        p.kube.delete(kind, child["metadata"]["name"], obj.namespace, uid=child["metadata"]["uid"])
        for child in going
        for kind in (kinds.STATEFULSET, kinds.PVC)
        if kind.kind == child["kind"]
    )


def _remains(obj: EtcdCluster, observed: Observed, name: str) -> list[Manifest]:
    """What is still there of a member; its pod goes with its StatefulSet."""
    owned = [observed.get(kinds.STATEFULSET, name), observed.get(kinds.PVC, name)]
    pod = observed.get(kinds.POD, naming.pod_name(name))
    mine = [one for one in owned if one is not None and roles.is_ours(one, obj)]
    return [*mine, *([pod] if pod is not None else [])]


def _may_go(child: Manifest) -> bool:
    return child["kind"] != kinds.POD.kind and not child["metadata"].get("deletionTimestamp")
