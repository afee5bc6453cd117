"""Client-side encryption of a stream in constant memory: AES-256-GCM in the STREAM construction.

An encrypted object is a header and then chunks, each sealed for itself:

    "KOK-ENC2" | key ID, 8 bytes | salt, 32 bytes | chunk size, 4 bytes | length, 2 bytes | whose
    AES-256-GCM of up to `chunk size` bytes, with its tag of 16 bytes; and so on

`whose` tells, as JSON, of which EtcdCluster the backup was made and under which key it was stored,
when, and at which revision: who may write to the store cannot pass off one backup for another that
has the same key, nor an old one for a new one. Earlier releases said nothing of time and revision;
before that objects began with "KOK-ENC1" and ended their header with the chunk size. They open as
well, and are bound to what they say alone; those of the oldest form not where their key has a time.

Each object has a key of its own, derived (HKDF-SHA-256) from the user's key with the salt and the
whole header. The nonce of a chunk is its number and whether it is the last one, so that chunks that
are altered, exchanged, repeated or left out, also at the end, do not open (Hoang, Reyhanitabar,
Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kok.backup import log
from kok.backup.description import time_of
from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC, UNBOUND = b"KOK-ENC2", b"KOK-ENC1"
"""No database begins so: its first bytes are the number 0 of its first page."""
CHUNK = 256 * 1024
KEY_SIZE = 32
_ID, _SALT, _LENGTH, _WHOSE, _TAG = 8, 32, 4, 2, 16
_FIXED = len(MAGIC) + _ID + _SALT + _LENGTH
"""Bytes of a header up to the chunk size."""
_MOST_CHUNK = 16 * 1024**2
_FORM = "32 random bytes, raw or in base64, such as `openssl rand -base64 32` prints"
_UNREAD = (ValueError, OverflowError, RecursionError)
"""What JSON that nobody of us wrote may lead to."""
_QUOTED = 5
"""Entries that a sentence names."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What an encrypted object is bound to."""

    cluster: str
    """Namespace and name of the EtcdCluster."""
    key: str
    """Where the object lies below the store's prefix."""
    created: datetime | None = None
    """When the snapshot was begun; None in objects of earlier releases."""
    revision: int | None = None
    """Every write up to it is in the snapshot; None in objects of earlier releases."""

    def encoded(self) -> bytes:
        """As it stands in a header, its length in front."""
        said: dict[str, str | int] = {"cluster": self.cluster, "key": self.key}
        if self.created is not None:
            said["created"] = self.created.isoformat()
        if self.revision is not None:
            said["revision"] = self.revision
        text = json.dumps(said).encode()
        return len(text).to_bytes(_WHOSE, "big") + text

    @classmethod
    def parse(cls, text: bytes) -> Binding:
        """What a header says. Raises `WorkerError`."""
        try:
            found = json.loads(text)
            created, revision = found.get("created"), found.get("revision")
            return cls(
                str(found["cluster"]),
                str(found["key"]),
                None if created is None else datetime.fromisoformat(created),
                None if revision is None else int(revision),
            )
        except (LookupError, TypeError, AttributeError, *_UNREAD) as error:
            raise _altered("its header is damaged") from error


class Key:
    """A user's key. It stays out of `repr`."""

    def __init__(self, secret: bytes) -> None:
        """`secret` has `KEY_SIZE` bytes."""
        self._secret = secret
        self.id = hmac.digest(secret, b"kok etcd backup: key ID", hashlib.sha256)[:_ID]
        """Tells keys apart without telling anything of them."""

    def derive(self, salt: bytes, info: bytes) -> bytes:
        """Another key of `KEY_SIZE` bytes, for the one purpose that `info` names."""
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        return HKDF(SHA256(), KEY_SIZE, salt, info).derive(self._secret)

    def for_object(self, header: bytes) -> AESGCM:
        """The cipher of the one object that begins with this header."""
        # Imported only here: 7 MiB that a worker without encryption need not pay.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        salt = header[len(MAGIC) + _ID :][:_SALT]
        info = b"kok etcd backup: object\0" + header
        return AESGCM(HKDF(SHA256(), KEY_SIZE, salt, info).derive(self._secret))


