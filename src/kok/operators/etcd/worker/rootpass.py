"""A certificate of the user `root` for the throw-away etcd of a proof.

A backup of an etcd whose authentication is on is restored with it on: nobody is told anything
without being a user. One called `root` who may do everything is always there, since etcd lets
nobody remove him while it is on, and over TLS a certificate's common name is the user. This one
is made on the spot, is good for nothing but that copy, and goes with it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kok.operators.etcd.worker.spec import ROOT_PASS_NAME, ROOT_PASS_USER

_VALID = timedelta(days=7)
"""Longer than any proof may take."""
_SKEW = timedelta(hours=1)


def make(directory: Path) -> None:
    """Writes `tls.crt`, `tls.key` and `ca.crt`: one certificate for server, clients and CA."""
    # Imported only here: a fetch for a restore needs no such thing.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ROOT_PASS_USER)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(ROOT_PASS_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    directory.mkdir(mode=0o700, exist_ok=True)
    for file, content in (("ca.crt", pem), ("tls.crt", pem), ("tls.key", secret)):
        descriptor = os.open(directory / file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(content)
