"""Who may write to a store passes off nothing of his own for a backup."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import NOW
from tests.unit.operators.etcd.etcdbackup.builders import a_backup

from kok.backup import spec
from kok.backup.commands import catalog
from kok.backup.commands.fetch import fetch
from kok.backup.encryption.encryption import CHUNK, UNBOUND, Binding, Encryptor, Key
from kok.backup.errors import WorkerError
from kok.backup.paths import WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.report import ListResult
from kok.operators.etcd.etcdbackup import attempts

UNDER = "team-a/shop"
STORE = spec.DirectoryStore()
DATABASE = b"\0" * 4096
SNAPSHOT = DATABASE + hashlib.sha256(DATABASE).digest()


@pytest.fixture
def paths(tmp_path: Path) -> WorkerPaths:
    """A volume with an empty store."""
    made = WorkerPaths(tmp_path)
    for path in (made.below(spec.DIRECTORY) / UNDER, made.volume):
        path.mkdir(parents=True)
    return made


def plant(paths: WorkerPaths, name: str, content: bytes = SNAPSHOT, **told: Any) -> str:
    """A plain database, with a description that fits."""
    key = f"{UNDER}/{name}.snapshot"
    path = paths.below(spec.DIRECTORY) / key
    path.write_bytes(content)
    description = {
        "format": 1,
        "key": key,
        "size": len(SNAPSHOT),
        "sha256": hashlib.sha256(SNAPSHOT).hexdigest(),
        "snapshotSize": len(SNAPSHOT),
        "contents": {"revision": 5, "etcdVersion": "3.6.10"},
        "origin": {"namespace": "team-a", "name": "shop", "backupUID": "uid"},
        "created": "2026-01-01T00:00:00Z",
    }
    Path(f"{path}.json").write_text(json.dumps({**description, **told}))
    return key


def mount(paths: WorkerPaths, **entries: bytes) -> None:
    """The Secret of encryption keys."""
    paths.encryption_keys.mkdir(parents=True)
    for name, value in entries.items():
        (paths.encryption_keys / name).write_bytes(value)


async def newest(paths: WorkerPaths) -> str | None:
    listing = await catalog.list_(spec.ListSpec(store=STORE, under=UNDER), paths)
    return listing.newest.key if listing.newest is not None else None


@pytest.mark.parametrize("known", [True, False], ids=["its SHA-256 is known", "by its key"])
async def test_where_encryption_is_set_nothing_plain_is_restored(
    paths: WorkerPaths, *, known: bool
) -> None:
    """Not even one whose SHA-256 was told by what lies beside it, as that of the newest is."""
    key = plant(paths, "20260101T000000Z-zzzzz")
    sha256 = hashlib.sha256(SNAPSHOT).hexdigest() if known else None
    given = spec.FetchSpec(store=STORE, key=key, sha256=sha256)
    assert (await fetch(given, paths)).size == len(SNAPSHOT), "the same without encryption"
    mount(paths, key=base64.b64encode(os.urandom(32)))
    with pytest.raises(WorkerError, match="not encrypted, although encryption is set"):
        await fetch(given.model_copy(update={"encrypted": True}), paths)


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"key": os.urandom(32).hex().encode()},
        {"key": base64.b64encode(os.urandom(16))},
        {"key": b"correct horse battery staple", "note": b"see the vault"},
    ],
    ids=["no entry", "hexadecimal", "too short", "a passphrase"],
)
async def test_a_secret_without_a_key_is_no_way_around_encryption(
    paths: WorkerPaths, entries: dict[str, bytes]
) -> None:
    """What the Secret happens to hold does not decide whether plain backups are taken."""
    key = plant(paths, "20260101T000000Z-zzzzz")
    mount(paths, **entries)
    with pytest.raises(WorkerError) as raised:
        await fetch(spec.FetchSpec(store=STORE, key=key, encrypted=True), paths)
    assert raised.value.reason is Reason.CREDENTIALS_UNUSABLE
    assert ", ".join(entries) in raised.value.message
    assert "32 random bytes, raw or in base64" in raised.value.message
    assert not list(paths.volume.iterdir())


def given(name: str, begun: datetime) -> str:
    """The key that KOK gives to a backup, without folders and suffix."""
    backup = a_backup(name, age=NOW - begun, spec={"etcdCluster": "shop"})
    folder, _, key = attempts.key(backup, begun).rpartition("/")
    assert folder == UNDER
    return key.removesuffix(".snapshot")


def test_a_key_of_the_longest_name_fits_into_the_name_of_a_file() -> None:
    assert len(f"{given('n' * 253, NOW)}.snapshot.json.partial") < 255


DAY = timedelta(days=1)


async def test_the_newest_is_the_newest_by_its_key(paths: WorkerPaths) -> None:
    """An encrypted backup is bound to its key, and not to what is told beside it."""
    plant(paths, given("z-first", NOW), created="2099-01-01T00:00:00Z")
    later = plant(paths, given("a-second", NOW + DAY), created="2026-01-02T00:00:00Z")
    assert await newest(paths) == later


@pytest.mark.parametrize("old", ["shop-20990101-0600-abcdef01", "20269999T999999Z-one-abcdef01"])
async def test_a_key_without_a_time_is_behind_all_that_have_one(
    paths: WorkerPaths, old: str
) -> None:
    """Such as earlier releases gave; among themselves their descriptions decide."""
    plant(paths, "shop-20260101-0600-abcdef01", created="2026-01-01T06:00:00Z")
    latest = plant(paths, old, created="2099-01-01T00:00:00Z")
    assert await newest(paths) == latest
    timed = plant(paths, given("one", NOW), created=NOW.isoformat())
    assert await newest(paths) == timed


def sealed(paths: WorkerPaths, bound: dict[str, Any], **told: Any) -> str:
    """A complete encrypted backup that is `bound` to time and revision; its key."""
    name, secret = given("one", NOW), os.urandom(32)
    mount(paths, key=secret)
    one = Encryptor(Key(secret), Binding("team-a/shop", f"{UNDER}/{name}.snapshot", **bound))
    stored = one.feed(SNAPSHOT) + one.finish()
    said = {"size": len(stored), "sha256": hashlib.sha256(stored).hexdigest()}
    description = {"created": NOW.isoformat(), **said, **told}
    return plant(paths, name, stored, **description)


def unbound(paths: WorkerPaths) -> bytes:
    """An encrypted backup as the first releases wrote it, and its key in the Secret."""
    secret = os.urandom(32)
    mount(paths, key=secret)
    header = UNBOUND + Key(secret).id + os.urandom(32) + CHUNK.to_bytes(4, "big")
    return header + Key(secret).for_object(header).encrypt(bytes(11) + b"\1", SNAPSHOT, None)


def described(stored: bytes, created: datetime) -> dict[str, Any]:
    """What fits a stored backup."""
    sha256 = hashlib.sha256(stored).hexdigest()
    return {"created": created.isoformat(), "size": len(stored), "sha256": sha256}


@pytest.mark.parametrize("known", [True, False], ids=["its SHA-256 is known", "by its key"])
@pytest.mark.parametrize("file", ["snapshot.db", None], ids=["restore", "verify"])
async def test_a_backup_that_is_bound_to_nothing_is_none_at_a_key_with_a_time(
    paths: WorkerPaths, file: str | None, *, known: bool
) -> None:
    """Who has no key copies it there, with a description that fits."""
    stored = unbound(paths)
    honest = plant(paths, "shop-20250101-0600-abcdef01", stored, **described(stored, NOW))
    one = spec.FetchSpec(store=STORE, key=honest, encrypted=True, file=file)
    assert (await fetch(one, paths)).size == len(SNAPSHOT), "where the release put it, it opens"
    (paths.volume / "snapshot.db").unlink(missing_ok=True)
    copied = plant(paths, given("one", NOW), stored, **described(stored, NOW))
    sha256 = hashlib.sha256(stored).hexdigest() if known else None
    with pytest.raises(WorkerError, match="an old one was put in the place of a new one") as raised:
        await fetch(one.model_copy(update={"key": copied, "sha256": sha256}), paths)
    assert raised.value.reason is Reason.OBJECT_ALTERED
    assert not list(paths.volume.iterdir())


async def test_a_backup_that_is_bound_to_nothing_is_not_the_newest(paths: WorkerPaths) -> None:
    stored = unbound(paths)
    old = plant(paths, "shop-20250101-0600-abcdef01", stored, **described(stored, NOW))
    for day in range(1, 4):
        at = NOW + day * DAY
        plant(paths, given("one", at), stored, **described(stored, at))
    assert await newest(paths) == old
    good = plant(paths, given("one", NOW))
    listing = await catalog.list_(spec.ListSpec(store=STORE, under=UNDER), paths)
    assert [listed.key for listed in listing.backups] == [good, old]
    assert (listing.total, listing.undescribed) == (2, 3)


BOUND = {"created": NOW, "revision": 5}
LATER = {"created": "2099-01-01T00:00:00Z"}
OTHER_REVISION = {"contents": {"revision": 4, "etcdVersion": "3.6.10"}}


@pytest.mark.parametrize("told", [LATER, OTHER_REVISION], ids=["time", "revision"])
async def test_an_encrypted_backup_is_what_its_description_says(
    paths: WorkerPaths, told: dict[str, Any]
) -> None:
    key = sealed(paths, BOUND, **told)
    with pytest.raises(WorkerError, match="its description says") as raised:
        await fetch(spec.FetchSpec(store=STORE, key=key, encrypted=True), paths)
    assert raised.value.reason is Reason.OBJECT_ALTERED
    assert not list(paths.volume.iterdir())


@pytest.mark.parametrize(
    ("bound", "told"), [(BOUND, {}), ({}, LATER)], ids=["as described", "of an earlier release"]
)
async def test_an_encrypted_backup_opens(
    paths: WorkerPaths, bound: dict[str, Any], told: dict[str, Any]
) -> None:
    key = sealed(paths, bound, **told)
    found = await fetch(spec.FetchSpec(store=STORE, key=key, encrypted=True), paths)
    assert found.size == len(SNAPSHOT)


@pytest.mark.parametrize(
    "told",
    [
        {"created": "2026-01-03T00:00:00"},
        {"contents": {"revision": -(2**62), "etcdVersion": "3.6.10"}},
        {"contents": {"revision": 2**63 - 1, "etcdVersion": "3.6.10"}},
        {"contents": {"revision": 5, "etcdVersion": "3" * 1000}},
        {"contents": {"revision": 5, "etcdVersion": "3.6.10", "keys": 10**30}},
        {"contents": {"revision": 5, "etcdVersion": "3.6.10", "hash": 2**32}},
        {"contents": {"revision": 5, "etcdVersion": "3.6.10", "compactRevision": -2}},
        {"size": 2**63},
        {"snapshotSize": -1},
    ],
    ids=[
        "no time zone",
        "below nothing",
        "beyond all",
        "too long",
        "more keys than can be",
        "no hash of etcd",
        "compacted before the beginning",
        "larger than anything",
        "smaller than nothing",
    ],
)
async def test_a_description_that_cannot_be_true_is_none(
    paths: WorkerPaths, told: dict[str, Any]
) -> None:
    good = plant(paths, "20260101T000000Z-aaaaa")
    plant(paths, "20260103T000000Z-aaaaa", **told)
    assert await newest(paths) == good


async def test_more_than_was_written_is_not_taken(paths: WorkerPaths) -> None:
    """A store could send for ever, and the node's disk is everybody's."""
    key = plant(paths, "20260101T000000Z-aaaaa", SNAPSHOT + b"x" * 2**22)
    with pytest.raises(
        WorkerError, match=re.escape(f"more than the {len(SNAPSHOT)} bytes")
    ) as raised:
        await fetch(spec.FetchSpec(store=STORE, key=key), paths)
    assert raised.value.reason is Reason.OBJECT_ALTERED
    assert not list(paths.volume.iterdir())


async def test_what_is_only_read_is_not_written(paths: WorkerPaths) -> None:
    key = plant(paths, "20260101T000000Z-aaaaa")
    assert (await fetch(spec.FetchSpec(store=STORE, key=key, file=None), paths)).size == 4128
    assert not list(paths.volume.iterdir())


# --- clocks


def daily(paths: WorkerPaths, days: int) -> list[str]:
    """One a day up to NOW, of one etcd cluster; the newest last."""
    return [
        of_cluster(paths, NOW - (days - n - 1) * DAY, revision=1000 + n, name=f"d{n}")
        for n in range(days)
    ]


def of_cluster(
    paths: WorkerPaths,
    begun: datetime,
    *,
    revision: int,
    name: str,
    created: datetime | None = None,
    cluster: str = "abc",
) -> str:
    origin = {"namespace": "team-a", "name": "shop", "backupUID": "uid", "clusterID": cluster}
    contents = {"revision": revision, "etcdVersion": "3.6.10"}
    told = {"created": (created or begun).isoformat(), "contents": contents, "origin": origin}
    return plant(paths, given(name, begun), **told)


async def listed(paths: WorkerPaths) -> ListResult:
    return await catalog.list_(spec.ListSpec(store=STORE, under=UNDER), paths)


@pytest.mark.parametrize("told", [NOW - 9 * DAY, NOW + 9000 * DAY], ids=["one", "all"])
async def test_a_backup_of_a_clock_that_was_ahead_is_not_the_newest(
    paths: WorkerPaths, told: datetime
) -> None:
    newest_of_all = daily(paths, 5)[-1]
    of_cluster(paths, NOW + 9000 * DAY, revision=5, name="ahead", created=told)

    found = await listed(paths)

    assert found.newest is not None
    assert (found.newest.key, found.doubt) == (newest_of_all, "")
    assert found.backups[0].key == newest_of_all


async def test_where_clocks_and_revisions_differ_both_are_named(paths: WorkerPaths) -> None:
    """As after days in which the operator's clock was behind."""
    by_clock = daily(paths, 5)[-1]
    by_data = of_cluster(paths, NOW - 3 * DAY, revision=5000, name="behind", created=NOW)
    found = await listed(paths)
    assert by_clock in found.doubt
    assert by_data in found.doubt


async def test_one_of_an_earlier_etcd_cluster_that_is_ahead_is_not_taken_in_silence(
    paths: WorkerPaths,
) -> None:
    daily(paths, 5)
    of_cluster(paths, NOW + 9000 * DAY, revision=5, name="ahead", cluster="of before")
    assert "is the newest, since a clock was or is wrong" in (await listed(paths)).doubt


def test_no_key_says_that_a_backup_was_begun_before_it_was_made() -> None:
    """Then it is the clock of the operator's node that is behind."""
    made = a_backup("one")
    right = attempts.key(made, NOW)
    assert attempts.key(made, NOW - 9 * DAY) == right
    assert attempts.key(made, NOW + DAY) > right
