"""The life of an object under the reconcile loop, on a real API server."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.runtime.conftest import LIMIT, World, ready, running
from tests.integration.runtime.toy import HOLD, TOY, Toy, ToyReconciler

from kok.kube import kinds
from kok.kube.errors import Conflict, NotFound
from kok.runtime.controller.reconciler import Done, Key, OperatorSpec, Pass, Result
from kok.runtime.process.main import Process


async def test_an_object_gets_its_child_and_becomes_ready(process: Process, world: World) -> None:
    await world.make("a", size=3)

    toy = await world.until_ready("a", "Made", "True")

    child = await world.kube.get(kinds.CONFIGMAP, "a", world.namespace)
    assert child is not None
    assert child["data"] == {"size": "3"}
    assert toy["metadata"]["finalizers"] == ["kok.dev/toy-operator"]
    assert toy["status"]["observedGeneration"] == 1
    assert "annotations" not in toy["metadata"]


async def test_a_changed_spec_changes_the_child(process: Process, world: World) -> None:
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")

    await world.change("a", size=4)

    await world.until(kinds.CONFIGMAP, "a", lambda c: c and c["data"]["size"] == "4")
    await world.until(TOY, "a", lambda t: t and t["status"]["observedGeneration"] == 2)


async def test_a_child_changed_by_hand_comes_back(process: Process, world: World) -> None:
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")

    await world.kube.patch(kinds.CONFIGMAP, "a", world.namespace, {"data": {"size": "99"}})

    await world.until(kinds.CONFIGMAP, "a", lambda c: c and c["data"]["size"] == "3")


async def test_a_deleted_child_comes_back(process: Process, world: World) -> None:
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")
    before = await world.kube.get(kinds.CONFIGMAP, "a", world.namespace)
    assert before is not None

    await world.kube.delete(kinds.CONFIGMAP, "a", world.namespace)

    uid = before["metadata"]["uid"]
    await world.until(kinds.CONFIGMAP, "a", lambda c: c and c["metadata"]["uid"] != uid)


async def test_a_deleted_object_is_cleaned_up_and_goes(process: Process, world: World) -> None:
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")

    await world.kube.delete(TOY, "a", world.namespace)

    await world.until(TOY, "a", lambda t: t is None)
    assert await world.kube.get(kinds.CONFIGMAP, "a", world.namespace) is None


async def test_a_deletion_tells_what_it_waits_for_and_a_child_wakes_it(
    process: Process, world: World
) -> None:
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")
    held = {"metadata": {"annotations": {HOLD: "yes"}}}
    await world.kube.patch(kinds.CONFIGMAP, "a", world.namespace, held)

    await world.kube.delete(TOY, "a", world.namespace)

    toy = await world.until(TOY, "a", lambda t: "held back" in ready(t).get("message", ""))
    assert toy is not None
    assert toy["status"]["phase"] == "Deleting"
    assert ready(toy)["status"] == "False"

    free = {"metadata": {"annotations": {HOLD: None}}}
    await world.kube.patch(kinds.CONFIGMAP, "a", world.namespace, free)
    await world.until(TOY, "a", lambda t: t is None)


async def test_an_object_deleted_and_made_again_at_once_is_cared_for(
    process: Process, world: World
) -> None:
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")
    await world.kube.delete(TOY, "a", world.namespace)
    await world.until(TOY, "a", lambda t: t is None)

    await world.make("a", size=5)

    await world.until_ready("a", "Made", "True")
    child = await world.kube.get(kinds.CONFIGMAP, "a", world.namespace)
    assert child is not None
    assert child["data"]["size"] == "5"


async def test_what_is_waited_for_is_noticed_without_an_event(
    process: Process, world: World
) -> None:
    await world.make("a", wait="other")
    toy = await world.until_ready("a", "NoConfigMap")
    assert ready(toy)["message"] == "ConfigMap other does not exist yet"

    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
    other["metadata"] = {"name": "other", "namespace": world.namespace}
    await world.kube.create(other)

    await world.until_ready("a", "Made", "True")


async def test_an_invalid_spec_waits_for_its_author(process: Process, world: World) -> None:
    await world.make("a", size=101)
    toy = await world.until_ready("a", "TooLarge")
    assert ready(toy)["message"] == "spec.size is at most 100; write a smaller one"

    await world.change("a", size=7)

    await world.until_ready("a", "Made", "True")


async def test_an_unexpected_error_shows_and_heals(process: Process, world: World) -> None:
    await world.make("a", size=1, fail=True)
    toy = await world.until_ready("a", "InternalError")
    assert "RuntimeError" in ready(toy)["message"]
    assert "hunter2" not in str(toy)

    await world.change("a", fail=False)

    await world.until_ready("a", "Made", "True")


async def test_a_paused_object_is_watched_but_not_touched(process: Process, world: World) -> None:
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")

    await world.change("a", paused=True, size=8)

    def paused(toy: object) -> bool:
        conditions = toy["status"]["conditions"] if isinstance(toy, dict) else []
        return any(c["type"] == "Paused" and c["status"] == "True" for c in conditions)

    toy = await world.until(TOY, "a", paused)
    assert toy is not None
    assert ready(toy)["status"] == "True"
    child = await world.kube.get(kinds.CONFIGMAP, "a", world.namespace)
    assert child is not None
    assert child["data"]["size"] == "3"

    await world.change("a", paused=False)
    await world.until(kinds.CONFIGMAP, "a", lambda c: c and c["data"]["size"] == "8")
    await world.until(TOY, "a", lambda t: not paused(t))


async def test_transitions_are_told_as_events(process: Process, world: World) -> None:
    await world.make("a", size=3)

    resized = await world.until_event("Resized")
    made = await world.until_event("Made")

    assert resized["note"] == "the size is now 3"
    assert (resized["type"], resized["regarding"]["name"]) == ("Normal", "a")
    assert made["regarding"]["kind"] == "Toy"


class Remembering(ToyReconciler):
    """Remembers every Toy that it has seen until it is told to forget it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[str] = set()
        self.forgot = asyncio.Event()

    async def reconcile(self, p: Pass[Toy]) -> Result:
        """See `ToyReconciler`."""
        self.known.add(p.obj.metadata.uid)
        return await super().reconcile(p)

    async def finalize(self, p: Pass[Toy]) -> Result | Done:
        """See `ToyReconciler`."""
        self.known.add(p.obj.metadata.uid)
        return await super().finalize(p)

    def forget(self, key: Key, uid: str) -> None:
        """See `Reconciler`."""
        self.known.remove(uid)
        self.forgot.set()

    async def empty(self) -> None:
        """Returns once nothing is remembered."""
        async with asyncio.timeout(LIMIT):
            while self.known:
                self.forgot.clear()
                await self.forgot.wait()


