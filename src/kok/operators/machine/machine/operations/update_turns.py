"""Whose nodes are drained now: those of a KubeNode as many at a time as that says, those of a cluster's
Machines without one one at a time.

KubeNodes change their Machines within their budget. That says nothing of hosts on which somebody has
changed a kubelet by hand, and of which several have to be drained before that is put right.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.api.shares import resolved
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.objects.ownership import refers_to
from kok.operators.machine.machine.operations import update
from kok.operators.machine.machine.remediation.breaker import group as group_of
from kok.operators.machine.machine_lists import MachineLists

KUBENODE = KubeNode.info.kind
Group = tuple[str, str]
Limit = Callable[[Kube, Machine, int], Awaitable[int]]


async def one(kube: Kube, machine: Machine, machines: int) -> int:
    """One at a time."""
    del kube, machine, machines
    return 1


async def side_by_side(kube: Kube, machine: Machine, machines: int) -> int:
    """How many nodes of the Machine's KubeNode, which has so many, may be drained at a time.

    Raises `KubeError`.
    """
    owners = (o for o in machine.metadata.owner_references if o.controller)
    name = next((o.name for o in owners if refers_to(o.manifest(), KUBENODE)), None)
    found = None
    if name is not None:
        found = await kube.get(KUBENODE, name, machine.namespace, unread=FREE_FORM)
    if found is None:
        return 1
    return resolved(KubeNode.parse(found).spec.rollout.max_unavailable, machines)


class UpdateTurns:
    """Goes by what Machines have recorded, whoever did, and by who was told to begin since."""

    def __init__(self, lists: MachineLists, limit: Limit = one) -> None:
        """`limit`: how many of a group's Machines may be at it."""
        self._lists = lists
        self._limit = limit
        self._held: dict[Group, dict[str, str]] = {}
        """Names of those who were told to begin, by UID."""

    async def ask(self, kube: Kube, machine: Machine) -> str:
        """Name of a Machine that has the turn; empty: it is this one's as well from now on.

        Raises `KubeError`.
        """
        group, uid = group_of(machine), machine.metadata.uid
        there = await self._lists.now(kube, machine.namespace)
        mine = [m for m in there.objects if group_of(m) == group]
        limit = await self._limit(kube, machine, len(mine))
        # Nobody has had the word since the list was read, but who is in this.
        held = self._held.setdefault(group, {})
        busy = {m.metadata.uid: m.name for m in mine if _busy(m)} | held
        others = [name for other, name in sorted(busy.items()) if other != uid]
        if len(others) >= limit:
            return others[0]
        held[uid] = machine.name
        return ""

    def over(self, uid: str) -> None:
        """It has nothing to do any more, or is gone."""
        for group in [group for group, held in self._held.items() if uid in held]:
            del self._held[group][uid]
            if not self._held[group]:
                del self._held[group]


def _busy(machine: Machine) -> bool:
    return update.recorded(machine.status) is not None and not machine.deleting
