"""Wake-ups of objects: coalesced, never lost, and how long they have been waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kok.runtime.controller.reconciler import EVERY, Key


class Trigger:
    """The wake-ups of one object.

    `soft` ones (a child changed) may be held back after an error; `hard` ones (the object itself
    changed) may not. `take` is called before a pass reads anything, so that whatever happens
    during the pass leads to another one.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.event = asyncio.Event()
        self.urgent = asyncio.Event()
        self.since: float | None = None
        self.lock = asyncio.Lock()
        """Held by whatever works on the object."""
        self.holders = 0
        self.gone: str | None = None
        """UID of the object, or of an earlier one of its name, once that is no more."""

    def wake(self, *, hard: bool) -> None:
        """Asks for a pass."""
        if self.since is None:
            self.since = self._monotonic()
        self.event.set()
        if hard:
            self.urgent.set()

    def take(self) -> bool:
        """Forgets the wake-ups so far; whether one of them was hard."""
        hard = self.urgent.is_set()
        self.event.clear()
        self.urgent.clear()
        self.since = None
        return hard


class Triggers:
    """The triggers of all objects of one kind that somebody works on."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._known: dict[Key, Trigger] = {}
        self._crowds: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many objects are worked on."""
        return len(self._known)

    @contextmanager
    def held(self, key: Key) -> Iterator[Trigger]:
        """The object's trigger, known to `wake` as long as anybody holds it."""
        if key not in self._known:
            self._known[key] = Trigger(self._monotonic)
            self._crowds[key[0]] += 1
        trigger = self._known[key]
        trigger.holders += 1
        try:
            yield trigger
        finally:
            trigger.holders -= 1
            if not trigger.holders:
                del self._known[key]
                self._crowds -= Counter((key[0],))

    def find(self, key: Key) -> Trigger | None:
        """The object's trigger, if anybody works on it."""
        return self._known.get(key)

    def count(self, namespace: str) -> int:
        """How many objects of a namespace are worked on."""
        return self._crowds[namespace]

    def wake(self, key: Key, *, hard: bool = False) -> None:
        """Wakes an object, or all of a namespace (`*`); whom nobody works on is ignored."""
        namespace, name = key
        if name != EVERY:
            if (trigger := self._known.get(key)) is not None:
                trigger.wake(hard=hard)
            return
        for (other, _), trigger in self._known.items():
            if not namespace or other == namespace:
                trigger.wake(hard=hard)

    def oldest(self, but: Callable[[str], bool] = lambda _namespace: False) -> float:
        """Seconds since the oldest wake-up that no pass has taken up; 0 if there is none.

        Namespaces for which `but` holds are left out.
        """
        waiting = [
            trigger.since
            for (namespace, _), trigger in self._known.items()
            if trigger.since is not None and not but(namespace)
        ]
        return self._monotonic() - min(waiting) if waiting else 0.0
