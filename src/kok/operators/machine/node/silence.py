"""Whether an API server answers, told by what it is asked anyway."""

from __future__ import annotations

from collections.abc import Callable

SILENCE = 4.0
"""Seconds without any answer that make an API one that does not answer; one lost request does not."""


class Pulse:
    """Whether an API server answers, by how the last requests to it ended."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.answers: bool | None = None
        """None before the first request."""
        self.silent_since: float | None = None
        """When the first request after the last answer was lost."""
        self.refused = False
        """Whether the last question was answered so that we are nobody, or may not ask."""
        self.changed: Callable[[], None] = lambda: None
        self.doubted: Callable[[], None] = lambda: None
        """Called for every request that got no answer."""
        self._monotonic = monotonic

    def observe(self, method: str, status: int) -> None:
        """Takes note of how a request ended; 0 means that there was no answer."""
        if status not in (0, 502, 503, 504):
            self.silent_since = None
            # A single write may be refused by anything, a webhook for example.
            turned = method == "GET" and (status in (401, 403)) != self.refused
            self.refused = self.refused != turned
            self._set(answers=True, turned=turned)
            return
        if self.silent_since is None:
            self.silent_since = self._monotonic()
        if not self.answers or self.silence >= SILENCE:
            self._set(answers=False)
        self.doubted()

    @property
    def silence(self) -> float:
        """Seconds since the first request that was lost after the last answer."""
        return 0.0 if self.silent_since is None else self._monotonic() - self.silent_since

    def _set(self, *, answers: bool, turned: bool = False) -> None:
        before, self.answers = self.answers, answers
        if turned or (before is not None and before != answers):
            self.changed()
