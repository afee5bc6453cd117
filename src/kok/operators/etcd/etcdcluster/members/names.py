"""Names of new members: those that somebody else's objects in the namespace have are passed over.

Of a member that is recorded, all objects are read by name and left alone if they are not ours
(`conditions.obstacles.taken`). A name that is yet to be recorded is looked up here first: what has it already
carries none of our labels, perhaps, and is in no list; server-side apply would make it ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations import Action
from kok.runtime.controller.errors import Wait

KINDS = (kinds.PVC, kinds.STATEFULSET)
AT_A_TIME = 32
"""Names that are tried in a pass: who makes volumes by the thousand holds up nobody else."""


def joining(obj: EtcdCluster, action: Action | None) -> list[str]:
    """Names that an action is to record."""
    known = {member.name for member in obj.status.members}
    return [name for name in (action.states if action is not None else ()) if name not in known]


async def pass_over(kube: Kube, obj: EtcdCluster, wanted: Iterable[str]) -> bool:
    """Whether any of these names is taken; no such name is wanted again then.

    That is put into `obj.status`. Raises `KubeError`.
    """
    taken = [name for name in wanted if await _is_taken(kube, obj, name)]
    numbers = (naming.number_of(obj.name, name) or 0 for name in taken)
    obj.status.next_member = max(obj.status.next_member, *(n + 1 for n in numbers), 0)
    return bool(taken)


async def fresh(kube: Kube, obj: EtcdCluster, observed: Observed) -> str:
    """A name that nothing has or ever had. Raises `KubeError`, and `Wait` where many are taken."""
    for _ in range(AT_A_TIME):
        (name,) = roles.fresh_names(obj, observed, 1)
        if not await pass_over(kube, obj, [name]):
            return name
    text = (
        f"PersistentVolumeClaims or StatefulSets in namespace {obj.namespace} have the names of the "
        f"next {AT_A_TIME} members, up to {name}; looking further"
    )
    raise Wait(reasons.NAME_TAKEN, text, after=1.0)


async def _is_taken(kube: Kube, obj: EtcdCluster, name: str) -> bool:
    found = await asyncio.gather(*(kube.get(kind, name, obj.namespace) for kind in KINDS))
    return any(one is not None for one in found)
