"""From a store as users write it to what a worker is told and has mounted. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from kok import pki
from kok.api.etcd.store import BackupEncryption, BackupStore, S3Store, TrustedCA
from kok.api.meta import Kind, Manifest
from kok.backup import spec as worker
from kok.backup.encryption.encryption import Key, parse_key, unusable
from kok.backup.errors import WorkerError
from kok.kube import kinds

KEYS = 256
"""Entries of a Secret of encryption keys that are looked at, in the order of their names."""
READABLE = 0o440
"""Mode of mounted Secrets: for the group of the pod."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume of a worker's pod; `source` is the volume without its name."""

    name: str
    path: PurePosixPath
    source: Manifest
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Needed:
    """An object of the user that a Job cannot do without, and the keys that it must have."""

    kind: Kind
    name: str
    keys: tuple[str, ...]
    where: str
    """The field that names it."""
    of_keys: bool = False
    """Whether at least one entry has to be a key by which backups are encrypted."""


def told(store: BackupStore) -> worker.S3Store | worker.DirectoryStore:
    """The store as the worker is told of it."""
    if store.volume is not None:
        return worker.DirectoryStore(prefix=store.volume.path)
    s3 = _s3(store)
    return worker.S3Store(
        endpoint=s3.endpoint.rstrip("/") or f"https://s3.{s3.region}.amazonaws.com",
        region=s3.region,
        bucket=s3.bucket,
        prefix=s3.prefix,
        path_style=s3.path_style,
        custom_ca=s3.ca is not None,
        server_side_encryption=s3.server_side_encryption,
        kms_key_id=s3.kms_key_id,
    )


def mounts(store: BackupStore, encryption: BackupEncryption | None, *, writes: bool) -> list[Mount]:
    """What a worker that uses the store needs; `writes` tells whether it changes what is there."""
    found: list[Mount] = []
    if store.volume is not None:
        claim = {"persistentVolumeClaim": {"claimName": store.volume.claim}}
        found.append(Mount("store", worker.DIRECTORY, claim, read_only=not writes))
    else:
        s3 = _s3(store)
        found.append(Mount("s3", worker.S3_CREDENTIALS, secret(s3.secret)))
        if s3.ca is not None:
            found.append(Mount("s3-ca", worker.S3_CA, _ca(s3.ca)))
    if encryption is not None:
        found.append(Mount("encryption", worker.ENCRYPTION_KEYS, secret(encryption.secret)))
    return found


def needed(store: BackupStore, encryption: BackupEncryption | None) -> Iterator[Needed]:
    """The objects that have to exist before a Job is made: its pod would wait for them for ever."""
    if store.volume is not None:
        yield Needed(kinds.PVC, store.volume.claim, (), "store.volume.claim")
    else:
        s3 = _s3(store)
        keys = (worker.S3_ACCESS_KEY_ID, worker.S3_SECRET_ACCESS_KEY)
        yield Needed(kinds.SECRET, s3.secret, keys, "store.s3.secret")
        if s3.ca is not None:
            kind = kinds.SECRET if s3.ca.secret else kinds.CONFIGMAP
            name = s3.ca.secret or s3.ca.config_map
            yield Needed(kind, name, (s3.ca.key,), "store.s3.ca")
    if encryption is not None:
        entry = (encryption.key,)
        yield Needed(kinds.SECRET, encryption.secret, entry, "encryption.secret", of_keys=True)


def lacks(need: Needed, namespace: str, live: Manifest | None) -> str | None:
    """What is wrong with an object that is needed, as a sentence; None if it is as it should be."""
    if live is None:
        keys = f" with {' and '.join(need.keys)}" if need.keys else ""
        return (
            f"{need.kind.kind} {namespace}/{need.name} of {need.where} does not exist; create "
            f"it{keys}"
        )
    missing = [key for key in need.keys if not (live.get("data") or {}).get(key)]
    what = f"{need.kind.kind} {namespace}/{need.name} of {need.where}"
    if missing:
        return f"{what} has no {' and no '.join(missing)}; add it"
    if need.of_keys and not encryption_keys(live):
        return unusable(what, sorted(live["data"]))
    return None


def encryption_keys(secret: Manifest | None) -> dict[str, Key]:
    """The keys in a Secret by their names; what is none is left out."""
    found = {}
    for name in islice(sorted((secret or {}).get("data") or {}), KEYS):
        try:
            found[name] = parse_key(pki.decode(secret, name) or b"", name)
        except (WorkerError, pki.PkiError):
            continue
    return found


def secret(name: str) -> Manifest:
    """A volume with all of a Secret."""
    return {"secret": {"secretName": name, "defaultMode": READABLE}}


def _ca(ca: TrustedCA) -> Manifest:
    item = {"key": ca.key, "path": worker.S3_CA_FILE}
    if ca.secret:
        return {"secret": {"secretName": ca.secret, "defaultMode": READABLE, "items": [item]}}
    return {"configMap": {"name": ca.config_map, "defaultMode": READABLE, "items": [item]}}


def _s3(store: BackupStore) -> S3Store:
    if store.s3 is None:
        raise ValueError("a store is either s3 or volume, as the CRD demands")
    return store.s3
