"""What status shows of a certificate. Nothing here needs or sees a private key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from kok.pki import pem
from kok.pki.authority import BACKDATE


@dataclass(frozen=True)
class CertificateInfo:
    """All times are UTC; `fingerprint` is as from `fingerprint()`."""

    subject: str
    not_before: datetime
    not_after: datetime
    renew_at: datetime
    fingerprint: str


def certificate_info(
    cert_pem: bytes, renew_before: timedelta = timedelta(days=30)
) -> CertificateInfo:
    """Facts on the first certificate of `cert_pem`. Raises `PkiError` if there is none.

    `subject` is in RFC 4514 form, for example `CN=kubernetes-admin,O=kubeadm:cluster-admins`.
    """
    certificate = pem.load_certificate(cert_pem)
    return CertificateInfo(
        subject=certificate.subject.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        renew_at=renewal_time(certificate, renew_before),
        fingerprint=fingerprint(cert_pem),
    )


def renewal_time(certificate: x509.Certificate, renew_before: timedelta) -> datetime:
    """When a certificate is due: `renew_before` its end, but not before half of its life.

    Without that bound a `renew_before` longer than the lifetime would renew on every pass. Its
    life began `BACKDATE` after the time from which it is valid.
    """
    start, end = certificate.not_valid_before_utc + BACKDATE, certificate.not_valid_after_utc
    return end - min(renew_before, max(end - start, timedelta(0)) / 2)


def fingerprint(cert_pem: bytes) -> str:
    """`sha256:<hex>` of the first certificate's DER; the identity to latch for a CA."""
    return (
        "sha256:" + hashlib.sha256(pem.load_certificate(cert_pem).public_bytes(pem.DER)).hexdigest()
    )


def public_key_pin(cert_pem: bytes) -> str:
    """`sha256:<hex>` of the public key: kubeadm's `--discovery-token-ca-cert-hash`."""
    return (
        "sha256:" + hashlib.sha256(pem.public_key_der(pem.load_certificate(cert_pem))).hexdigest()
    )
