"""What a node asks for in vain is not judged again at each of its events."""

from __future__ import annotations

JUDGED_AGAIN = 10.0
"""Seconds for which requests that were refused are not judged again; then other Machines may be gone
that were in their way."""


class Refusals:
    """What was refused to one Machine of late: its node may ask for the same again and again."""

    def __init__(self) -> None:
        self._what: int | None = None
        self._until = float("-inf")

    def left(self, asked: int, now: float) -> float:
        """Seconds until this is to be judged, none if it was not refused a moment ago.

        `now`: monotonic seconds; `asked`: a hash of all that its author, the host or the node could
        have changed since.
        """
        return max(0.0, self._until - now) if asked == self._what else 0.0

    def refused(self, asked: int, now: float) -> None:
        """For some seconds the answer stays the same."""
        self._what, self._until = asked, now + JUDGED_AGAIN
