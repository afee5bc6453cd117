"""A CA Secret that somebody edited is named and refused; it is never made anew silently."""

from __future__ import annotations

from datetime import timedelta

from cryptography.hazmat.primitives import serialization

from kok.pki import (
    CA_LIFETIME,
    CAAction,
    CAReason,
    LeafSpec,
    check_ca,
    decide_ca,
    fingerprint,
    issue,
    new_ca,
)

NAME = "Secret team-a/shop-ca"


def decide(cert, key, now, latched=None):
    return decide_ca(cert, key, now, latched_fingerprint=latched, name=NAME)


def test_the_first_ca_is_created_and_then_used(ca, now):
    assert decide(None, None, now).action == CAAction.CREATE
    assert decide(ca.cert_pem, ca.key_pem, now).action == CAAction.USE
    latched = fingerprint(ca.cert_pem)
    assert decide(ca.cert_pem, ca.key_pem, now, latched).action == CAAction.USE


def test_a_lost_ca_that_was_in_use_is_refused(ca, now):
    latched = fingerprint(ca.cert_pem)
    decision = decide(None, None, now, latched)
    assert decision.action == CAAction.REFUSE
    assert decision.problem is not None
    assert decision.problem.reason == CAReason.MISSING
    assert decision.problem.message == (
        "Secret team-a/shop-ca is missing or does not hold both tls.crt and tls.key; put back the"
        f" CA with fingerprint {latched} (keys tls.crt and tls.key)"
    )


def test_half_a_ca_is_refused_even_when_nothing_uses_it(ca, now):
    decision = decide(ca.cert_pem, None, now)
    assert decision.action == CAAction.REFUSE
    assert decision.problem is not None
    assert "or delete the Secret to get a new CA" in decision.problem.message


def test_another_ca_in_the_place_of_the_one_in_use(ca, other_ca, now):
    decision = decide(other_ca.cert_pem, other_ca.key_pem, now, fingerprint(ca.cert_pem))
    assert decision.action == CAAction.REFUSE
    assert decision.problem is not None
    assert decision.problem.reason == CAReason.CHANGED
    assert decision.problem.message == (
        f"Secret team-a/shop-ca holds another CA ({fingerprint(other_ca.cert_pem)}) than the one"
        f" in use ({fingerprint(ca.cert_pem)}); put the former one back into tls.crt and tls.key"
    )


def test_each_kind_of_damage_has_its_reason(ca, other_ca, now):
    leaf = issue(ca, LeafSpec("x"), now)
    cases = {
        CAReason.KEY_MISMATCH: (ca.cert_pem, other_ca.key_pem, now),
        CAReason.NOT_A_CA: (leaf.cert_pem, leaf.key_pem, now),
        CAReason.UNREADABLE: (ca.cert_pem[:-40], ca.key_pem, now),
        CAReason.EXPIRED: (ca.cert_pem, ca.key_pem, now + CA_LIFETIME),
        CAReason.NOT_YET_VALID: (ca.cert_pem, ca.key_pem, now - timedelta(days=1)),
    }
    for reason, (cert, key, moment) in cases.items():
        problem = check_ca(cert, key, moment, name=NAME)
        assert problem is not None
        assert problem.reason == reason
        assert problem.message.startswith(NAME)
        assert "PRIVATE" not in problem.message
        assert decide(cert, key, moment).action == CAAction.REFUSE


def test_mending_the_secret_is_enough(ca, other_ca, now):
    latched = fingerprint(ca.cert_pem)
    assert decide(ca.cert_pem, other_ca.key_pem, now, latched).action == CAAction.REFUSE
    assert decide(ca.cert_pem, ca.key_pem, now, latched).action == CAAction.USE


def test_formatting_by_a_person_does_no_harm(ca, now):
    """An editor's comments and blank lines around the PEM block are the same CA."""
    edited = b"# corporate CA\n\n" + ca.cert_pem + b"\n\n"
    assert fingerprint(edited) == fingerprint(ca.cert_pem)
    assert decide(edited, ca.key_pem, now, fingerprint(ca.cert_pem)).action == CAAction.USE


def test_an_encrypted_key_is_named_as_such(ca, now):
    key = serialization.load_pem_private_key(ca.key_pem, None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    problem = check_ca(ca.cert_pem, encrypted, now, name=NAME)
    assert problem is not None
    assert problem.message.endswith("is encrypted; store it without a passphrase")


def test_new_cas_differ(now):
    assert fingerprint(new_ca("a", now).cert_pem) != fingerprint(new_ca("a", now).cert_pem)
