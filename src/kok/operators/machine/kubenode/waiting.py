"""KubeNodes that lack hosts: they are woken as soon as another one of their namespace gives one up."""

from __future__ import annotations

from collections.abc import Callable

from kok.runtime.controller.reconciler import Key


class Lacking:
    """Who waits for hosts. What they wait for is a change of the status of others, of which nothing
    else tells them; one process leads, so that all of them are here."""

    def __init__(self) -> None:
        self._wakes: dict[Key, Callable[[], None]] = {}

    def put(self, key: Key, wake: Callable[[], None] | None) -> None:
        """That KubeNode lacks hosts, and is to be woken; None: it has what it wants."""
        if wake is None:
            self._wakes.pop(key, None)
        else:
            self._wakes[key] = wake

    def freed(self, namespace: str) -> None:
        """Somebody has given a host up."""
        for (where, _), wake in list(self._wakes.items()):
            if where == namespace:
                wake()
