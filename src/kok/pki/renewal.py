"""Does a leaf have to be renewed, and why: a chain of small pure checks.

The order of the chain is the policy: the first check that objects gives the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cryptography import x509

from kok.pki import pem
from kok.pki.authority import (
    CertificateAuthority,
    Leaf,
    LeafSpec,
    alternative_names,
    extended_usages,
    issued_by,
    subject_of,
)
from kok.pki.errors import PkiError
from kok.pki.info import renewal_time

_SLACK = timedelta(hours=1)
"""How much longer than its spec a certificate may live: not-before is back-dated."""


class RenewReason(StrEnum):
    """Why a leaf has to be issued anew. The values are stable: they appear in status."""

    MISSING = "CertificateMissing"
    UNREADABLE = "CertificateUnreadable"
    KEY_MISMATCH = "KeyMismatch"
    NOT_SIGNED_BY_CA = "NotSignedByCA"
    CA_RENEWED = "CARenewed"
    EXPIRED = "CertificateExpired"
    EXPIRING = "CertificateExpiring"
    NOT_YET_VALID = "CertificateNotYetValid"
    SUBJECT_CHANGED = "SubjectChanged"
    NAMES_CHANGED = "NamesChanged"
    USAGES_CHANGED = "UsagesChanged"
    LIFETIME_SHORTENED = "LifetimeShortened"


@dataclass(frozen=True)
class Reason:
    """Why a leaf must be renewed: a constant for machines and a sentence for people."""

    reason: RenewReason
    message: str


@dataclass(frozen=True)
class _Case:
    """Everything that the checks of a leaf look at, parsed once."""

    certificate: x509.Certificate
    key: pem.SigningKey
    spec: LeafSpec
    signer: x509.Certificate
    trusted: tuple[x509.Certificate, ...]
    now: datetime
    renew_before: timedelta


def must_renew(
    leaf: Leaf | None,
    spec: LeafSpec,
    ca_bundle: bytes | CertificateAuthority,
    now: datetime,
    renew_before: timedelta,
) -> Reason | None:
    """Why `leaf` has to be issued anew, or None when it is fine as it is.

    `ca_bundle` is PEM; its first certificate is the CA that signs now (see
    `CertificateAuthority.trust_pem`, or pass the CA itself). `now` is timezone-aware.

    A renewal must change something, or pods would roll for ever: a leaf that ends with its CA is
    not "expiring", because a new one would end on the same day; and `renew_before` counts for at
    most half of a certificate's life. Raises `PkiError` when the bundle cannot be read.
    """
    bundle = ca_bundle.trust_pem if isinstance(ca_bundle, CertificateAuthority) else ca_bundle
    trusted = pem.load_certificates(bundle)
    if leaf is None or not leaf.cert_pem.strip() or not leaf.key_pem.strip():
        return Reason(RenewReason.MISSING, "the certificate or its key does not exist yet")
    try:
        certificate = pem.load_certificate(leaf.cert_pem)
        key = pem.load_private_key(leaf.key_pem)
    except PkiError as error:
        return Reason(RenewReason.UNREADABLE, f"the certificate or its key cannot be read: {error}")
    case = _Case(certificate, key, spec, trusted[0], tuple(trusted), now, renew_before)
    return next((found for check in _LEAF_CHECKS if (found := check(case))), None)


def _key_mismatch(case: _Case) -> Reason | None:
    if pem.public_key_der(case.certificate) == pem.public_key_der(case.key):
        return None
    return Reason(RenewReason.KEY_MISMATCH, "the private key is not the certificate's")


def _not_signed_by_ca(case: _Case) -> Reason | None:
    if any(issued_by(case.certificate, ca) for ca in case.trusted):
        return None
    return Reason(
        RenewReason.NOT_SIGNED_BY_CA,
        f"the certificate was not signed by {_name(case.signer)}",
    )


def _ca_renewed(case: _Case) -> Reason | None:
    if issued_by(case.certificate, case.signer):
        return None
    return Reason(
        RenewReason.CA_RENEWED,
        f"the certificate was signed by an earlier CA than {_name(case.signer)}",
    )


def _expired(case: _Case) -> Reason | None:
    end = case.certificate.not_valid_after_utc
    if case.now < end:
        return None
    return Reason(RenewReason.EXPIRED, f"the certificate expired on {end:%Y-%m-%d %H:%M} UTC")


def _not_yet_valid(case: _Case) -> Reason | None:
    start = case.certificate.not_valid_before_utc
    if case.now >= start or start <= case.signer.not_valid_before_utc:
        return None  # fine, or a new one could not start earlier
    return Reason(
        RenewReason.NOT_YET_VALID, f"the certificate is valid only from {start:%Y-%m-%d %H:%M} UTC"
    )


def _expiring(case: _Case) -> Reason | None:
    end = case.certificate.not_valid_after_utc
    if case.now < renewal_time(case.certificate, case.renew_before):
        return None
    if end >= case.signer.not_valid_after_utc:
        return None  # a new one could not live longer
    return Reason(RenewReason.EXPIRING, f"the certificate expires on {end:%Y-%m-%d %H:%M} UTC")


def _subject_changed(case: _Case) -> Reason | None:
    wanted, found = subject_of(case.spec), case.certificate.subject
    if sorted(a.rfc4514_string() for a in wanted) == sorted(a.rfc4514_string() for a in found):
        return None
    return Reason(
        RenewReason.SUBJECT_CHANGED,
        f"the certificate is for {found.rfc4514_string()}, wanted is {wanted.rfc4514_string()}",
    )


def _names_changed(case: _Case) -> Reason | None:
    wanted = set(alternative_names(case.spec))
    found = set(_alternative_names_in(case.certificate))
    if wanted == found:
        return None
    changes = [f"lacks {_list(wanted - found)}"] if wanted - found else []
    changes += [f"should not have {_list(found - wanted)}"] if found - wanted else []
    return Reason(RenewReason.NAMES_CHANGED, f"the certificate {' and '.join(changes)}")


def _usages_changed(case: _Case) -> Reason | None:
    try:
        found = set(
            case.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        )
    except x509.ExtensionNotFound:
        found = set()
    if found == set(extended_usages(case.spec.usages)):
        return None
    return Reason(RenewReason.USAGES_CHANGED, "the certificate is for other usages than wanted")


def _lifetime_shortened(case: _Case) -> Reason | None:
    """A shorter life is a security decision and applies now; a longer one waits for renewal."""
    found = case.certificate.not_valid_after_utc - case.certificate.not_valid_before_utc
    if found <= case.spec.lifetime + _SLACK:
        return None
    return Reason(
        RenewReason.LIFETIME_SHORTENED,
        f"the certificate lives {found.days} days, wanted are {case.spec.lifetime.days}",
    )


_LEAF_CHECKS: tuple[Callable[[_Case], Reason | None], ...] = (
    _key_mismatch,
    _not_signed_by_ca,
    _expired,
    _not_yet_valid,
    _subject_changed,
    _names_changed,
    _usages_changed,
    _ca_renewed,
    _lifetime_shortened,
    _expiring,
)


def _alternative_names_in(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


def _list(names: Iterable[x509.GeneralName]) -> str:
    return ", ".join(sorted(str(name.value) for name in names))


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "the CA"
