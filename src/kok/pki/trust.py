"""May a CA that was found in a Secret be used, and what to do if not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from kok.pki import pem
from kok.pki.errors import PkiError
from kok.pki.info import fingerprint


class CAReason(StrEnum):
    """Why a CA cannot be used as it is. The values are stable: they appear in conditions."""

    MISSING = "CAMissing"
    """The Secret of a CA that is in use is gone, or lacks its certificate or key."""
    UNREADABLE = "CAUnreadable"
    """The Secret of a CA holds what is no certificate or no key."""
    KEY_MISMATCH = "CAKeyMismatch"
    """Certificate and key of a CA do not belong together."""
    NOT_A_CA = "CANotACA"
    """The certificate may not sign others."""
    CHANGED = "CAChanged"
    """Another CA than the one in use; nothing is issued until it is trusted explicitly."""
    EXPIRED = "CAExpired"
    """The CA's time is over."""
    NOT_YET_VALID = "CANotYetValid"
    """The CA's time has not begun; check the clocks."""


@dataclass(frozen=True)
class CAProblem:
    """Why a CA cannot be used: a constant for machines and a sentence for people."""

    reason: CAReason
    message: str


class CAAction(StrEnum):
    """What to do about the Secret of a CA."""

    USE = "Use"
    CREATE = "Create"
    REFUSE = "Refuse"


@dataclass(frozen=True)
class CADecision:
    """`problem` is set exactly when `action` is `REFUSE`."""

    action: CAAction
    problem: CAProblem | None = None


def check_ca(
    cert_pem: bytes | None,
    key_pem: bytes | None,
    now: datetime,
    *,
    latched_fingerprint: str | None = None,
    name: str = "the CA",
) -> CAProblem | None:
    """What is wrong with a CA that was read from a Secret, or None.

    `latched_fingerprint` is the `kok.pki.fingerprint` that the owner recorded when it began to
    use this CA. `name` begins the sentences: pass "Secret team-a/shop-ca".
    """
    if not (cert_pem or b"").strip() or not (key_pem or b"").strip():
        return CAProblem(
            CAReason.MISSING, f"{name} is missing or does not hold both tls.crt and tls.key"
        )
    try:
        certificate = pem.load_certificate(cert_pem or b"")
        key = pem.load_private_key(key_pem or b"")
    except PkiError as error:
        return CAProblem(CAReason.UNREADABLE, f"{name} cannot be read: {error}")
    found = fingerprint(pem.dump_certificate(certificate))
    if pem.public_key_der(certificate) != pem.public_key_der(key):
        return CAProblem(
            CAReason.KEY_MISMATCH, f"{name} holds a private key that is not its certificate's"
        )
    if not _may_sign(certificate):
        return CAProblem(
            CAReason.NOT_A_CA,
            f"{name} holds a certificate that may not sign others; it needs CA:TRUE and, if it"
            " has a key usage, keyCertSign",
        )
    if latched_fingerprint and found != latched_fingerprint:
        return CAProblem(
            CAReason.CHANGED,
            f"{name} holds another CA ({found}) than the one in use ({latched_fingerprint})",
        )
    # What takes longest comes last: by now it is the key of the CA in use, or of a new one.
    return _check_ca_time(certificate, now, name) or _check_signing(key_pem or b"", name)


def decide_ca(
    cert_pem: bytes | None,
    key_pem: bytes | None,
    now: datetime,
    *,
    latched_fingerprint: str | None,
    name: str,
) -> CADecision:
    """Use, create, or refuse: the policy for a CA that KOK made itself.

    A CA is created only when there is none and none was ever latched. One that was in use and is
    now gone, damaged or exchanged is never made anew silently, because everything signed by it
    would stop being trusted at once: the decision is REFUSE with a sentence that says how to
    mend it. A CA that is there but not latched yet is used: the owner died between writing the
    Secret and recording it.
    """
    absent = not (cert_pem or b"").strip() and not (key_pem or b"").strip()
    if absent and not latched_fingerprint:
        return CADecision(CAAction.CREATE)
    problem = check_ca(cert_pem, key_pem, now, latched_fingerprint=latched_fingerprint, name=name)
    if problem is None:
        return CADecision(CAAction.USE)
    return CADecision(
        CAAction.REFUSE,
        CAProblem(problem.reason, problem.message + _remedy(problem, latched_fingerprint)),
    )


def _remedy(problem: CAProblem, latched_fingerprint: str | None) -> str:
    if problem.reason in {CAReason.EXPIRED, CAReason.NOT_YET_VALID}:
        return ""
    if problem.reason is CAReason.CHANGED:
        return "; put the former one back into tls.crt and tls.key"
    if latched_fingerprint:
        return (
            f"; put back the CA with fingerprint {latched_fingerprint} (keys tls.crt and tls.key)"
        )
    return "; put a CA certificate and its key into tls.crt and tls.key, or delete the Secret to get a new CA"


def _check_ca_time(certificate: x509.Certificate, now: datetime, name: str) -> CAProblem | None:
    if now >= certificate.not_valid_after_utc:
        return CAProblem(
            CAReason.EXPIRED,
            f"{name} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; nothing signed by it is trusted any more",
        )
    if now < certificate.not_valid_before_utc:
        return CAProblem(
            CAReason.NOT_YET_VALID,
            f"{name} is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on",
        )
    return None


def _check_signing(key_pem: bytes, name: str) -> CAProblem | None:
    try:
        pem.load_signing_key(key_pem)
    except PkiError as error:
        return CAProblem(CAReason.UNREADABLE, f"{name} cannot be used: {error}")
    return None


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return constraints.ca
    return constraints.ca and usage.key_cert_sign
