"""Who may write to a store passes off nothing of his own for a backup."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from kok.operators.etcd.worker import catalog, spec
from kok.operators.etcd.worker.errors import WorkerError
from kok.operators.etcd.worker.fetch import fetch
from kok.operators.etcd.worker.places import Places
from kok.operators.etcd.worker.reasons import Reason

UNDER = "team-a/shop"
STORE = spec.DirectoryStore()
DATABASE = b"\0" * 4096
SNAPSHOT = DATABASE + hashlib.sha256(DATABASE).digest()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A volume with an empty store."""
    made = Places(tmp_path)
    for path in (made.below(spec.DIRECTORY) / UNDER, made.volume):
        path.mkdir(parents=True)
    return made


def plant(places: Places, name: str, content: bytes = SNAPSHOT, **told: Any) -> str:
    """A plain database, with a description that fits."""
    key = f"{UNDER}/{name}.snapshot"
    path = places.below(spec.DIRECTORY) / key
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


def mount(places: Places, **entries: bytes) -> None:
    """The Secret of encryption keys."""
    places.encryption_keys.mkdir(parents=True)
    for name, value in entries.items():
        (places.encryption_keys / name).write_bytes(value)


async def newest(places: Places) -> str | None:
    listing = await catalog.list_(spec.ListSpec(store=STORE, under=UNDER), places)
    return listing.newest.key if listing.newest is not None else None


@pytest.mark.parametrize("known", [True, False], ids=["its SHA-256 is known", "by its key"])
async def test_where_encryption_is_set_nothing_plain_is_restored(
    places: Places, *, known: bool
) -> None:
    """Not even one whose SHA-256 was told by what lies beside it, as that of the newest is."""
    key = plant(places, "20260101T000000Z-zzzzz")
    sha256 = hashlib.sha256(SNAPSHOT).hexdigest() if known else None
    given = spec.FetchSpec(store=STORE, key=key, sha256=sha256)
    assert (await fetch(given, places)).size == len(SNAPSHOT), "the same without encryption"
    mount(places, key=base64.b64encode(os.urandom(32)))
    with pytest.raises(WorkerError, match="not encrypted, although encryption is set"):
        await fetch(given.model_copy(update={"encrypted": True}), places)


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
    places: Places, entries: dict[str, bytes]
) -> None:
    """What the Secret happens to hold does not decide whether plain backups are taken."""
    key = plant(places, "20260101T000000Z-zzzzz")
    mount(places, **entries)
    with pytest.raises(WorkerError) as raised:
        await fetch(spec.FetchSpec(store=STORE, key=key, encrypted=True), places)
    assert raised.value.reason is Reason.CREDENTIALS_UNUSABLE
    assert ", ".join(entries) in raised.value.message
    assert "32 random bytes, raw or in base64" in raised.value.message
    assert not list(places.volume.iterdir())


async def test_the_newest_is_the_newest_by_its_key(places: Places) -> None:
    """An encrypted backup is bound to its key, and not to what is told beside it."""
    plant(places, "20260101T000000Z-aaaaa", created="2099-01-01T00:00:00Z")
    later = plant(places, "20260102T000000Z-aaaaa", created="2026-01-02T00:00:00Z")
    assert await newest(places) == later


@pytest.mark.parametrize(
    "told",
    [
        {"created": "2026-01-03T00:00:00"},
        {"contents": {"revision": -(2**62), "etcdVersion": "3.6.10"}},
        {"contents": {"revision": 2**63 - 1, "etcdVersion": "3.6.10"}},
    ],
    ids=["no time zone", "below nothing", "beyond all"],
)
async def test_a_description_that_cannot_be_true_is_none(
    places: Places, told: dict[str, Any]
) -> None:
    good = plant(places, "20260101T000000Z-aaaaa")
    plant(places, "20260103T000000Z-aaaaa", **told)
    assert await newest(places) == good


async def test_more_than_was_written_is_not_taken(places: Places) -> None:
    """A store could send for ever, and the node's disk is everybody's."""
    key = plant(places, "20260101T000000Z-aaaaa", SNAPSHOT + b"x" * 2**22)
    with pytest.raises(
        WorkerError, match=re.escape(f"more than the {len(SNAPSHOT)} bytes")
    ) as raised:
        await fetch(spec.FetchSpec(store=STORE, key=key), places)
    assert raised.value.reason is Reason.OBJECT_ALTERED
    assert not list(places.volume.iterdir())


async def test_what_is_only_read_is_not_written(places: Places) -> None:
    key = plant(places, "20260101T000000Z-aaaaa")
    assert (await fetch(spec.FetchSpec(store=STORE, key=key, file=None), places)).size == 4128
    assert not list(places.volume.iterdir())
