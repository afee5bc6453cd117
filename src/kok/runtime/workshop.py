"""Work of tenants aside, shared fairly by namespace, and its lasting outcomes remembered."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from kok.runtime.aside import Limits, TooMuch, aside
from kok.runtime.fair import FairSlots

LIGHT: Final = 2
"""Processes at a time for namespaces of which nothing bad is known."""
HEAVY: Final = 1
"""The same for those whose work was given up lately: they wait for one another."""
PROBATION: Final = 600.0
"""Seconds for which a namespace counts as heavy."""
KEPT: Final = 512
"""Refusals that are remembered."""

Aside = Callable[[Callable[[Any], Any], Any, Limits], Any]


class Workshop:
    """Runs functions aside. What once took too much is not tried again."""

    def __init__(
        self,
        *,
        run: Aside = aside,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run` and `monotonic` are those of the process, unless a test gives others."""
        self._run = run
        self._monotonic = monotonic
        self._light = FairSlots(LIGHT, share=1)
        self._heavy = FairSlots(HEAVY, share=1)
        self._refused: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._probation: dict[str, float] = {}

    async def run(
        self,
        namespace: str,
        function: Callable[[Any], Any],
        argument: Any,
        *,
        digest: str,
        limits: Limits | None = None,
    ) -> Any:
        """What the function returns; see `aside`. The same `digest` means the same work."""
        key = (namespace, digest)
        self._raise_known(key)
        slots = self._heavy if self._on_probation(namespace) else self._light
        async with slots.one(namespace):
            # Another pass may have found it out in the meantime.
            self._raise_known(key)
            try:
                return await self._run(function, argument, limits or Limits())
            except TooMuch as error:
                self._refuse(key, str(error))
                raise

    def _raise_known(self, key: tuple[str, str]) -> None:
        if key in self._refused:
            self._refused.move_to_end(key)
            raise TooMuch(self._refused[key])

    def _refuse(self, key: tuple[str, str], why: str) -> None:
        self._refused[key] = why
        if len(self._refused) > KEPT:
            self._refused.popitem(last=False)
        self._probation[key[0]] = self._monotonic() + PROBATION

    def _on_probation(self, namespace: str) -> bool:
        until = self._probation.get(namespace, 0.0)
        if until <= self._monotonic():
            self._probation.pop(namespace, None)
            return False
        return True
