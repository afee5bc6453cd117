"""Keys that belong to what is in etcd, kept in it, sealed.

What lies under `WHERE` in etcd is a part of every snapshot: a JSON document with a box that only
one key opens, either a key by which backups are encrypted, or the private half of a key pair whose
public half the administrator gave. The box is AES-256-GCM under a key that serves once:

    to a backup's key     HKDF-SHA-256 of that key with a random salt of 32 bytes
    to a recipient        HKDF-SHA-256 of X25519 between a fresh key pair and the recipient, with
                          both public keys as salt

All that stands beside the box is authenticated with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationError

from kok.backup.encryption.encryption import KEY_SIZE, Key
from kok.backup.model import Model

WHERE = b"kok.dev/keys"
"""Key in etcd. API servers keep everything below `/registry/`, and see nothing else."""
_BEFORE = "kok.dev/keys-before/"
LIMIT = 256 * 1024
"""Bytes of what is sealed at most; etcd takes 1.5 MiB in one request."""
_INFO = b"kok etcd keys: "

Content = Mapping[str, Mapping[str, bytes]]
"""Entries of Secrets, by the name of the Secret in the backup and that of the entry."""


class SealError(Exception):
    """Keys cannot be sealed or opened; the message is a sentence without secrets."""


class Sealed(Model):
    """What lies in etcd."""

    format: Literal[1] = 1
    to: Literal["key", "recipient"]
    key_id: str = Field(alias="keyID", max_length=64)
    """Of the backup's key its ID; of a recipient the public key in base64."""
    names: list[str] = Field(max_length=16)
    salt: str = Field(max_length=128)
    """For a recipient the fresh public key; in base64."""
    content: str | None = Field(default=None, max_length=64)
    """Earlier releases wrote the SHA-256 of what is sealed, by which a password could be guessed."""
    box: str

    def header(self) -> bytes:
        """What is authenticated with the box."""
        plain = self.model_dump(exclude={"box"}, exclude_none=True)
        return json.dumps(plain, sort_keys=True).encode()

    @property
    def sealed_to(self) -> str:
        """The key that opens it, for people."""
        return (
            f"the backup key with ID {self.key_id}"
            if self.to == "key"
            else (f"the key pair with the public key {self.key_id}")
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A try to open keys: what they are called, or why they cannot be trusted; neither, if they
    are sealed to somebody else.
    """

    names: list[str] | None = None
    problem: str | None = None


def aside(data: str) -> bytes:
    """Where in etcd those are put that came with a backup and were not opened.

    `data` tells one restore from another: what is restored may hold what an earlier one put aside.
    """
    return f"{_BEFORE}{data}".encode()


def digest(sealed: bytes | None) -> str | None:
    """SHA-256 of what lies in etcd."""
    return hashlib.sha256(sealed).hexdigest() if sealed else None


def canonical(content: Content) -> bytes:
    """The same bytes for the same content."""
    plain = {
        name: {entry: base64.b64encode(value).decode() for entry, value in sorted(entries.items())}
        for name, entries in sorted(content.items())
    }
    return json.dumps(plain, sort_keys=True).encode()


def seal(content: Content, to: Key | str) -> bytes:
    """Seals to a backup's key, or to a recipient's public key in base64. Raises `SealError`."""
    plain = canonical(content)
    if len(plain) > LIMIT:
        raise SealError(f"they have {len(plain)} bytes, and {LIMIT} are the most")
    if isinstance(to, Key):
        salt = os.urandom(KEY_SIZE)
        secret = to.derive(salt, _INFO + b"key")
    else:
        salt, secret = _towards(to)
    made = Sealed(
        to="key" if isinstance(to, Key) else "recipient",
        keyID=_called(to),
        names=sorted(content),
        salt=_encode(salt),
        box="",
    )
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 7 MiB

    box = AESGCM(secret).encrypt(bytes(12), plain, made.header())
    return made.model_copy(update={"box": _encode(box)}).model_dump_json(by_alias=True).encode()


def holds(sealed: bytes, content: Content, to: Key | str) -> bool:
    """Whether just that is sealed to just that key.

    A box for a recipient cannot be opened here, and nothing beside it tells what is in it.
    """
    if not isinstance(to, Key):
        return False
    try:
        return canonical(unseal(sealed, [to])) == canonical(content)
    except SealError:
        return False


def parse(sealed: bytes) -> Sealed:
    """What lies in etcd. Raises `SealError` for what is nothing of the sort."""
    try:
        return Sealed.model_validate_json(sealed[: LIMIT * 4])
    except ValidationError:
        raise SealError("what lies in etcd in place of the sealed keys cannot be read") from None


def unseal(sealed: bytes, keys: Iterable[Key] = (), private: str | None = None) -> Content:
    """Opens with one of a backup's keys, or with a private key in base64. Raises `SealError`."""
    found = parse(sealed)
    salt = _decode(found.salt, "its salt")
    if found.to == "key":
        key = next((k for k in keys if k.id.hex() == found.key_id), None)
        if key is None:
            raise SealError(f"they are sealed to {found.sealed_to}, which is not given")
        secret = key.derive(salt, _INFO + b"key")
    elif private is None:
        raise SealError(f"they are sealed to {found.sealed_to}, whose private key is not given")
    else:
        secret = _from(private, salt, found)
    return _open(found, secret)


def try_open(sealed: bytes, keys: Iterable[Key]) -> Opened:
    """Whether keys in a restored etcd open by the backup's own keys."""
    try:
        found = parse(sealed)
        if found.to == "recipient":
            return Opened()
        return Opened(names=sorted(unseal(sealed, keys)))
    except SealError as error:
        return Opened(problem=f"the keys in the backup do not open: {error}")


def key_pair() -> tuple[str, str]:
    """A new key pair: private and public half in base64."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    made = X25519PrivateKey.generate()
    return _encode(made.private_bytes_raw()), _encode(made.public_key().public_bytes_raw())


def _called(to: Key | str) -> str:
    return to if isinstance(to, str) else to.id.hex()


def _towards(public: str) -> tuple[bytes, bytes]:
    """A fresh public key, and the secret that it shares with the recipient."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415
        X25519PrivateKey,
        X25519PublicKey,
    )

    theirs = _decode(public, "the recipient's public key")
    try:
        fresh = X25519PrivateKey.generate()
        shared = fresh.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as error:
        raise SealError("the recipient's public key is no X25519 key") from error
    ours = fresh.public_key().public_bytes_raw()
    return ours, _derived(shared, ours + theirs)


