"""Certificate authorities and the leaves they sign.

Pure functions on PEM bytes. The clock is always passed in; randomness (keys, serials) comes from
the operating system. Keys are ECDSA P-256: made in well under a millisecond, where RSA needs
tens to hundreds, and accepted by every component that KOK talks to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Flag
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kok.pki import pem
from kok.pki.errors import PkiError

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
BACKDATE = timedelta(minutes=10)
"""How far before `now` a certificate starts to be valid: hosts' clocks differ."""

_LONGEST_CHAIN = 8
_MAX_NAME = 64  # X.520's upper bound for a common name and for an organization


class Usage(Flag):
    """What a leaf may be used for. etcd members and kubelets need `BOTH`."""

    SERVER = 1
    CLIENT = 2
    BOTH = 3


@dataclass(frozen=True)
class CertificateAuthority:
    """A CA that can sign.

    `cert_pem` is the certificate of the signer alone. `bundle` holds further CA certificates to
    trust, for the phases of a CA rotation; what others are to trust is `trust_pem`. `chain` is how
    an intermediate CA is certified: its issuer, that one's issuer, and so on.
    """

    cert_pem: bytes
    key_pem: bytes = field(repr=False)
    bundle: bytes = b""
    chain: bytes = b""

    @property
    def trust_pem(self) -> bytes:
        """The signer first, then the other certificates of the bundle, each once."""
        return merge_bundles(self.cert_pem, self.bundle)

    @property
    def anchors_pem(self) -> bytes:
        """For who asks servers and insists on a root: `trust_pem`, then the chain.

        Never for judging clients: whoever else the root certifies would be let in, too.
        """
        return merge_bundles(self.trust_pem, self.chain)

    @property
    def served_pem(self) -> bytes:
        """What a server sends behind its own certificate: all up to the root, which others have."""
        path = [self.cert_pem, *(split(self.chain) if self.chain else ())]
        return b"".join(one for one in path if not _is_root(pem.load_certificate(one)))

    @property
    def complete(self) -> bool:
        """Whether the chain ends with a root."""
        return _is_root(pem.load_certificates(self.anchors_pem)[-1])


@dataclass(frozen=True)
class Leaf:
    """A certificate signed by a CA, and its private key. Both PEM."""

    cert_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True)
class LeafSpec:
    """What a leaf is to be. Names and addresses are a set: order and repetition do not matter.

    `common_name` and `organizations` are user and groups for client certificates (Kubernetes
    reads them so), at most 64 characters each. `ip_addresses` may be given as text. Raises
    `PkiError` for a name or address that cannot stand in a certificate.
    """

    common_name: str
    organizations: Iterable[str] = ()
    dns_names: Iterable[str] = ()
    ip_addresses: Iterable[IPAddress | str] = ()
    usages: Usage = Usage.CLIENT
    lifetime: timedelta = LEAF_LIFETIME

    def __post_init__(self) -> None:
        organizations = tuple(sorted(set(self.organizations)))
        for value in (self.common_name, *organizations):
            _check_name(value)
        dns_names = tuple(sorted({_dns_name(name) for name in self.dns_names}))
        try:
            addresses = {ipaddress.ip_address(address) for address in self.ip_addresses}
        except ValueError as error:
            raise PkiError(f"{error}, so it cannot stand in a certificate") from None
        if not self.usages:
            raise PkiError(f"certificate {self.common_name!r} has no usage")
        if self.lifetime <= timedelta(0):
            raise PkiError(f"certificate {self.common_name!r} has no lifetime")
        object.__setattr__(self, "organizations", organizations)
        object.__setattr__(self, "dns_names", dns_names)
        object.__setattr__(
            self, "ip_addresses", tuple(sorted(addresses, key=lambda a: (a.version, a)))
        )


def new_ca(
    common_name: str, now: datetime, lifetime: timedelta = CA_LIFETIME
) -> CertificateAuthority:
    """A new self-signed CA that may sign leaves only (path length 0).

    `now` must be timezone-aware.
    """
    _check_name(common_name)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_utc(now) - BACKDATE)
        .not_valid_after(_utc(now) + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(_authority_identifier(identifier), critical=False)
        .sign(key, pem.signing_hash(key))
    )
    return CertificateAuthority(pem.dump_certificate(certificate), pem.dump_private_key(key))


