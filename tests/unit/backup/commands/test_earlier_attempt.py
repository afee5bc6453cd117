"""A second try of a backup: what it believes of what lies there, and what a first one takes back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kok.backup import spec
from kok.backup.commands import backup as command
from kok.backup.commands import catalog
from kok.backup.commands.backup import backup
from kok.backup.commands.fetch import fetch
from kok.backup.description import Contents, Description, Origin, key_of_try, keys_of_tries, time_of
from kok.backup.encryption.encryption import Binding, Encryptor, Key
from kok.backup.errors import WorkerError
from kok.backup.paths import WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.stores.directory import DirectoryStore
from kok.backup.stores.store import Content, Source
from kok.backup.stream.snapshot import Block
from kok.etcdclient.model import Hash

BEGUN = datetime(2026, 11, 29, 17, 0, 1, tzinfo=UTC)
KEY = "team-a/shop/20261129T170000Z-one-abcdef12.snapshot"
DATABASE = b"\0" * 4096
SNAPSHOT = DATABASE + hashlib.sha256(DATABASE).digest()
SECRET = os.urandom(32)
ORIGIN = {"namespace": "team-a", "name": "shop", "backupUID": "uid-1", "clusterID": "abc"}


@pytest.fixture
def paths(tmp_path: Path) -> WorkerPaths:
    """A volume, and the Secret of encryption keys."""
    made = WorkerPaths(tmp_path)
    (made.below(spec.DIRECTORY) / KEY).parent.mkdir(parents=True)
    made.encryption_keys.mkdir(parents=True)
    (made.encryption_keys / "key").write_bytes(SECRET)
    return made


def stored(paths: WorkerPaths, content: bytes, **told: Any) -> dict[str, Any]:
    """What lies there when the second try comes; its description."""
    path = paths.below(spec.DIRECTORY) / KEY
    path.write_bytes(content)
    description = {
        "format": 1,
        "key": KEY,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "snapshotSize": len(SNAPSHOT),
        "contents": {"revision": 77, "etcdVersion": "3.6.10"},
        "origin": ORIGIN,
        "encryption": {"keyID": Key(SECRET).id.hex()},
        "created": BEGUN.isoformat(),
        **told,
    }
    Path(f"{path}.json").write_text(json.dumps(description))
    return description


def sealed(**whose: Any) -> bytes:
    bound = {"created": BEGUN, "revision": 77, **whose}
    one = Encryptor(Key(SECRET), Binding("team-a/shop", KEY, **bound))
    return one.feed(SNAPSHOT) + one.finish()


async def again(paths: WorkerPaths, key: str | None = "key") -> Description:
    """A second try; there is no etcd that it could ask anew."""
    given = spec.BackupSpec(
        etcd=spec.EtcdAccess(endpoint="http://127.0.0.1:1"),
        store=spec.DirectoryStore(),
        key=KEY,
        encryption_key=key,
        origin=Origin.model_validate(ORIGIN),
    )
    return (await backup(given, paths)).description


async def test_what_the_first_try_stored_is_found(paths: WorkerPaths) -> None:
    told = stored(paths, sealed())
    assert (await again(paths)).sha256 == told["sha256"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (sealed(), {"created": "9998-01-01T00:00:00Z"}),
        (sealed(), {"created": (BEGUN - timedelta(hours=1)).isoformat()}),
        (sealed(), {"created": (BEGUN + timedelta(seconds=1)).isoformat()}),
        (sealed(), {"contents": {"revision": 78, "etcdVersion": "3.6.10"}}),
        (sealed(), {"origin": {**ORIGIN, "namespace": "kube-system"}}),
        (sealed(), {"origin": {**ORIGIN, "clusterID": "other"}}),
        (sealed(), {"encryption": None}),
        (sealed(), {"encryption": {"keyID": "another"}}),
        (SNAPSHOT, {}),
        (SNAPSHOT, {"encryption": None}),
        (b"garbage", {}),
    ],
    ids=[
        "far later",
        "before it was begun",
        "another time than it is bound to",
        "another revision",
        "another EtcdCluster",
        "another etcd cluster",
        "without encryption",
        "another key",
        "not encrypted",
        "not encrypted, as it says",
        "no snapshot",
    ],
)
async def test_what_no_first_try_can_have_left_is_no_backup(
    paths: WorkerPaths, content: bytes, told: dict[str, Any]
) -> None:
    stored(paths, content, **told)
    with pytest.raises(WorkerError) as raised:
        await again(paths)
    assert raised.value.reason is Reason.OBJECT_ALTERED


async def test_without_encryption_it_is_a_snapshot_at_least(paths: WorkerPaths) -> None:
    stored(paths, SNAPSHOT, encryption=None)
    assert (await again(paths, None)).size == len(SNAPSHOT)
    stored(paths, b"garbage", encryption=None)
    with pytest.raises(WorkerError, match="no snapshot of etcd"):
        await again(paths, None)


# --- two that overlap


def described(content: bytes) -> Description:
    return Description(
        key=KEY,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        snapshot_size=len(content),
        contents=Contents(revision=5),
        origin=Origin.model_validate(ORIGIN),
        created=BEGUN,
    )


def source(*pieces: bytes) -> Source:
    async def given() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return opening(given)


def opening(given: Callable[[], AsyncIterator[bytes]]) -> Source:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Content]:
        yield Content(given())

    return opened


async def test_what_another_try_has_stored_is_not_taken_back(paths: WorkerPaths) -> None:
    store = DirectoryStore(paths.below(spec.DIRECTORY), "")
    first = await store.write(KEY, source(b"one"))
    assert not await store.replaced(KEY, first)
    second = await store.write(KEY, source(b"two"))
    assert await store.replaced(KEY, first)
    await catalog.describe(store, described(b"two"))

    await catalog.take_back(store, described(b"one"), first)
    assert await store.get(KEY, 9) == b"two"
    assert await catalog.described(store, KEY) is not None

    await catalog.take_back(store, described(b"two"), second)
    assert await store.get(KEY, 9) is None
    assert await catalog.described(store, KEY) is None


async def test_one_that_lives_on_writes_into_no_file_of_another(paths: WorkerPaths) -> None:
    store = DirectoryStore(paths.below(spec.DIRECTORY), "")
    folder = (paths.below(spec.DIRECTORY) / KEY).parent

    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await store.write(KEY, source(b"two"))
        yield b"late"

    with pytest.raises(WorkerError) as raised:
        await store.write(KEY, opening(slow))

    assert raised.value.reason is Reason.OVERTAKEN
    assert await store.get(KEY, 9) == b"two"
    assert [file.name for file in folder.iterdir()] == [Path(KEY).name]


async def test_one_that_ends_leaves_the_file_that_another_writes(paths: WorkerPaths) -> None:
    store = DirectoryStore(paths.below(spec.DIRECTORY), "")

    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        ended.set()
        await taken.wait()
        raise WorkerError(Reason.ETCD_UNREACHABLE, "gone")

    async def whole() -> AsyncIterator[bytes]:
        yield b"two"
        taken.set()
        await asyncio.gather(first, return_exceptions=True)
        yield b"!"

    ended, taken = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(store.write(KEY, opening(broken)))
    await ended.wait()
    await store.write(KEY, opening(whole))

    assert isinstance(first.exception(), WorkerError)
    assert await store.get(KEY, 9) == b"two!"


# --- two tries of one EtcdBackup


class FakeMember:
    """A member that gives the same database again and again, or another one."""

    database = DATABASE

    def __init__(self, *_args: Any, **_more: Any) -> None:
        """As a `Member`."""

    async def __aenter__(self) -> FakeMember:
        return self

    async def __aexit__(self, *_args: object) -> None:
        pass

    async def status(self) -> Any:
        return SimpleNamespace(version="3.6.10", cluster_id="abc", revision=77, db_size=4096)

    async def keys(self, _revision: int) -> int:
        return 3

    async def hash(self, _revision: int) -> Hash | None:
        return None

    async def value(self, *_args: Any) -> None:
        return None

    async def snapshot(self) -> AsyncIterator[Block]:
        whole = self.database + hashlib.sha256(self.database).digest()
        yield Block(whole, len(self.database))


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> type[FakeMember]:
    monkeypatch.setattr(FakeMember, "database", DATABASE)
    monkeypatch.setattr(command, "Member", FakeMember)
    return FakeMember


def a_try(number: int) -> spec.BackupSpec:
    return spec.BackupSpec(
        etcd=spec.EtcdAccess(endpoint="http://127.0.0.1:1"),
        store=spec.DirectoryStore(),
        key=key_of_try(KEY, number),
        attempt=number,
        origin=Origin.model_validate(ORIGIN),
    )


def files(paths: WorkerPaths) -> set[str]:
    folder = (paths.below(spec.DIRECTORY) / KEY).parent
    return {file.name for file in folder.iterdir()}


def names(*numbers: int) -> set[str]:
    """What complete tries leave."""
    keys = [Path(key_of_try(KEY, number)).name for number in numbers]
    return {*keys, *(f"{key}.json" for key in keys)}


@pytest.mark.parametrize("database", [DATABASE, b"\1" * 4096], ids=["the same", "others"])
@pytest.mark.parametrize("at", ["_read_back", "_alone", "describe"])
async def test_one_that_lives_on_harms_no_later_one(
    paths: WorkerPaths,
    member: type[FakeMember],
    monkeypatch: pytest.MonkeyPatch,
    at: str,
    database: bytes,
) -> None:
    """Its node hangs at some moment, and goes on when the next one is complete."""
    hung, goes_on = asyncio.Event(), asyncio.Event()
    where = catalog if at == "describe" else command
    real = getattr(where, at)

    async def hanging(*args: Any) -> Any:
        monkeypatch.setattr(where, at, real)
        hung.set()
        await goes_on.wait()
        return await real(*args)

    monkeypatch.setattr(where, at, hanging)
    first = asyncio.create_task(backup(a_try(1), paths))
    await hung.wait()
    member.database = database
    second = (await backup(a_try(2), paths)).description
    goes_on.set()
    await asyncio.gather(first, return_exceptions=True)

    assert names(2) <= files(paths)
    for sha256 in (second.sha256, None):
        given = spec.FetchSpec(
            store=spec.DirectoryStore(), key=second.key, sha256=sha256, file=None
        )
        assert (await fetch(given, paths)).size == len(SNAPSHOT)


async def test_what_earlier_ones_have_left_goes_when_it_is_of_no_use_any_more(
    paths: WorkerPaths, member: type[FakeMember], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(paths.below(spec.DIRECTORY), "")
    await backup(a_try(1), paths)
    await store.write(key_of_try(KEY, 2), source(b"of one that was killed"))

    async def silent(*_args: Any) -> None:
        raise WorkerError(Reason.ETCD_SILENT, "says nothing")

    with monkeypatch.context() as m:
        m.setattr(member, "status", silent)
        with pytest.raises(WorkerError):
            await backup(a_try(3), paths)
    assert files(paths) == names(1), "a complete one stays until there is another"

    await backup(a_try(4), paths)
    assert files(paths) == names(4)


async def test_all_that_any_try_has_left_goes_with_the_backup(paths: WorkerPaths) -> None:
    store = DirectoryStore(paths.below(spec.DIRECTORY), "")
    others = KEY.replace("-one-", "-two-")
    for key in (KEY, key_of_try(KEY, 2), key_of_try(KEY, 3), others):
        await store.write(key, source(b"one"))
    removal = spec.RemoveSpec(store=spec.DirectoryStore(), key=key_of_try(KEY, 2), attempts=3)
    assert (await catalog.remove(removal, paths)).existed
    assert files(paths) == {Path(others).name}


@pytest.mark.parametrize("key", ["a/one-20260101-0600-abcdef01.snapshot", KEY])
def test_no_two_tries_have_a_key_in_common(key: str) -> None:
    third = key_of_try(key, 3)
    assert (key_of_try(third, 1), key_of_try(third, 3)) == (key, third)
    assert len({key_of_try(key, n) for n in range(1, 400)}) == 399
    assert keys_of_tries(third, 2) == [key, key_of_try(key, 2), third]
    assert time_of(third) == time_of(key)


def test_a_key_that_ends_in_no_uid_is_nobody_elses() -> None:
    odd = "a/one.snapshot"
    assert keys_of_tries(odd, 5) == [odd]
