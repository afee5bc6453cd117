"""An EtcdCluster's own part of a restore: its members make way for one that has the backup's data.

    Stopping   StatefulSets and pods of all members go; their volumes stay
    Seeding    a new member's volume is filled by a Job
    Starting   the new member takes the place of the earlier ones in the status, and starts
    Growing    the others join it; when all are healthy, the earlier ones' volumes go

Each step is recorded before anything is done for it. Until `Starting` the members of before are
still those of the status: to give up means to forget the restore, and they come back. After that
another restore takes the place of one that is not through in `PATIENCE`, as a restored member that
loses its data while it is alone has nobody to bring it back. Where one of
them had been made a cluster of its own (`operations.recover`), only that one does: the others are no
members any more by what it knows, and with their own list would make a second cluster beside it. So
that recovery stays recorded until the restored member takes the place of all, and goes on if it never
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.etcd.status import (
    EtcdRestoreBegun,
    EtcdRestored,
    EtcdRestoreFailure,
    EtcdRestoreProgress,
)
from kok.api.etcd.store import BackupWorker
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists
from kok.kube.lists.tolerant import listed
from kok.kube.objects.ownership import owned
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.backups.compatibility import misfit
from kok.operators.etcd.backups.stored import BAD
from kok.operators.etcd.clusterstatus import (
    ENDED,
    PATIENCE,
    STOPPED,
    is_void,
    origin,
    restore_waited_until,
)
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.etcdcluster.conditions.obstacles import Obstacle
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.members import names, roles, templates
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations import recover
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE
from kok.operators.etcd.etcdcluster.restores import seeding
from kok.operators.etcd.jobs import work
from kok.operators.etcd.jobs.outcome import Failed, Running
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass

KIND = EtcdRestore.info.kind
BUMP = 1_000_000_000
NO_ETCD = 2**60
"""Revisions from which on a member does not tell the truth: no etcd lives to write so much. What
one member tells decides for good how much room is left to the others."""
"""Revisions are raised by so many beyond the highest that is known to have been seen."""
ATTEMPTS = 3


async def read(kube: Kube, obj: EtcdCluster) -> list[EtcdRestore]:
    """The EtcdRestores of an EtcdCluster, oldest first.

    Raises `Unreadable` for the one under way: it must not be taken for one that was deleted.
    """
    theirs = await kube.list(KIND, obj.namespace, keep=partial(scheduled.about, obj.name))
    found = listed(EtcdRestore, (m for m in theirs if m))
    under_way = obj.status.restore
    for odd in found.odd:
        if under_way is not None and odd.uid == under_way.uid and not odd.deleting:
            raise odd
    mine = [r for r in found.objects if not r.deleting]
    return sorted(mine, key=lambda r: (r.metadata.creation_timestamp or datetime.min, r.name))


# --- what is to be done


def hold(obj: EtcdCluster, restores: Sequence[EtcdRestore]) -> Obstacle | None:
    """Why no member may be made or started for now; None if all goes its usual way."""
    restore = obj.status.restore
    if restore is not None and restore.step in STOPPED:
        what = {
            "Stopping": "the members stop; their volumes are kept",
            "Seeding": f"the volume of {restore.member} is being filled",
        }[restore.step]
        text = f"EtcdRestore {restore.name}: {what}"
        return Obstacle(reasons.RESTORING, text)
    if obj.spec.restore_from is None or obj.status.seed is not None:
        return None
    mine = next((r for r in restores if r.name == origin(obj)), None)
    ready = mine.status.condition(reasons.READY) if mine is not None else None
    text = f"EtcdRestore {origin(obj)}: {ready.message if ready is not None else 'is being made'}"
    failed = mine is not None and mine.status.phase == "Failed"
    return Obstacle(reasons.RESTORE_REFUSED if failed else reasons.RESTORING, text)


def due(obj: EtcdCluster, restores: Sequence[EtcdRestore]) -> EtcdRestore | None:
    """The restore to begin with: the oldest whose backup was proven and that was not begun yet.

    None until the one before says of itself how it ended: only the latest is recorded here. But one
    whose data is in place already, and that is not through, is not waited for.
    """
    status = obj.status
    over = {one.uid for one in (status.restored, status.restore_failed) if one is not None}
    told = over - {status.restore.uid} if status.restore is not None else over
    if any(r.metadata.uid in told and r.status.phase not in ENDED for r in restores):
        return None
    return next(
        (
            r
            for r in restores
            if r.status.phase == "Verified"
            and r.status.source is not None
            and r.status.cluster_uid == obj.metadata.uid
            and r.metadata.uid not in over
            and not is_void(obj, r)
        ),
        None,
    )


def is_waited_for(obj: EtcdCluster, now: datetime) -> bool:
    """Whether no other restore may begin yet; a time that is yet to come is that of a wrong clock."""
    end = restore_waited_until(obj)
    return end is not None and end - PATIENCE <= now < end


def bump(obj: EtcdCluster, observed: Observed, revision: int) -> int:
    """How far to raise the revisions of a backup that ends with `revision`.

    A second restore of the same backup has to come out above what was written since the first, and
    any restore above all that was seen before, also where nobody answers.
    """
    told = (a.status.revision for a in observed.answers.values() if a.status)
    seen = max((revision for revision in told if revision < NO_ETCD), default=0)
    before = obj.status.restored.bump if obj.status.restored is not None else 0
    highest = max(seen, obj.status.highest_revision or 0)
    return max(highest - revision, before, 0) + BUMP


# --- doing it


async def advance(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    observed: Observed,
    restores: Sequence[EtcdRestore],
    own: EtcdSettings,
    *,
    outcome: Outcome,
) -> float | None:
    """One step; seconds until the next look, or None if no restore has the pass."""
    restore = obj.status.restore
    if restore is None:
        return await _begin(p, obj, observed, restores)
    if restore.step in STOPPED and not any(r.metadata.uid == restore.uid for r in restores):
        text = f"EtcdRestore {restore.name} was deleted before the members were replaced"
        return await _give_up(p, obj, observed, restore, text)
    if restore.step == "Stopping":
        return await _stop(p, obj, observed, restore)
    if restore.step == "Seeding":
        mine = next(r for r in restores if r.metadata.uid == restore.uid)
        worker = work.worker_of_restore(mine, obj)
        return await _seed(p, obj, observed, restore, own, outcome=outcome, worker=worker)
    late = not is_waited_for(obj, p.now)
    begun = await _begin(p, obj, observed, restores) if late else None
    return begun if begun is not None else await _finish(p, obj, observed, restore)


async def _begin(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, restores: Sequence[EtcdRestore]
) -> float | None:
    found = due(obj, restores)
    new = obj.status.seed is None
    asked = any(r.name == origin(obj) for r in restores)
    if new and obj.spec.restore_from is not None and not asked:
        await _ask(p, obj)
        return observed.tuning.look_seeding
    if found is None or found.status.source is None or (new and obj.spec.restore_from is None):
        return None
    # The version may have been raised since it was proven.
    wrong = misfit(found.status.source, obj.spec.version)
    if wrong is not None:
        obj.status.restore_failed = EtcdRestoreFailure(uid=found.metadata.uid, message=wrong)
        p.event(reasons.RESTORE_GIVEN_UP, f"EtcdRestore {found.name}: {wrong}", warning=True)
        await p.latch()
        return AT_ONCE
    if not recover.is_past_fence(obj.status.operation):
        obj.status.operation = None
    earlier = obj.status.restore
    kept = [*(earlier.before if earlier is not None else ()), *(m.name for m in obj.status.members)]
    obj.status.restore = EtcdRestoreProgress(
        name=found.name,
        uid=found.metadata.uid,
        step="Stopping",
        since=p.now.replace(microsecond=0),
        source=found.status.source,
        bump=bump(obj, observed, found.status.source.revision),
        before=list(dict.fromkeys(kept)) if not new else [],
        interrupted=EtcdRestoreBegun.model_validate(earlier.manifest()) if earlier else None,
    )
    instead = f" in place of {earlier.name}, which is not through" if earlier is not None else ""
    p.event(reasons.RESTORING, f"EtcdRestore {found.name} begins{instead}: the members stop")
    await p.latch()
    return AT_ONCE


async def _ask(p: Pass[EtcdCluster], obj: EtcdCluster) -> None:
    """Has the backup of `spec.restoreFrom` found and proven, as for any other restore."""
    source = obj.spec.restore_from
    if source is None:
        return
    manifest = {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {"name": origin(obj)},
        # What the pods are to be like may still be changed, where it was written.
        "spec": {"etcdCluster": obj.name, **source.model_copy(update={"worker": None}).manifest()},
    }
    try:
        await p.kube.create(owned(manifest, obj))
    except AlreadyExists:
        p.log.info("the EtcdRestore is there already", name=origin(obj))


async def _stop(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, restore: EtcdRestoreProgress
) -> float:
    sets = [m for m in observed.all(kinds.STATEFULSET) if roles.is_ours(m, obj)]
    pods = [
        m for m in observed.all(kinds.POD) if naming.LABEL_MEMBER in (m["metadata"]["labels"] or {})
    ]
    if sets or pods:
        await seeding.delete(p, sets)
        return observed.tuning.look_stopping
    _choose(obj, restore, await names.fresh(p.kube, obj, observed))
    await p.latch()
    return AT_ONCE


def _choose(obj: EtcdCluster, restore: EtcdRestoreProgress, name: str) -> None:
    """A new member is the next one whose volume is to be filled."""
    obj.status.next_member = (naming.number_of(obj.name, name) or 0) + 1
    restore.step, restore.member, restore.attempts = "Seeding", name, restore.attempts + 1


async def _seed(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    observed: Observed,
    restore: EtcdRestoreProgress,
    own: EtcdSettings,
    *,
    outcome: Outcome,
    worker: BackupWorker,
) -> float:
    wrong = misfit(restore.source, obj.spec.version)
    if wrong is not None:
        return await _give_up(p, obj, observed, restore, wrong)
    if await seeding.is_taken(p, obj, restore):
        return await _elsewhere(p, obj, observed, restore)
    found = await seeding.fill(p, obj, observed, restore, own, worker=worker)
    if isinstance(found, Running):
        text = f"the volume of {restore.member} is being filled: Job {found.message}"
        outcome.verdicts[reasons.READY] = Verdict(False, found.reason or reasons.RESTORING, text)
        return observed.tuning.look_seeding
    if not isinstance(found, Failed):
        return await _swap(p, obj, restore)
    text = f"{found.reason}: {found.message}"
    if found.reason in BAD or restore.attempts >= ATTEMPTS:
        return await _give_up(p, obj, observed, restore, text)
    # What was begun on that volume is of no use, and names are used once.
    following = await names.fresh(p.kube, obj, observed)
    p.event(reasons.RESTORING, f"filling the volume of {restore.member} failed: {text}")
    await seeding.discard(p, obj, observed, restore)
    _choose(obj, restore, following)
    await p.latch()
    return observed.tuning.look_stopping


async def _elsewhere(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, restore: EtcdRestoreProgress
) -> float:
    """Somebody else has made a volume of that name: it is left alone, and no attempt was made."""
    following = await names.fresh(p.kube, obj, observed)
    text = f"PersistentVolumeClaim {restore.member} is somebody else's; {following} is filled"
    p.event(reasons.RESTORING, text)
    await seeding.delete_jobs(p, obj)
    _choose(obj, restore, following)
    restore.attempts -= 1
    await p.latch()
    return observed.tuning.look_stopping


async def _swap(p: Pass[EtcdCluster], obj: EtcdCluster, restore: EtcdRestoreProgress) -> float:
    """From here on the restored data is the cluster's, and there is no way back."""
    status = obj.status
    # No seed: its volume is filled already, and an empty one must never start.
    status.seed, status.cluster_id = "", None
    status.members = [EtcdMember(name=restore.member or "", steady_with=templates.NEVER)]
    status.operation = None
    status.alarms = []
    status.restored = EtcdRestored(
        name=restore.name, uid=restore.uid, at=p.now.replace(microsecond=0), bump=restore.bump
    )
    given = restore.source.revision + restore.bump
    status.highest_revision = max(given, status.highest_revision or 0)
    if restore.interrupted is not None:
        text = f"EtcdRestore {restore.name} took its place before all members were healthy"
        status.restore_failed = EtcdRestoreFailure(uid=restore.interrupted.uid, message=text)
    restore.step, restore.interrupted = "Starting", None
    p.event(reasons.RESTORING, f"{restore.member} has the data of the backup and starts")
    await p.latch()
    return AT_ONCE


