"""From a Secret to what proves to a host who we are."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import asyncssh

from kok.api.meta import Manifest

PRIVATE_KEY = "ssh-privatekey"
PASSPHRASE = "passphrase"  # noqa: S105 - the name of a key in a Secret
PASSWORD = "password"  # noqa: S105 - likewise


class CredentialsError(Exception):
    """The Secret cannot be used; the message names it and says what to put in."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A private key, a password, or both (the key is tried first)."""

    key: asyncssh.SSHKey | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    digest: str = ""
    """Changes when the Secret's content does."""


def missing(namespace: str, name: str) -> str:
    """The sentence for a Secret that is not there."""
    return (
        f'Secret {namespace}/{name} does not exist; create it with key "{PRIVATE_KEY}" or '
        f'"{PASSWORD}"'
    )


def credentials_of(secret: Manifest) -> Credentials:
    """What a Secret holds. Raises `CredentialsError`.

    Decrypting a key with a passphrase takes a good part of a second on purpose; the result is
    kept, so that it is done once for each content. Call it in a thread.
    """
    meta = secret["metadata"]
    name = f"Secret {meta.get('namespace')}/{meta['name']}"
    data: Mapping[str, str] = secret.get("data") or {}
    found = {
        key: _decoded(name, key, data[key])
        for key in (PRIVATE_KEY, PASSPHRASE, PASSWORD)
        if data.get(key)
    }
    if PRIVATE_KEY not in found and PASSWORD not in found:
        raise CredentialsError(
            f'{name} has neither key "{PRIVATE_KEY}" nor key "{PASSWORD}"; add one of them'
        )
    return _credentials(
        name, found.get(PRIVATE_KEY, b""), found.get(PASSPHRASE, b""), found.get(PASSWORD, b"")
    )


@lru_cache(maxsize=256)
def _credentials(name: str, key: bytes, passphrase: bytes, password: bytes) -> Credentials:
    digest = hashlib.sha256(b"\0".join((key, passphrase, password))).hexdigest()[:16]
    try:
        text = password.decode().rstrip("\r\n") or None
    except UnicodeDecodeError:
        raise CredentialsError(f'key "{PASSWORD}" of {name} is not text') from None
    return Credentials(_private_key(name, key, passphrase) if key else None, text, digest)


def _private_key(name: str, key: bytes, passphrase: bytes) -> asyncssh.SSHKey:
    secret = passphrase.rstrip(b"\r\n") or None
    try:
        return asyncssh.import_private_key(key, secret)
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as error:
        # Whether it is encrypted at all shows only in the sentence.
        locked = isinstance(error, asyncssh.KeyEncryptionError) or "assphrase" in str(error)
    if not locked:
        problem = "is not a private key; put in the file that ssh-keygen wrote"
    elif secret is None:
        problem = f'is encrypted; add its passphrase as key "{PASSPHRASE}"'
    else:
        problem = f'cannot be decrypted with key "{PASSPHRASE}"; correct one of them'
    # Outside of the handler: a cause in the log might quote the key.
    raise CredentialsError(f'key "{PRIVATE_KEY}" of {name} {problem}')


def _decoded(name: str, key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise CredentialsError(f'key "{key}" of {name} is not base64') from None
