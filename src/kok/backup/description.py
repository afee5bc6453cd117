"""What is known of a stored backup; kept beside it, so that a bucket explains itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from kok.backup.model import Model

SNAPSHOT_SUFFIX = ".snapshot"
DESCRIPTION_SUFFIX = ".json"
"""Beside each complete backup `<key>` lies `<key>.json`, a `Description`, written last."""

Key = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*\.snapshot$",
        max_length=768,
    ),
]
"""Where a backup lies below the store's prefix: `team-a/shop/20260102T030405Z-one-1f0c2b3a.snapshot`."""
_MOST = 2**62
"""No number of an etcd reaches it; the API server takes none from 2^63 on."""
_TIME, _TIMED = "%Y%m%dT%H%M%SZ", re.compile(r"(?:^|/)(\d{8}T\d{6}Z)-[^/]*$")
_TRY = re.compile(r"(-[0-9a-f]{8})(?:-[1-9]\d{0,5})?(\.snapshot)$")
"""The end of a key: a part of the EtcdBackup's UID, and the number of the try from the second on."""


def key_of(folder: str, name: str, begun: datetime) -> str:
    """The key of a backup that is called `name` and was `begun` then, to the second."""
    return f"{folder}/{begun.astimezone(UTC):{_TIME}}-{name}{SNAPSHOT_SUFFIX}"


def time_of(key: str) -> datetime | None:
    """When the backup was begun that lies at a key; None for one without a time."""
    named = _TIMED.search(key)
    try:
        return datetime.strptime(named[1], _TIME).replace(tzinfo=UTC) if named else None
    except ValueError:
        return None


def key_of_try(key: str, number: int) -> str:
    """Where a try of a backup stores it, by the key of any of its tries: no two of them share one.

    A try that was given up may live on, on a node that is cut off: whatever it still does, and
    whenever that arrives, is done to its own key.

    >>> key_of_try("team-a/shop/20260102T030405Z-one-1f0c2b3a.snapshot", 2)
    'team-a/shop/20260102T030405Z-one-1f0c2b3a-2.snapshot'
    """
    return _TRY.sub(rf"\1{'' if number < 2 else f'-{number}'}\2", key)


def keys_of_tries(key: str, count: int) -> list[str]:
    """The keys of the first so many tries of a backup, by that of any of them, and `key` itself.

    It may be one of an earlier release, whose tries had all the same.
    """
    return list(dict.fromkeys([*(key_of_try(key, n) for n in range(1, count + 1)), key]))


Prefix = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$", max_length=255
    ),
]
"""Folders without a slash at either end; empty for none."""
SHA256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Origin(Model):
    """Whose data a backup holds; told by the operator and kept beside the backup."""

    namespace: str = Field(max_length=253)
    name: str = Field(max_length=253)
    """The EtcdCluster."""
    cluster_id: str | None = Field(default=None, alias="clusterID", max_length=253)
    """ID of the etcd cluster in hexadecimal. Another one found at the endpoint is refused."""
    backup_uid: str = Field(alias="backupUID", max_length=253)
    """UID of the EtcdBackup: a second try finds the first one's work by it, and nobody else's."""


class Contents(Model):
    """What etcd held at one revision; what could not be found out is absent."""

    revision: int = Field(ge=1, lt=_MOST)
    """Every write acknowledged up to it is in the snapshot, and perhaps some later ones."""
    etcd_version: str = Field(default="", max_length=253)
    keys: int | None = Field(default=None, ge=0, lt=_MOST)
    """Live keys at `revision`."""
    hash: int | None = Field(default=None, ge=0, lt=2**32)
    """HashKV at `revision`; comparable only between equal versions and `compact_revision`s."""
    compact_revision: int | None = Field(default=None, ge=-1, lt=_MOST)
    """Revision up to which history was compacted when the hash was made."""
    sealed_keys: str | None = Field(default=None, max_length=253)
    """SHA-256 of the sealed keys that it holds, see `sealing`; absent: it holds none."""


class Encryption(Model):
    """How a stored object was encrypted by us; see `encryption.py`."""

    algorithm: Literal["AES-256-GCM-STREAM"] = "AES-256-GCM-STREAM"
    key_id: str = Field(alias="keyID", max_length=253)
    """Tells keys apart without telling anything of them."""


class Description(Model):
    """All that is to be known of a complete backup; lies beside it, and stands in the report."""

    format: Literal[1] = 1
    key: Key
    size: int = Field(ge=0, lt=_MOST)
    """Bytes of the stored object."""
    sha256: SHA256
    """Of the stored object: of what lies there, encrypted or not."""
    snapshot_size: int = Field(ge=0, lt=_MOST)
    """Bytes of the snapshot as etcd sent it, its checksum included."""
    contents: Contents
    origin: Origin
    encryption: Encryption | None = None
    created: AwareDatetime
    """When the snapshot was begun."""
