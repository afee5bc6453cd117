"""Private keys are judged by their size before anything works on them."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kok.pki import PkiError, effort
from kok.pki.pem import load_certificate, load_certificates, load_private_key

FORMATS = (
    serialization.PrivateFormat.PKCS8,
    serialization.PrivateFormat.TraditionalOpenSSL,
)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
RSA = rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def number(value: int) -> bytes:
    """A DER INTEGER."""
    body = value.to_bytes(value.bit_length() // 8 + 1)
    return b"\x02\x82" + len(body).to_bytes(2) + body


def rsa_of(*numbers: int) -> bytes:
    """What claims to be an RSA key, as PKCS#1 in PEM."""
    body = b"".join(number(one) for one in (0, *numbers))
    der = b"\x30\x82" + len(body).to_bytes(2) + body
    done = subprocess.run(["base64"], input=der, capture_output=True, check=True)
    name = b"RSA PRIVATE KEY"
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (name, done.stdout, name)


@pytest.mark.parametrize("form", FORMATS)
def test_usual_keys_are_read(form: serialization.PrivateFormat) -> None:
    for key in (RSA, ec.generate_private_key(ec.SECP521R1())):
        assert load_private_key(pem(key, form)).key_size == key.key_size
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    key = ec.generate_private_key(ec.SECP256R1())
    assert load_private_key(parameters + pem(key, form)).key_size == 256


def test_ed25519_is_read() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    text = key.private_bytes(serialization.Encoding.PEM, FORMATS[0], serialization.NoEncryption())
    assert load_private_key(text) == load_private_key(text)


MERSENNE = 2**19937 - 1
"""A prime, to prove which takes a minute."""


@pytest.mark.parametrize(
    "numbers",
    [
        (2**8191 + 1, 65537, 2**8190 + 1, 2**4095 + 1, 2**4095 + 3, 3, 3, 3),
        (MERSENNE * 3, 65537, 5, MERSENNE, 3, 3, 3, 3),
        (2**4095 + 1, 65537, 2**4095 + 1, 2**4095 + 1, 2**4095 + 3, 3, 3, 3),
    ],
    ids=["long modulus", "long prime", "primes as long as the modulus"],
)
def test_what_would_take_seconds_is_refused_at_once(numbers: tuple[int, ...]) -> None:
    begin = time.process_time()
    with pytest.raises(PkiError, match="more than 4096 bits"):
        load_private_key(rsa_of(*numbers))
    assert time.process_time() - begin < 0.5


def test_a_key_hidden_behind_another_is_not_what_is_read() -> None:
    small = pem(RSA, FORMATS[1])
    large = rsa_of(2**8191 + 1, 65537, 3, 3, 3, 3, 3, 3)
    assert load_private_key(small + large).key_size == 2048
    with pytest.raises(PkiError):
        load_private_key(large + small)


def test_headers_hide_nothing() -> None:
    first, rest = rsa_of(2**8191 + 1, 65537, 3, 3, 3, 3, 3, 3).split(b"\n", 1)
    with pytest.raises(PkiError, match="more than 4096 bits"):
        load_private_key(first + b"\nComment: nothing to be seen\n\n" + rest)


def test_no_certificates_without_end() -> None:
    with pytest.raises(PkiError, match="128 KiB"):
        load_certificates(b"x" * 300_000)


def test_no_certificate_without_end() -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("")] * 20_000), critical=False)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(PkiError, match="16 KiB"):
        load_certificate(made.public_bytes(serialization.Encoding.PEM))


def test_no_text_takes_long() -> None:
    begin_ = b"-----BEGIN PRIVATE KEY-----\n"
    for text in (begin_ * 2000, b"-----BEGIN " * 6000, b"\n" * 60000, begin_ + b"\n" * 60000):
        begin = time.process_time()
        assert effort.private_block(text) is None
        assert time.process_time() - begin < 1
    nested = b"\x30\x82\xff\xff" * 2000
    assert effort.too_large(nested) is False
