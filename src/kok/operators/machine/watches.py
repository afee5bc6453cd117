"""Which changes of other objects wake Machines and KubeNodes, and what is remembered of them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.objects.ownership import refers_to
from kok.operators.machine import cluster_version
from kok.runtime.controller.reconciler import EVERY, Key

KUBENODE = KubeNode.info.kind
KUBENODES = 10_000
"""Of so many KubeNodes it is remembered whether they are paused; others are read when that matters."""
CLUSTERS = 10_000
"""Of so many Clusters it is remembered what was last seen; of others each change wakes Machines."""


def all_of_namespace(manifest: Manifest) -> Iterable[Key]:
    """All Machines (KubeNodes) of an object's namespace."""
    return [(str(manifest["metadata"].get("namespace", "")), EVERY)]


class ClusterChanges:
    """Wakes the Machines of a namespace when a Cluster changes in what matters to them.

    A Cluster's status also counts its nodes: waking all Machines for each of them would cost the
    square of their number.
    """

    def __init__(self, most: int = CLUSTERS) -> None:
        self._most = most
        self._seen: OrderedDict[str, object] = OrderedDict()

    def __call__(self, manifest: Manifest) -> Iterable[Key]:
        """The objects to wake."""
        meta, status = manifest["metadata"], manifest.get("status") or {}
        conditions = status.get("conditions") or ()
        ready = [c.get("status") for c in conditions if c.get("type") == "BootstrapReady"]
        uid = str(meta.get("uid", ""))
        if meta.get("deletionTimestamp"):
            self._seen.pop(uid, None)
            return all_of_namespace(manifest)
        matters = (
            meta.get("generation"),
            status.get("endpoint"),
            status.get("version"),
            cluster_version.gist(status),
            tuple(ready),
            tuple(sorted((status.get("caFingerprints") or {}).items())),
        )
        # Who sees to a status can make it as long as he likes.
        digest = hashlib.sha256(repr(matters).encode()).digest()
        if self._seen.get(uid) == digest:
            return []
        self._seen[uid] = digest
        self._seen.move_to_end(uid)
        # Nobody tells of one that goes without waiting for anything.
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return all_of_namespace(manifest)


class Pauses:
    """Which KubeNodes are paused: nothing is repaired on the hosts of their Machines.

    A KubeNode that is paused writes nothing, and so cannot hand that on. It is told of whenever it
    changes, and wakes Machines when that is what has changed. With the nodes of a thousand hosts in its
    status it is too large to be read in every pass of each of them.
    """

    def __init__(self, most: int = KUBENODES) -> None:
        self._most = most
        self._paused: OrderedDict[str, bool] = OrderedDict()
        """By UID."""

    def __call__(self, manifest: Manifest) -> Iterable[Key]:
        """The Machines to wake."""
        uid, now = str(manifest["metadata"].get("uid", "")), _paused(manifest)
        before = self._paused.pop(uid, False)
        self._put(uid, now)
        return all_of_namespace(manifest) if now != before else []

    async def of(self, kube: Kube, machine: Machine) -> str:
        """The name of a Machine's KubeNode, if that is paused. Raises `KubeError`."""
        owner = next((o for o in machine.metadata.owner_references if o.controller), None)
        if owner is None or not refers_to(owner.manifest(), KUBENODE):
            return ""
        if owner.uid not in self._paused:
            found = await kube.get(KUBENODE, owner.name, machine.namespace, unread=FREE_FORM)
            if found is None or found["metadata"].get("uid") != owner.uid:
                return ""
            if owner.uid not in self._paused:
                # What was told meanwhile is newer.
                self._put(owner.uid, _paused(found))
        return owner.name if self._paused[owner.uid] else ""

    def _put(self, uid: str, paused: bool) -> None:
        self._paused[uid] = paused
        while len(self._paused) > self._most:
            self._paused.popitem(last=False)


def _paused(kubenode: Manifest) -> bool:
    return (kubenode.get("spec") or {}).get("paused") is True
