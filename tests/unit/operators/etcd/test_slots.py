"""Who may start a further Job that moves backups."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.backups.builders import a_job

from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.limits import META, Limits
from kok.operators.etcd import jobs, layout
from kok.operators.etcd.slots import Slots, waits_for
from kok.runtime.errors import Wait


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
    assert jobs.holds_a_slot(in_namespace("a"))
    assert jobs.holds_a_slot(in_namespace("a", startTime=began, active=1))
    assert not jobs.holds_a_slot(in_namespace("a", startTime=began))
    suspended = in_namespace("a")
    suspended["spec"] = {**suspended.get("spec", {}), "suspend": True}
    assert not jobs.holds_a_slot(suspended)
    assert not jobs.holds_a_slot(in_namespace("a", "Complete", startTime=began, succeeded=1))


def an_etcdbackups(namespace: str, number: int, **owner: Any) -> Manifest:
    """A Job that runs, of an EtcdBackup unless `owner` says otherwise."""
    job = in_namespace(namespace, startTime="2026-11-01T00:00:00Z", active=1)
    reference = {"apiVersion": "kok.dev/v1alpha1", "kind": "EtcdBackup", "controller": True}
    job["metadata"] |= {
        "name": f"{namespace}-{number}",
        "labels": {layout.LABEL_WORKER: "backup"},
        "ownerReferences": [{**reference, **owner}],
    }
    return job


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    made = await FakeApi().start()

    async def all_of_them(request: web.Request) -> web.StreamResponse:
        items = list(made.objects.values())
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    # The label selector has more than one value.
    made.script("GET", "/jobs$", all_of_them)
    yield made
    await made.close()


def put(api: FakeApi, *found: Manifest) -> None:
    for job in found:
        meta = job["metadata"]
        api.put(f"/apis/batch/v1/namespaces/{meta['namespace']}/jobs/{meta['name']}", job)


async def may_start(api: FakeApi, namespace: str, limits: Limits = META) -> bool:
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=limits) as kube:
        try:
            async with Slots(4).one(kube, namespace, ()):
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