def issue(ca: CertificateAuthority, spec: LeafSpec, now: datetime) -> Leaf:
    """A new key and a certificate for it, signed by `ca`.

    Valid from a little before `now`, for `spec.lifetime` or until the CA's own end, whichever
    comes first. Raises `PkiError` when the CA cannot be read, has expired, or is a certificate
    with another's key: judge it first with `kok.pki.decide_ca`.
    """
    issuer, signer = pem.load_certificate(ca.cert_pem), pem.load_signing_key(ca.key_pem)
    moment = _utc(now)
    if moment >= issuer.not_valid_after_utc:
        raise PkiError(
            f"the CA {issuer.subject.rfc4514_string()} expired on {issuer.not_valid_after_utc:%Y-%m-%d}"
        )
    if pem.public_key_der(issuer) != pem.public_key_der(signer):
        raise PkiError(f"the CA {issuer.subject.rfc4514_string()} comes with another CA's key")
    key = ec.generate_private_key(ec.SECP256R1())
    lifetime = min(spec.lifetime, issuer.not_valid_after_utc - moment)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject_of(spec))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(moment - BACKDATE, issuer.not_valid_before_utc))
        .not_valid_after(moment + lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(extended_usages(spec.usages)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_identifier(_identifier_of(issuer)), critical=False)
    )
    if names := alternative_names(spec):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(signer, pem.signing_hash(signer))
    return Leaf(pem.dump_certificate(certificate), pem.dump_private_key(key))


def chain_of(cert_pem: bytes, others: bytes) -> bytes:
    """The issuers of a certificate as far as they are among `others`, each proven by its signature.

    Certificates that are none of its issuers do not count. Raises `PkiError`.
    """
    found: list[x509.Certificate] = []
    current = pem.load_certificate(cert_pem)
    pool = pem.load_certificates(others)[:_LONGEST_CHAIN] if others.strip() else []
    while not _is_root(current) and len(found) < _LONGEST_CHAIN:
        issuer = next((c for c in pool if c not in found and issued_by(current, c)), None)
        if issuer is None:
            break
        found.append(issuer)
        current = issuer
    return b"".join(pem.dump_certificate(c) for c in found)


def issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether a CA has signed a certificate."""
    if not isinstance(
        ca.public_key(), ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
    ):
        return False
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer


def merge_bundles(*bundles: bytes) -> bytes:
    """The certificates of all bundles, each once, in the order of first appearance.

    Empty bundles are skipped; raises `PkiError` for one that cannot be read.
    """
    seen: dict[bytes, None] = {}
    for bundle in bundles:
        if bundle.strip():
            seen.update((pem.dump_certificate(c), None) for c in pem.load_certificates(bundle))
    return b"".join(seen)


def split(bundle: bytes) -> list[bytes]:
    """Each certificate of a bundle by itself, in its order. Raises `PkiError`."""
    return [pem.dump_certificate(c) for c in pem.load_certificates(bundle)]


def subject_of(spec: LeafSpec) -> x509.Name:
    """Organizations first, in order, then the common name."""
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in spec.organizations]
        + [x509.NameAttribute(NameOID.COMMON_NAME, spec.common_name)]
    )


def alternative_names(spec: LeafSpec) -> list[x509.GeneralName]:
    """The subject alternative names that `spec` asks for; may be empty for a client."""
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in spec.dns_names]
    return names + [x509.IPAddress(ipaddress.ip_address(a)) for a in spec.ip_addresses]


def extended_usages(usages: Usage) -> list[x509.ObjectIdentifier]:
    """The extended key usages for `usages`, server before client."""
    pairs = (
        (Usage.SERVER, ExtendedKeyUsageOID.SERVER_AUTH),
        (Usage.CLIENT, ExtendedKeyUsageOID.CLIENT_AUTH),
    )
    return [oid for usage, oid in pairs if usage in usages]


def _check_name(value: str) -> None:
    if not 0 < len(value) <= _MAX_NAME:
        raise PkiError(
            f"{value!r} has {len(value)} characters; a certificate's common name and"
            f" organizations have 1 to {_MAX_NAME}"
        )


def _dns_name(name: str) -> str:
    if not name or not name.isascii() or " " in name:
        raise PkiError(f"{name!r} is not a DNS name; write international names in their xn-- form")
    return name.lower()


def _utc(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise PkiError("the clock has no time zone")
    return now.replace(microsecond=0)  # X.509 knows whole seconds


def _identifier_of(issuer: x509.Certificate) -> x509.SubjectKeyIdentifier:
    """The CA's own identifier; a CA brought by a user may lack the extension."""
    try:
        return issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())


def _authority_identifier(identifier: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
