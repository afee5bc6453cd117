"""`backup`: a member's snapshot goes to the store, and is read back.

Measured with 2 GiB over TLS in the lab (`make bench B=etcd-backup`), where two cores carry etcd,
store, worker and the meta cluster:

    to S3        142 and 164 MB/s    70 MiB resident; the server alone takes 225 and 251 in one PUT
    to a volume  222 and 310 MB/s    56 MiB resident; `etcdctl snapshot save` gives 180 and 188

It is processor time: a GB costs etcd 2.7 s, the worker 3 (reading 1.5, hash 0.6, sending the rest)
and the S3 server 3.5. In parts of 5 MiB it was 50 MB/s less to S3, since the server copies them to
make one object. Encryption takes 10 MiB more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime

from kok.backup import log
from kok.backup.commands import catalog
from kok.backup.commands.earlier_attempt import earlier_attempt
from kok.backup.commands.member import Member
from kok.backup.commands.progress import Progress
from kok.backup.description import Contents, Description, Encryption, key_of_try
from kok.backup.encryption import sealing
from kok.backup.encryption.encryption import Binding, Encryptor, read_key
from kok.backup.errors import WorkerError
from kok.backup.paths import WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.report import BackupResult
from kok.backup.spec import BackupSpec
from kok.backup.stores.store import Content, Store
from kok.backup.stream.snapshot import Block
from kok.backup.stream.transfer import Digest, Upload
from kok.etcdclient.model import Hash

_TAKE_BACK = 20.0
"""Seconds for taking back what was stored."""
_CLEARED = 5
"""So many tries before this one are cleared up after: each has done so itself."""


async def backup(spec: BackupSpec, paths: WorkerPaths) -> BackupResult:
    """The command. Raises `WorkerError`; then nothing of it lies under the key.

    Of a Job that was made twice the second pod finds the first one's work and reads it again. One
    that was given up and lives on, on a node that was cut off, writes to a key of its own, and takes
    back no more than its own.
    """
    progress = Progress()
    store = paths.store(spec.store, spec.limits)
    try:
        await _clear(store, spec, described=False)
        description = await earlier_attempt(store, spec, paths, progress)
        if description is None:
            description, mark = await _take(spec, paths, store, progress)
            try:
                await _read_back(store, description, progress)
                await _alone(store, spec.key, mark)
                await catalog.describe(store, description)
            except BaseException:
                # What nobody has verified must not lie there. Why it is so counts, not how it went.
                with suppress(WorkerError, TimeoutError):
                    async with asyncio.timeout(_TAKE_BACK):
                        await catalog.take_back(store, description, mark)
                raise
        await _clear(store, spec, described=True)
    finally:
        await store.close()
    return BackupResult(
        location=store.location(spec.key), description=description, usage=progress.usage()
    )


async def _clear(store: Store, spec: BackupSpec, *, described: bool) -> None:
    """Removes what the latest tries before this one have left: it counts no more, whatever comes.

    A complete one stays until this one is complete as well. What cannot be removed now, and what one
    that lives on stores later, goes with the EtcdBackup.
    """
    latest = range(max(1, spec.attempt - _CLEARED), spec.attempt)
    with suppress(WorkerError, TimeoutError):
        async with asyncio.timeout(_TAKE_BACK):
            for key in (key_of_try(spec.key, number) for number in latest):
                if described or await catalog.described(store, key) is None:
                    await catalog.discard(store, key)


async def _alone(store: Store, key: str, mark: str | None = None) -> None:
    """Raises `WorkerError` if another try was faster: its backup is complete, or is to be."""
    complete = await catalog.described(store, key) is not None
    if complete or (mark is not None and await store.replaced(key, mark)):
        raise WorkerError(
            Reason.OVERTAKEN, f"another try has stored {store.location(key)} meanwhile"
        )


async def _take(
    spec: BackupSpec, paths: WorkerPaths, store: Store, progress: Progress
) -> tuple[Description, str]:
    """What was stored, and by which mark it is known."""
    key = spec.encryption_key and read_key(paths.encryption_keys, spec.encryption_key)
    certificates = paths.etcd_certificates if spec.etcd.endpoint.startswith("https:") else None
    async with Member(spec.etcd, certificates, stall=spec.limits.stall) as member:
        status = await member.status()
        _same_cluster(spec, status.cluster_id)
        created = datetime.now(UTC)
        contents = await _contents(member, status.version, status.revision, spec)
        whose = Binding(
            f"{spec.origin.namespace}/{spec.origin.name}", spec.key, created, contents.revision
        )
        snapshot = _Snapshot(
            member,
            lambda: Encryptor(key, whose) if key else None,
            progress,
            status.db_size,
            lambda: _alone(store, spec.key),
        )
        mark = await store.write(spec.key, snapshot.opened)
    description = Description(
        key=spec.key,
        size=snapshot.out.stored_size,
        sha256=snapshot.out.sha256(),
        snapshot_size=snapshot.out.snapshot_size,
        contents=contents,
        origin=spec.origin.model_copy(update={"cluster_id": status.cluster_id}),
        encryption=Encryption(key_id=key.id.hex()) if key else None,
        created=created,
    )
    return description, mark


class _Snapshot:
    """What a member gives, on its way to the store; taken anew each time that it is opened."""

    def __init__(
        self,
        member: Member,
        encryptor: Callable[[], Encryptor | None],
        progress: Progress,
        size: int,
        alone: Callable[[], Awaitable[None]],
    ) -> None:
        """`alone` raises if it must not take the place of what lies there by the end."""
        self._member = member
        self._alone = alone
        self._encryptor = encryptor
        self._progress = progress
        self._size = size
        self.out = Upload(None)
        """Knows what was stored, when it was."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Content]:
        self.out = Upload(self._encryptor())
        async with (
            self._progress.stretch("storing the snapshot", self._size),
            aclosing(self._member.snapshot()) as blocks,
        ):
            first = await anext(blocks, None)
            announced = None if first is None else first.announced
            async with aclosing(self._pieces(first, blocks)) as pieces:
                yield Content(pieces, None if announced is None else self.out.size_of(announced))

    async def _pieces(
        self, first: Block | None, rest: AsyncIterator[Block]
    ) -> AsyncGenerator[bytes]:
        """Raises instead of ending if the snapshot is not whole."""
        block, announced = first, None if first is None else first.announced
        while block is not None:
            self._progress.count(len(block.data))
            yield await asyncio.to_thread(self.out.feed, block.data)
            block = await anext(rest, None)
        await self._alone()
        yield await asyncio.to_thread(self.out.finish, announced)