async def _finish(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, restore: EtcdRestoreProgress
) -> float | None:
    status = obj.status
    if restore.step == "Starting":
        # The pod that filled the volume holds it for as long as anything in it runs.
        await seeding.delete_jobs(p, obj)
    if restore.step == "Starting" and status.cluster_id is not None:
        restore.step = "Growing"
    whole = len(status.members) == status.ready_members == obj.spec.members
    if restore.step != "Growing" or not whole or status.operation is not None:
        return None
    kept = [observed.get(kinds.PVC, name) for name in restore.before]
    going = [m for m in kept if m is not None and roles.is_ours(m, obj)]
    # A volume whose member is one again was given back; nothing of the sort is ever removed.
    names = {m.name for m in status.members}
    await seeding.delete(p, [m for m in going if m["metadata"]["name"] not in names])
    await seeding.delete_jobs(p, obj)
    status.restore = None
    p.event(reasons.RESTORED, f"all members have the data of EtcdRestore {restore.name}")
    return AT_ONCE


async def _give_up(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    observed: Observed,
    restore: EtcdRestoreProgress,
    why: str,
) -> float:
    """The members of before are still those of the status: they start again with their volumes."""
    text = f"{why}; the EtcdCluster goes on with the data that it had"
    running = obj.status.operation
    if running is not None:
        text = f"{text}, and with the recovery of its quorum: {running.member} goes on alone"
    # Before it is forgotten what there is to be removed.
    await seeding.discard(p, obj, observed, restore)
    obj.status.restore_failed = EtcdRestoreFailure(uid=restore.uid, message=text)
    earlier = restore.interrupted
    obj.status.restore = (
        EtcdRestoreProgress.model_validate(earlier.manifest()) if earlier is not None else None
    )
    p.event(reasons.RESTORE_GIVEN_UP, text, warning=True)
    await p.latch()
    return AT_ONCE
