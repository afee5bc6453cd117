"""What an operator is made of: reconcilers, and what each of their passes gets to work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from kok.api.meta import Kind, Manifest, Resource
from kok.kube.client import Kube
from kok.kube.events import Event
from kok.runtime.clock import Clock
from kok.runtime.controller.errors import Paused
from kok.runtime.settings import Settings

R = TypeVar("R", bound=Resource)
Logger = structlog.stdlib.BoundLogger
Key = tuple[str, str]
"""Namespace and name; the name `*` means every object of the kind in the namespace."""
EVERY: Final = "*"


@dataclass(frozen=True, slots=True)
class Result:
    """A pass that went through; the next comes by a wake-up or after this many seconds.

    None means the resync time.
    """

    requeue_after: float | None = None
    quiet: float = 0.0
    """Seconds for which changes of other objects lead to no pass: they count as one at their end."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing of a deleted object is left: it may go."""


DONE: Final = Done()


@dataclass(frozen=True, slots=True)
class Wake:
    """Objects of `kind` whose changes wake objects of the reconciler.

    By default the children that carry the owner's labels (only those are watched). With `key`,
    which must be quick and pure, the objects it names for a changed manifest; then all objects
    of `kind` are watched, or those that `labels` selects (in Kubernetes' notation).
    """

    kind: Kind
    key: Callable[[Manifest], Iterable[Key]] | None = None
    labels: str | None = None
    whole: bool = False
    """Whether `key` looks at more than metadata, which is otherwise all that is watched."""


def _nobody() -> None:
    """Wakes nothing: for passes that no loop runs."""


@dataclass(slots=True)
class Pass(Generic[R]):
    """All that one pass over one object gets."""

    obj: R
    """The object as read at the start of this pass; to be left as it is."""
    status: Any
    """A copy of `obj.status` to be changed at will; written at the end whatever happens."""
    kube: Kube
    """The meta cluster; refuses writes while the object is paused."""
    clock: Clock
    now: datetime
    """The time at which this pass began, in UTC."""
    log: Logger
    settings: Settings
    paused: bool = False
    events: list[Event] = field(default_factory=list)
    latching: Callable[[], Awaitable[None]] | None = None
    wake: Callable[[], None] = _nobody
    """Asks for another pass over this object; may be kept and called long after this pass, by
    what an operator watches outside the meta cluster. An object that is gone is not woken."""

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Tells people of a transition, once the status is written; repetitions are dropped.

        Changes of the condition `Ready` are told by the runtime itself.
        """
        self.events.append(Event(reason, message, warning))

    def set_condition(self, type_: str, holds: bool | None, reason: str, message: str = "") -> None:
        """Sets a condition of `status` for the object as it was read (`None` means `Unknown`)."""
        self.status.set_condition(
            type_, holds, reason, message, now=self.now, generation=self.obj.metadata.generation
        )

    async def latch(self) -> None:
        """Writes the status now; call it before an act that must not be begun twice.

        Raises `Conflict` if the object changed since it was read: the pass then starts again.
        """
        if self.latching is not None:
            await self.latching()

    def guarded(self, kube: Kube) -> Kube:
        """Another cluster's client that refuses writes, too, while the object is paused."""
        return guarded(kube) if self.paused else kube


class Reconciler(Protocol[R]):
    """Keeps reality equal to the objects of one kind."""

    @property
    def model(self) -> type[R]:
        """The kind."""
        ...

    @property
    def wakes_on(self) -> Sequence[Wake]:
        """Which other objects' changes lead to a pass."""
        ...

    async def reconcile(self, p: Pass[R]) -> Result:
        """Observes, decides, acts, sets `p.status`; may raise anything, best `Wait`/`Invalid`."""
        ...

    async def finalize(self, p: Pass[R]) -> Result | Done:
        """Cleans up after a deleted object; called until it returns `DONE`."""
        ...

    def forget(self, key: Key, uid: str) -> None:
        """Lets go of all that is kept in memory of an object that is gone, however it went.

        Called once after the last pass over it, also if it went without `finalize`: anybody may
        take its finalizer away. Another object may have its name by then.
        """
        ...


Hook = Callable[[Kube, Settings], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class OperatorSpec:
    """One operator: `name` is `etcd`, `cluster` or `machine`.

    `on_start` runs once the process leads, before any pass; `on_stop` after the last one.
    """

    name: str
    reconcilers: Sequence[Reconciler[Any]]
    on_start: Hook | None = None
    on_stop: Hook | None = None

    @property
    def finalizer(self) -> str:
        """What keeps the operator's objects until they are cleaned up."""
        return f"kok.dev/{self.name}-operator"

    @property
    def field_manager(self) -> str:
        """Name under which the operator applies."""
        return f"kok-{self.name}"


def guarded(kube: Kube) -> Kube:
    """A client that raises `Paused` on every request that could change something."""

    def refuse(method: str, path: str) -> None:
        raise Paused(f"{method} {path}")

    return kube.guarded(refuse)


def selected(wake: Wake, owner: Kind) -> str | None:
    """The label selector of a wake's watch, or None for all objects of its kind."""
    if wake.labels is not None or wake.key is not None:
        return wake.labels
    return f"kok.dev/owner-kind={owner.kind}"


def label_selector(terms: Mapping[str, str]) -> str:
    """Labels in Kubernetes' notation."""
    return ",".join(f"{key}={value}" for key, value in sorted(terms.items()))
