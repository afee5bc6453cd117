"""Private keys are judged by their size before anything works on them."""

from __future__ import annotations

import itertools
import math
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kok.pki import (
    CAReason,
    CertificateAuthority,
    Leaf,
    LeafSpec,
    PkiError,
    RenewReason,
    check_ca,
    effort,
    issue,
    must_renew,
    new_ca,
    public_pem_of,
)
from kok.pki.pem import load_certificate, load_certificates, load_private_key, load_signing_key

FORMATS = (
    serialization.PrivateFormat.PKCS8,
    serialization.PrivateFormat.TraditionalOpenSSL,
)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
RSA, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat):
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def tagged(tag: int, body: bytes) -> bytes:
    """One value of DER."""
    size = len(body)
    length = size.to_bytes(1) if size < 128 else b"\x82" + size.to_bytes(2)
    if 128 <= size < 256:
        length = b"\x81" + size.to_bytes(1)
    return bytes([tag]) + length + body


def rsa_of(*numbers: int) -> bytes:
    """What claims to be an RSA key, as PKCS#1 in PEM."""
    inside = (tagged(0x02, one.to_bytes(one.bit_length() // 8 + 1)) for one in (0, *numbers))
    der = tagged(0x30, b"".join(inside))
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
    assert load_signing_key(text).private_bytes_raw() == key.private_bytes_raw()


@pytest.fixture(scope="module")
def long_keys() -> list[bytes]:
    """A dozen keys of RSA with 4096 bits, each another one, of the same two primes."""
    numbers = rsa.generate_private_key(65537, 4096).private_numbers()
    p, q = numbers.p, numbers.q
    return [pem(rsa_key(p, q, e), FORMATS[0]) for e in itertools.islice(exponents(p, q), 12)]


def exponents(p: int, q: int) -> Iterator[int]:
    """Public ones that go with two numbers."""
    order = math.lcm(p - 1, q - 1)
    return (e for e in itertools.count(65537, 2) if math.gcd(e, order) == 1)


def rsa_key(p: int, q: int, e: int) -> rsa.RSAPrivateKey:
    """A key of two numbers, whether they are prime or not."""
    d = pow(e, -1, math.lcm(p - 1, q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def test_a_dozen_leaves_with_long_keys_take_less_than_one_check_of_primes(
    long_keys: list[bytes],
) -> None:
    """Whoever may write leaf Secrets puts others in as often as he likes."""
    ca, spec = new_ca("shop-ca", NOW), LeafSpec("kube-apiserver")
    theirs = issue(ca, spec, NOW)
    begin = time.process_time()
    serialization.load_pem_private_key(long_keys[0], None)
    full = time.process_time() - begin
    begin = time.process_time()
    for key in long_keys:
        found = must_renew(Leaf(theirs.cert_pem, key), spec, ca, NOW, timedelta(days=30))
        assert found is not None
        assert found.reason == RenewReason.KEY_MISMATCH
    assert time.process_time() - begin < full


def false_key() -> rsa.RSAPrivateKey:
    """All its numbers fit together, only that its two primes are none."""
    one, two = (key.public_key().public_numbers().n for key in (RSA, OTHER))
    return rsa_key(one, two, next(exponents(one, two)))


def a_ca_of(key: rsa.RSAPrivateKey) -> bytes:
    """A certificate of a CA for the public half of a key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "theirs")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=9))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return made.sign(RSA, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_ca_whose_key_does_not_sign_is_a_sentence() -> None:
    """It was not asked whether its primes are prime, and nothing is issued by it."""
    key = false_key()
    cert, text = a_ca_of(key), pem(key, FORMATS[0])
    for _ in range(2):
        problem = check_ca(cert, text, NOW, name="Secret team-a/shop-ca")
        assert problem is not None
        assert problem.reason == CAReason.UNREADABLE
        assert problem.message.startswith("Secret team-a/shop-ca cannot be used: the private key")
        with pytest.raises(PkiError, match="no signatures"):
            issue(CertificateAuthority(cert, text), LeafSpec("x"), NOW)
        with pytest.raises(PkiError, match="no signatures"):
            public_pem_of(text)
    mended = pem(RSA, FORMATS[0])
    assert check_ca(a_ca_of(RSA), mended, NOW) is None
    assert issue(CertificateAuthority(a_ca_of(RSA), mended), LeafSpec("x"), NOW)


@pytest.mark.parametrize("which", range(8))
def test_a_damaged_key_is_not_taken_for_one(which: int) -> None:
    """One number is another: a leaf with such a key has to be made anew."""
    n = RSA.private_numbers()
    right = [n.public_numbers.n, n.public_numbers.e, n.d, n.p, n.q, n.dmp1, n.dmq1, n.iqmp]
    assert load_private_key(rsa_of(*right)).key_size == 2048
    for wrong in (right[which] + 2, right[which] + 1, 0, 1, 3):
        with pytest.raises(PkiError):
            load_private_key(rsa_of(*right[:which], wrong, *right[which + 1 :]))


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
