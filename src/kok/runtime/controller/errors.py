"""How a pass may end early."""

from __future__ import annotations

from kok.kube.errors import LONGEST, cut
from kok.runtime.controller.reasons import NO_ROOM, PASS_TIMED_OUT


class ReconcileStop(Exception):
    """The pass ends here, as planned: `reason` is a CamelCase word, `message` a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        """`message` is cut to what any error says at most: it may quote what others wrote."""
        text = cut(message, LONGEST)
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.message = text


class Wait(ReconcileStop):
    """Something is not there yet. No error: the next pass comes by a wake-up or after `after`."""

    def __init__(self, reason: str, message: str, after: float = 5.0) -> None:
        """`after` is in seconds."""
        super().__init__(reason, message)
        self.after = after


class Invalid(ReconcileStop):
    """The spec asks for what cannot be; only its author can mend it.

    Retried when the object or a child changes, and at the resync time. What can be mended without
    touching the object or a child, such as a missing Secret, is better a `Wait`.
    """


class TimedOut(ReconcileStop):
    """A pass was given up; raised by the runtime."""

    def __init__(self, limit: float) -> None:
        """`limit` is in seconds."""
        text = f"a pass was given up after {limit:g} s, the operator's log tells where; tried again"
        super().__init__(PASS_TIMED_OUT, text)


class NoRoom(ReconcileStop):
    """A pass that holds much gave way to others; raised by the runtime."""

    def __init__(self, span: float) -> None:
        """`span` is in seconds."""
        text = (
            "what is looked at for this object takes much memory, for which there is room for a "
            f"few at a time, and one look took more than {span:g} s while others wait; its next "
            "turn comes by itself. Smaller objects never wait so"
        )
        super().__init__(NO_ROOM, text)


class Paused(ReconcileStop):
    """A write was tried while `spec.paused` holds; raised by the guarded client."""

    def __init__(self, what: str) -> None:
        super().__init__("Paused", f"spec.paused is true; not done: {what}")
