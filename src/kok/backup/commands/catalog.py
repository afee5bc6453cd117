"""The descriptions beside stored backups; `remove` and `list`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import UTC, datetime

from pydantic import ValidationError

from kok.backup import log
from kok.backup.description import (
    DESCRIPTION_SUFFIX,
    SNAPSHOT_SUFFIX,
    Description,
    keys_of_tries,
    time_of,
)
from kok.backup.encryption.encryption import MAGIC, misplaced
from kok.backup.errors import WorkerError
from kok.backup.newest_backup import SKEW, Candidate, doubt, newest
from kok.backup.paths import WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.report import MESSAGE_LIMIT, ListedBackup, ListResult, RemoveResult, Report
from kok.backup.spec import ListSpec, RemoveSpec
from kok.backup.stores.store import Store

_LONGEST = 64 * 1024
"""Bytes of a description at most."""
_AT_ONCE = 8
_MOST = 20_000
"""Backups in one folder. Of more a store could send names until the worker's memory is full."""
_NAME = 1024
"""Bytes of a key in S3."""


async def describe(store: Store, description: Description) -> None:
    """Puts the description beside its backup, which makes the backup a complete one."""
    text = description.model_dump_json(by_alias=True, exclude_none=True, indent=1)
    await store.put(description.key + DESCRIPTION_SUFFIX, text.encode())


async def described(store: Store, key: str) -> Description | None:
    """What stands beside a backup, or None. Raises `OBJECT_ALTERED` for what is no description."""
    text = await store.get(key + DESCRIPTION_SUFFIX, _LONGEST)
    if text is None:
        return None
    try:
        found = Description.model_validate_json(text)
    except ValidationError as error:
        raise WorkerError(
            Reason.OBJECT_ALTERED,
            f"{store.location(key + DESCRIPTION_SUFFIX)} is no description of a backup that this "
            "release of KOK can read",
        ) from error
    # Whoever copies a bucket may put things elsewhere.
    return found.model_copy(update={"key": key})


async def take_back(store: Store, description: Description, mark: str) -> None:
    """Removes what a try has stored, and its description if it came so far; nothing of another's."""
    beside = description.key + DESCRIPTION_SUFFIX
    found = await described(store, description.key)
    if found is not None and found.sha256 == description.sha256:
        await store.delete(beside)
    await store.take_back(description.key, mark)


async def discard(store: Store, key: str) -> bool:
    """Removes a backup and its description; tells whether there was one of them.

    The description goes first: a backup half removed is no complete one.
    """
    described_before = await store.delete(key + DESCRIPTION_SUFFIX)
    return await store.delete(key) or described_before


async def remove(spec: RemoveSpec, paths: WorkerPaths) -> RemoveResult:
    """The command `remove`. Raises `WorkerError`."""
    store, turn = paths.store(spec.store, spec.limits), asyncio.Semaphore(_AT_ONCE)

    async def one(key: str) -> bool:
        async with turn:
            return await discard(store, key)

    try:
        keys = keys_of_tries(spec.key, spec.attempts)
        return RemoveResult(existed=any(await asyncio.gather(*(one(key) for key in keys))))
    finally:
        await store.close()


async def list_(spec: ListSpec, paths: WorkerPaths) -> ListResult:
    """The command `list`; each backup is a line of the log, too. Raises `WorkerError`."""
    store = paths.store(spec.store, spec.limits)
    try:
        snapshots, descriptions = await names(store, spec.under)
        found = await _read(store, sorted(snapshots & descriptions))
        first, against = await _newest(store, found, datetime.now(UTC))
    finally:
        await store.close()
    found.sort(key=lambda one: (one is first, _made(one)), reverse=True)
    for description in found:
        log.info("backup", **description.manifest())
    why = doubt(_told(first), _told(against)) if first is not None and against is not None else ""
    return shorten(found, undescribed=len(snapshots) - len(found), doubted=why)


