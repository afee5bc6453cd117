"""Keys are kept in etcd, sealed, come along in each backup, and are given back by a restore."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.integration.operators.etcd.conftest import ETCD, World, condition, status
from tests.integration.operators.etcd.kv import get
from tests.integration.operators.etcd.standin import StandIn
from tests.integration.operators.etcd.test_backups import (
    BACKUP,
    STORE,
    ask,
    filled,
    until_phase,
    until_reason,
    verified,
    volume,
)

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd.client import EtcdClient
from kok.operators.etcd.layout import ANNOTATION_VERIFY, pod_endpoint
from kok.operators.etcd.worker import sealing
from kok.pki import decode
from kok.runtime.main import Process

BACKUP_KEY = base64.b64encode(b"k" * 32).decode()


async def secret(world: World, name: str, **entries: str) -> None:
    """A Secret of the user's."""
    await world.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": world.namespace},
            "stringData": entries,
        }
    )


def policy(**keys: Any) -> dict[str, Any]:
    keep = {"secrets": {"ca": "shop-ca"}, **keys}
    return {"store": STORE, "encryption": {"secret": "backup-keys"}, "keys": keep}


def told(manifest: Manifest | None, type_: str, holds: str) -> bool:
    return condition(manifest, type_).get("status") == holds


async def test_keys_go_with_every_backup_and_come_back(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await secret(world, "backup-keys", key=BACKUP_KEY)
    await secret(world, "shop-ca", cert="the certificate", key="the private key")
    await filled(world, standin, backup=policy())
    await ask(world)
    await until_phase(world, "Complete")
    await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)
    proven = await world.until(lambda m: verified(m) == "Passed", "one", BACKUP)
    assert "the keys in it open" in proven["status"]["verification"]["message"]
    credentials, at = await world.credentials(), pod_endpoint(standin.address("e-0"))
    lies = await get(credentials, at, sealing.WHERE.decode())
    assert lies is not None
    assert "private key" not in lies

    encryption = {"secret": "backup-keys"}
    source = {"store": STORE, "newestOf": f"{world.namespace}/e", "encryption": encryption}
    await world.make("f", restoreFrom=source)

    await world.until(lambda m: told(m, "KeysRestored", "True"), "f")
    found = await world.there(kinds.SECRET, "f-keys")
    assert decode(found, "ca.key") == b"the private key"
    assert decode(found, "ca.cert") == b"the certificate"


async def sealed_backup(world: World, standin: StandIn, recipient: str) -> None:
    """A complete backup whose keys only the private half of `recipient` opens."""
    await volume(world)
    await secret(world, "backup-keys", key=BACKUP_KEY)
    await secret(world, "shop-ca", key="the private key")
    await filled(world, standin, backup=policy(recipient=recipient))
    await ask(world)
    await until_phase(world, "Complete")


