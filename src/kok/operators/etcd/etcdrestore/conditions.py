"""What an EtcdRestore says of itself: the only module that sets its conditions and its phase."""

from __future__ import annotations

from dataclasses import dataclass, field

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.operators.etcd import clusterstatus, reasons
from kok.runtime.conditions import Verdict, put
from kok.runtime.controller.reconciler import Pass


@dataclass(slots=True)
class Outcome:
    """What a pass finds out while it acts."""

    phase: str | None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    """By the type of the condition; all others stay."""

    def ready(self, holds: bool, reason: str, message: str) -> None:
        """What `Ready` is to say."""
        self.verdicts[reasons.READY] = Verdict(holds, reason, message)


def tell(p: Pass[EtcdRestore], outcome: Outcome) -> None:
    """Puts into the status what was found out so far: at the end of a pass, and before something is
    done that is not done again, as no later pass would find it out.
    """
    p.status.phase = outcome.phase
    put(p.status, outcome.verdicts, now=p.now, generation=p.obj.metadata.generation)


def followed(uid: str, cluster: EtcdCluster) -> tuple[str | None, Verdict]:
    """Phase and `Ready` of the restore of that UID whose backup is proven, by what the EtcdCluster
    does with it; no phase while it is not its turn.
    """
    status = cluster.status
    if status.restore_failed is not None and status.restore_failed.uid == uid:
        failed = Verdict(False, reasons.RESTORE_GIVEN_UP, status.restore_failed.message)
        return "Failed", failed
    if status.restore is not None and status.restore.uid == uid:
        ready = status.condition(reasons.READY)
        text = f"{cluster}: {status.restore.step}: {ready.message if ready is not None else ''}"
        return "Restoring", Verdict(False, reasons.RESTORING, text)
    if _is_interrupted(cluster, uid):
        by = status.restore.name if status.restore is not None else ""
        text = f"{cluster}: EtcdRestore {by} is to take its place, and is not through yet"
        return "Restoring", Verdict(False, reasons.RESTORING, text)
    if status.restored is not None and status.restored.uid == uid:
        text = f"{cluster} has the data of the backup, and all its members are healthy"
        return "Complete", Verdict(True, reasons.RESTORED, text)
    reason, text = _waits_for(cluster)
    return None, Verdict(False, reason, f"the backup is good; {text}")


def _is_interrupted(cluster: EtcdCluster, uid: str) -> bool:
    restore = cluster.status.restore
    return (
        restore is not None and restore.interrupted is not None and restore.interrupted.uid == uid
    )


def _waits_for(cluster: EtcdCluster) -> tuple[str, str]:
    """Why it is not the turn of a restore whose backup is proven: a reason, and the words."""
    status = cluster.status
    if clusterstatus.stands_still(status):
        how = "" if not cluster.spec.hibernate else ": set its spec.hibernate to false"
        return reasons.ETCD_HIBERNATES, f"it is restored when {cluster} is awake{how}"
    if status.restore is not None:
        end = clusterstatus.restore_waited_until(cluster)
        most = f", or it is {end:%Y-%m-%d %H:%M:%S} UTC" if end is not None else ""
        text = f"waits until EtcdRestore {status.restore.name} is through{most}"
        return reasons.RESTORE_VERIFIED, text
    return reasons.RESTORE_VERIFIED, f"waits for {cluster}"
