"""What is packed by tar and gzip, unpacked within bounds and into memory. Pure; for work aside."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

UNPACKED_MOST: Final = 48 * 2**20
"""Bytes that an archive may unpack to: a few kilobytes can become any number of them."""
FILE_MOST: Final = 5 * 2**20
"""Bytes of one file; Helm takes no larger ones of a chart."""
FILES_MOST: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveJob:
    """All that the rendering of what is in an archive depends on."""

    digest: str
    """Of the archive."""
    values: Mapping[str, Any]
    addon: str
    archive: bytes = field(default=b"", repr=False)

    def key(self) -> str:
        """The same for the same work."""
        made_of = replace(self, archive=b"", values={})
        text = f"{made_of!r} {json.dumps(self.values, sort_keys=True)}"
        return hashlib.sha256(text.encode()).hexdigest()


class BadArchive(Exception):
    """Says what is wrong, to be put after the archive's name."""


class _Bounded(io.RawIOBase):
    """Reads no more than may be."""

    def __init__(self, packed: bytes) -> None:
        self._inner = gzip.GzipFile(fileobj=io.BytesIO(packed))
        self._left = UNPACKED_MOST

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes. Raises `BadArchive` for more than may be."""
        most = self._left + 1
        found = self._inner.read(most if size < 0 else min(size, most))
        self._left -= len(found)
        if self._left < 0:
            raise BadArchive(f"unpacks to more than {UNPACKED_MOST >> 20} MiB")
        return found


def files(packed: bytes) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of the plain files, in the order of the archive. Raises `BadArchive`.

    Links and whatever else a tar may hold are passed over: nothing is ever written anywhere.
    """
    count = 0
    try:
        with tarfile.open(fileobj=_Bounded(packed), mode="r|") as archive:
            for member in archive:
                count += 1
                if count > FILES_MOST:
                    raise BadArchive(f"holds more than {FILES_MOST} files")
                if not member.isreg():
                    continue
                if member.size > FILE_MOST:
                    raise BadArchive(
                        f"holds {member.name[:200]}, larger than {FILE_MOST >> 20} MiB"
                    )
                content = archive.extractfile(member)
                yield member.name.removeprefix("./"), content.read() if content else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError):
        raise BadArchive("is not packed by tar and gzip") from None
