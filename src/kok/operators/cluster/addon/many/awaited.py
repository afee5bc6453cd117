"""Names of Addons that somebody else's objects have: a change of one of those may clear the way."""

from __future__ import annotations

from collections.abc import Iterable

from kok.api.meta import Manifest
from kok.runtime.controller.reconciler import Key


class AwaitedNames:
    """Who waits for which name; hints, never state."""

    def __init__(self) -> None:
        self._waiting: dict[Key, set[str]] = {}
        self._names: dict[Key, frozenset[str]] = {}

    def wait(self, addon: Key, names: Iterable[str]) -> None:
        """An Addon waits for these names of its namespace, and no more for others."""
        wanted, before = frozenset(names), self._names.get(addon, frozenset())
        namespace, own = addon
        for gone in before - wanted:
            waiting = self._waiting[namespace, gone]
            waiting.discard(own)
            if not waiting:
                del self._waiting[namespace, gone]
        for name in wanted - before:
            self._waiting.setdefault((namespace, name), set()).add(own)
        if wanted:
            self._names[addon] = wanted
        else:
            self._names.pop(addon, None)

    def forget(self, addon: Key) -> None:
        """It is gone."""
        self.wait(addon, ())

    def of_addon(self, manifest: Manifest) -> Iterable[Key]:
        """Who waits for the name of an Addon that has changed, or went."""
        meta = manifest["metadata"]
        namespace, name = str(meta.get("namespace") or ""), str(meta["name"])
        return [(namespace, one) for one in self._waiting.get((namespace, name), ())]
