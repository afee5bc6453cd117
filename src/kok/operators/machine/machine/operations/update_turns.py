"""Whose node is drained now: one of a KubeNode, or of a cluster's Machines without one, at a time.

KubeNodes change their Machines one after the other. That says nothing of hosts on which somebody has
changed a kubelet by hand, and of which several have to be drained before that is put right.
"""

from __future__ import annotations

from kok.api.machine.machine import Machine
from kok.kube.client import Kube
from kok.operators.machine.machine.operations import update
from kok.operators.machine.machine_lists import MachineLists

Group = tuple[str, str]


class UpdateTurns:
    """Goes by what Machines have recorded, whoever did, and by who was told to begin since."""

    def __init__(self, lists: MachineLists) -> None:
        self._lists = lists
        self._held: dict[Group, tuple[str, str]] = {}
        """UID and name of who was told to begin."""

    async def ask(self, kube: Kube, machine: Machine) -> str:
        """Name of the Machine that has the turn; empty: it is this one from now on.

        Raises `KubeError`.
        """
        group, uid = _group(machine), machine.metadata.uid
        there = await self._lists.now(kube, machine.namespace)
        for other in there.objects:
            busy = update.recorded(other.status) is not None and not other.deleting
            if busy and other.metadata.uid != uid and _group(other) == group:
                return other.name
        # Nobody has had the word since the list was read.
        holder = self._held.setdefault(group, (uid, machine.name))
        return "" if holder[0] == uid else holder[1]

    def over(self, uid: str) -> None:
        """It has nothing to do any more, or is gone."""
        for group in [group for group, holder in self._held.items() if holder[0] == uid]:
            del self._held[group]


def _group(machine: Machine) -> Group:
    owner = next((o.uid for o in machine.metadata.owner_references if o.controller), None)
    return machine.namespace, owner or f"Cluster {machine.spec.cluster}"
