"""A store in a directory of a mounted volume."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stores.store import Entry, Source

PART_SUFFIX = ".part"
"""Of files that are being written; a second try removes what a killed one left."""
_PIECE = 1024**2
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DirectoryStore:
    """A `Store` whose objects are files of a mounted volume, by their keys; raises as it does."""

    def __init__(self, mount: Path, prefix: str) -> None:
        """`mount` is where the volume is mounted. Raises `WorkerError` if nothing is there."""
        if not mount.is_dir():
            raise WorkerError(Reason.STORE_MISSING, f"no volume is mounted at {mount}")
        self._root = mount / prefix if prefix else mount

    def location(self, key: str) -> str:
        """The path on the volume."""
        return str(self._root / key)

    async def write(self, key: str, source: Source) -> str:
        """Writes beside, makes it durable, then renames."""
        async with source() as content:
            return await write_file(self._root / key, content.pieces)

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """The file's bytes in pieces of 1 MiB at most; raises `OBJECT_MISSING` if there is none."""
        path = self._root / key
        try:
            file = await asyncio.to_thread(path.open, "rb")
        except FileNotFoundError as error:
            raise WorkerError(
                Reason.OBJECT_MISSING, f"there is no backup at {path} any more"
            ) from error
        except OSError as error:
            _fail(error)
        with file:
            while piece := await _read(file):
                yield piece

    async def put(self, key: str, data: bytes) -> None:
        """Writes a small file, beside and then renamed, so that it is there whole or not at all."""

        async def once() -> AsyncIterator[bytes]:
            yield data

        await write_file(self._root / key, once())

    async def get(self, key: str, limit: int) -> bytes | None:
        """A small file's bytes; None if there is none, `OBJECT_ALTERED` if longer than `limit`."""
        path = self._root / key
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            _fail(error)
        if len(data) > limit:
            raise WorkerError(Reason.OBJECT_ALTERED, f"{path} is longer than it can be")
        return data

    async def delete(self, key: str) -> bool:
        """Removes the file and what an unfinished write left; whether the file was there.

        Folders stay: another worker may be about to write into them.
        """
        path = self._root / key
        try:
            _part(path).unlink(missing_ok=True)
            existed = path.exists()
            path.unlink(missing_ok=True)
        except OSError as error:
            _fail(error)
        return existed

    async def replaced(self, key: str, mark: str) -> bool:
        """Whether the file that `write` gave the mark for is gone, or another lies in its place.

        Of a mark that is empty nobody can know it: False.
        """
        try:
            return _mark_at(self._root / key) != mark and mark != ""
        except FileNotFoundError:
            return True
        except OSError as error:
            _fail(error)

    async def take_back(self, key: str, mark: str) -> None:
        """Removes the file if it has that mark; another one, or none, is left as it is."""
        if mark and not await self.replaced(key, mark):
            with suppress(FileNotFoundError):
                (self._root / key).unlink()

    async def entries(self, under: str) -> AsyncIterator[Entry]:
        """All files in a folder, of the whole store if empty, in the order of their paths."""
        base = self._root / under if under else self._root
        for path in await asyncio.to_thread(lambda: sorted(base.rglob("*"))):
            if path.is_file():
                yield Entry(str(path.relative_to(self._root)), path.stat().st_size)

    async def close(self) -> None:
        """There are no connections."""


async def write_file(path: Path, data: AsyncIterator[bytes]) -> str:
    """A file that is complete and durable, or not there: also after a crash. Raises `WorkerError`.

    An earlier file of the name stays until then. Returns a mark that tells the file from any other;
    an empty one where that cannot be told, as on volumes that give a file another number with its name.
    """
    part, mark, named = _part(path), "", ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What a killed worker left goes. One that lives on writes to its own file, which has no
        # name any more, and not into this one.
        part.unlink(missing_ok=True)
        # Snapshots hold the Secrets of a cluster: they are for nobody else's eyes.
        with os.fdopen(os.open(part, _WRITE, 0o600), "wb") as file:
            mark = _mark(os.fstat(file.fileno()))
            async for piece in data:
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(_sync, file)
            mark = _mark(os.fstat(file.fileno()))
        if not _is_own(part, mark):
            raise WorkerError(
                Reason.OVERTAKEN, f"another try writes to {path} as well, and goes on"
            )
        part.replace(path)
        _sync_folder(path.parent)
        named = _mark_at(path)
    except BaseException as error:
        with suppress(OSError):
            if _is_own(part, mark):
                part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            _fail(error)
        raise
    return mark if named == mark else ""


def _mark(file: os.stat_result) -> str:
    return f"{file.st_ino}-{file.st_mtime_ns}"


def _mark_at(path: Path) -> str:
    return _mark(path.stat())


def _is_own(part: Path, mark: str) -> bool:
    """Whether a file that is being written is still the one of the inode that its mark begins with."""
    try:
        return bool(mark) and str(part.stat().st_ino) == mark.partition("-")[0]
    except FileNotFoundError:
        return False


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}{PART_SUFFIX}")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _read(file: BinaryIO) -> bytes:
    try:
        return await asyncio.to_thread(file.read, _PIECE)
    except OSError as error:
        _fail(error)


def _fail(error: OSError) -> NoReturn:
    where = error.filename or "the volume"
    words = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        raise WorkerError(
            Reason.STORE_FULL, f"no space is left on the volume: {words}; enlarge it or keep less"
        ) from error
    raise WorkerError(Reason.DISK_FAILED, f"{where} fails: {words}") from error