async def test_of_what_is_gone_nothing_is_remembered_however_it_went(
    api_server: ApiServer, toys: None, world: World
) -> None:
    toys_ = Remembering()
    free = {"metadata": {"finalizers": None}}

    async def made() -> None:
        await world.make("a", size=3)
        await world.until_ready("a", "Made", "True")
        assert len(toys_.known) == 1

    async with running(api_server, world.namespace, operators=[OperatorSpec("toy", (toys_,))]):
        await made()
        await world.kube.delete(TOY, "a", world.namespace)
        await toys_.empty()
        await world.until(TOY, "a", lambda t: t is None)

        # Its clean-up may have begun or not, and may even be over.
        await made()
        await world.kube.delete(TOY, "a", world.namespace)
        with suppress(NotFound):
            await world.kube.patch(TOY, "a", world.namespace, free)
        await toys_.empty()
        await world.until(TOY, "a", lambda t: t is None)

        # While it is being cleaned up.
        await made()
        held = {"metadata": {"annotations": {HOLD: "yes"}}}
        await world.kube.patch(kinds.CONFIGMAP, "a", world.namespace, held)
        await world.kube.delete(TOY, "a", world.namespace)
        await world.until(TOY, "a", lambda t: "held back" in ready(t).get("message", ""))
        await world.kube.patch(TOY, "a", world.namespace, free)
        await toys_.empty()


async def test_an_object_goes_although_its_pass_hangs(
    api_server: ApiServer, toys: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pass ends when it is told to: nobody waits until it is given up.
    monkeypatch.setattr("kok.runtime.kopf.app.STOP_TIMEOUT", 10 * LIMIT)
    async with running(api_server, world.namespace):
        await world.make("a", size=3)
        await world.until_ready("a", "Made", "True")
        await world.change("a", hang=True)
        await world.until(TOY, "a", lambda t: t and t["status"]["phase"] == "Hanging")

        await world.kube.delete(TOY, "a", world.namespace)

        await world.until(TOY, "a", lambda t: t is None)


async def test_a_status_of_an_object_that_changed_can_be_refused(world: World, toys: None) -> None:
    toy = await world.make("a", size=3)
    await world.change("a", size=4)
    stale = {"resourceVersion": toy["metadata"]["resourceVersion"]}
    with pytest.raises(Conflict):
        await world.kube.patch(
            TOY, "a", world.namespace, {"metadata": stale, "status": {"x": 1}}, subresource="status"
        )
