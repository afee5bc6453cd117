"""Reads what a pass over an Addon for many Clusters looks at: Clusters, and the Addons that it made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from kok.api.cluster.addon import Addon
from kok.api.cluster.contract import Said
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.kube.decoding.truncation import ANYTHING
from kok.kube.objects.ownership import owned_by, owner_labels
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.many.content import digest_of
from kok.operators.cluster.addon.many.plan import AGAIN, MOST
from kok.operators.cluster.addon.many.view import Child, ManyView
from kok.operators.cluster.staging.followed import FollowedClusters
from kok.runtime.clock import Clock

ADDON = Addon.info.kind


async def observe(kube: Kube, addon: Addon, followed: FollowedClusters, clock: Clock) -> ManyView:
    """The Clusters of its namespace, and the Addons that are its own. Raises `KubeError`."""
    rollout, where = addon.status.rollout, addon.namespace
    rows = rollout.table() if rollout is not None else {}
    idle = (f"{where}/{name}" for name, row in rows.items() if row.reason in AGAIN)
    # Before anything is read: what changes from here on is not missed.
    followed.follow((where, addon.name), [where], idle, closely=True)
    clusters, stale = await followed.read(kube, [where], None, clock)
    listed = await kube.list(
        ADDON, where, labels=owner_labels(addon), unread=ANYTHING, keep=_keep(addon)
    )
    children: list[Child] = [one["it"] for one in listed if one]
    return ManyView(
        {one.name: one for one in clusters.values()},
        {one.name: one for one in children},
        frozenset(key.partition("/")[2] for key in stale),
    )


def _keep(addon: Addon) -> Callable[[Manifest], dict[str, Any]]:
    """Labels and owners can be written by anybody: more than there may be are not kept."""
    left = 2 * MOST

    def keep(live: Manifest) -> dict[str, Any]:
        nonlocal left
        if left <= 0 or not owned_by(live, addon):
            return {}
        left -= 1
        return {"it": child_of(live)}

    return keep


def child_of(live: Manifest) -> Child:
    """What matters of the Addon of one Cluster; one that cannot be read is nothing that is wanted."""
    meta = live["metadata"]
    name, uid = str(meta["name"]), str(meta["uid"])
    deleting = bool(meta.get("deletionTimestamp"))
    try:
        found = Addon.parse(live)
    except Unreadable as error:
        told = Said(False, reasons.TEMPLATE_INVALID, error.message)
        cluster = str((live.get("spec") or {}).get("cluster") or "")
        return Child(name, uid, cluster, "", deleting, ready=told)
    return Child(
        name,
        uid,
        found.spec.cluster,
        digest_of(found.spec),
        deleting,
        found.spec.paused,
        _ready(found),
    )


def _ready(child: Addon) -> Said | None:
    said = child.status.condition(reasons.READY)
    if said is None or said.observed_generation != child.metadata.generation:
        return None
    since: datetime = said.last_transition_time
    return Said(said.status == "True", said.reason, said.message, since)
