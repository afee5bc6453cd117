"""Reading PEM, with errors that a person can act on and that never quote the content."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from kok.pki import effort
from kok.pki.errors import PkiError

DER = serialization.Encoding.DER

SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""Kinds of private key that both we and the Kubernetes components can sign with."""

MALFORMED = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the parser raises for a certificate that is damaged or beyond us."""


MAX_CERTIFICATES = 128 * 1024
"""Bytes of certificates in one text: more than two hundred, each of which has to be decoded."""
MAX_CERTIFICATE = 16 * 1024
"""Bytes of one certificate. One with a hundred long names has less; its names are decoded one by
one, and who wrote it decided how many there are."""


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """All certificates of a PEM text, in its order.

    Raises `PkiError` when there is none or one of them cannot be parsed.
    """
    return _decoded(pem, every=True)


def _decoded(pem: bytes, *, every: bool) -> list[x509.Certificate]:
    if len(pem) > MAX_CERTIFICATES:
        raise PkiError(f"more than {MAX_CERTIFICATES // 1024} KiB of certificates; put in fewer")
    # The parser's own text may quote its input; `from None` keeps it out of logs.
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except MALFORMED:
        raise PkiError("not a PEM certificate") from None
    for certificate in certificates if every else certificates[:1]:
        if len(certificate.tbs_certificate_bytes) > MAX_CERTIFICATE:
            raise PkiError(f"a certificate has more than {MAX_CERTIFICATE // 1024} KiB")
        try:
            _decode(certificate)
        except MALFORMED:
            raise PkiError("not a PEM certificate") from None
    return certificates


def _decode(certificate: x509.Certificate) -> None:
    """Decode what is otherwise decoded on first use, so that damage shows here and only here."""
    _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key())
    _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    _ = certificate.signature_hash_algorithm
    if certificate.serial_number <= 0:
        # RFC 5280 forbids it, and coming releases of the parser refuse it.
        raise ValueError("the serial number is not positive")


def load_certificate(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM text: the leaf, when a chain follows it. Others are not decoded."""
    return _decoded(pem, every=False)[0]


def load_private_key(pem: bytes) -> SigningKey:
    """The unencrypted private key in a PEM text (PKCS#8, PKCS#1 or SEC 1), in a millisecond.

    Raises `PkiError` when it cannot be read, is encrypted, is of a kind that Kubernetes cannot
    use, is so large that it would keep whoever uses it, or its numbers do not fit together.

    Whether the primes of an RSA key are prime is not asked: with 4096 bits that takes half a
    second and more in which nothing else runs, and a tenant may put another such key into every
    Secret of his at any time. What a key with false primes can do here is little. Its public half
    is read, never computed, and compared with that of a certificate. OpenSSL takes part in
    handshakes with it, which then fail as with a key that was revoked. To sign it is used in one
    case alone: a CA, or service accounts' key, that somebody brought; `load_signing_key` has
    seen it sign before. All of it harms only the cluster of whoever wrote the key.
    """
    block = private_key_text(pem)
    if effort.encrypted(block):
        raise PkiError("the private key is encrypted; store it without a passphrase")
    der = effort.der_of(block)
    if not der:
        raise PkiError("not a PEM private key")
    if effort.too_large(der):
        raise PkiError(
            "the private key has more than 4096 bits; use RSA with 2048 to 4096, or ECDSA"
        )
    try:
        key = serialization.load_pem_private_key(
            block, password=None, unsafe_skip_rsa_key_validation=True
        )
    except TypeError:
        raise PkiError("the private key is encrypted; store it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise PkiError("not a PEM private key") from None
    if not isinstance(
        key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    ):
        raise PkiError("the private key is neither ECDSA, RSA nor Ed25519")
    if isinstance(key, rsa.RSAPrivateKey) and not _fits_together(key):
        raise PkiError("the numbers of the RSA private key do not belong together; it is damaged")
    return key


def private_key_text(pem: bytes) -> bytes:
    """The first private key of a PEM text, alone. Raises `PkiError` if there is none."""
    found = effort.private_block(pem)
    if found is None:
        raise PkiError("not a PEM private key")
    return found[1]


def judged_key(pem: bytes) -> bytes:
    """The text of the key that `load_private_key` finds, for whoever reads it by other means."""
    load_private_key(pem)
    return private_key_text(pem)


def _fits_together(key: rsa.RSAPrivateKey) -> bool:
    """All that can be said of an RSA key by arithmetic: what damages a key by accident shows here."""
    try:
        numbers = key.private_numbers()
    except ValueError:
        return False
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    p, q, d = numbers.p, numbers.q, numbers.d
    # Even or tiny factors are no primes, and OpenSSL's arithmetic is not made for them.
    if min(p, q) < 3 or not (p & q & e & 1) or p * q != n:
        return False
    return (
        e * d % (p - 1) == 1
        and e * d % (q - 1) == 1
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == 1
    )


_proven: dict[bytes, bool] = {}
_REMEMBERED = 1024


def load_signing_key(pem: bytes) -> SigningKey:
    """As `load_private_key`, for a key that is to sign: it has to sign something first.

    A false one (its primes are none) would otherwise raise in the midst of issuing, or certify
    what nobody accepts, which is then renewed for ever. Raises `PkiError`. A signature takes some
    milliseconds with 4096 bits, so it is asked for once a key; what is remembered is a hash.
    """
    key = load_private_key(pem)
    digest = hashlib.sha256(private_key_text(pem)).digest()
    if digest not in _proven:
        if len(_proven) >= _REMEMBERED:
            _proven.pop(next(iter(_proven)))
        _proven[digest] = _signs(key)
    if not _proven[digest]:
        raise PkiError(
            "the private key makes no signatures that its public half accepts; it is damaged"
        )
    return key


def _signs(key: SigningKey) -> bool:
    try:
        _sign_and_verify(key)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, InternalError):
        return False
    return True


def _sign_and_verify(key: SigningKey) -> None:
    text, sha = b"kok", hashes.SHA256()
    match key:
        case rsa.RSAPrivateKey():
            padded = padding.PKCS1v15()
            key.public_key().verify(key.sign(text, padded, sha), text, padded, sha)
        case ec.EllipticCurvePrivateKey():
            curve = ec.ECDSA(sha)
            key.public_key().verify(key.sign(text, curve), text, curve)
        case ed25519.Ed25519PrivateKey():
            key.public_key().verify(key.sign(text), text)


def dump_certificate(certificate: x509.Certificate) -> bytes:
    """PEM, one trailing newline."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def dump_private_key(key: SigningKey) -> bytes:
    """Unencrypted PKCS#8, which every Kubernetes component, etcd and openssl read."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_key_der(owner: x509.Certificate | SigningKey) -> bytes:
    """SubjectPublicKeyInfo of a certificate or private key: equal bytes, equal key."""
    return owner.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def signing_hash(key: SigningKey) -> hashes.SHA256 | None:
    """The digest to sign certificates with; Ed25519 brings its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