def _from(private: str, fresh: bytes, found: Sealed) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415
        X25519PrivateKey,
        X25519PublicKey,
    )

    try:
        ours = X25519PrivateKey.from_private_bytes(_decode(private, "the private key"))
        public = ours.public_key().public_bytes_raw()
        if _encode(public) != found.key_id:
            raise SealError(
                f"they are sealed to {found.sealed_to}, and the private key that is given belongs "
                f"to {_encode(public)}"
            )
        shared = ours.exchange(X25519PublicKey.from_public_bytes(fresh))
    except ValueError as error:
        raise SealError("the private key that is given is no X25519 key") from error
    return _derived(shared, fresh + public)


def _derived(shared: bytes, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(SHA256(), KEY_SIZE, salt, _INFO + b"recipient").derive(shared)


def _open(found: Sealed, secret: bytes) -> Content:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        plain = AESGCM(secret).decrypt(bytes(12), _decode(found.box, "the box"), found.header())
        raw = json.loads(plain)
        return {
            str(name): {str(entry): _decode(text, "an entry") for entry, text in entries.items()}
            for name, entries in raw.items()
        }
    except (InvalidTag, ValueError, AttributeError) as error:
        raise SealError("they are not what was sealed") from error


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SealError(f"{what} is not base64") from error
