"""Which changes of other objects wake Machines and KubeNodes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from kok.api.meta import Manifest
from kok.operators.machine import cluster_version
from kok.runtime.controller.reconciler import EVERY, Key

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