async def _hash(member: Member, revision: int) -> Hash | None:
    """Good to have, and no reason to go without a backup."""
    try:
        return await member.hash(revision)
    except WorkerError as error:
        if error.reason is not Reason.ETCD_SILENT:
            raise
        log.warning("the member did not give its hash in time", error=error.message)
        return None


async def _read_back(store: Store, description: Description, progress: Progress) -> None:
    seen = Digest()
    async with progress.stretch("reading it back", description.size):
        async for piece in store.read(description.key):
            await asyncio.to_thread(seen.feed, piece)
            progress.count(len(piece))
    seen.check(store.location(description.key), description.size, description.sha256)


def _same_cluster(spec: BackupSpec, found: str) -> None:
    if spec.origin.cluster_id not in {None, found}:
        raise WorkerError(
            Reason.ETCD_REFUSED,
            f"{spec.etcd.endpoint} belongs to the etcd cluster {found}, and not to "
            f"{spec.origin.cluster_id}",
        )


async def _contents(member: Member, version: str, revision: int, spec: BackupSpec) -> Contents:
    """Asked for before the snapshot is taken, which therefore holds at least this revision."""
    keys = await member.keys(revision)
    found = await _hash(member, revision) if spec.compute_hash else None
    return Contents(
        revision=revision,
        etcd_version=version,
        keys=keys,
        hash=found and found.value,
        compact_revision=found and found.compacted,
        sealed_keys=sealing.digest(await member.value(sealing.WHERE, revision)),
    )
