"""A kind, a reconciler that does what a test tells it, and passes over one object of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from tests.unit.fakeapi import FakeApi

from kok.api.meta import ApiModel, Kind, KindInfo, Resource, Status
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.runtime.clock import FakeClock
from kok.runtime.controller.outcome import Outcome
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.controller.reconciler import DONE, Done, Key, Pass, Result, Wake
from kok.runtime.fairness.memory import MemoryTurns
from kok.runtime.settings import Settings

WIDGET = Kind("kok.dev", "v1alpha1", "Widget", "widgets")
PATH = "/apis/kok.dev/v1alpha1/namespaces/ns/widgets/w"
FINALIZER = "kok.dev/test-operator"
KEY = ("ns", "w")


class WidgetSpec(ApiModel):
    """What can be asked for."""

    size: int = 1
    paused: bool = False


class WidgetStatus(Status):
    """What was found."""

    size: int | None = None


class Widget(Resource):
    """A kind."""

    info: ClassVar[KindInfo] = KindInfo(kind=WIDGET, short_names=(), columns=())
    spec: WidgetSpec
    status: WidgetStatus


Act = Callable[[Pass[Widget]], Awaitable[Result | None]]
End = Callable[[Pass[Widget]], Awaitable[Result | Done]]


async def _nothing(_: Pass[Widget]) -> None:
    """Does nothing."""


async def _done(_: Pass[Widget]) -> Done:
    return DONE


class Scripted:
    """A reconciler that does what `act` and `end` say, and remembers its passes."""

    model = Widget

    def __init__(self, act: Act = _nothing, end: End = _done, wakes: Sequence[Wake] = ()) -> None:
        self.act = act
        self.end = end
        self.wakes_on: Sequence[Wake] = wakes
        self.passes: list[Pass[Widget]] = []
        self.forgotten: list[str] = []

    async def reconcile(self, p: Pass[Widget]) -> Result:
        """See `act`."""
        self.passes.append(p)
        return await self.act(p) or Result()

    async def finalize(self, p: Pass[Widget]) -> Result | Done:
        """See `end`."""
        self.passes.append(p)
        return await self.end(p)

    def forget(self, key: Key, uid: str) -> None:
        """Remembers that it was to forget."""
        assert key == KEY
        self.forgotten.append(uid)


def widget(**changes: Any) -> dict[str, Any]:
    """A Widget as the API server has it; `changes` go into its metadata, `spec` and `status`."""
    spec, status = changes.pop("spec", {}), changes.pop("status", {})
    meta = {"name": "w", "namespace": "ns", "uid": "u1", "generation": 1, "finalizers": [FINALIZER]}
    return {
        "apiVersion": WIDGET.api_version,
        "kind": WIDGET.kind,
        "metadata": {**meta, **changes},
        "spec": spec,
        "status": status,
    }


class Bench:
    """A Widget in an API server in memory and passes over it."""

    def __init__(self, api: FakeApi, kube: Kube, memory_turns: MemoryTurns | None = None) -> None:
        self.api = api
        self.clock = FakeClock()
        self.reconciler = Scripted()
        self.settings = Settings(pass_timeout=600)
        tools = Tools(
            operator="test",
            finalizer=FINALIZER,
            kube=kube,
            recorder=Recorder(kube, "kok-test", self.clock.now),
            clock=self.clock,
            settings=self.settings,
            memory_turns=memory_turns or MemoryTurns(),
        )
        self.passes = Passes(self.reconciler, tools)

    def put(self, **changes: Any) -> None:
        """Stores the Widget."""
        self.api.put(PATH, widget(**changes))

    async def run(self, act: Act | None = None, failures: int = 0) -> Outcome:
        """One pass."""
        if act is not None:
            self.reconciler.act = act
        return await self.passes.reconcile(KEY, failures)

    @property
    def status(self) -> dict[str, Any]:
        """The status in the API."""
        status: dict[str, Any] = self.api.objects[PATH]["status"]
        return status

    @property
    def ready(self) -> tuple[str, str, str]:
        """Status, reason and message of `Ready`."""
        (one,) = [c for c in self.status["conditions"] if c["type"] == "Ready"]
        return one["status"], one["reason"], one["message"]

    @property
    def events(self) -> list[tuple[str, str]]:
        """Types and reasons of the events."""
        found = [o for p, o in self.api.objects.items() if "/events/" in p]
        return [(o["type"], o["reason"]) for o in found]


def raising(error: BaseException) -> Act:
    """A reconciler that fails."""

    async def act(_: Pass[Widget]) -> None:
        raise error

    return act


def judging(good: bool, reason: str, error: Exception | None = None) -> Act:
    """A reconciler that sets `Ready` and then perhaps fails."""

    async def act(p: Pass[Widget]) -> None:
        p.set_condition("Ready", good, reason)
        if error is not None:
            raise error

    return act