def parse_key(raw: bytes, name: str) -> Key:
    """A key from a Secret: 32 bytes as they are, or in base64.

    `name` begins the sentence of the `WorkerError` for anything else.
    """
    if len(raw) != KEY_SIZE:
        try:
            raw = base64.b64decode(raw.strip(), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
    if len(raw) != KEY_SIZE:
        raise WorkerError(
            Reason.CREDENTIALS_UNUSABLE, f"{name} is no encryption key; it must hold {_FORM}"
        )
    return Key(raw)


def unusable(secret: str, entries: Sequence[str]) -> str:
    """What is wrong with a Secret none of whose entries is a key, and what to do."""
    more = f" and {len(entries) - _QUOTED} more" if len(entries) > _QUOTED else ""
    told = f"none of its entries ({', '.join(entries[:_QUOTED])}{more}) is one" if entries else ""
    return (
        f"{secret} holds no encryption key: {told or 'it has no entries'}; give it an entry with "
        f"{_FORM}"
    )


def read_key(directory: Path, name: str) -> Key:
    """The named key of a mounted Secret. Raises `WorkerError`."""
    try:
        raw = (directory / name).read_bytes()
    except OSError as error:
        raise WorkerError(
            Reason.CREDENTIALS_UNUSABLE, f"the encryption key {name} is not in its Secret"
        ) from error
    return parse_key(raw, f"{name} in the Secret of encryption keys")


def entries(directory: Path) -> list[str]:
    """What a mounted Secret has, in the order of names."""
    # The names that begin with a dot are those by which Kubernetes exchanges all files at once.
    return sorted(p.name for p in directory.glob("[!.]*") if p.is_file())


def read_keys(directory: Path) -> list[Key]:
    """All keys of a mounted Secret; none if it is not mounted. What is no key is passed over."""
    keys = []
    for name in entries(directory):
        try:
            keys.append(read_key(directory, name))
        except WorkerError as error:
            log.warning(error.message)
    return keys


def misplaced(start: bytes, key: str) -> bool:
    """Whether an object that begins so never was a backup under that key.

    What is bound to nothing can be copied anywhere; the releases that wrote it knew no time in keys.
    """
    return start.startswith(UNBOUND) and time_of(key) is not None


class Encryptor:
    """Turns a stream into an encrypted one."""

    def __init__(self, key: Key, whose: Binding, salt: bytes | None = None) -> None:
        """`salt` is random unless a test gives it."""
        salt = salt or os.urandom(_SALT)
        fixed = MAGIC + key.id + salt + CHUNK.to_bytes(_LENGTH, "big")
        self._header = fixed + whose.encoded()
        self._cipher = key.for_object(self._header)
        self._buffer = bytearray(self._header)
        self._plain = bytearray()
        self._count = 0

    def size_of(self, plain: int) -> int:
        """Bytes of what so many bytes become."""
        return len(self._header) + plain + _TAG * max(-(-plain // CHUNK), 1)

    def feed(self, data: bytes) -> bytes:
        """The encrypted bytes that are ready after `data`; it holds back at most one chunk."""
        self._plain += data
        # The last chunk is sealed otherwise: one is kept until there is more, or the end.
        while len(self._plain) > CHUNK:
            self._seal(last=False)
        return self._take()

    def finish(self) -> bytes:
        """The rest."""
        self._seal(last=True)
        return self._take()

    def _seal(self, *, last: bool) -> None:
        chunk = bytes(self._plain[:CHUNK])
        del self._plain[:CHUNK]
        self._buffer += self._cipher.encrypt(_nonce(self._count, last=last), chunk, None)
        self._count += 1

    def _take(self) -> bytes:
        out = bytes(self._buffer)
        self._buffer.clear()
        return out


class Decryptor:
    """Turns an encrypted stream back; what it gives is authentic, chunk by chunk."""

    def __init__(self, keys: Iterable[Key], key: str = "") -> None:
        """`key` is where the object was found, if what it says of that must be true."""
        self._keys = {key.id: key for key in keys}
        self._place = key
        self.whose: Binding | None = None
        """What the object is bound to: certain once anything was opened."""
        self._cipher: AESGCM | None = None
        self._buffer = bytearray()
        self._size = 0
        self._count = 0

    def feed(self, data: bytes) -> bytes:
        """The plain bytes that are ready. Raises `WorkerError` for a missing key or altered data."""
        self._buffer += data
        if self._cipher is None:
            header = self._header()
            if header is None:
                return b""
            self._cipher = self._open_header(header)
        out = bytearray()
        while len(self._buffer) > self._size:
            out += self._open(self._size, last=False)
        return bytes(out)

    def finish(self) -> bytes:
        """The rest. Raises `WorkerError` if the end is missing."""
        if self._cipher is None:
            raise _altered("it ends within its header")
        return self._open(len(self._buffer), last=True)

    def _header(self) -> bytes | None:
        """The header, once it is there; what follows it stays in the buffer."""
        if len(self._buffer) < _FIXED:
            return None
        size = _FIXED
        if self._buffer.startswith(MAGIC):
            size += _WHOSE
            size += int.from_bytes(self._buffer[_FIXED:size], "big")
        elif not self._buffer.startswith(UNBOUND):
            raise _altered("it does not begin as one that KOK encrypted")
        if len(self._buffer) < max(size, _FIXED + _WHOSE):
            return None
        header = bytes(self._buffer[:size])
        del self._buffer[:size]
        return header

    def _open_header(self, header: bytes) -> AESGCM:
        wanted = header[len(MAGIC) :][:_ID]
        size = int.from_bytes(header[_FIXED - _LENGTH : _FIXED], "big")
        if not 0 < size <= _MOST_CHUNK:
            raise _altered("its header is damaged")
        if wanted not in self._keys:
            raise WorkerError(
                Reason.KEY_MISSING,
                f"the backup was encrypted with the key whose ID is {wanted.hex()}; given were "
                f"{', '.join(sorted(k.hex() for k in self._keys)) or 'none'}: add that key to the "
                "Secret of encryption keys",
            )
        self._size = size + _TAG
        if header.startswith(MAGIC):
            self.whose = Binding.parse(header[_FIXED + _WHOSE :])
            self._judge(self.whose)
        elif misplaced(header, self._place):
            raise WorkerError(
                Reason.OBJECT_ALTERED,
                f"the backup at {self._place} is bound to no key and no time, as only releases wrote "
                "them that put no time into keys: an old one was put in the place of a new one; to "
                "restore from it, put it under a key without a time and name that key",
            )
        return self._keys[wanted].for_object(header)

    def _judge(self, whose: Binding) -> None:
        """What a header says is certain only once a chunk has opened; that it is wrong is enough."""
        if self._place and whose.key != self._place:
            raise WorkerError(
                Reason.OBJECT_ALTERED,
                f"the backup was stored as {whose.key} of EtcdCluster {whose.cluster}, and was "
                f"found at {self._place}: another one was put in its place; to restore from it, "
                "put it back where it was and name that key",
            )

    def _open(self, size: int, *, last: bool) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as in `Key.for_object`

        assert self._cipher is not None  # noqa: S101 - `feed` comes first
        sealed = bytes(self._buffer[:size])
        del self._buffer[:size]
        try:
            plain = self._cipher.decrypt(_nonce(self._count, last=last), sealed, None)
        except (InvalidTag, ValueError) as error:
            raise _altered(
                f"chunk {self._count} is not what was written, or the end is missing"
            ) from error
        self._count += 1
        return plain


def _nonce(count: int, *, last: bool) -> bytes:
    return count.to_bytes(11, "big") + (b"\1" if last else b"\0")


def _altered(how: str) -> WorkerError:
    return WorkerError(
        Reason.OBJECT_ALTERED, f"the encrypted backup does not open: {how}; do not restore from it"
    )
