"""What of a server's answers is too large to be read."""

from __future__ import annotations

from kok.kube.errors import KubeError, TooLarge

MOST = 8
"""Requests with such answers which are remembered."""
_PATH = 1024
"""Characters by which these are told apart."""


class Excesses:
    """What was asked and could not be read for its size, until it is answered within the limits."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    @property
    def first(self) -> str | None:
        """One of them as a sentence; None if there is none."""
        return next(iter(self._told.values()), None)

    def of(self, asked: str) -> str | None:
        """The sentence about this very request."""
        return self._told.get(asked[:_PATH])

    def account(self, asked: str, error: KubeError | None) -> bool:
        """Takes up how a request ended; whether that changed anything for it."""
        key, before = asked[:_PATH], asked[:_PATH] in self._told
        if isinstance(error, TooLarge):
            if len(self._told) < MOST:
                self._told[key] = error.message
        elif error is None:
            self._told.pop(key, None)
        return before != (key in self._told)
