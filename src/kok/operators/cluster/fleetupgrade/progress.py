"""What became of a Cluster that was raised. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from kok.api.cluster.contract import ClusterContract, UnderWay
from kok.api.cluster.fleetstatus import FleetRow
from kok.operators.cluster import reasons
from kok.versions import is_above

PREFLIGHT, BACKED_OUT = "Preflight", "BackedOut"
ROOM = "Room"
"""The check that tries whether one more pod finds a place."""
GRACE = timedelta(minutes=1)
"""How long what was said before a Cluster was raised again is not held against it."""


def wanted(cluster: ClusterContract) -> str:
    """The version that a Cluster is to have: its spec's, or what it was raised to if that is higher."""
    return cluster.raised if is_above(cluster.raised, cluster.version) else cluster.version


def reaches(version: str, to: str) -> bool:
    """Whether a version is that one or a later one."""
    return version == to or is_above(version, to)


def arrived(cluster: ClusterContract, to: str) -> bool:
    """Whether all of the control plane has a version, and its upgrade to it is through."""
    under_way = cluster.upgrade is not None and cluster.upgrade.to == to
    return reaches(cluster.runs, to) and not under_way


def is_gone(cluster: ClusterContract | None, planned: datetime) -> bool:
    """Whether the Cluster that was planned for is no more, or is another one of its name."""
    if cluster is None or cluster.deleting:
        return True
    return cluster.created is not None and cluster.created > planned


def asleep(cluster: ClusterContract, to: str) -> tuple[str, str] | None:
    """Why a Cluster cannot be upgraded now, as word and sentence; None if it can."""
    if cluster.paused:
        reason, state, end = reasons.CLUSTER_PAUSED, "paused", "spec.paused is false again"
    elif cluster.hibernates:
        reason, state, end = reasons.CLUSTER_ASLEEP, "hibernated", "it wakes"
    else:
        return None
    if reaches(wanted(cluster), to):
        return reason, f"it is {state}, and goes to {to} by itself when {end}"
    return reason, (
        f"it is {state}, and stays at {wanted(cluster)} when {end}; then set another value of the "
        "annotation kok.dev/retry of the FleetUpgrade to have it raised"
    )


def judge(
    row: FleetRow, cluster: ClusterContract | None, planned: datetime, now: datetime
) -> FleetRow:
    """The row of a Cluster that is under way or has failed, as it is now."""
    if cluster is None or is_gone(cluster, planned):
        gone = row.turned("Skipped", now, reasons.CLUSTER_GONE, "it was deleted meanwhile")
        return row if row.state == "Failed" else gone
    if unproven(row, cluster):
        return row
    if arrived(cluster, row.to):
        return row.turned("Done", now)
    if row.state == "Failed":
        return row
    if (idle := asleep(cluster, row.to)) is not None:
        return row.turned("Skipped", now, *idle)
    # One that was recorded and not raised is raised now.
    raised = reaches(wanted(cluster), row.to)
    trouble = _trouble(row, cluster, now) if raised else None
    return row if trouble is None else row.turned("Failed", now, *trouble)


def unproven(row: FleetRow, cluster: ClusterContract) -> bool:
    """Whether a Cluster has failed as it was not Ready after its upgrade, and is not Ready yet.

    The version alone does not make it done: it has that. A large table has lost its reasons, and then
    each that has failed counts as one of these.
    """
    lost = row.state == "Failed" and row.reason in {reasons.NOT_READY_AFTER, ""}
    ready = cluster.ready
    return lost and not (ready is not None and ready.holds and ready.current)


def untold(row: FleetRow, cluster: ClusterContract | None) -> bool:
    """Whether a Cluster that runs has a spec of which it does not say yet whether it is Ready with it."""
    if cluster is None or asleep(cluster, row.to):
        return False
    return cluster.ready is None or not cluster.ready.current


