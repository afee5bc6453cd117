"""A clean-up goes on without what does not go in time, and says so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.runtime.widgets import Widget

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.objects.ownership import owned
from kok.runtime.children.deletion import BoundedDeletion
from kok.runtime.clock import FakeClock
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

LIMIT = timedelta(seconds=60)
MAPS = "/api/v1/namespaces/ns/configmaps"


def a_widget() -> Widget:
    meta = {"name": "w", "namespace": "ns", "uid": "uid-w"}
    return Widget.parse({"metadata": meta, "spec": {}})


def deleted(kube: Kube, ago: float) -> Pass[Any]:
    """A pass over a Widget that was deleted so many seconds ago."""
    widget, clock = a_widget(), FakeClock()
    widget.metadata.deletion_timestamp = clock.now() - timedelta(seconds=ago)
    return Pass(
        obj=widget,
        status=widget.status.model_copy(deep=True),
        kube=kube,
        clock=clock,
        now=clock.now(),
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


def a_map(name: str) -> Any:
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return owned(bare, a_widget())


async def test_what_is_left_is_waited_for_and_then_told_of(kube: Kube) -> None:
    with pytest.raises(Wait, match=r"^Going: waiting for pod a, b to go$") as waits:
        BoundedDeletion(deleted(kube, 0), "GaveUp").wait_for(["b", "a"], "pod", "Going", LIMIT)
    assert waits.value.after == 0.5
    with pytest.raises(Wait) as later:
        BoundedDeletion(deleted(kube, 40), "GaveUp").wait_for(["a"], "pod", "Going", LIMIT)
    assert later.value.after == 2.0

    p = deleted(kube, 60)
    BoundedDeletion(p, "GaveUp").wait_for(["a"], "pod", "Going", LIMIT)
    (event,) = p.events
    assert (event.reason, event.warning) == ("GaveUp", True)
    assert event.note == "pod a did not go within 60 s; going on without"


async def test_nothing_is_said_of_what_is_gone(kube: Kube) -> None:
    p = deleted(kube, 600)
    BoundedDeletion(p, "GaveUp").wait_for([], "pod", "Going", LIMIT)
    assert p.events == []


async def test_only_the_owners_own_children_are_deleted_and_each_once(
    api: FakeApi, kube: Kube
) -> None:
    for name in ("mine", "kept"):
        api.put(f"{MAPS}/{name}", a_map(name))
    theirs = a_map("theirs")
    theirs["metadata"]["ownerReferences"][0]["uid"] = "another"
    api.put(f"{MAPS}/theirs", theirs)
    going = BoundedDeletion(deleted(kube, 0), "GaveUp")

    found = await going.children(kinds.CONFIGMAP, ("kept",))
    assert [one["metadata"]["name"] for one in found] == ["mine"]
    await going.delete(kinds.CONFIGMAP, found)

    assert sorted(path for path in api.objects if path.startswith(MAPS)) == [
        f"{MAPS}/kept",
        f"{MAPS}/theirs",
    ]
    asked = [{**found[0], "metadata": {**found[0]["metadata"], "deletionTimestamp": "now"}}]
    before = len(api.writes)
    await going.delete(kinds.CONFIGMAP, asked)
    assert len(api.writes) == before, "it was asked to go already"
