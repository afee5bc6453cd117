"""The pod that fills a new member's volume with a backup, as the only member of a new cluster."""

from __future__ import annotations

from pathlib import PurePosixPath

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.status import EtcdRestoreProgress
from kok.api.meta import Manifest
from kok.backup import spec as worker
from kok.operators.etcd import naming
from kok.operators.etcd.jobs import store as stores
from kok.operators.etcd.jobs.manifest import Work, pod
from kok.operators.etcd.jobs.proof_pod import SNAPSHOT, fetching, of_etcd, scratch
from kok.operators.etcd.jobs.store import Mount
from kok.operators.etcd.pods import DATA, placed
from kok.versions import EtcdRelease

ROOM = 1
"""How many times a snapshot's size lies beside the volume."""


def seed_pod(
    work: Work, obj: EtcdCluster, restore: EtcdRestoreProgress, member: str, etcd: EtcdRelease
) -> Manifest:
    """By etcd's tool of the version that is to run. It runs where the member may: a volume that
    waits for its first pod is made where that is.
    """
    data = Mount(
        "data",
        PurePosixPath(DATA),
        {"persistentVolumeClaim": {"claimName": member}},
        read_only=False,
    )
    store = stores.mounts(restore.source.store, restore.source.encryption, writes=False)
    image = etcd.image(obj.spec.images.registry)
    command = restore_command(obj, restore, member, etcd)
    space = scratch(restore.source, ROOM)
    made = pod(
        work,
        [of_etcd(work, "restore", image, command, [data, space])],
        [*store, data, space],
        first=[fetching(work, restore.source, ROOM)],
    )
    return {**made, **placed(obj)}


def restore_command(
    obj: EtcdCluster, restore: EtcdRestoreProgress, member: str, etcd: EtcdRelease
) -> list[str]:
    """Revisions are raised beyond any that a client has seen, and history ends with the backup:
    whoever watches has to read anew, and never sees time run backwards.
    """
    url = naming.peer_url(obj.name, obj.namespace, member)
    return [
        etcd.facts.snapshot_tool,
        "snapshot",
        "restore",
        str(worker.VOLUME / SNAPSHOT),
        f"--data-dir={DATA}/data",
        f"--name={member}",
        f"--initial-cluster={member}={url}",
        f"--initial-advertise-peer-urls={url}",
        f"--initial-cluster-token={restore.uid}",
        f"--bump-revision={restore.bump}",
        "--mark-compacted",
    ]
