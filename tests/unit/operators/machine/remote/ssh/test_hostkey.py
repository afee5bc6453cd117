"""Which host key counts, and the sentence for another one."""

from __future__ import annotations

from datetime import UTC, datetime

from kok.operators.machine.remote.ssh.hostkey import changed, expected

A, B, C = ("SHA256:" + letter * 43 for letter in "ABC")
SINCE = datetime(2026, 11, 2, tzinfo=UTC)


def test_explicit_trust_goes_before_the_pin_and_the_pin_before_the_record() -> None:
    assert expected(A, B, C, SINCE).fingerprint == A
    assert expected(None, B, C, SINCE).fingerprint == B
    assert expected(None, "", C, SINCE).fingerprint == C
    assert expected(None, "", None, None).fingerprint is None


def test_an_annotation_that_is_no_fingerprint_trusts_nothing() -> None:
    for text in ("", "yes", "SHA256:", "MD5:aa:bb", f"{A} {B}"):
        assert expected(text, "", C, SINCE).fingerprint == C


def test_the_sentence_names_both_keys_and_the_way_out() -> None:
    assert changed("192.0.2.21", B, expected(None, "", A, SINCE)) == (
        f"host 192.0.2.21 shows key {B} but {A} was recorded on 2026-11-02; if the host was "
        f"reinstalled, annotate the Machine with kok.dev/trust-host-key={B}"
    )
    assert "is written in the spec" in changed("h", B, expected(None, A, None, None))
    assert "the annotation kok.dev/trust-host-key says" in changed("h", B, expected(A, "", C, None))
