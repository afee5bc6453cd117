"""etcd ends a snapshot with the SHA-256 of what precedes; checked here while the data goes by."""

from __future__ import annotations

import hashlib

from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason

SIZE = hashlib.sha256().digest_size


class Trailer:
    """Sees a snapshot pass; at its end tells whether it is whole."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._tail = b""
        self.size = 0
        """Bytes seen, the trailer included."""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes, in pieces of any size."""
        self.size += len(data)
        if len(data) >= SIZE:
            self._hash.update(self._tail)
            self._hash.update(memoryview(data)[:-SIZE])
            self._tail = bytes(data[-SIZE:])
            return
        joined = self._tail + data
        cut = max(len(joined) - SIZE, 0)
        self._hash.update(joined[:cut])
        self._tail = joined[cut:]

    def whole(self) -> bool:
        """Whether what was seen is a snapshot and its right checksum."""
        return self.size > SIZE and self._hash.digest() == self._tail

    def sha256(self) -> str:
        """SHA-256 of all that was seen, the trailer included, in hexadecimal."""
        everything = self._hash.copy()
        everything.update(self._tail)
        return everything.hexdigest()

    def check(self, announced: int | None = None) -> None:
        """Raises `WorkerError` unless the snapshot is whole.

        `announced` is how many bytes the sender had said would come, the trailer not included.
        """
        if self.whole():
            return
        if self.size <= SIZE or (announced is not None and self.size < announced + SIZE):
            said = "" if announced is None else f" of {announced + SIZE}"
            raise WorkerError(
                Reason.SNAPSHOT_INCOMPLETE,
                f"the snapshot ended after {self.size}{said} bytes; nothing was kept of it",
            )
        raise WorkerError(
            Reason.SNAPSHOT_CORRUPT,
            f"the snapshot of {self.size} bytes does not match the checksum at its end; nothing "
            "was kept of it",
        )