async def _newest(
    store: Store, found: list[Description], now: datetime
) -> tuple[Description | None, Description | None]:
    """The newest one, and what may be newer by what else is known; takes out what is misplaced."""
    while found:
        # Keys of earlier releases have no time: they are behind all that have.
        named = [one for one in found if time_of(one.key) is not None] or found
        chosen = newest([_told(one) for one in named], now)
        if chosen is None:
            break
        first = named[chosen.index]
        against = named[chosen.against] if chosen.against is not None else None
        looked = [first] if against is None else [first, against]
        wrong = [one for one in looked if await _misplaced(store, one.key)]
        if not wrong:
            return first, against
        for one in wrong:
            log.warning("an old backup lies under the key of a new one", key=one.key)
            found.remove(one)
    return None, None


def _told(description: Description) -> Candidate:
    """The time is that of its key, to which an encrypted backup is bound, and no snapshot is begun
    before the first try of its backup.
    """
    named = time_of(description.key)
    return Candidate(
        name=description.key,
        when=named or description.created.astimezone(UTC),
        revision=description.contents.revision,
        cluster=description.origin.cluster_id,
        is_certain=named is None or named <= description.created + SKEW,
    )


async def names(store: Store, under: str) -> tuple[set[str], set[str]]:
    """The keys of all snapshots in a folder, and of all that are described. Raises `WorkerError`."""
    snapshots, descriptions = set[str](), set[str]()
    async for entry in store.entries(under):
        if len(entry.key) > _NAME:
            continue
        if entry.key.endswith(SNAPSHOT_SUFFIX):
            snapshots.add(entry.key)
        elif entry.key.endswith(SNAPSHOT_SUFFIX + DESCRIPTION_SUFFIX):
            descriptions.add(entry.key.removesuffix(DESCRIPTION_SUFFIX))
        if max(len(snapshots), len(descriptions)) > _MOST:
            raise WorkerError(
                Reason.STORE_REFUSED,
                f"{store.location(under)} holds more than {_MOST} backups, which is more than are "
                "listed; remove old ones, or give the store another prefix",
            )
    return snapshots, descriptions


async def _read(store: Store, keys: list[str]) -> list[Description]:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(key: str) -> Description | None:
        async with turn:
            try:
                return await described(store, key)
            except WorkerError as error:
                if error.reason is not Reason.OBJECT_ALTERED:
                    raise
                log.warning("a description cannot be read", key=key, error=error.message)
                return None

    return [d for d in await asyncio.gather(*(one(key) for key in keys)) if d is not None]


async def _misplaced(store: Store, key: str) -> bool:
    """Whether what would count as the newest is older than its key, as `fetch` finds as well.

    That its first bytes cannot be read is for `fetch` to tell.
    """
    start = b""
    with suppress(WorkerError):
        async with aclosing(store.read(key)) as pieces:
            async for piece in pieces:
                start += piece
                if len(start) >= len(MAGIC):
                    break
    return misplaced(start, key)


def _made(description: Description) -> tuple[bool, datetime, datetime]:
    """Sorts by when it was made: by its key, to which an encrypted backup is bound, rather than by
    what whoever may write to the store says of it.

    Keys of earlier releases have no time: they sort behind all that have, by what is said of them.
    """
    named = time_of(description.key)
    return named is not None, named or description.created, description.created


def shorten(found: list[Description], *, undescribed: int, doubted: str = "") -> ListResult:
    """As much as fits a termination message, of descriptions with the newest first."""
    result = ListResult(
        total=len(found),
        undescribed=undescribed,
        newest=found[0] if found else None,
        doubt=doubted,
    )
    room = MESSAGE_LIMIT - len(Report(listing=result).text().encode())
    for description in found:
        short = ListedBackup(
            key=description.key,
            size=description.size,
            revision=description.contents.revision,
            created=description.created,
            encrypted=description.encryption is not None,
        )
        room -= len(short.model_dump_json(by_alias=True).encode()) + 1
        if room < 0:
            break
        result.backups.append(short)
    return result