async def test_keys_sealed_to_a_recipient_wait_for_the_private_half(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    private, public = sealing.key_pair()
    await sealed_backup(world, standin, public)

    await world.make("f", restoreFrom={"backup": "one"})

    closed = await world.until(lambda m: told(m, "KeysRestored", "False"), "f")
    assert condition(closed, "KeysRestored")["reason"] == "KeysMissing"
    assert public in condition(closed, "KeysRestored")["message"]
    await secret(world, "vault", privateKey=private)
    opens = {"spec": {"restoreFrom": {"privateKey": {"secret": "vault"}}}}
    await world.kube.patch(ETCD, "f", world.namespace, opens)
    await world.until(lambda m: told(m, "KeysRestored", "True"), "f")
    assert decode(await world.there(kinds.SECRET, "f-keys"), "ca.key") == b"the private key"


async def test_what_could_not_be_opened_is_kept_whatever_is_cut_off(
    etcd_operator: Process, standin: StandIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass ends behind the write that puts other keys in its place, before that is recorded."""
    private, public = sealing.key_pair()
    await sealed_backup(world, standin, public)
    await secret(world, "shop-ca", key="another key")
    original, cut = EtcdClient.write, 0

    async def write(self: EtcdClient, address: str, key: bytes, value: bytes) -> None:
        nonlocal cut
        await original(self, address, key, value)
        if key == sealing.WHERE and not cut:
            cut += 1
            raise RuntimeError("cut off behind")

    monkeypatch.setattr(EtcdClient, "write", write)

    await world.make("f", restoreFrom={"backup": "one"}, backup=policy())

    await world.until(lambda m: told(m, "KeysStored", "True"), "f")
    assert cut == 1
    await world.until(lambda m: told(m, "KeysRestored", "False"), "f")
    await secret(world, "vault", privateKey=private)
    opens = {"spec": {"restoreFrom": {"privateKey": {"secret": "vault"}}}}
    await world.kube.patch(ETCD, "f", world.namespace, opens)
    await world.until(lambda m: told(m, "KeysRestored", "True"), "f")
    assert decode(await world.there(kinds.SECRET, "f-keys"), "ca.key") == b"the private key"


async def test_a_secret_of_somebody_else_is_not_taken_for_the_keys(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await secret(world, "backup-keys", key=BACKUP_KEY)
    await secret(world, "shop-ca", key="the private key")
    await filled(world, standin, backup=policy())
    await ask(world)
    await until_phase(world, "Complete")
    await secret(world, "f-keys", **{"ca.key": "another"})

    await world.make("f", restoreFrom={"backup": "one"})

    taken = await world.until(lambda m: told(m, "KeysRestored", "False"), "f")
    assert condition(taken, "KeysRestored")["reason"] == "NameTaken"
    await world.kube.delete(kinds.SECRET, "f-keys", world.namespace)
    await world.until(lambda m: told(m, "KeysRestored", "True"), "f")
    assert decode(await world.there(kinds.SECRET, "f-keys"), "ca.key") == b"the private key"


async def test_a_backup_without_keys_says_so(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    await ask(world)
    await until_phase(world, "Complete")

    await world.make("f", restoreFrom={"backup": "one"})

    found = await world.until(lambda m: told(m, "KeysRestored", "False"), "f")
    assert "the backup holds no keys" in condition(found, "KeysRestored")["message"]
    assert await world.get(kinds.SECRET, "f-keys") is None


async def test_no_backup_is_made_without_the_keys_or_with_older_ones(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await secret(world, "backup-keys", key=BACKUP_KEY)
    await filled(world, standin, backup=policy())
    await ask(world)
    waiting = await until_reason(world, "SecretMissing")
    assert "shop-ca of spec.backup.keys.secrets.ca" in condition(waiting)["message"]
    await secret(world, "shop-ca", key="first")
    await until_phase(world, "Complete")
    kept = (await world.until(lambda m: status(m).get("keys")))["status"]["keys"]

    await secret(world, "shop-ca", key="second")
    await ask(world, "two")

    done = await until_phase(world, "Complete", "two")
    now = (await world.until(lambda m: status(m)["keys"] != kept))["status"]["keys"]
    assert done["status"]["sealedKeys"] == now["sha256"]


@pytest.mark.parametrize("cut", [1, 2])
async def test_a_pass_that_is_cut_off_keeps_them_all_the_same(
    etcd_operator: Process,
    standin: StandIn,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    cut: int,
) -> None:
    """The write is answered, or not, and what was to be recorded of it is lost."""
    original, calls = EtcdClient.write, 0

    async def write(self: EtcdClient, address: str, key: bytes, value: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 1 and cut == 1:
            raise RuntimeError("cut off before")
        await original(self, address, key, value)
        if calls == 1:
            raise RuntimeError("cut off behind")

    monkeypatch.setattr(EtcdClient, "write", write)
    await volume(world)
    await secret(world, "backup-keys", key=BACKUP_KEY)
    await secret(world, "shop-ca", key="the private key")
    await filled(world, standin, backup=policy())

    await ask(world)

    await until_phase(world, "Complete")
    assert calls == (2 if cut == 1 else 1), "what was written is found again"
