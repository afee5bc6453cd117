"""Authorities as companies have them: a root that certifies intermediate ones."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kok import pki
from kok.pki import pem


def chain(*names: str, now: datetime) -> list[pki.CertificateAuthority]:
    """The root first, each certified by the one before it, all as RFC 5280 wants them."""
    made: list[pki.CertificateAuthority] = []
    for name in names:
        made.append(_authority(name, made[-1] if made else None, now, len(names) - len(made) - 1))
    return made


def _authority(
    name: str, issuer: pki.CertificateAuthority | None, now: datetime, depth: int
) -> pki.CertificateAuthority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    above = pem.load_certificate(issuer.cert_pem) if issuer else None
    signer = pem.load_private_key(issuer.key_pem) if issuer else key
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.subject if above else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    return pki.CertificateAuthority(pem.dump_certificate(certificate), pem.dump_private_key(key))
