"""Addons that an upgrade of a Cluster concerns and that are not its own: when and how they are read.

People make them, or an Addon for many Clusters does. A Cluster at rest knows nothing of them.
"""

from __future__ import annotations

from typing import Final

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.names import LABEL_OWNER_KIND
from kok.kube.client import Kube
from kok.kube.decoding.truncation import ANYTHING
from kok.kube.lists.tolerant import listed
from kok.operators.cluster.cluster.children import OTHERS, keep_others
from kok.operators.cluster.cluster.observe import ADDON, OtherAddons
from kok.operators.cluster.cluster.operations.upgrade_gates import (
    ADDONS,
    ADDONS_BEFORE,
    BACKUP,
    CONTROLLERS,
    ETCD,
    PREFLIGHT,
)

_AWAITED: Final = frozenset({BACKUP, ETCD, ADDONS_BEFORE, CONTROLLERS, ADDONS})
"""Steps of an upgrade that wait for Addons, and those from which it may get there within a pass."""
_NOT_BUILT_IN: Final = f"{LABEL_OWNER_KIND}!={Cluster.info.kind.kind}"
"""Hundreds of Clusters may share a namespace, each with several Addons that it made itself."""


def are_awaited(cluster: Cluster) -> bool:
    """Whether this pass may come to a step that waits for Addons.

    The preflight reads them for itself. One that gets there from another step nevertheless waits for
    the next pass, which reads them.
    """
    now = cluster.status.upgrade
    if now is None or cluster.spec.hibernate:
        return False
    if now.step == PREFLIGHT:
        return now.findings is not None and not any(f.blocks for f in now.findings)
    return now.step in _AWAITED


async def other_addons(kube: Kube, cluster: Cluster) -> OtherAddons:
    """Addons with that `spec.cluster` that are not the Cluster's own. Raises `KubeError`."""
    kept = await kube.list(
        ADDON, cluster.namespace, labels=_NOT_BUILT_IN, unread=ANYTHING, keep=keep_others(cluster)
    )
    found = [one for one in kept if one]
    return OtherAddons(listed(Addon, found[:OTHERS]), more=len(found) > OTHERS)
