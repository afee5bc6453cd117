"""Whose node is drained: one of a KubeNode at a time, whoever begins at the same moment."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.unit.operators.machine import builders

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.kube.lists.tolerant import Listed
from kok.kube.objects.machines import brief
from kok.operators.machine.machine.operations.update_turns import UpdateTurns

BUSY = {"type": "Update", "step": "Draining", "since": "2026-11-02T12:00:00Z", "reason": "why"}
KUBE: Any = None


def of(kubenode: str, name: str, **status: Any) -> Machine:
    kind = KubeNode.info.kind
    owner = {"apiVersion": kind.api_version, "kind": kind.kind, "name": kubenode, "uid": kubenode}
    meta = {"name": name, "ownerReferences": [{**owner, "controller": True}]}
    return builders.machine(metadata=meta if kubenode else {"name": name}, status=status)


class Lists:
    """Machines as they are listed: in brief, and after others had a word."""

    def __init__(self, *machines: Machine) -> None:
        self.machines = machines

    async def now(self, *_: object) -> Listed[Machine]:
        await asyncio.sleep(0)
        return Listed(tuple(Machine.parse(brief(m.manifest())) for m in self.machines))


def turns(*machines: Machine, most: int = 1) -> UpdateTurns:
    lists: Any = Lists(*machines)

    async def limit(*_: object) -> int:
        return most

    return UpdateTurns(lists, limit)


async def test_of_two_that_ask_at_once_one_begins() -> None:
    one, other = of("pool", "one"), of("pool", "other")
    asked = turns(one, other)
    assert await asyncio.gather(asked.ask(KUBE, one), asked.ask(KUBE, other)) == ["", "one"]
    assert await asked.ask(KUBE, one) == "", "it is still its turn"
    asked.over(one.metadata.uid)
    assert await asked.ask(KUBE, other) == ""


async def test_what_others_have_recorded_counts_for_who_knows_nothing_else() -> None:
    one, other = of("pool", "one"), of("pool", "other", operation=BUSY)
    assert await turns(one, other).ask(KUBE, one) == "other"
    assert await turns(one, other).ask(KUBE, other) == ""


async def test_kubenodes_do_not_wait_for_each_other() -> None:
    one, other = of("pool", "one"), of("gpus", "other", operation=BUSY)
    alone = of("", "alone")
    asked = turns(one, other, alone)
    assert await asked.ask(KUBE, one) == ""
    assert await asked.ask(KUBE, alone) == ""


async def test_one_that_is_removed_is_waited_for_by_nobody() -> None:
    one = of("pool", "one")
    other = of("pool", "other", operation={**BUSY, "type": "Remove"})
    assert await turns(one, other).ask(KUBE, one) == ""


async def test_as_many_as_the_kubenode_says_are_drained_side_by_side() -> None:
    three = [of("pool", name) for name in ("a", "b", "c")]
    asked = turns(*three, most=2)
    assert await asyncio.gather(*(asked.ask(KUBE, one) for one in three)) == ["", "", "a"]
    asked.over(three[1].metadata.uid)
    assert await asked.ask(KUBE, three[2]) == ""
