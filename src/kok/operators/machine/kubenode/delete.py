"""A KubeNode goes: its Machines first, each by its own removal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.kube.errors import Conflict, NotFound
from kok.operators.machine import reasons
from kok.operators.machine.kubenode.observe import KubeNodeView
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE, Done, Pass

MACHINE = Machine.info.kind


async def remove(p: Pass[KubeNode], view: KubeNodeView) -> Done:
    """Deletes them and waits, telling for how many; the Components go with their owners."""
    await send_away(p, view.mine)
    for odd in view.odd_mine:
        if not odd.deleting:
            with contextlib.suppress(NotFound, Conflict):  # it went since it was listed
                await p.kube.delete(MACHINE, odd.name, odd.namespace, uid=odd.uid)
    left = [
        *(f"{m.name}: {m.status.removal or 'being removed'}" for m in view.mine),
        *(odd.message for odd in view.odd_mine),
    ]
    if left:
        told = "; ".join(left[:3])
        raise Wait(reasons.REMOVING, f"waiting for {len(left)} Machines: {told}", 10.0)
    return DONE


def give_back(p: Pass[KubeNode], view: KubeNodeView) -> bool:
    """Claims of hosts without a Machine end while others still leave theirs; whether any did."""
    used = {m.spec.node for m in view.mine}
    kept = [name for name in p.status.claims if name in used or view.odd_mine]
    ended: bool = kept != p.status.claims
    p.status.claims = kept
    return ended


async def send_away(p: Pass[KubeNode], surplus: Iterable[Machine]) -> None:
    """Deletes Machines. How long they drain is what the KubeNode says now, also while they do."""

    async def one(machine: Machine) -> None:
        name, namespace, uid = machine.name, machine.namespace, machine.metadata.uid
        patience = p.obj.spec.drain_timeout
        with contextlib.suppress(NotFound, Conflict):  # it went since it was listed
            if machine.spec.drain_timeout != patience:
                patch = {"metadata": {"uid": uid}, "spec": {"drainTimeout": patience}}
                await p.kube.patch(MACHINE, name, namespace, patch)
            if not machine.deleting:
                await p.kube.delete(MACHINE, name, namespace, uid=uid)

    await asyncio.gather(*map(one, surplus))
