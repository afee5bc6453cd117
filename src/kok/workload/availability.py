"""Whether the API server of a business cluster answers, by how the last requests to it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kok.kube.errors import KubeError

NO_ANSWER = (0, 502, 503, 504)
"""Status 0: no answer at all; the others are those of whoever stands before a server that is away."""


@dataclass(frozen=True, slots=True)
class AvailabilityTimings:
    """How patient we are with a silent API server; seconds."""

    silence: float = 4.0
    """Without any answer that make it one that does not answer; one lost request does not."""
    ask_min: float = 0.5
    ask_max: float = 10.0
    """Between two questions to one that is silent, at first and at most."""


class Availability:
    """Whether one API server answers. It is told of every request, and asks while there is silence."""

    def __init__(
        self, monotonic: Callable[[], float], timings: AvailabilityTimings | None = None
    ) -> None:
        self.answers: bool | None = None
        """None before the first request."""
        self.silent_since: float | None = None
        """When the first request after the last answer was lost."""
        self.refused = False
        """Whether the last question was answered so that we are nobody, or may not ask."""
        self._monotonic = monotonic
        self._timings = timings or AvailabilityTimings()
        self._ask: Callable[[], Awaitable[object]] | None = None
        self._changed: Callable[[], None] = lambda: None
        self._asking: asyncio.Task[None] | None = None

    def follow(self, ask: Callable[[], Awaitable[object]], changed: Callable[[], None]) -> None:
        """From now on `ask`, which may raise `KubeError`, is called again and again during a silence:
        nobody else may have a reason to. `changed` is called when it is known to be otherwise.

        Needs a running event loop from then on.
        """
        self._ask, self._changed = ask, changed

    def observe(self, method: str, status: int) -> None:
        """Takes note of how a request ended; 0 means that there was no answer."""
        if status not in NO_ANSWER:
            self.silent_since = None
            # A single write may be refused by anything, a webhook for example.
            turned = method == "GET" and (status in (401, 403)) != self.refused
            self.refused = self.refused != turned
            self._set(answers=True, turned=turned)
            return
        if self.silent_since is None:
            self.silent_since = self._monotonic()
        if not self.answers or self.silence >= self._timings.silence:
            self._set(answers=False)
        self._begin_asking()

    @property
    def silence(self) -> float:
        """Seconds since the first request that was lost after the last answer."""
        return 0.0 if self.silent_since is None else self._monotonic() - self.silent_since

    async def close(self) -> None:
        """Asks no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _set(self, *, answers: bool, turned: bool = False) -> None:
        before, self.answers = self.answers, answers
        # That a server answers for the first time is what everybody has taken for granted.
        if turned or (before != answers and (before is not None or not answers)):
            self._changed()

    def _begin_asking(self) -> None:
        if self._ask is not None and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._keep_asking(self._ask), name="availability")

    async def _keep_asking(self, ask: Callable[[], Awaitable[object]]) -> None:
        delay = self._timings.ask_min
        while self.silent_since is not None:
            await asyncio.sleep(delay)
            delay = min(self._timings.ask_max, delay * 2)
            with contextlib.suppress(KubeError):
                await ask()
