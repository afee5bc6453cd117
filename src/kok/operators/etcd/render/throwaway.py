"""The pod that proves a backup: it is fetched, restored into a throw-away etcd, and compared."""

from __future__ import annotations

from dataclasses import dataclass

from kok.api.etcdstore import BackupEncryption, BackupStore
from kok.api.meta import Manifest
from kok.operators.etcd.backups import store as stores
from kok.operators.etcd.backups.store import Mount
from kok.operators.etcd.render.worker import Work, confined, pod, worker_container
from kok.operators.etcd.worker import spec as worker
from kok.operators.etcd.worker.description import Contents
from kok.versions import EtcdRelease

SNAPSHOT = "snapshot.db"
RESTORED = worker.VOLUME / "restored"
CLIENT = "http://127.0.0.1:2379"
PEER = "http://127.0.0.1:2380"
ROOM = 3
"""How many times a snapshot's size its proof takes: the snapshot, the database, the log."""
ROOM_AT_LEAST = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Proven:
    """A stored backup and what is known of it."""

    store: BackupStore
    encryption: BackupEncryption | None
    key: str
    sha256: str | None
    size: int
    contents: Contents


def proof_pod(work: Work, backup: Proven, etcd: EtcdRelease, registry: str) -> Manifest:
    """Nothing of it is kept. etcd is of the version that the backup was made of, which is the
    only one whose hashes can be compared.
    """
    image = etcd.image(registry)
    scratch = Mount("scratch", worker.VOLUME, {"emptyDir": {}}, read_only=False)
    store = stores.mounts(backup.store, backup.encryption, writes=False)
    fetch = worker.FetchSpec(
        store=stores.told(backup.store),
        key=backup.key,
        file=SNAPSHOT,
        sha256=backup.sha256,
        limits=worker.Limits(deadline=work.deadline),
    )
    check = worker.CheckSpec(endpoint=CLIENT, expect=backup.contents)
    fetching = worker_container(work, "fetch", fetch, [*store, scratch])
    room = {"ephemeral-storage": str(ROOM * backup.size + ROOM_AT_LEAST)}
    fetching["resources"] = {
        **fetching["resources"],
        "requests": {**fetching["resources"]["requests"], **room},
    }
    return pod(
        work,
        [worker_container(work, "check", check, [])],
        [*store, scratch],
        first=[
            fetching,
            _of_etcd("restore", image, restore_command(etcd), scratch),
            {**_of_etcd("etcd", image, _throwaway(), scratch), "restartPolicy": "Always"},
        ],
    )


def restore_command(etcd: EtcdRelease) -> list[str]:
    """As it is: with bumped revisions nothing could be compared."""
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
        f"--listen-peer-urls={PEER}",
        # Nothing is written that anybody would miss, and no quota is to be minded.
        "--unsafe-no-fsync=true",
        "--quota-backend-bytes=-1",
    ]


def _of_etcd(name: str, image: str, command: list[str], scratch: Mount) -> Manifest:
    """Without a limit of memory: etcd keeps an index of all keys there."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        **confined([scratch]),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
