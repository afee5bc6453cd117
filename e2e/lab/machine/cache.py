"""The cache: results that take long to make, each published whole or not at all.

A result is built in a temporary directory under the same root and renamed into place, so that a
process killed at any moment leaves either the finished result or rubbish that the next run sweeps
away. A file lock for each result keeps two runs from building the same thing; the kernel lets go
of it when its holder dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import IO

Build = Callable[[Path], Awaitable[None]]
_DISCARDED = "discarded-"


def default_root() -> Path:
    """``$KOK_CACHE``, or ``kok`` below the user's cache directory."""
    if own := os.environ.get("KOK_CACHE"):
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "kok"


class Cache:
    """A directory of finished results, addressed by a key of path segments."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()

    def path(self, *key: str) -> Path:
        """Where the result of this key lies, or would lie."""
        return self.root.joinpath(*(_segment(part) for part in key))

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    async def ensure(self, key: tuple[str, ...], build: Build) -> Path:
        """The result of ``key``; if it is missing, ``build`` fills an empty directory with it."""
        final = self.path(*key)
        if final.exists():
            return final
        async with self.lock(*key):
            if final.exists():
                return final
            async with self.workspace(*key) as work:
                await build(work)
                final.parent.mkdir(parents=True, exist_ok=True)
                work.rename(final)
        return final

    @contextlib.asynccontextmanager
    async def workspace(self, *key: str) -> AsyncIterator[Path]:
        """An empty directory on the cache's file system, gone afterwards. Hold the key's lock."""
        work = self.root / "tmp" / _flat(key)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def lock(self, *key: str, shared: bool = False) -> AsyncIterator[None]:
        """Hold the lock of a key, or share it; waits for other processes as long as they live.

        It is asked for again and again, because a thread that waits for it could not be cancelled.
        """
        with self._lock_file(*key) as file:
            while True:
                if _try_lock(file, shared=shared):
                    break
                await asyncio.sleep(0.2)
            yield

    @contextlib.contextmanager
    def if_free(self, *key: str) -> Iterator[bool]:
        """Hold the lock of a key if nobody else does; whether that is so."""
        with self._lock_file(*key) as file:
            yield _try_lock(file, shared=False)

    def _lock_file(self, *key: str) -> IO[str]:
        file = self.root / "locks" / _flat(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("w")

    def sweep(self) -> None:
        """Remove what killed runs left in the temporary directory, unless a live run holds it."""
        for work in sorted((self.root / "tmp").glob("*")):
            with self.if_free(work.name) as free:
                if free and work.name.startswith(_DISCARDED):
                    _remove_in_background(work)
                elif free:
                    shutil.rmtree(work, ignore_errors=True)

    def discard(self, path: Path) -> None:
        """Take something out of the cache at once; its files go in the background.

        The remover outlives this process. What it leaves if it is ended, too, is swept up later.
        """
        if not path.exists():
            return
        aside = self.root / "tmp" / f"{_DISCARDED}{uuid.uuid4().hex}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside)
        _remove_in_background(aside)

    def purge(self) -> None:
        """Remove the cache whole."""
        shutil.rmtree(self.root, ignore_errors=True)


def _remove_in_background(path: Path) -> None:
    """Two of these for one path are in nobody's way."""
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    command = ("nice", "rm", "-rf", "--", str(path))
    os.posix_spawnp(command[0], command, os.environ, file_actions=quiet, setsid=True)


def _try_lock(file: IO[str], *, shared: bool) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _segment(part: str) -> str:
    """One path segment of a key: a key can hold a reference such as ``registry/name:tag``."""
    if part in {"", ".", ".."}:
        raise ValueError(f"{part!r} cannot be part of a cache key")
    return part.replace("/", "_")


def _flat(key: tuple[str, ...]) -> str:
    return "--".join(_segment(part) for part in key)
