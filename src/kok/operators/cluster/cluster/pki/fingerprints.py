"""By what the keys of a Cluster are recorded, and whether they are keys at all."""

from __future__ import annotations

import hashlib

from kok import pki

_KEY_BYTES = 32


def service_account(private_pem: bytes) -> str:
    """`sha256:<hex>` of the public half. Raises `PkiError` for what is no private key."""
    return f"sha256:{hashlib.sha256(pki.public_pem_of(private_pem)).hexdigest()}"


def encryption(key: bytes) -> str:
    """A hash of a random key of 256 bits tells nothing of it. Raises `PkiError` for another length."""
    if len(key) != _KEY_BYTES:
        raise pki.PkiError(f"it has {len(key)} bytes where {_KEY_BYTES} are needed")
    return f"sha256:{hashlib.sha256(key).hexdigest()}"
