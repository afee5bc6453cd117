"""`kok rollout`: how the software of KubeNodes goes out, node by node; to pause, resume or abort that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime

from rich.table import Table

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.rollout import RolloutNode, RolloutStatus
from kok.api.meta import Manifest
from kok.api.printable import plain
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused, connected, named, namespace_of
from kok.cli.table import age, cell, empty
from kok.kube.client import Kube
from kok.kube.errors import NotFound

KIND = KubeNode.info.kind
_ENDS = frozenset({"RolledOut", "NodesSkipped", "RolledBack", "RolloutAborted"})
"""Reasons of the condition `RolledOut` of a rollout that has come to its end."""
_COLOURS = {"Failed": "red", "RollingBack": "red", "RolledBack": "red", "Skipped": "yellow"}


async def one(name: str, namespace: str | None, options: KubectlOptions) -> KubeNode:
    """A KubeNode. Raises `NotFound` with a sentence, and `Unreadable`."""
    async with await connected(options) as kube:
        return await _found(kube, name, namespace_of(kube, namespace))


async def several(
    namespace: str | None, options: KubectlOptions, *, everywhere: bool
) -> Sequence[KubeNode]:
    """All KubeNodes of a namespace, or of all of them."""
    async with await connected(options) as kube:
        found = await kube.list(KIND, None if everywhere else namespace_of(kube, namespace))
    return [KubeNode.parse(manifest) for manifest in found]


async def changes(
    name: str, namespace: str | None, options: KubectlOptions
) -> AsyncIterator[KubeNode]:
    """A KubeNode as it is and whenever it changes, until its rollout has ended, or waits for somebody.

    Raises `NotFound` with a sentence if it is not there, or goes.
    """
    async with await connected(options) as kube:
        where = namespace_of(kube, namespace)
        await _found(kube, name, where)
        async with aclosing(kube.watch(KIND, where, fields={"metadata.name": name})) as events:
            async for event in events:
                if event.type == "DELETED":
                    raise NotFound(404, "NotFound", f"KubeNode {name} was deleted")
                if event.type not in {"ADDED", "MODIFIED"}:
                    continue
                kubenode = KubeNode.parse(event.object)
                yield kubenode
                if over(kubenode):
                    return


def over(kubenode: KubeNode) -> bool:
    """Whether nothing more comes of what its spec says now."""
    status, generation = kubenode.status, kubenode.metadata.generation
    if status.observed_generation != generation:
        return False
    if status.rollout is None:
        return True
    # The record is written first, and what is said of it follows.
    told = status.condition("RolledOut")
    said = told is not None and told.observed_generation == generation and told.reason in _ENDS
    return said and status.rollout.ended_at is not None


async def pause(name: str, namespace: str | None, options: KubectlOptions, *, paused: bool) -> str:
    """Writes `spec.rollout.paused`; a sentence on what that means. Raises `KubeError`."""
    async with await connected(options) as kube:
        where = namespace_of(kube, namespace)
        kubenode = await _found(kube, name, where)
        if kubenode.spec.rollout.paused is paused:
            return f"KubeNode {where}/{name}: spec.rollout.paused is {str(paused).lower()} already"
        await _patch(kube, kubenode, {"paused": paused})
    if paused:
        return (
            f"KubeNode {where}/{name}: no further node is begun; those under way are brought to "
            "their end"
        )
    return f"KubeNode {where}/{name}: it goes on"


async def abort(name: str, namespace: str | None, options: KubectlOptions) -> str:
    """Writes `spec.rollout.abort`; a sentence on what that means. Raises `KubeError` and `Refused`."""
    async with await connected(options) as kube:
        where = namespace_of(kube, namespace)
        kubenode = await _found(kube, name, where)
        rollout = kubenode.status.rollout
        if rollout is None or rollout.ended_at is not None:
            raise Refused(f"KubeNode {where}/{name}: no rollout is under way")
        await _patch(kube, kubenode, {"abort": rollout.id})
    return (
        f"KubeNode {where}/{name}: rollout {rollout.id} ends; nodes under way go back to what they "
        "last ran well with, the others stay as they are"
    )


async def _found(kube: Kube, name: str, where: str) -> KubeNode:
    return KubeNode.parse(await named(kube, KIND, name, where))


async def _patch(kube: Kube, kubenode: KubeNode, rollout: Manifest) -> None:
    patch = {"spec": {"rollout": rollout}}
    await kube.patch(KIND, kubenode.name, kubenode.namespace, patch)


# --- tables


def overview(kubenodes: Iterable[KubeNode], now: datetime) -> Table:
    """A line for each KubeNode."""
    headings = ("NAMESPACE", "NAME", "ROLLOUT", "PHASE", "BATCH", "UPDATED", "SINCE")
    out = empty(*headings, "WHY")
    for kubenode in kubenodes:
        found = kubenode.status.rollout
        told = [kubenode.namespace, kubenode.name]
        if found is None:
            told += ["", "", "", "", "", _said(kubenode)]
        else:
            since = age((now - found.since).total_seconds())
            told += [found.id, found.phase, str(found.batch), _updated(found), since]
            told.append(_said(kubenode))
        out.add_row(*map(cell, told))
    return out


def nodes(kubenode: KubeNode, now: datetime) -> Table:
    """A line for each node that was begun and is not through, and for each that comes next."""
    out = empty("MACHINE", "STATE", "SINCE", "WHY")
    found = kubenode.status.rollout
    if found is None:
        return out
    for row in found.nodes:
        state = cell(row.state)
        state.stylize(_COLOURS.get(row.state, ""))
        since = age((now - row.since).total_seconds())
        out.add_row(cell(row.machine), state, cell(since), cell(row.why))
    for name in found.next:
        out.add_row(cell(name), cell("Next"), cell(""), cell(""))
    return out


def headline(kubenode: KubeNode) -> str:
    """How a KubeNode's rollout stands, on a line."""
    found, name = kubenode.status.rollout, f"{kubenode.namespace}/{kubenode.name}"
    if found is None:
        return plain(f"{name}: no rollout so far")
    told = f"{name}: {found.phase}, {_updated(found)} nodes updated; {_said(kubenode)}"
    return plain(told.replace("\n", " "))


def _updated(rollout: RolloutStatus) -> str:
    return f"{rollout.updated}/{rollout.total}"


def _said(kubenode: KubeNode) -> str:
    told = kubenode.status.condition("RolledOut")
    return f"{told.reason}: {told.message}" if told is not None else ""


class Follower:
    """Tells what changes of a rollout, a line each."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self.failed = False
        """Whether it has ended, and not well."""
        self._echo = echo
        self._line = ""
        self._rows: dict[str, RolloutNode] = {}

    async def follow(self, found: AsyncIterator[KubeNode]) -> None:
        """Until there are no more."""
        async for kubenode in found:
            self.tell(kubenode)

    def tell(self, kubenode: KubeNode) -> None:
        """What is new."""
        rollout = kubenode.status.rollout
        told = kubenode.status.condition("RolledOut")
        self.failed = rollout is not None and (told is None or told.status != "True")
        rows = {row.machine: row for row in rollout.nodes} if rollout is not None else {}
        for name, row in rows.items():
            before = self._rows.get(name)
            if before is None or (before.state, before.why) != (row.state, row.why):
                why = f": {row.why}" if row.why else ""
                self._echo(plain(f"  {name} {row.state}{why}".replace("\n", " ")))
        for name in sorted(set(self._rows) - set(rows)):
            self._echo(plain(f"  {name} Updated"))
        self._rows = rows
        line = headline(kubenode)
        if line != self._line:
            self._line = line
            self._echo(line)
