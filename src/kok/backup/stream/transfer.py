"""What happens to the bytes on their way to a store and back. No I/O; called in threads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from kok.backup.encryption.encryption import MAGIC, UNBOUND, Binding, Decryptor, Encryptor, Key
from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stream.checksum import SIZE as TRAILER
from kok.backup.stream.checksum import Trailer


class Digest:
    """Size and SHA-256 of what went by."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._hash.update(data)
        self.size += len(data)

    def sha256(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()

    def check(self, location: str, size: int | None, sha256: str) -> None:
        """Raises `WorkerError` unless that was the object that is known at `location`."""
        if size is not None and self.size < size:
            raise WorkerError(
                Reason.OBJECT_TRUNCATED,
                f"{location} has {self.size} bytes, and {size} were written: it is incomplete, do "
                "not restore from it",
            )
        if self.sha256() != sha256:
            raise WorkerError(
                Reason.OBJECT_ALTERED,
                f"{location} has the SHA-256 {self.sha256()}, and what was written had {sha256}: "
                "it was altered, do not restore from it",
            )


class Upload:
    """From a member to a store: checks the snapshot, encrypts it, and knows what is stored.

    Without encryption all of it is hashed only once.
    """

    def __init__(self, encryptor: Encryptor | None) -> None:
        self._encryptor = encryptor
        self._trailer = Trailer()
        self._encrypted = Digest()

    @property
    def snapshot_size(self) -> int:
        """Bytes of the snapshot so far."""
        return self._trailer.size

    @property
    def stored_size(self) -> int:
        """Bytes of what is to be stored so far."""
        return self._encrypted.size if self._encryptor else self._trailer.size

    def size_of(self, announced: int) -> int:
        """Bytes that are to be stored of a snapshot of which so many precede its checksum."""
        whole = announced + TRAILER
        return self._encryptor.size_of(whole) if self._encryptor else whole

    def sha256(self) -> str:
        """Of what is to be stored, in hexadecimal."""
        return self._encrypted.sha256() if self._encryptor else self._trailer.sha256()

    def feed(self, data: bytes) -> bytes:
        """What is to be stored next."""
        self._trailer.feed(data)
        return self._sealed(self._encryptor.feed(data)) if self._encryptor else data

    def finish(self, announced: int | None) -> bytes:
        """The rest. Raises `WorkerError` unless the snapshot is whole, and as long as announced."""
        self._trailer.check(announced)
        return self._sealed(self._encryptor.finish()) if self._encryptor else b""

    def _sealed(self, data: bytes) -> bytes:
        self._encrypted.feed(data)
        return data


class Download:
    """From a store to a file: decrypts what is encrypted, and checks all that can be checked."""

    def __init__(self, keys: Iterable[Key], key: str = "", *, encrypted: bool = False) -> None:
        """`key` is where it lies in the store; `encrypted` refuses what is not."""
        self._keys = list(keys)
        self._key = key
        self._must = encrypted
        self._trailer = Trailer()
        self._decryptor: Decryptor | None = None
        self._head: bytes | None = b""
        self.stored = Digest()

    @property
    def snapshot_size(self) -> int:
        """Bytes of the snapshot so far."""
        return self._trailer.size

    @property
    def whose(self) -> Binding | None:
        """What it is bound to, certain once all of it was opened."""
        return self._decryptor.whose if self._decryptor else None

    def feed(self, data: bytes) -> bytes:
        """The bytes of the snapshot that are ready. Raises `WorkerError`."""
        self.stored.feed(data)
        if self._head is not None:
            data = self._head + data
            if len(data) < len(MAGIC):
                self._head = data
                return b""
            self._head = None
            if data.startswith((MAGIC, UNBOUND)):
                self._decryptor = Decryptor(self._keys, self._key)
            elif self._must:
                raise WorkerError(
                    Reason.OBJECT_ALTERED,
                    "the backup is not encrypted, although encryption is set for it: another one "
                    "was put in its place; leave out encryption if you trust it all the same",
                )
        return self._plain(self._decryptor.feed(data) if self._decryptor else data)

    def finish(self, location: str, size: int | None, sha256: str) -> bytes:
        """The rest. Raises `WorkerError` unless all is as it was written."""
        self.stored.check(location, size, sha256)
        rest = self._plain(self._decryptor.finish() if self._decryptor else self._head or b"")
        if not self._trailer.whole():
            raise WorkerError(
                Reason.OBJECT_ALTERED,
                f"{location} holds no snapshot of etcd: the checksum at its end does not match; "
                "do not restore from it",
            )
        return rest

    def _plain(self, data: bytes) -> bytes:
        self._trailer.feed(data)
        return data
