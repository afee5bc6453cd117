"""Who else there is: the Machines of a namespace, in one list for all who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.kube.decoding.truncation import ANYTHING, sentence, truncated_paths
from kok.kube.lists.tolerant import Listed, listed
from kok.kube.objects.machines import brief

MACHINE = Machine.info.kind
EVERY = 2.0
"""Seconds after which a namespace is listed anew for whoever asks often."""
REMEMBERED: Final = 20_000
"""Machines in lists that nobody waits for."""


@dataclass(slots=True)
class _Namespace:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: int = 0
    """How many have asked."""
    waiting: int = 0
    """How many have no answer yet."""
    began: int = 0
    """How many had asked when the list of `found` began."""
    taken: float = float("-inf")
    """When that was."""
    found: Listed[Machine] = field(default_factory=Listed)


class MachineLists:
    """The Machines of each namespace: of those little more than whose hosts and nodes they are.

    Many ask at once, and for long. Nobody asks for those of other namespaces: however many there
    are, and whatever is in them, they delay no one else.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._of: dict[str, _Namespace] = {}

    async def of(self, kube: Kube, machine: Machine, since: float) -> Listed[Machine]:
        """All but that one, as they were a moment ago; the elder ones are sure to be there.

        So are those that were there at `since`, in monotonic seconds. Raises `KubeError`.
        """
        uid = machine.metadata.uid

        def recent(one: _Namespace) -> bool:
            fresh = self._monotonic() - one.taken < EVERY and one.taken >= since
            return fresh and any(m.metadata.uid == uid for m in one.found.objects)

        found = await self._ask(kube, machine.namespace, recent)
        others = tuple(m for m in found.objects if m.metadata.uid != uid)
        return replace(found, objects=others)

    async def now(self, kube: Kube, namespace: str) -> Listed[Machine]:
        """All as they are now: in a list that began after the question. Raises `KubeError`."""
        return await self._ask(kube, namespace, lambda _: False)

    async def _ask(
        self, kube: Kube, namespace: str, good: Callable[[_Namespace], bool]
    ) -> Listed[Machine]:
        one = self._of.setdefault(namespace, _Namespace())
        one.asked += 1
        mine, one.waiting = one.asked, one.waiting + 1
        try:
            async with one.lock:
                if one.began < mine and not good(one):
                    began, taken = one.asked, self._monotonic()
                    one.found = await _all(kube, namespace)
                    one.began, one.taken = began, taken
                return one.found
        finally:
            one.waiting -= 1
            self._forget()

    def _forget(self) -> None:
        """What is too old for anybody, and the oldest if they are too much."""
        idle = {name: one for name, one in self._of.items() if not one.waiting}
        much = sum(len(one.found.objects) + len(one.found.odd) for one in idle.values())
        for name, one in sorted(idle.items(), key=lambda item: item[1].taken):
            if self._monotonic() - one.taken < EVERY and much <= REMEMBERED:
                break
            much -= len(one.found.objects) + len(one.found.odd)
            del self._of[name]


async def _all(kube: Kube, namespace: str) -> Listed[Machine]:
    found, large = list[Manifest](), list[Unreadable]()
    for manifest in await kube.list(MACHINE, namespace, keep=brief, unread=ANYTHING, shared=True):
        # One that is too large must not stop the others; where it is stands in it all the same.
        if "spec" in (gone := truncated_paths(manifest)):
            large.append(Unreadable(MACHINE.kind, manifest, sentence(gone)))
        else:
            found.append(manifest)
    there = listed(Machine, found)
    return replace(there, odd=(*there.odd, *large))
