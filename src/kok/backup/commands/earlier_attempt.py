"""A backup that an earlier try has completed: its report was lost, and its work is found again.

What lies in the store by then is the store's word, not the earlier try's: it counts only as far as
it is what was to be stored, and an encrypted one as far as it is bound to what is said of it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from kok.backup.commands import catalog
from kok.backup.commands.fetch import misdescribed
from kok.backup.commands.progress import Progress
from kok.backup.description import Description, time_of
from kok.backup.encryption.encryption import Binding, Key, read_key
from kok.backup.errors import WorkerError
from kok.backup.newest_backup import SKEW
from kok.backup.paths import WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.spec import BackupSpec
from kok.backup.stores.store import Store
from kok.backup.stream.transfer import Download


async def earlier_attempt(
    store: Store, spec: BackupSpec, paths: WorkerPaths, progress: Progress
) -> Description | None:
    """What an earlier try has completed, read again and compared; None if there is nothing.

    Raises `WorkerError` for another backup under the key, and for one that an earlier try of this
    one cannot have left so.
    """
    found = await catalog.described(store, spec.key)
    if found is None:
        return None
    where = store.location(spec.key)
    if found.origin.backup_uid != spec.origin.backup_uid:
        raise WorkerError(
            Reason.KEY_TAKEN,
            f"another backup of {found.origin.namespace}/{found.origin.name} lies at {where} "
            "already; it was left as it is",
        )
    key = read_key(paths.encryption_keys, spec.encryption_key) if spec.encryption_key else None
    wrong = unlike(spec, key, found, datetime.now(UTC))
    if wrong is None:
        wrong = misdescribed(await _read(store, found, key, progress), found)
    if wrong is not None:
        raise WorkerError(
            Reason.OBJECT_ALTERED,
            f"an earlier try has stored {where}, and its description was altered since: {wrong}",
        )
    return found


def unlike(spec: BackupSpec, key: Key | None, found: Description, now: datetime) -> str | None:
    """How a description differs from that of any try of this backup, as a sentence, or None."""
    asked, told = spec.origin, found.origin
    if (told.namespace, told.name) != (asked.namespace, asked.name):
        return (
            f"the backup is one of {asked.namespace}/{asked.name}, and it says "
            f"{told.namespace}/{told.name}"
        )
    if asked.cluster_id is not None and told.cluster_id != asked.cluster_id:
        return f"the etcd cluster is {asked.cluster_id}, and it says {told.cluster_id}"
    wanted = key.id.hex() if key is not None else None
    used = found.encryption.key_id if found.encryption is not None else None
    if used != wanted:
        return f"it is to be encrypted with {_key(wanted)}, and it says {_key(used)}"
    begun = time_of(spec.key)
    if found.created > now + SKEW or (begun is not None and found.created < begun - SKEW):
        return (
            f"it says that the snapshot was begun at {found.created:%Y-%m-%d %H:%M:%S} UTC, which "
            "cannot be, unless the clock of a node is wrong"
        )
    return None


async def _read(
    store: Store, found: Description, key: Key | None, progress: Progress
) -> Binding | None:
    """What the object is bound to, all of which was read. Raises `WorkerError`."""
    incoming = Download([key] if key is not None else [], found.key, encrypted=key is not None)
    where = store.location(found.key)
    async with progress.stretch("reading it back", found.size):
        async for piece in store.read(found.key):
            await asyncio.to_thread(incoming.feed, piece)
            progress.count(len(piece))
            if incoming.stored.size > found.size:
                break
        await asyncio.to_thread(incoming.finish, where, found.size, found.sha256)
    return incoming.whose


def _key(key_id: str | None) -> str:
    return "no key" if key_id is None else f"the key {key_id}"
