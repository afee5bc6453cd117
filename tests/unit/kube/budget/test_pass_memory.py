"""What is counted of what a pass reads, and what of objects it does not keep at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi

from kok.kube import kinds
from kok.kube.budget.limits import MIB
from kok.kube.budget.pass_memory import PassMemory, PassMemoryExceeded
from kok.kube.client import Kube
from kok.kube.concurrency import asking
from kok.kube.decoding.strip import NAMED, slim, unrecorded
from kok.kube.errors import TooLarge

SECRETS = "/api/v1/namespaces/ns/secrets"


def secret(size: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "data": {"x": "x" * size}}


async def test_lists_and_objects_count_together(api: FakeApi, kube: Kube) -> None:
    for name in ("a", "b"):
        api.put(f"{SECRETS}/{name}", secret(300_000))
    memory = PassMemory(MIB)
    mine = kube.apart(memory)
    await mine.list(kinds.SECRET, "ns")
    assert 600_000 < memory.size < 640_000
    await mine.get(kinds.SECRET, "a", "ns")
    with pytest.raises(TooLarge, match="more than 1 MiB"):
        await mine.get(kinds.SECRET, "a", "ns")
    assert len(await kube.list(kinds.SECRET, "ns")) == 2, "another pass's own"


async def test_what_is_not_kept_does_not_count(api: FakeApi, kube: Kube) -> None:
    api.put(f"{SECRETS}/a", secret(300_000))
    memory = PassMemory(MIB, final=False)
    mine = kube.apart(memory)
    for _ in range(5):
        await mine.get(kinds.SECRET, "a", "ns", keep=lambda one: {"kind": one["kind"]})
        await mine.list(kinds.SECRET, "ns", keep=lambda _: {})
        await mine.list(kinds.SECRET, "ns", shared=True)
    assert memory.size < 10_000


async def test_a_list_without_keep_counts_as_it_came(api: FakeApi, kube: Kube) -> None:
    for number in range(5):
        api.put(f"{SECRETS}/a{number}", secret(300_000))
    with pytest.raises(PassMemoryExceeded):
        await kube.apart(PassMemory(MIB, final=False)).list(kinds.SECRET, "ns")
    with pytest.raises(TooLarge, match="the largest of it secrets such as a0"):
        await kube.apart(PassMemory(MIB)).list(kinds.SECRET, "ns")


async def test_none_of_several_questions_goes_on_when_one_has_failed() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise TooLarge("no")

    async def asks() -> None:
        async with asking() as group:
            for one in (slow(), fails(), slow()):
                group.create_task(one)

    with pytest.raises(TooLarge):
        await asks()
    assert ended == ["slow", "slow"]


def test_of_what_others_hung_on_nothing_is_kept_but_names_of_entries() -> None:
    data = {"tls.crt": "x", **{f"other{number:02}": "y" * 1000 for number in range(100)}}
    notes = {"kok.dev/intent": "h", "kok.dev.evil/x": "y", "x": "y" * 1000}
    meta = {"name": "a", "annotations": notes, "labels": {"x": "y"}, "managedFields": [1]}
    found = slim({"metadata": meta, "data": data}, {"tls.crt", "tls.key"})
    assert found["metadata"] == {**meta, "annotations": {"kok.dev/intent": "h"}}
    names = [f"other{number:02}" for number in range(NAMED)]
    assert found["data"] == {"tls.crt": "x", **dict.fromkeys(names, "")}
    assert "managedFields" not in unrecorded({"metadata": meta})["metadata"]


def test_an_object_on_which_nothing_hangs_is_kept_as_it_is() -> None:
    one = {"metadata": {"name": "a", "annotations": {"kok.dev/intent": "h"}}, "data": {"a": "b"}}
    assert slim(one) is one
    assert slim(one, {"a"}) is one
