"""A bundle in a business cluster, pass by pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import NOW

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.cluster.addon.applying.install import Installed
from kok.operators.cluster.addon.applying.rollout import GOING, RESYNC, Rollout
from kok.operators.cluster.businesscluster.connections import Connection
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

PATH = "/api/v1/namespaces/default/configmaps"
RECHECK = 300.0


def config(name: str, value: str = "1", kind: str = "ConfigMap") -> Manifest:
    meta = {"name": name, "namespace": "default", "labels": {"kok.dev/addon": "mine"}}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "data": {"a": value}}


class Passes:
    """Passes over one Addon; it is woken by what changes."""

    def __init__(self, kube: Kube) -> None:
        self.connection = Connection("", kube, kube)
        self.clock = FakeClock(NOW)
        self.addon: Any = {
            "metadata": {"name": "mine", "namespace": "team-a", "generation": 1},
            "spec": {"cluster": "shop", "source": {"inline": "x"}},
        }
        self.status: Any = {}
        self.kube = kube
        self._woken = asyncio.Event()

    def rollout(self) -> tuple[Any, Rollout]:
        """A pass that begins."""
        addon = Addon.parse({**self.addon, "status": self.status})
        p: Any = Pass(
            obj=addon,
            status=addon.status.model_copy(deep=True),
            kube=self.kube,
            clock=self.clock,
            now=NOW,
            log=structlog.stdlib.get_logger(),
            settings=Settings(),
            wake=self._woken.set,
        )
        return p, Rollout(p, self.connection, RECHECK)

    async def once(self, *manifests: Manifest, made_of: str = "") -> tuple[Installed, float | None]:
        p, rollout = self.rollout()
        try:
            done = await rollout.apply(manifests, made_of=made_of)
        finally:
            self.status = p.status.manifest()
        if done.waits is None:
            self.status["revision"] = done.revision
        return done, rollout.look_again

    async def woken(self) -> None:
        """Returns once it was woken since the last time."""
        async with asyncio.timeout(30):
            await self._woken.wait()
        self._woken.clear()

    async def until_at_rest(self, *manifests: Manifest, made_of: str = "") -> None:
        """Passes until one finds that nothing has changed since the one before."""
        async with asyncio.timeout(30):
            while True:
                await self.once(*manifests, made_of=made_of)
                if self.connection.followed.settled("mine") is not None:
                    return
                await self.woken()


@pytest.fixture
async def passes(kube: Kube) -> AsyncIterator[Passes]:
    one = Passes(kube)
    yield one
    await one.connection.unfollow()


async def test_a_pass_with_nothing_to_do_asks_nothing(api: FakeApi, passes: Passes) -> None:
    await passes.until_at_rest(config("x"), config("y"))
    before = len(api.requests)
    _, later = await passes.once(config("x"), config("y"))
    assert len(api.requests) == before
    assert later is None


async def test_what_was_found_holds_until_it_is_made_of_something_else(passes: Passes) -> None:
    await passes.until_at_rest(config("x"), made_of="one")
    _, rollout = passes.rollout()
    assert rollout.known("one") == Installed(revision=passes.status["revision"])
    _, rollout = passes.rollout()
    assert rollout.known("two") is None
    assert rollout.known("one", "elsewhere") is None
    passes.addon["metadata"]["generation"] = 2
    _, rollout = passes.rollout()
    assert rollout.known("one") is None


async def test_what_was_found_holds_no_longer_than_nothing_changes(
    api: FakeApi, passes: Passes
) -> None:
    await passes.until_at_rest(config("x"), made_of="one")
    await passes.clock.advance(RECHECK)
    assert passes.rollout()[1].known("one") is None
    await passes.until_at_rest(config("x"), made_of="one")
    assert passes.rollout()[1].known("one") is not None
    api.put(f"{PATH}/x", {**api.objects[f"{PATH}/x"], "data": {"a": "edited"}})
    await passes.woken()
    assert passes.rollout()[1].known("one") is None


async def test_what_is_seen_to_change_is_put_right(api: FakeApi, passes: Passes) -> None:
    await passes.until_at_rest(config("x"))
    live = api.objects[f"{PATH}/x"]
    api.put(f"{PATH}/x", {**live, "data": {"a": "edited"}})
    await passes.woken()
    await passes.until_at_rest(config("x"))
    assert api.objects[f"{PATH}/x"]["data"] == {"a": "1"}


async def test_after_a_while_all_is_compared_whatever_was_seen(
    api: FakeApi, passes: Passes
) -> None:
    await passes.until_at_rest(config("x"))
    # Nobody is told of that.
    api.objects[f"{PATH}/x"]["data"] = {"a": "edited"}
    await passes.once(config("x"))
    assert api.objects[f"{PATH}/x"]["data"] == {"a": "edited"}
    await passes.clock.advance(RECHECK)
    await passes.once(config("x"))
    assert api.objects[f"{PATH}/x"]["data"] == {"a": "1"}


async def test_other_objects_are_applied_at_once(api: FakeApi, passes: Passes) -> None:
    await passes.until_at_rest(config("x"))
    await passes.once(config("x", "2"))
    assert api.objects[f"{PATH}/x"]["data"] == {"a": "2"}


async def test_what_is_not_followed_is_looked_at_now_and_then(api: FakeApi, passes: Passes) -> None:
    passes.connection.followed.most = 0
    for _ in range(2):
        _, later = await passes.once(config("x"))
        assert later == RESYNC
    before = len(api.requests)
    await passes.once(config("x"))
    assert len(api.requests) == before + 1


async def test_what_is_not_wanted_any_more_goes_and_is_missed_until_it_is_gone(
    api: FakeApi, passes: Passes
) -> None:
    await passes.until_at_rest(config("x"), config("y"))
    live = api.objects[f"{PATH}/y"]
    held = {**live["metadata"], "finalizers": ["example.com/clean-up"]}
    api.put(f"{PATH}/y", {**live, "metadata": held})
    done, later = await passes.once(config("x"))
    assert later == GOING
    assert [one.name for one in done.found] == ["ConfigMap y"]
    assert [one["name"] for one in passes.status["inventory"]] == ["x", "y"]

    api.drop(f"{PATH}/y")
    done, _ = await passes.once(config("x"))
    assert done.found == []
    assert [one["name"] for one in passes.status["inventory"]] == ["x"]


async def test_what_is_recorded_is_there_before_anything_is_applied(
    api: FakeApi, passes: Passes
) -> None:
    await passes.once(config("x"), config("y", kind="Secret"))
    recorded = {(one["kind"], one["name"]) for one in passes.status["inventory"]}
    assert recorded == {("ConfigMap", "x"), ("Secret", "y")}
    assert {path for method, path in api.requests if method == "PATCH"} == {
        f"{PATH}/x",
        "/api/v1/namespaces/default/secrets/y",
    }
