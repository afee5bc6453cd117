"""Refusals become exceptions that code can tell apart."""

from __future__ import annotations

import json

import pytest

from kok.kube import errors


def body(**fields: object) -> bytes:
    """A Status object."""
    return json.dumps({"kind": "Status", **fields}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.InvalidObject),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Expired),
        (422, "Invalid", errors.InvalidObject),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.KubeError),
        (503, "ServiceUnavailable", errors.Unreachable),
    ],
)
def test_kinds_of_refusals(status: int, reason: str, kind: type[errors.KubeError]) -> None:
    error = errors.error_of(status, body(reason=reason, message="because"))
    assert type(error) is kind
    assert (error.status, error.reason, str(error)) == (status, reason, "because")


def test_an_answer_that_is_no_status_is_shown_in_part() -> None:
    error = errors.error_of(502, b"<html>Bad gateway</html>" + b"x" * 5000)
    assert isinstance(error, errors.Unreachable)
    assert error.message.startswith("<html>Bad gateway")
    assert len(error.message) == 500


def test_a_refusal_rules_no_terminal() -> None:
    error = errors.error_of(422, body(message="a\x1b[2J\u202e\nb"))
    assert error.message == "a?[2J?\nb"
    assert errors.error_of(500, b"\x1b[2J").message == "?[2J"


def test_a_server_may_say_how_long_to_wait() -> None:
    error = errors.error_of(429, body(details={"retryAfterSeconds": 7}))
    assert error.retry_after == 7.0
    assert errors.error_of(429, body()).retry_after is None


def test_a_watch_sends_its_error_as_an_object() -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    assert isinstance(errors.error_of_status(gone), errors.Expired)


def test_an_api_that_refuses_is_told_apart_from_one_that_is_silent() -> None:
    refused = errors.error_of(500, body(message="failed calling webhook"))
    assert refused.told == "refuses what it is asked (HTTP status 500): failed calling webhook"
    assert errors.Unreachable("timed out").told == "does not answer: timed out"


def test_of_very_many_causes_the_first_are_kept_and_cut() -> None:
    causes = [{"field": f"spec.f{n}", "message": "m" * 5000, "more": "x" * 5000} for n in range(99)]
    kept = errors.error_of(422, body(details={"name": "n" * 5000, "causes": causes})).details
    assert kept["causes"][0]["field"] == "spec.f0"
    assert len(json.dumps(kept)) < 32 * 1024
    assert errors.error_of(422, body(details={"causes": [1, None]})).details["causes"] == []
