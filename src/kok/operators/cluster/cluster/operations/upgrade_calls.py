"""What an upgrade does beside what components are rendered at, and how its steps are recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import ProbesStatus
from kok.api.cluster.upgrade import UpgradeStatus
from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.meta import Manifest
from kok.api.names import (
    ANNOTATION_VERIFY,
    LABEL_CLUSTER,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    etcd_cluster,
)
from kok.kube.errors import AlreadyExists
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.cluster.operations.upgrade_gates import BACKUP, PREFLIGHT
from kok.operators.cluster.cluster.spec.target import is_above, nodes_held, raise_to_keep
from kok.runtime.controller.reconciler import Pass

PROBES_HOLD: Final = timedelta(hours=1)
"""How long it counts that probes found room and images, where something else blocks the upgrade."""


def record(p: Pass[Cluster], upgrade: Upgrade, view: ClusterView) -> bool:
    """Puts into the status how far an upgrade is; whether that must be written before it goes on."""
    probing = _record_probes(p, upgrade, view)
    status, before, after = p.status, p.status.upgrade, upgrade.status
    status.upgrade = after
    status.lowest_version = upgrade.lowest
    _record_raise(p)
    if upgrade.ended is not None:
        status.last_upgrade = upgrade.ended
        took = (upgrade.ended.ended - upgrade.ended.since).total_seconds()
        text = f"{upgrade.ended.from_} -> {upgrade.ended.to}"
        if upgrade.ended.result == "Done":
            p.event(reasons.UPGRADE_DONE, f"{text}: done in {took:.0f} s")
        else:
            went = f"{text}: went back to {after.hop if after is not None else ''}"
            p.event(reasons.UPGRADE_BACKED_OUT, went, warning=True)
    elif after is not None and _place(before) != _place(after):
        p.event(reasons.UPGRADING, f"{after.from_} -> {after.to}: step {_step(after)}")
    return probing or (_place(before) != _place(after) and after is not None)


def _record_raise(p: Pass[Cluster]) -> None:
    """What a FleetUpgrade wants goes once the spec has caught up, or its owner gives it up."""
    status, before = p.status, p.obj.status.raised
    status.nodes_held = nodes_held(p.obj)
    status.raised = after = raise_to_keep(p.obj)
    if before is not None and before != after and is_above(before.to, p.obj.spec.version):
        text = f"what FleetUpgrade {before.by} raised it to, {before.to}, is given up"
        p.event(reasons.RAISE_GIVEN_UP, f"{text}: spec.upgrade.fleet is Forbid")


def is_probing(cluster: Cluster, upgrade: Upgrade) -> bool:
    """Whether pods are to try the version that is gone to."""
    return upgrade.at(PREFLIGHT) and not cluster.spec.hibernate and upgrade.refused is None


def _record_probes(p: Pass[Cluster], upgrade: Upgrade, view: ClusterView) -> bool:
    """That there may be probes, from before the first is made until none is there any more."""
    known, now = p.status.probes, p.now.replace(microsecond=0)
    if upgrade.status is None or not is_probing(p.obj, upgrade):
        if known is not None and not view.probes:
            p.status.probes = None
        return False
    hop = upgrade.status.hop
    if known is not None and known.version == hop and now - known.since < PROBES_HOLD:
        return False
    p.status.probes = ProbesStatus(version=hop, since=now)
    return True


def _place(upgrade: UpgradeStatus | None) -> tuple[object, ...] | None:
    """What must not be forgotten of an upgrade."""
    if upgrade is None:
        return None
    return (upgrade.to, upgrade.hop, upgrade.step, upgrade.backing_out, upgrade.backup)


def _step(upgrade: UpgradeStatus) -> str:
    on_the_way = f" of {upgrade.hop}" if upgrade.hop != upgrade.to else ""
    return f"{upgrade.step}{on_the_way}{', on the way back' if upgrade.backing_out else ''}"


async def back_up(p: Pass[Cluster], upgrade: Upgrade, view: ClusterView) -> None:
    """Has the backup made whose name was recorded, if it is not there."""
    status = upgrade.status
    if not upgrade.at(BACKUP) or status is None or status.backup is None:
        return
    if view.upgrade_backup is None:
        try:
            await p.kube.create(backup(p.obj, status.backup))
        except AlreadyExists:
            return


def backup(cluster: Cluster, name: str) -> Manifest:
    """An EtcdBackup that is proven at once. It outlives the Cluster, as every backup does."""
    return {
        "apiVersion": EtcdBackup.info.kind.api_version,
        "kind": EtcdBackup.info.kind.kind,
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            "labels": {LABEL_CLUSTER: cluster.name, LABEL_MANAGED_BY: MANAGED_BY},
            "annotations": {ANNOTATION_VERIFY: "before-upgrade"},
        },
        "spec": {"etcdCluster": etcd_cluster(cluster.name)},
    }
