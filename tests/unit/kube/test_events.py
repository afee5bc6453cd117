"""Events: told once, and never a reason to fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.kube.example_kind import thing

from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.events import QUIET, Event, Recorder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = Event("Grown", "there are 3 members now")


class Time:
    """A time to be moved by hand."""

    now = NOW

    def __call__(self) -> datetime:
        """The time."""
        return self.now


async def test_an_event_names_its_object_and_what_happened(api: FakeApi, kube: Kube) -> None:
    recorder = Recorder(kube, "kok-test", Time())

    assert await recorder.record(thing(), Event("Grown", "x" * 3000, warning=True))

    (event,) = api.objects.values()
    assert event["regarding"]["name"] == "t"
    assert event["regarding"]["uid"] == "u-1"
    assert (event["type"], event["reason"]) == ("Warning", "Grown")
    assert len(event["note"]) == 1024


async def test_a_note_rules_no_terminal(api: FakeApi, kube: Kube) -> None:
    await Recorder(kube, "kok-test", Time()).record(thing(), Event("Grown", "\x1b[2J\u202e"))
    (event,) = api.objects.values()
    assert event["note"] == "?[2J?"


async def test_a_repetition_is_dropped_for_a_while_and_then_counted(
    api: FakeApi, kube: Kube
) -> None:
    time = Time()
    recorder = Recorder(kube, "kok-test", time)
    await recorder.record(thing(), EVENT)
    assert not await recorder.record(thing(), EVENT)
    assert len(api.writes) == 1

    time.now = NOW + timedelta(seconds=QUIET + 1)
    assert await recorder.record(thing(), EVENT)

    (event,) = api.objects.values()
    assert event["series"]["count"] == 2


async def test_a_new_process_counts_on_instead_of_telling_twice(api: FakeApi, kube: Kube) -> None:
    await Recorder(kube, "kok-test", Time()).record(thing(), EVENT)
    await Recorder(kube, "kok-test", Time()).record(thing(), EVENT)
    (event,) = api.objects.values()
    assert event["series"]["count"] == 2


async def test_an_event_that_cannot_be_written_is_lost_quietly_and_tried_again(
    api: FakeApi, kube: Kube
) -> None:
    lost: list[KubeError] = []
    refused = True

    async def refuse(_: web.Request) -> web.StreamResponse | None:
        return refusal(403, "Forbidden", "no") if refused else None

    api.script("POST", "events", refuse)
    recorder = Recorder(kube, "kok-test", Time(), lost=lambda _event, error: lost.append(error))

    assert not await recorder.record(thing(), EVENT)
    refused = False
    assert await recorder.record(thing(), EVENT)
    assert [error.reason for error in lost] == ["Forbidden"]
