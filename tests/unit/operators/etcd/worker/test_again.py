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
from typing import Any

import pytest

from kok.operators.etcd.worker import catalog, spec
from kok.operators.etcd.worker.backup import backup
from kok.operators.etcd.worker.description import Contents, Description, Origin
from kok.operators.etcd.worker.directory import DirectoryStore
from kok.operators.etcd.worker.encryption import Encryptor, Key, Whose
from kok.operators.etcd.worker.errors import WorkerError
from kok.operators.etcd.worker.places import Places
from kok.operators.etcd.worker.reasons import Reason
from kok.operators.etcd.worker.store import Content, Source

BEGUN = datetime(2026, 11, 29, 17, 0, 1, tzinfo=UTC)
KEY = "team-a/shop/20261129T170000Z-one-abcdef12.snapshot"
DATABASE = b"\0" * 4096
SNAPSHOT = DATABASE + hashlib.sha256(DATABASE).digest()
SECRET = os.urandom(32)
ORIGIN = {"namespace": "team-a", "name": "shop", "backupUID": "uid-1", "clusterID": "abc"}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A volume, and the Secret of encryption keys."""
    made = Places(tmp_path)
    (made.below(spec.DIRECTORY) / KEY).parent.mkdir(parents=True)
    made.encryption_keys.mkdir(parents=True)
    (made.encryption_keys / "key").write_bytes(SECRET)
    return made


def stored(places: Places, content: bytes, **told: Any) -> dict[str, Any]:
    """What lies there when the second try comes; its description."""
    path = places.below(spec.DIRECTORY) / KEY
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
    one = Encryptor(Key(SECRET), Whose("team-a/shop", KEY, **bound))
    return one.feed(SNAPSHOT) + one.finish()


async def again(places: Places, key: str | None = "key") -> Description:
    """A second try; there is no etcd that it could ask anew."""
    given = spec.BackupSpec(
        etcd=spec.EtcdAccess(endpoint="http://127.0.0.1:1"),
        store=spec.DirectoryStore(),
        key=KEY,
        encryption_key=key,
        origin=Origin.model_validate(ORIGIN),
    )
    return (await backup(given, places)).description


async def test_what_the_first_try_stored_is_found(places: Places) -> None:
    told = stored(places, sealed())
    assert (await again(places)).sha256 == told["sha256"]


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
    places: Places, content: bytes, told: dict[str, Any]
) -> None:
    stored(places, content, **told)
    with pytest.raises(WorkerError) as raised:
        await again(places)
    assert raised.value.reason is Reason.OBJECT_ALTERED


async def test_without_encryption_it_is_a_snapshot_at_least(places: Places) -> None:
    stored(places, SNAPSHOT, encryption=None)
    assert (await again(places, None)).size == len(SNAPSHOT)
    stored(places, b"garbage", encryption=None)
    with pytest.raises(WorkerError, match="no snapshot of etcd"):
        await again(places, None)


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


async def test_what_another_try_has_stored_is_not_taken_back(places: Places) -> None:
    store = DirectoryStore(places.below(spec.DIRECTORY), "")
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


async def test_one_that_lives_on_writes_into_no_file_of_another(places: Places) -> None:
    store = DirectoryStore(places.below(spec.DIRECTORY), "")
    folder = (places.below(spec.DIRECTORY) / KEY).parent

    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await store.write(KEY, source(b"two"))
        yield b"late"

    with pytest.raises(WorkerError) as raised:
        await store.write(KEY, opening(slow))

    assert raised.value.reason is Reason.OVERTAKEN
    assert await store.get(KEY, 9) == b"two"
    assert [file.name for file in folder.iterdir()] == [Path(KEY).name]


async def test_one_that_ends_leaves_the_file_that_another_writes(places: Places) -> None:
    store = DirectoryStore(places.below(spec.DIRECTORY), "")

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
