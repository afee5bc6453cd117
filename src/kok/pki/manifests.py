"""Certificates and CAs to and from Kubernetes Secrets: pure functions on manifests.

The keys are those that the field knows: `tls.crt`, `tls.key` and, for the certificates to
trust, `ca.crt`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from kok.pki.authority import CertificateAuthority, Leaf
from kok.pki.errors import PkiError

TLS_CRT, TLS_KEY, CA_CRT = "tls.crt", "tls.key", "ca.crt"
TLS_SECRET_TYPE = "kubernetes.io/tls"  # noqa: S105 - the name of a type, no secret


def encode(values: Mapping[str, bytes | str]) -> dict[str, str]:
    """`data` of a Secret: each value in base64, keys sorted."""
    return {key: base64.b64encode(_as_bytes(values[key])).decode() for key in sorted(values)}


def decode(manifest: Mapping[str, Any] | None, key: str) -> bytes | None:
    """One value of a Secret's `data`; None when the Secret or the key is not there.

    Raises `PkiError` naming the Secret when the value is not base64.
    """
    value = ((manifest or {}).get("data") or {}).get(key)
    if value is None:
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        metadata = (manifest or {}).get("metadata") or {}
        where = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}".strip("/")
        raise PkiError(f"Secret {where}: the value of {key} is not base64") from None


def tls_secret_data(leaf: Leaf, ca_pem: bytes) -> dict[str, str]:
    """`data` of the Secret of a leaf; `ca_pem` is what its holder is to trust."""
    return encode({TLS_CRT: leaf.cert_pem, TLS_KEY: leaf.key_pem, CA_CRT: ca_pem})


def leaf_of(manifest: Mapping[str, Any] | None) -> Leaf | None:
    """The leaf in a Secret, as it stands there (it may be damaged: `must_renew` will say so).

    None when the Secret, `tls.crt` or `tls.key` is missing.
    """
    cert_pem, key_pem = decode(manifest, TLS_CRT), decode(manifest, TLS_KEY)
    return None if cert_pem is None or key_pem is None else Leaf(cert_pem, key_pem)


def ca_secret_data(ca: CertificateAuthority) -> dict[str, str]:
    """`data` of the Secret of a CA: the signer, its key, and in `ca.crt` all to be trusted."""
    return encode({TLS_CRT: ca.cert_pem, TLS_KEY: ca.key_pem, CA_CRT: ca.trust_pem})


def ca_of(manifest: Mapping[str, Any] | None) -> CertificateAuthority | None:
    """The CA in a Secret, as it stands there; None when `tls.crt` or `tls.key` is missing.

    Judge it with `decide_ca` before use. Raises `PkiError` for values that are not base64.
    """
    leaf = leaf_of(manifest)
    if leaf is None:
        return None
    return CertificateAuthority(leaf.cert_pem, leaf.key_pem, decode(manifest, CA_CRT) or b"")


def _as_bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value
