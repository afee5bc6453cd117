"""The pod that proves a backup: it is fetched, restored into a throw-away etcd, and compared."""

from __future__ import annotations

from collections.abc import Sequence

from kok.api.etcd.store import StoredBackup
from kok.api.fields import Resources
from kok.api.meta import Manifest
from kok.backup import spec as worker
from kok.backup.description import Contents
from kok.operators.etcd.jobs import store as stores
from kok.operators.etcd.jobs.manifest import (
    OF_ETCD,
    SMALL,
    Work,
    confined,
    pod,
    resources,
    worker_container,
)
from kok.operators.etcd.jobs.store import Mount
from kok.versions import EtcdRelease

SNAPSHOT = "snapshot.db"
RESTORED = worker.VOLUME / "restored"
CLIENT = "https://127.0.0.1:2379"
PEER = "http://127.0.0.1:2380"
ROOM = 3
"""How many times a snapshot's size its proof takes: the snapshot, the database, the log."""
ROOM_AT_LEAST = 256 * 1024**2


def proof_pod(work: Work, backup: StoredBackup, etcd: EtcdRelease, registry: str) -> Manifest:
    """Nothing of it is kept. etcd is of the version that the backup was made of, which is the
    only one whose hashes can be compared. It is asked as the user `root`, who is needed where the
    authentication of the etcd that was backed up was on, and does not matter elsewhere.
    """
    image = etcd.image(registry)
    store = stores.mounts(backup.store, backup.encryption, writes=False)
    space = scratch(backup, ROOM)
    check = worker.CheckSpec(endpoint=CLIENT, expect=contents(backup))
    opens = [m for m in store if m.path == worker.ENCRYPTION_KEYS and backup.sealed_keys]
    return pod(
        work,
        [worker_container(work, "check", check, [space, *opens])],
        [*store, space],
        first=[
            fetching(work, backup, ROOM, root_pass=True),
            of_etcd(work, "restore", image, _restore(etcd), [space]),
            {**of_etcd(work, "etcd", image, _throwaway(), [space]), "restartPolicy": "Always"},
        ],
    )


def fetching(work: Work, backup: StoredBackup, room: int, *, root_pass: bool = False) -> Manifest:
    """The container that brings a snapshot into `scratch`; `room` is in sizes of the backup.

    `root_pass`: and a certificate by which the restored etcd can be asked.
    """
    fetch = worker.FetchSpec(
        store=stores.told(backup.store),
        key=backup.key,
        file=SNAPSHOT,
        sha256=backup.sha256,
        size=backup.size,
        encrypted=backup.encryption is not None,
        root_pass=root_pass,
        limits=worker.Limits(deadline=work.deadline),
    )
    store = stores.mounts(backup.store, backup.encryption, writes=False)
    made = worker_container(work, "fetch", fetch, [*store, scratch(backup, room)])
    needed = {"ephemeral-storage": _bytes(backup, room)}
    ours = Resources(requests={**SMALL.requests, **needed}, limits=SMALL.limits)
    return {**made, "resources": resources(ours, work.worker.resources)}


def scratch(backup: StoredBackup, room: int) -> Mount:
    """A directory for `room` times the backup, beyond which the pod is ended: the node's disk is
    everybody's.
    """
    source = {"emptyDir": {"sizeLimit": _bytes(backup, room)}}
    return Mount("scratch", worker.VOLUME, source, read_only=False)


def _bytes(backup: StoredBackup, room: int) -> str:
    return str(room * backup.size + ROOM_AT_LEAST)


def _restore(etcd: EtcdRelease) -> list[str]:
    """As it is: with raised revisions nothing could be compared."""
    return [
        etcd.facts.snapshot_tool,
        "snapshot",
        "restore",
        str(worker.VOLUME / SNAPSHOT),
        f"--data-dir={RESTORED}",
        "--name=proof",
        f"--initial-cluster=proof={PEER}",
        f"--initial-advertise-peer-urls={PEER}",
    ]


def _throwaway() -> list[str]:
    return [
        "etcd",
        "--name=proof",
        f"--data-dir={RESTORED}",
        f"--listen-client-urls={CLIENT}",
        f"--advertise-client-urls={CLIENT}",
        f"--cert-file={worker.ROOT_PASS}/tls.crt",
        f"--key-file={worker.ROOT_PASS}/tls.key",
        f"--trusted-ca-file={worker.ROOT_PASS}/ca.crt",
        "--client-cert-auth=true",
        f"--listen-peer-urls={PEER}",
        # Nothing is written that anybody would miss, and no quota is to be minded.
        "--unsafe-no-fsync=true",
        "--quota-backend-bytes=-1",
    ]


def of_etcd(
    work: Work, name: str, image: str, command: list[str], mounts: Sequence[Mount]
) -> Manifest:
    """A container that runs one of etcd's own programs."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": resources(OF_ETCD, work.worker.etcd_resources),
        **confined(mounts),
    }


def contents(backup: StoredBackup) -> Contents:
    """What a restored etcd is compared with."""
    return Contents(
        revision=backup.revision,
        etcd_version=backup.etcd_version,
        keys=backup.keys,
        hash=backup.hash,
        compact_revision=backup.compact_revision,
        sealed_keys=backup.sealed_keys,
    )
