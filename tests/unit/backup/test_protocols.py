"""Signatures, XML and protobuf: what others define, checked against their own examples."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.backup.reasons import Reason
from kok.backup.stores.s3 import answers, sigv4
from kok.backup.stores.s3.answers import Refusal
from kok.etcdclient import protobuf

NOW = datetime(2013, 5, 24, tzinfo=UTC)
WHO = sigv4.Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
WHERE = "bucket b at https://s3.example"


@pytest.mark.parametrize(
    ("path", "query", "headers", "signature"),
    [
        (
            "/test.txt",
            {},
            {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "/",
            {"lifecycle": ""},
            {"host": "examplebucket.s3.amazonaws.com"},
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/",
            {"max-keys": "2", "prefix": "J"},
            {"host": "examplebucket.s3.amazonaws.com"},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_signatures_are_those_of_the_examples_of_s3(
    path: str, query: dict[str, str], headers: dict[str, str], signature: str
) -> None:
    signed = sigv4.sign(
        WHO,
        "us-east-1",
        method="GET",
        path=path,
        query=query,
        headers=headers,
        payload=EMPTY,
        now=NOW,
    )

    assert signed["authorization"].endswith(f"Signature={signature}")


def test_a_session_token_is_signed_and_no_secret_is_shown() -> None:
    who = sigv4.Credentials("id", "secret", "token")
    signed = sigv4.sign(
        who, "r", method="GET", path="/", query={}, headers={}, payload=EMPTY, now=NOW
    )

    assert "x-amz-security-token" in signed["authorization"]
    assert "secret" not in repr(who)
    assert "token" not in repr(who)


def test_paths_and_queries_are_escaped_once() -> None:
    assert sigv4.escape_path("/b/a b+ü") == "/b/a%20b%2B%C3%BC"
    assert sigv4.query_string({"b": "x=/", "a": ""}) == "a=&b=x%3D%2F"


def xml(code: str, message: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, xml("AccessDenied"), Reason.STORE_DENIED),
        (403, b"", Reason.STORE_DENIED),
        (403, xml("SignatureDoesNotMatch"), Reason.STORE_DENIED),
        # versitygw, of an access key that it does not know; with 404.
        (404, xml("XAdminUserNotFound"), Reason.STORE_DENIED),
        (403, xml("RequestTimeTooSkewed"), Reason.STORE_DENIED),
        (404, xml("NoSuchBucket"), Reason.STORE_MISSING),
        (503, xml("SlowDown"), Reason.STORE_BUSY),
        (500, b"<html>", Reason.STORE_BUSY),
        (200, xml("InternalError"), Reason.STORE_BUSY),
        (200, b"\n  " + xml("SlowDown"), Reason.STORE_BUSY),
        (507, b"", Reason.STORE_FULL),
        (403, xml("QuotaExceeded"), Reason.STORE_FULL),
        (301, xml("PermanentRedirect"), Reason.STORE_REFUSED),
        (400, xml("AuthorizationHeaderMalformed"), Reason.STORE_REFUSED),
        (400, xml("Whatever", "says why"), Reason.STORE_REFUSED),
    ],
)
def test_refusals_are_told_apart(status: int, body: bytes, reason: Reason) -> None:
    refusal = answers.refusal_of(status, body)
    assert refusal is not None

    error = answers.error_of(refusal, WHERE)

    assert error.reason is reason
    assert WHERE in error.message
    assert refusal.busy == (reason is Reason.STORE_BUSY)


def test_what_is_fine_is_no_refusal() -> None:
    assert answers.refusal_of(200, b"") is None
    assert answers.refusal_of(206, b"<data>") is None


def test_a_long_message_of_a_server_is_cut() -> None:
    refusal = answers.refusal_of(400, xml("C" * 500, "m" * 5000))
    assert refusal == Refusal(400, "C" * 64, "m" * 200)


def test_lists_come_in_pages() -> None:
    body = (
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        b"<Contents><Key>a/b</Key><Size>7</Size></Contents></ListBucketResult>"
    )

    assert answers.page_of(body) == answers.Page((("a/b", 7),), "t")
    assert answers.page_of(b"<html/>") is None
    assert answers.page_of(b"no xml") is None


@given(st.dictionaries(st.integers(1, 2**20), st.integers(0, 2**64 - 1) | st.binary(max_size=300)))
def test_messages_come_back_as_they_went(fields: dict[int, protobuf.Value]) -> None:
    assert protobuf.decode(protobuf.encode(fields)) == fields


@given(st.binary(max_size=200))
def test_nonsense_is_told_and_never_hangs(message: bytes) -> None:
    try:
        protobuf.decode(message)
    except ValueError:
        return


def test_absent_fields_are_zero_or_empty() -> None:
    assert protobuf.integer({}, 1) == 0
    assert protobuf.blob({}, 1) == b""
