"""EtcdBackups as tests ask for them, what they are taken of, and where they lie."""

from __future__ import annotations

from typing import Any

from tests.integration.operators.etcd.conftest import (
    World,
    condition,
    status,
)
from tests.integration.operators.etcd.kv import put
from tests.integration.operators.etcd.standin import StandIn

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.meta import Manifest
from kok.operators.etcd.naming import pod_endpoint

BACKUP = EtcdBackup.info.kind
STORE = {"volume": {"claim": "backups", "path": "site-a"}}


async def volume(world: World, name: str = "backups") -> None:
    """A volume for backups."""
    await world.kube.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )


async def ask(world: World, name: str = "one", **spec: Any) -> Manifest:
    """A backup that a person asks for."""
    return await world.kube.create(
        {
            "apiVersion": BACKUP.api_version,
            "kind": BACKUP.kind,
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {"etcdCluster": "e", **spec},
        }
    )


async def until_phase(world: World, phase: str, name: str = "one") -> Manifest:
    return await world.until(lambda m: status(m).get("phase") == phase, name, BACKUP)


async def until_reason(world: World, reason: str, name: str = "one") -> Manifest:
    return await world.until(lambda m: condition(m).get("reason") == reason, name, BACKUP)


async def filled(world: World, standin: StandIn, keys: int = 5, **spec: Any) -> None:
    """A cluster of one member with so many keys."""
    await world.make(**spec)
    await world.until_ready()
    credentials = await world.credentials()
    for number in range(keys):
        await put(credentials, pod_endpoint(standin.address("e-0")), f"k{number}", "v" * 100)


async def stored(world: World, standin: StandIn, name: str = "backups") -> list[str]:
    """The files in the volume."""
    root = await standin.volume(name)
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def verified(manifest: Manifest | None) -> str | None:
    return (status(manifest).get("verification") or {}).get("result")


async def at_least(world: World, cpu: str) -> None:
    """A LimitRange above what our containers ask for."""
    limits = [{"type": "Container", "min": {"cpu": cpu}}]
    await world.kube.create(
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "least", "namespace": world.namespace},
            "spec": {"limits": limits},
        }
    )


async def flip_a_bit(standin: StandIn, key: str) -> None:
    """In the middle of what is stored."""
    path = await standin.volume("backups") / "site-a" / key
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
