"""A kind and a reconciler that does what a test tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from kok.api.meta import ApiModel, Kind, KindInfo, Resource, Status
from kok.runtime.controller.reconciler import DONE, Done, Key, Pass, Result, Wake

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
