"""Which events wake which object, and how little is watched for it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.runtime.controller.test_loop import Bench
from tests.unit.runtime.widgets import FINALIZER, KEY, WIDGET, Scripted, widget

from kok.api.meta import Kind
from kok.kube import kinds
from kok.runtime.controller.reconciler import OperatorSpec, Wake
from kok.runtime.kopf.app import PrimaryWaker, child_waker, kopf_settings, watch_selectors

GADGET = Kind("kok.dev", "v1alpha1", "Gadget", "gadgets")


def operator(*wakes: Wake) -> OperatorSpec:
    """An operator of Widgets."""
    return OperatorSpec("test", (Scripted(wakes=wakes),))


def test_children_are_watched_by_the_label_of_their_owner() -> None:
    selectors = watch_selectors(operator(Wake(kinds.SECRET), Wake(kinds.POD)), [WIDGET])
    assert selectors == {
        kinds.SECRET: "kok.dev/owner-kind in (Widget)",
        kinds.POD: "kok.dev/owner-kind in (Widget)",
    }


def test_other_selections_are_kept_and_what_is_ours_is_watched_whole() -> None:
    wakes = (
        Wake(kinds.NODE, key=lambda _: (), labels="a=b"),
        Wake(kinds.CONFIGMAP, key=lambda _: ()),
        Wake(WIDGET, key=lambda _: ()),
        Wake(kinds.POD),
        Wake(kinds.POD, key=lambda _: (), labels="a=b"),
    )
    selectors = watch_selectors(operator(*wakes), [WIDGET])
    assert selectors == {kinds.NODE: "a=b"}


def test_settings_that_kopf_needs() -> None:
    settings = kopf_settings(operator(Wake(kinds.SECRET)), [Bench().controller])
    assert settings.persistence.finalizer == "kok.dev/test-operator"
    assert settings.queueing.worker_limit is None
    assert not settings.posting.enabled
    assert settings.watching.label_selectors["", "v1", "secrets"].startswith("kok.dev/owner-kind")


@pytest.fixture
async def bench() -> Bench:
    """A controller that cares for the Widget."""
    return Bench()


async def woken(bench: Bench, *events: tuple[str, dict[str, Any]]) -> list[tuple[bool, bool]]:
    """Whether each event wakes the Widget, and whether hard."""
    waker = PrimaryWaker(bench.controller, FINALIZER)
    found = []
    with bench.controller.triggers.held(KEY) as trigger:
        for event, manifest in events:
            trigger.take()
            waker(event, manifest)
            found.append((trigger.event.is_set(), trigger.take()))
    return found


async def test_what_people_change_wakes_and_our_own_writes_do_not(bench: Bench) -> None:
    events: list[tuple[str, dict[str, Any], bool]] = [
        ("LISTED", widget(), True),
        ("MODIFIED", widget(resourceVersion="2", status={"size": 3}), False),
        ("MODIFIED", widget(generation=2), True),
        ("MODIFIED", widget(generation=2, annotations={"other/x": "1"}), False),
        ("MODIFIED", widget(generation=2, annotations={"kok.dev/x": "1"}), True),
        ("MODIFIED", widget(generation=2, annotations={"kok.dev/x": "2"}), True),
        ("MODIFIED", widget(generation=2, labels={"a": "b"}), True),
        ("MODIFIED", widget(generation=2, labels={"a": "b"}, finalizers=[]), True),
        ("MODIFIED", widget(generation=2, labels={"a": "b"}), True),
        ("MODIFIED", widget(generation=2, labels={"a": "b"}, deletionTimestamp="x"), True),
        ("DELETED", widget(generation=2), True),
    ]
    found = await woken(bench, *[(event, manifest) for event, manifest, _ in events])
    assert found == [(wakes, wakes) for _, _, wakes in events]


async def test_the_end_of_an_object_that_nobody_works_on_is_told(bench: Bench) -> None:
    waker = PrimaryWaker(bench.controller, FINALIZER)
    waker("DELETED", widget())
    assert bench.plan.forgotten == [(KEY, "u1")]


async def test_a_child_wakes_its_owner_softly(bench: Bench) -> None:
    waker = child_waker(Wake(kinds.SECRET), bench.controller)
    reference = {"apiVersion": "kok.dev/v1alpha1", "kind": "Widget", "name": "w", "uid": "u1"}
    mine = {"metadata": {"namespace": "ns", "name": "s", "ownerReferences": [reference]}}
    foreign = {"metadata": {"namespace": "ns", "name": "s"}}
    with bench.controller.triggers.held(KEY) as trigger:
        waker("MODIFIED", foreign)
        assert not trigger.event.is_set()
        waker("MODIFIED", mine)
        assert trigger.event.is_set()
        assert trigger.take() is False


async def test_a_key_names_whom_a_change_wakes(bench: Bench) -> None:
    def users(manifest: dict[str, Any]) -> list[tuple[str, str]]:
        return [("ns", name) for name in manifest["spec"]["users"]]

    waker = child_waker(Wake(GADGET, key=users), bench.controller)
    with bench.controller.triggers.held(KEY) as trigger:
        waker("ADDED", {"spec": {"users": ["w", "nobody"]}})
        assert trigger.event.is_set()


async def test_a_broken_key_keeps_nobody_else_from_being_woken(bench: Bench) -> None:
    def broken(manifest: dict[str, Any]) -> list[tuple[str, str]]:
        return [("ns", manifest["spec"]["user"])]

    waker = child_waker(Wake(GADGET, key=broken), bench.controller)
    with bench.controller.triggers.held(KEY) as trigger:
        waker("ADDED", {"metadata": {"name": "g"}})
        assert not trigger.event.is_set()
        waker("ADDED", {"metadata": {"name": "g"}, "spec": {"user": "w"}})
        assert trigger.event.is_set()
