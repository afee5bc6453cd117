"""What a request to an API server can end in, as exceptions that code can tell apart."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from kok.api.printable import plain_lines

_NAME, _CAUSES, _CAUSE = 253, 32, 512
"""Characters of the name of an object, causes of a refusal, and characters of each text of one."""
MESSAGE = 1024
"""Characters of a server's sentence that are kept: whoever writes it decides on its length."""
LONGEST = 4 * MESSAGE
"""Characters of the sentence of any error, whatever it quotes."""
MOST_PATIENCE = 300.0
"""Seconds for which a server may ask to be left alone."""


class KubeError(Exception):
    """An API server refused a request, or could not be asked at all.

    `status` is the HTTP status (0 if there was no answer), `reason` Kubernetes' one-word reason
    (`NotFound`, `Forbidden`...), `message` the sentence, `details` what else is known: `name` of the
    object, `retryAfterSeconds`, the first `causes` with `field`, `message` and `reason`.
    """

    def __init__(
        self, status: int, reason: str, message: str, details: dict[str, Any] | None = None
    ) -> None:
        message = message[:LONGEST]
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details or {}

    @property
    def told(self) -> str:
        """The rest of a sentence that begins with the API server: that it is silent, or refuses.

        An API that answers with an error works on another problem than one that is away.
        """
        if self.status == 0:
            return f"does not answer: {self.message}"
        return f"refuses what it is asked (HTTP status {self.status}): {self.message}"

    @property
    def retry_after(self) -> float | None:
        """Seconds that the API server asked to wait, if it did; never more than some minutes."""
        value = self.details.get("retryAfterSeconds")
        if not isinstance(value, int | float) or not value > 0:
            return None
        return float(min(value, MOST_PATIENCE))


class NotFound(KubeError):
    """404: neither the object nor, it may be, its kind exists."""


class AlreadyExists(KubeError):
    """409 on a create: the name is taken."""


class Conflict(KubeError):
    """409: the object changed since it was read, or is another one of the same name."""


class Forbidden(KubeError):
    """403: the operator's role does not allow it, or a quota or an admission rule forbids it."""


class Unauthorized(KubeError):
    """401: the API server does not know these credentials."""


class InvalidObject(KubeError):
    """422 or 400: the API server found the object wrong."""


class Expired(KubeError):
    """410: the resource version is too old to go on from."""


class TooManyRequests(KubeError):
    """429: the API server is overloaded, or a PodDisruptionBudget forbids an eviction."""


class Unreachable(KubeError):
    """No usable answer: network or TLS failure, time-out, or a server that is not ready."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "Unreachable") -> None:
        super().__init__(status, reason, message)


class Barred(Unreachable):
    """It was not asked: its name or address leads where the administrator forbids."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="ForbiddenByPolicy")

    @property
    def told(self) -> str:
        """What became of the server, to be put behind its name: that it is not asked, and why."""
        return f"is not asked: {self.message}"


class TooLarge(Unreachable):
    """The server answered with more than is taken from it: bytes, values, objects or pages."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="AnswerTooLarge")

    @property
    def told(self) -> str:
        """What became of the server, to be put behind its name: that it is not read, and why."""
        return f"is not read: {self.message}"


E = TypeVar("E", bound=BaseException)


def without_traceback(error: E) -> E:
    """The same error without the calls that it came through, to be raised anew.

    They hold on to answers that were read or parsed there, for as long as somebody keeps the error.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class TooManyValues(KubeError):
    """The object holds more values than are read of one, and what is asked of it is missing."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "TooManyValues", message)


_BY_STATUS: dict[int, type[KubeError]] = {
    400: InvalidObject,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: InvalidObject,
    429: TooManyRequests,
}
_NOT_READY = frozenset({502, 503, 504})


def error_of(status: int, body: bytes) -> KubeError:
    """The exception for an answer of 400 and above; `body` is usually a `Status` object."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    answer: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    text = body[:MESSAGE].decode("utf-8", "replace").strip()[:500]
    said = str(answer.get("message") or text or f"HTTP status {status}")
    message = cut(plain_lines(said[: 2 * MESSAGE]))
    reason = _word(answer.get("reason"))
    if status in _NOT_READY:
        return Unreachable(message, status=status, reason=reason or "Unreachable")
    kind = _BY_STATUS.get(status, KubeError)
    if status == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    return kind(status, reason or kind.__name__, message, _details(answer.get("details")))


def cut(text: str, most: int = MESSAGE) -> str:
    """The text, or its beginning and `...` in as many characters as it may have."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _word(value: object) -> str:
    """A reason as Kubernetes' conditions take it; empty for anything else."""
    text = value if isinstance(value, str) else ""
    return text if len(text) <= 64 and text.isascii() and text.isidentifier() else ""


def _details(found: object) -> dict[str, Any]:
    """What is used of them, within bounds: there may be any number of causes, and errors are kept
    for a while."""
    told = found if isinstance(found, dict) else {}
    name, wait, causes = told.get("name"), told.get("retryAfterSeconds"), told.get("causes")
    details: dict[str, Any] = {"name": name[:_NAME]} if isinstance(name, str) else {}
    if isinstance(wait, int | float):
        details["retryAfterSeconds"] = wait
    if isinstance(causes, list):
        kept = [cause for cause in causes[:_CAUSES] if isinstance(cause, dict)]
        details["causes"] = [
            {key: str(cause.get(key) or "")[:_CAUSE] for key in ("field", "message", "reason")}
            for cause in kept
        ]
    return details


def error_of_status(answer: dict[str, Any]) -> KubeError:
    """The exception for a `Status` object, as a watch sends it."""
    code = answer.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return error_of(status, json.dumps(answer).encode())
