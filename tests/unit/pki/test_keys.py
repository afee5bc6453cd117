"""Keys and tokens have the form that their readers ask for."""

from __future__ import annotations

import re

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from kok.pki import (
    bootstrap_token,
    certificate_info,
    encryption_key,
    fingerprint,
    public_key_pin,
    public_pem_of,
    service_account_keys,
)
from kok.pki.pem import load_certificate, public_key_der


def test_service_account_tokens_are_signed_and_checked_with_the_pair():
    pair = service_account_keys()
    private = serialization.load_pem_private_key(pair.private_pem, None)
    public = serialization.load_pem_public_key(pair.public_pem)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert isinstance(public, rsa.RSAPublicKey)
    signature = private.sign(b"token", padding.PKCS1v15(), hashes.SHA256())
    public.verify(signature, b"token", padding.PKCS1v15(), hashes.SHA256())
    assert private.key_size == 2048
    assert public_pem_of(pair.private_pem) == pair.public_pem
    assert "PRIVATE" not in repr(pair)


def test_bootstrap_tokens_have_kubeadms_form_and_are_unique():
    tokens = {bootstrap_token() for _ in range(200)}
    assert len({token.token for token in tokens}) == 200
    assert all(re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", token.token) for token in tokens)
    one = tokens.pop()
    assert one.secret not in repr(one)


def test_encryption_keys_are_for_secretbox():
    assert len(encryption_key()) == 32
    assert encryption_key() != encryption_key()


def test_status_shows_who_and_until_when(ca, now):
    info = certificate_info(ca.cert_pem)
    assert info.subject == "CN=kubernetes"
    assert info.not_after.isoformat() == "2037-02-26T12:00:00+00:00"
    assert info.renew_at.isoformat() == "2037-01-27T12:00:00+00:00"
    assert info.fingerprint == fingerprint(ca.cert_pem)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", info.fingerprint)


def test_the_pin_is_that_of_the_public_key(ca):
    """kubeadm's form: a hash of the SubjectPublicKeyInfo, the same for a re-issued CA."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_key_der(load_certificate(ca.cert_pem)))
    assert public_key_pin(ca.cert_pem) == f"sha256:{digest.finalize().hex()}"
