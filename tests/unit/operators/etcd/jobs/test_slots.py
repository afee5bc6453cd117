"""Who may start a further Job that moves backups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.etcdbackup.builders import a_job

from kok.api.meta import Manifest
from kok.kube.budget.limits import META, Limits
from kok.kube.client import Kube
from kok.kube.errors import KubeError, TooLarge
from kok.operators.etcd import naming
from kok.operators.etcd.jobs import outcome
from kok.operators.etcd.jobs.slots import FRESH, LEISURE, Slots, waits_for
from kok.runtime.controller.errors import Wait


@pytest.mark.parametrize(
    ("running", "limit", "waits"),
    [
        ({}, 4, None),
        ({"mine": 2}, 4, None),
        ({"mine": 3}, 4, "3 Jobs that move backups of this namespace run already"),
        ({"mine": 1}, 1, "1 Jobs that move backups of this namespace run already"),
        ({"a": 3, "b": 1}, 4, None),
        ({"a": 3, "mine": 1}, 4, "4 Jobs that move backups run already"),
        ({"a": 3, "b": 1, "c": 1, "d": 1, "e": 1}, 4, None),
        ({"a": 800}, 4, None),
        ({"a": 800, "b": 800}, 4, None),
        (dict.fromkeys("abcdefgh", 1), 4, "8 Jobs that move backups run already"),
    ],
)
def test_no_namespace_holds_all_and_the_first_of_each_comes_early(
    running: dict[str, int], limit: int, waits: str | None
) -> None:
    assert waits_for(running, "mine", limit) == waits


def in_namespace(namespace: str, end: str | None = None, **status: Any) -> Manifest:
    job = a_job(end=end, **status)
    job["metadata"]["namespace"] = namespace
    return job


def test_a_job_whose_pod_is_refused_takes_no_place() -> None:
    began = "2026-11-01T00:00:00Z"
    assert outcome.holds_a_slot(in_namespace("a"))
    assert outcome.holds_a_slot(in_namespace("a", startTime=began, active=1))
    assert not outcome.holds_a_slot(in_namespace("a", startTime=began))
    suspended = in_namespace("a")
    suspended["spec"] = {**suspended.get("spec", {}), "suspend": True}
    assert not outcome.holds_a_slot(suspended)
    assert not outcome.holds_a_slot(in_namespace("a", "Complete", startTime=began, succeeded=1))


def an_etcdbackups(namespace: str, number: int, **owner: Any) -> Manifest:
    """A Job that runs, of an EtcdBackup unless `owner` says otherwise."""
    job = in_namespace(namespace, startTime="2026-11-01T00:00:00Z", active=1)
    reference = {"apiVersion": "kok.dev/v1alpha1", "kind": "EtcdBackup", "controller": True}
    job["metadata"] |= {
        "name": f"{namespace}-{number}",
        "labels": {naming.LABEL_WORKER: "backup"},
        "ownerReferences": [{**reference, **owner}],
    }
    return job


asked: list[str] = []
"""Where Jobs were listed: paths of namespaces, or nothing for all."""
EVERYWHERE = ""
instead: list[Callable[[str], web.Response | None]] = []
"""What a test has the API server answer instead."""


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    made = await FakeApi().start()
    asked.clear()
    instead.clear()

    async def all_of_them(request: web.Request) -> web.StreamResponse:
        where = request.path.removeprefix("/apis/batch/v1").removesuffix("/jobs")
        asked.append(where)
        for answer in instead:
            if (other := answer(where)) is not None:
                return other
        items = [m for path, m in made.objects.items() if f"{where}/" in path]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    # The label selector has more than one value.
    made.script("GET", "/jobs$", all_of_them)
    yield made
    await made.close()


def put(api: FakeApi, *found: Manifest) -> None:
    for job in found:
        meta = job["metadata"]
        api.put(f"/apis/batch/v1/namespaces/{meta['namespace']}/jobs/{meta['name']}", job)


async def may_start(
    api: FakeApi, namespace: str, limits: Limits = META, slots: Slots | None = None
) -> bool:
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=limits) as kube:
        try:
            async with (slots or Slots(4)).one(kube, namespace, ()):
                return True
        except Wait:
            return False


async def test_large_jobs_of_one_namespace_stop_nobody_elses_backup(api: FakeApi) -> None:
    for number in range(3):
        job = an_etcdbackups("a", number)
        job["spec"]["template"]["spec"]["containers"][0]["args"] = ["x" * 50_000]
        put(api, job)
    small = replace(META, listed=100_000)
    assert await may_start(api, "b", small)
    assert not await may_start(api, "a", small)


async def test_jobs_that_are_no_etcdbackups_take_no_place(api: FakeApi) -> None:
    put(api, *(an_etcdbackups("a", number, kind="EtcdRestore") for number in range(3)))
    put(api, *(an_etcdbackups("a", number, controller=False) for number in range(3, 6)))
    assert await may_start(api, "a")
    put(api, *(an_etcdbackups("a", number) for number in range(6, 9)))
    assert not await may_start(api, "a")


async def test_those_who_ask_within_seconds_share_one_answer(api: FakeApi) -> None:
    clock = Clock()
    slots = Slots(4, clock)
    put(api, *(an_etcdbackups("a", number) for number in range(3)))
    for namespace in ("b", "c", "d"):
        clock.now += 0.5
        assert await may_start(api, namespace, slots=slots)
    assert asked.count(EVERYWHERE) == 1
    clock.now += FRESH
    await may_start(api, "e", slots=slots)
    assert asked.count(EVERYWHERE) == 2


async def test_who_has_his_share_asks_for_nobody_elses(api: FakeApi) -> None:
    clock = Clock()
    slots = Slots(4, clock)
    put(api, *(an_etcdbackups("a", number) for number in range(3)))
    for _ in range(12):
        assert not await may_start(api, "a", slots=slots)
    assert asked == ["/namespaces/a"]


async def test_what_was_begun_counts_until_a_list_can_show_it(api: FakeApi) -> None:
    clock = Clock()
    slots = Slots(4, clock)
    assert [await may_start(api, "a", slots=slots) for _ in range(4)] == [True, True, True, False]
    assert await may_start(api, "b", slots=slots)
    # The fifth of all: no second one of a namespace comes now.
    assert not await may_start(api, "b", slots=slots)
    clock.now += FRESH + 1
    assert await may_start(api, "a", slots=slots)


async def test_those_who_begin_at_the_same_moment_count_each_other(api: FakeApi) -> None:
    slots, entered, leave = Slots(4), asyncio.Semaphore(0), asyncio.Event()

    async def begin(kube: Kube) -> bool:
        try:
            async with slots.one(kube, "a", ()):
                entered.release()
                await leave.wait()
                return True
        except Wait:
            entered.release()
            return False

    async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="test") as kube:
        tasks = [asyncio.create_task(begin(kube)) for _ in range(6)]
        for _ in tasks:
            await entered.acquire()
        leave.set()
        assert sum(await asyncio.gather(*tasks)) == 3


async def test_too_many_jobs_of_one_namespace_stop_nobody_else(api: FakeApi) -> None:
    put(api, *(an_etcdbackups("crowd", number) for number in range(30)))
    clock = Clock()
    slots, few = Slots(4, clock), replace(META, items=20)
    for namespace in "bcd":
        assert await may_start(api, namespace, few, slots)
    # What asked for places lately still counts.
    assert await may_start(api, "b", few, slots)
    assert not await may_start(api, "b", few, slots)
    with pytest.raises(TooLarge):
        await may_start(api, "crowd", few, slots)
    assert asked.count(EVERYWHERE) == 1


async def test_an_answer_that_took_long_is_asked_for_the_more_rarely(api: FakeApi) -> None:
    clock = Clock()
    slots = Slots(4, clock)

    def slow(where: str) -> None:
        clock.now += 5 if where == EVERYWHERE else 0

    instead.append(slow)
    assert await may_start(api, "a", slots=slots)
    clock.now += 5 * LEISURE - 1
    assert await may_start(api, "b", slots=slots)
    assert asked.count(EVERYWHERE) == 1
    clock.now += 2
    assert await may_start(api, "c", slots=slots)
    assert asked.count(EVERYWHERE) == 2


async def test_no_answer_is_no_free_place(api: FakeApi) -> None:
    slots = Slots(4)
    put(api, *(an_etcdbackups("a", number) for number in range(3)))
    instead.append(lambda _: web.Response(status=500))
    with pytest.raises(KubeError):
        await may_start(api, "a", slots=slots)
    instead.clear()
    assert not await may_start(api, "a", slots=slots)
