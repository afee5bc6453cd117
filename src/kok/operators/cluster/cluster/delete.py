"""Deletes what a Cluster has made: in order, bounded, and whatever state it is in."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from kok.api import names
from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.apply.prune import release
from kok.kube.concurrency import all_of
from kok.kube.decoding.truncation import ANYTHING, FREE_FORM
from kok.kube.lists.tolerant import listed
from kok.kube.objects.children import LEAVING, few, reference_to
from kok.kube.objects.ownership import brought, controlled, owned_by, owner_labels
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.children import RULES, keep_whole
from kok.operators.cluster.cluster.observe import ADDON, ETCD
from kok.operators.cluster.naming import FIELD_MANAGER, key_entries, key_secrets
from kok.runtime.children.deletion import BoundedDeletion, name_of
from kok.runtime.children.ensure import Children
from kok.runtime.children.takeover import is_child, left_behind
from kok.runtime.controller.reconciler import DONE, Done, Pass, Result

ADDONS_FOR = timedelta(seconds=60)
CONTROL_PLANE_FOR = timedelta(seconds=120)
ETCD_FOR = timedelta(seconds=420)
"""How long after the deletion began each step is waited for at most."""
GRACE = 2
"""Seconds for pods of a control plane that nobody will miss."""


class Deletion:
    """One pass of the clean-up: each step waits for its own before the next one begins."""

    def __init__(self, p: Pass[Cluster]) -> None:
        self._p = p
        self._cluster = p.obj
        self._going = BoundedDeletion(p, reasons.GAVE_UP)

    async def step(self) -> Result | Done:
        """`Wait` says what is still there; `DONE` that nothing is."""
        await Children(self._p.kube, self._cluster, RULES).loosen(await self._keys())
        await self._hand_on()
        await self._addons()
        await self._control_plane()
        await self._etcd()
        await self._rest()
        return DONE

    async def _hand_on(self) -> None:
        """Tells the EtcdCluster what is to become of its volumes: no pass may have done so yet."""
        name, policy = names.etcd_cluster(self._cluster.name), self._cluster.spec.deletion_policy
        live = await self._p.kube.get(ETCD, name, self._cluster.namespace, unread=ANYTHING)
        if live is None or not owned_by(live, self._cluster):
            return
        if (live.get("spec") or {}).get("deletionPolicy") != policy:
            patch = {
                "metadata": {"uid": live["metadata"]["uid"]},
                "spec": {"deletionPolicy": policy},
            }
            await self._p.kube.patch(ETCD, name, self._cluster.namespace, patch)

    async def _addons(self) -> None:
        """Addons go first: their objects may hold something outside, such as load balancers.

        The Addons' own clean-up asks the business cluster, and gives up soon if it is not there.
        """
        owned = await self._going.children(ADDON)
        await self._going.delete(ADDON, owned)
        mine = frozenset(name_of(m) for m in owned)
        keep = few(reference_to, partial(_holds_on, self._cluster.name, mine))
        found = await self._p.kube.list(ADDON, self._cluster.namespace, unread=FREE_FORM, keep=keep)
        left = [name_of(m) for m in found if m]
        self._going.wait_for(left, "Addon", reasons.DELETING_ADDONS, ADDONS_FOR)

    async def _control_plane(self) -> None:
        deployments = await self._going.children(kinds.DEPLOYMENT)
        await self._going.delete(kinds.DEPLOYMENT, deployments)
        # Whatever made them: of those that an upgrade made to try something none is left.
        probes = await self._going.children(kinds.POD)
        labels = f"{names.LABEL_CLUSTER}={self._cluster.name},{names.LABEL_COMPONENT}"
        keep = few(reference_to, _of_deployment, LEAVING)
        pods = await self._p.kube.list(kinds.POD, self._cluster.namespace, labels=labels, keep=keep)
        ours = [pod for pod in pods if pod]
        # Their own time to end is meant for live traffic, and nobody will miss them.
        ending = [p for p in (*ours, *probes) if not _ends_soon(p)]
        await self._going.delete(kinds.POD, ending, GRACE)
        left = [name_of(m) for m in (*deployments, *ours, *probes)]
        self._going.wait_for(left, "pod", reasons.DELETING_CONTROL_PLANE, CONTROL_PLANE_FOR)

    async def _etcd(self) -> None:
        etcd = await self._going.children(ETCD)
        await self._going.delete(ETCD, etcd)
        self._going.wait_for(
            [name_of(m) for m in etcd], "EtcdCluster", reasons.DELETING_ETCD, ETCD_FOR
        )

    async def _rest(self) -> None:
        left: list[str] = []
        for kind in (kinds.SERVICE, kinds.PDB, kinds.NETWORKPOLICY, kinds.SECRET):
            found = await self._going.children(kind, key_secrets(self._cluster.name))
            if kind == kinds.SECRET:
                found += await self._keys_to_go()
            await self._going.delete(kind, found)
            left += [f"{kind.kind} {name_of(m)}" for m in found]
        # What stands in the way here is somebody's finalizer: the rest is a matter of an instant.
        self._going.wait_for(left, "", reasons.DELETING_REST, ETCD_FOR)

    async def _keys(self) -> list[Manifest]:
        """The Secrets of keys that are this very Cluster's."""
        kube, cluster, whole = self._p.kube, self._cluster, keep_whole(self._cluster)
        found = await all_of(
            kube.get(kinds.SECRET, name, cluster.namespace, keep=whole)
            for name in key_secrets(cluster.name)
        )
        return [live for live in found if live is not None and is_child(RULES, live, cluster)]

    async def _keys_to_go(self) -> list[Manifest]:
        """Keys that are to be deleted; nobody else would.

        Those that somebody brought are given back, and those of data that stays are kept.
        """
        keys = await self._keys()
        if self._cluster.spec.deletion_policy == "Retain" or await self._etcd_stays():
            await self._retain(keys)
            return []
        theirs = [m for m in keys if brought(m, FIELD_MANAGER, key_entries(name_of(m)))]
        for live in theirs:
            await release(self._p.kube, kinds.SECRET, live, self._cluster)
        return [m for m in keys if m not in theirs]

    async def _etcd_stays(self) -> bool:
        """Whether the EtcdCluster was let go of, as by a deletion that leaves children as orphans.

        Such a deletion takes references away: nothing that could be seen of it is at the keys.
        """
        name = names.etcd_cluster(self._cluster.name)
        live = await self._p.kube.get(ETCD, name, self._cluster.namespace, unread=ANYTHING)
        if live is None or live["metadata"].get("deletionTimestamp") or controlled(live):
            return False
        return left_behind(RULES, live, self._cluster)

    async def _retain(self, keys: list[Manifest]) -> None:
        """Keeps the keys: without them the retained data could not be read.

        Without a mark of whose they are they are found by a later Cluster of the same name.
        """
        marks = (*owner_labels(self._cluster), names.LABEL_OWNER_UID)
        for live in keys:
            name = name_of(live)
            meta: dict[str, Any] = {
                "resourceVersion": live["metadata"]["resourceVersion"],
                "ownerReferences": None,
                "labels": dict.fromkeys(marks),
            }
            await self._p.kube.patch(
                kinds.SECRET, name, self._cluster.namespace, {"metadata": meta}
            )
            text = f"Secret {self._cluster.namespace}/{name} is kept beside the data of etcd"
            self._p.event(reasons.RETAINED, text)


def _of_deployment(pod: Manifest) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(o.get("controller") and o.get("kind") == "ReplicaSet" for o in owners)


def _ends_soon(pod: Manifest) -> bool:
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    return grace is not None and grace <= GRACE


def _holds_on(cluster: str, owned: frozenset[str], addon: Manifest) -> bool:
    """Whether an Addon may have left something in the business cluster."""
    there = listed(Addon, [addon])
    # Of one that cannot be read nobody knows.
    return any(odd.may_say(cluster, "spec", "cluster") for odd in there.odd) or any(
        found.spec.cluster == cluster and (found.name in owned or bool(found.status.inventory))
        for found in there.objects
    )
