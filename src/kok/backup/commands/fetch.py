"""`fetch`: a stored backup becomes a file that etcd can be restored from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC

from kok.backup import log
from kok.backup.commands import catalog, root_certificate
from kok.backup.commands.progress import Progress
from kok.backup.description import Description
from kok.backup.encryption.encryption import Binding, Key, entries, read_keys, unusable
from kok.backup.errors import WorkerError
from kok.backup.paths import WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.report import FetchResult
from kok.backup.spec import FetchSpec
from kok.backup.stores.directory import write_file
from kok.backup.stores.store import Store
from kok.backup.stream.transfer import Download


async def fetch(spec: FetchSpec, paths: WorkerPaths) -> FetchResult:
    """The command. Raises `WorkerError`; then the file is not there, or the one from before is."""
    progress = Progress()
    store = paths.store(spec.store, spec.limits)
    path = paths.volume / spec.file if spec.file is not None else None
    try:
        description = await _described(store, spec)
        sha256 = spec.sha256 or (description.sha256 if description else None)
        if sha256 is None:
            raise await _unknown(store, spec.key)
        size = spec.size if description is None else description.size
        keys = _keys(paths, encrypted=spec.encrypted)
        incoming = Download(keys, spec.key, encrypted=spec.encrypted)
        async with progress.stretch("fetching the backup", size):
            data = _data(store, spec.key, incoming, progress, size=size, sha256=sha256)
            content = _of_origin(data, incoming, description)
            if path is not None:
                await write_file(path, content)
            else:
                async for _ in content:
                    pass
        if spec.root_pass:
            await asyncio.to_thread(root_certificate.make, paths.root_pass)
    finally:
        await store.close()
    return FetchResult(
        path=str(path) if path is not None else "",
        size=incoming.snapshot_size,
        description=description,
        usage=progress.usage(),
    )


def _keys(paths: WorkerPaths, *, encrypted: bool) -> list[Key]:
    """What may decrypt. Raises `WorkerError` if that is nothing where encryption is set."""
    keys = read_keys(paths.encryption_keys)
    if encrypted and not keys:
        raise WorkerError(
            Reason.CREDENTIALS_UNUSABLE,
            unusable("the Secret of encryption keys", entries(paths.encryption_keys)),
        )
    return keys


async def _of_origin(
    data: AsyncIterator[bytes], incoming: Download, description: Description | None
) -> AsyncIterator[bytes]:
    """Raises instead of ending if the backup is bound to something else than its description says."""
    async for piece in data:
        yield piece
    wrong = misdescribed(incoming.whose, description)
    if wrong is not None:
        raise WorkerError(Reason.OBJECT_ALTERED, f"{wrong}: do not restore from it")


def misdescribed(whose: Binding | None, told: Description | None) -> str | None:
    """How a description differs from what its backup is bound to, as a sentence, or None.

    What a backup of an earlier release is not bound to makes no difference.
    """
    if whose is None or told is None:
        return None
    described = f"{told.origin.namespace}/{told.origin.name}"
    if whose.cluster != described:
        return (
            f"the backup was made of EtcdCluster {whose.cluster}, and its description says "
            f"{described}"
        )
    if whose.created is not None and whose.created != told.created:
        return (
            f"the backup was made at {whose.created:%Y-%m-%d %H:%M:%S} UTC, and its description "
            f"says {told.created.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        )
    if whose.revision is not None and whose.revision != told.contents.revision:
        return (
            f"the backup was made at revision {whose.revision}, and its description says "
            f"{told.contents.revision}"
        )
    return None


async def _described(store: Store, spec: FetchSpec) -> Description | None:
    """What stands beside the backup. Damage there does not matter if its SHA-256 is known."""
    try:
        found = await catalog.described(store, spec.key)
    except WorkerError as error:
        if spec.sha256 is None or error.reason is not Reason.OBJECT_ALTERED:
            raise
        log.warning("the description cannot be read", error=error.message)
        return None
    if found is not None and spec.sha256 not in {None, found.sha256}:
        raise WorkerError(
            Reason.OBJECT_ALTERED,
            f"{store.location(spec.key)} is described with the SHA-256 {found.sha256}, and the "
            f"backup asked for has {spec.sha256}: another one was put in its place",
        )
    return found


async def _unknown(store: Store, key: str) -> WorkerError:
    """Why there is no description: the backup is gone, or was never complete."""
    async for _ in store.read(key):
        return WorkerError(
            Reason.OBJECT_UNDESCRIBED,
            f"{store.location(key)} has no description beside it, so that nobody knows whether it "
            "is complete; give its SHA-256 to restore from it all the same",
        )
    return WorkerError(Reason.OBJECT_TRUNCATED, f"{store.location(key)} is empty")


async def _data(
    store: Store,
    key: str,
    incoming: Download,
    progress: Progress,
    *,
    size: int | None,
    sha256: str,
) -> AsyncIterator[bytes]:
    """The snapshot. Raises instead of ending if it is not what was stored."""
    async for piece in store.read(key):
        progress.count(len(piece))
        ready = await asyncio.to_thread(incoming.feed, piece)
        if size is not None and incoming.stored.size > size:
            raise WorkerError(
                Reason.OBJECT_ALTERED,
                f"{store.location(key)} has more than the {size} bytes that were written: it was "
                "altered, do not restore from it",
            )
        yield ready
    yield await asyncio.to_thread(incoming.finish, store.location(key), size, sha256)