def unready(row: FleetRow, cluster: ClusterContract | None) -> str | None:
    """Why a Cluster that was through is not what it was then, as a sentence."""
    if cluster is None or cluster.ready is None or cluster.ready.holds or asleep(cluster, row.to):
        return None
    since, began = cluster.ready.since, _began(row, cluster)
    if since is not None and began is not None and since < began:
        return None
    return f"it is not Ready since its upgrade: {cluster.ready.reason}: {cluster.ready.message}"


def _began(row: FleetRow, cluster: ClusterContract) -> datetime | None:
    """When the upgrade of a Cluster that is through began, as far as that is known: what it broke, it
    may have broken before it was through."""
    known = [row.since]
    if cluster.raised == row.to:
        known.append(cluster.raised_at)
    if cluster.last is not None and cluster.last.to == row.to and not cluster.last.backed_out:
        known.append(cluster.last.since)
    return min((one for one in known if one is not None), default=None)


def deadline(row: FleetRow, cluster: ClusterContract) -> datetime | None:
    """When a Cluster that is under way counts as hanging, if nothing moves until then."""
    if row.since is None:
        return None
    # While it wakes nothing of the upgrade can move, and what never wakes must not be waited for.
    moved = _upgrade(row, cluster) if not cluster.wakes else None
    since = max(row.since, moved.moved_at) if moved and moved.moved_at else row.since
    return since + timedelta(seconds=cluster.patience)


def _upgrade(row: FleetRow, cluster: ClusterContract) -> UnderWay | None:
    """Its upgrade to where it was raised; or beyond, where its spec goes further."""
    found = cluster.upgrade
    return found if found is not None and reaches(found.to, row.to) else None


def _trouble(row: FleetRow, cluster: ClusterContract, now: datetime) -> tuple[str, str] | None:
    """Why a Cluster does not get there, as word and sentence; None while it may.

    Reckoned from what it recorded rather than from its conditions, which for a moment may still be
    those of before.
    """
    since, found, said = row.since or now, _upgrade(row, cluster), cluster.progressing
    blocked = _blocked(found, cluster)
    told = said.message if said is not None else ""
    if found is not None:
        fresh = (found.moved_at or since) >= since or now - since >= GRACE
        if found.step == BACKED_OUT and fresh:
            return reasons.UPGRADE_BACKED_OUT, told or "it went back to the version before"
        if blocked and fresh and not _lacks_room(found):
            return reasons.UPGRADE_BLOCKED, blocked
    elif _went_back(row, cluster):
        return reasons.UPGRADE_BACKED_OUT, told or "it went back to the version before"
    end = deadline(row, cluster)
    return _late(found, cluster) if end is not None and now > end else None


def _late(found: UnderWay | None, cluster: ClusterContract) -> tuple[str, str]:
    """Why one has not got there in time, as word and sentence."""
    said = cluster.progressing
    if found is None:
        why = f"{cluster.ready.reason}: {cluster.ready.message}" if cluster.ready else "no status"
        return reasons.UPGRADE_NOT_BEGUN, f"its upgrade is not begun: {why}"
    if blocked := _blocked(found, cluster):
        return reasons.UPGRADE_BLOCKED, blocked
    hangs = said is not None and said.reason in {reasons.UPGRADE_STUCK, reasons.UPGRADE_BLOCKED}
    waits = f"{found.step} made no progress, it waits for {found.waiting_for}"
    return reasons.UPGRADE_STUCK, said.message if said is not None and hangs else waits


def _blocked(found: UnderWay | None, cluster: ClusterContract) -> str:
    """What the preflight has against it, if anything.

    What it meets of one that wakes is what has yet to come up.
    """
    if found is None or found.step != PREFLIGHT or cluster.wakes:
        return ""
    return "; ".join(found.blocked_by)


def _lacks_room(found: UnderWay) -> bool:
    """Whether room is all that it lacks, which others of the fleet may have taken for the moment."""
    return all(one.startswith(f"{ROOM}:") for one in found.blocked_by)


def _went_back(row: FleetRow, cluster: ClusterContract) -> bool:
    last = cluster.last
    if last is None or not last.backed_out or last.to != row.to or last.ended is None:
        return False
    return row.since is not None and last.ended >= row.since
