"""A Widget in an API server in memory, and passes over it."""

from __future__ import annotations

from typing import Any

from tests.unit.fakeapi import FakeApi
from tests.unit.runtime.widgets import FINALIZER, KEY, PATH, Act, Scripted, Widget, widget

from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.runtime.clock import FakeClock
from kok.runtime.controller.outcome import Outcome
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.controller.reconciler import Pass
from kok.runtime.fairness.memory import Rooms
from kok.runtime.settings import Settings


class Bench:
    """A Widget in an API server in memory and passes over it."""

    def __init__(self, api: FakeApi, kube: Kube, rooms: Rooms | None = None) -> None:
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
            rooms=rooms or Rooms(),
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
