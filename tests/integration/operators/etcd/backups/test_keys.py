"""Keys are kept in etcd, sealed, come along in each backup, and are given back by a restore."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.integration.operators.etcd.backups.builders import (
    BACKUP,
    STORE,
    ask,
    filled,
    until_phase,
    until_reason,
    verified,
    volume,
)
from tests.integration.operators.etcd.conftest import ETCD, World, condition, status
from tests.integration.operators.etcd.kv import get
from tests.integration.operators.etcd.standin import StandIn

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest
from kok.api.names import LABEL_BACKED_UP
from kok.backup.encryption import sealing
from kok.etcdclient.client import EtcdClient
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.objects.ownership import owned
from kok.operators.etcd.backups import keys
from kok.operators.etcd.naming import ANNOTATION_VERIFY, pod_endpoint
from kok.pki import decode
from kok.runtime.process.main import Process

BACKUP_KEY = base64.b64encode(b"k" * 32).decode()


async def secret(world: World, name: str, *, marked: bool = False, **entries: str) -> None:
    """A Secret of the user's; `marked` as one whose content may go into backups."""
    labels = {LABEL_BACKED_UP: "true"} if marked else {}
    await world.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": world.namespace, "labels": labels},
            "stringData": entries,
        }
    )


def policy(**keys: Any) -> dict[str, Any]:
    keep = {"secrets": {"ca": "shop-ca"}, **keys}
    return {"store": STORE, "encryption": {"secret": "backup-keys"}, "keys": keep}


def told(manifest: Manifest | None, type_: str, holds: str) -> bool:
    return condition(manifest, type_).get("status") == holds


async def keeping(
    world: World, standin: StandIn, *, marked: bool = True, recipient: str = "", **content: str
) -> None:
    """An etcd cluster that keeps the keys of `shop-ca`, which holds `content`, in itself."""
    await volume(world)
    await secret(world, "backup-keys", key=BACKUP_KEY)
    await secret(world, "shop-ca", marked=marked, **(content or {"key": "the private key"}))
    sealed_to = {"recipient": recipient} if recipient else {}
    await filled(world, standin, backup=policy(**sealed_to))


async def backed_up(world: World, standin: StandIn, *, recipient: str = "", **content: str) -> None:
    """The same with a complete backup; only the private half of `recipient` opens its keys."""
    await keeping(world, standin, recipient=recipient, **content)
    await ask(world)
    await until_phase(world, "Complete")


async def until_restored(world: World) -> None:
    """The EtcdCluster that began with the backup has the keys that came along."""
    await world.until(lambda m: told(m, "KeysRestored", "True"), "f")
    found = await world.there(kinds.SECRET, "f-keys")
    assert decode(found, "ca.key") == b"the private key"


async def give_private_key(world: World, private: str) -> None:
    """What opens the keys is there, and the EtcdCluster that began with the backup names it."""
    await secret(world, "vault", privateKey=private)
    opens = {"spec": {"restoreFrom": {"privateKey": {"secret": "vault"}}}}
    await world.kube.patch(ETCD, "f", world.namespace, opens)


async def test_keys_go_with_every_backup_and_come_back(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin, cert="the certificate", key="the private key")
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

    await until_restored(world)
    found = await world.there(kinds.SECRET, "f-keys")
    assert decode(found, "ca.cert") == b"the certificate"


async def test_keys_sealed_to_a_recipient_wait_for_the_private_half(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    private, public = sealing.key_pair()
    await backed_up(world, standin, recipient=public)

    await world.make("f", restoreFrom={"backup": "one"})

    closed = await world.until(lambda m: told(m, "KeysRestored", "False"), "f")
    assert condition(closed, "KeysRestored")["reason"] == "KeysMissing"
    assert public in condition(closed, "KeysRestored")["message"]
    await give_private_key(world, private)
    await until_restored(world)


async def test_what_could_not_be_opened_is_kept_whatever_is_cut_off(
    etcd_operator: Process, standin: StandIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass ends behind the write that puts other keys in its place, before that is recorded."""
    private, public = sealing.key_pair()
    await backed_up(world, standin, recipient=public)
    await secret(world, "shop-ca", marked=True, key="another key")
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
    await give_private_key(world, private)
    await until_restored(world)


async def test_a_secret_of_somebody_else_is_not_taken_for_the_keys(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    await secret(world, "f-keys", **{"ca.key": "another"})

    await world.make("f", restoreFrom={"backup": "one"})

    taken = await world.until(lambda m: told(m, "KeysRestored", "False"), "f")
    assert condition(taken, "KeysRestored")["reason"] == "NameTaken"
    await world.kube.delete(kinds.SECRET, "f-keys", world.namespace)
    await until_restored(world)


async def test_a_secret_that_claims_to_be_ours_is_not_taken_for_the_keys(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    """Anybody in the namespace can read the UID, and write it down as the owner's."""
    await backed_up(world, standin)
    await world.make("f", restoreFrom={"backup": "one"}, paused=True)
    heir = EtcdCluster.model_validate(await world.there(ETCD, "f"))
    body = {"apiVersion": "v1", "kind": "Secret", "stringData": {"ca.key": "another"}}
    await world.kube.create(owned({**body, "metadata": {"name": "f-keys"}}, heir))

    await world.kube.patch(ETCD, "f", world.namespace, {"spec": {"paused": False}})

    taken = await world.until(lambda m: told(m, "KeysRestored", "False"), "f")
    assert condition(taken, "KeysRestored")["reason"] == "NameTaken"
    await world.kube.delete(kinds.SECRET, "f-keys", world.namespace)
    await until_restored(world)


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
    await secret(world, "shop-ca", marked=True, key="first")
    await until_phase(world, "Complete")
    kept = (await world.until(lambda m: status(m).get("keys")))["status"]["keys"]

    await secret(world, "shop-ca", marked=True, key="second")
    await ask(world, "two")

    done = await until_phase(world, "Complete", "two")
    now = (await world.until(lambda m: status(m)["keys"] != kept))["status"]["keys"]
    assert done["status"]["sealedKeys"] == now["sha256"]


async def test_only_marked_secrets_are_kept(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    """Who may write an EtcdCluster chooses to whom they are sealed."""
    await keeping(world, standin, marked=False, recipient=sealing.key_pair()[1])
    await ask(world)

    waiting = await until_reason(world, "SecretNotMarked")

    told_so = 'label it kok.dev/backed-up: "true"'
    assert (
        f"{world.namespace}/shop-ca of spec.backup.keys.secrets.ca" in condition(waiting)["message"]
    )
    assert told_so in condition(waiting)["message"]
    etcd = await world.until(lambda m: told(m, "KeysStored", "False"))
    assert told_so in condition(etcd, "KeysStored")["message"]
    at = pod_endpoint(standin.address("e-0"))
    assert await get(await world.credentials(), at, sealing.WHERE.decode()) is None
    await secret(world, "shop-ca", marked=True, key="the private key")
    await until_phase(world, "Complete")


async def test_of_secrets_that_are_too_large_no_more_are_read(
    etcd_operator: Process, standin: StandIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, read = Kube.get, set()

    async def spied(self: Kube, kind: Kind, name: str, *rest: Any, **more: Any) -> Manifest | None:
        if kind == kinds.SECRET:
            read.add(name)
        return await original(self, kind, name, *rest, **more)

    await volume(world)
    await secret(world, "backup-keys", key=BACKUP_KEY)
    for name in ("small", "large", "other"):
        value = "x" * (1000 if name == "small" else sealing.LIMIT)
        await secret(world, name, marked=True, value=value)
    monkeypatch.setattr(Kube, "get", spied)
    many = {"a": "small", "b": "large", "c": "other"}
    await filled(world, standin, backup=policy(secrets=many))
    await ask(world)

    waiting = await until_reason(world, "KeysNotStored")

    found = await world.until(lambda m: told(m, "KeysStored", "False"))
    wrong = condition(found, "KeysStored")["message"]
    assert wrong.startswith(f"Secret {world.namespace}/large of spec.backup.keys.secrets.b is too")
    until = await world.until(lambda m: wrong in condition(m)["message"], "one", BACKUP)
    assert status(until)["phase"] == status(waiting)["phase"] == "Pending"
    assert "large" in read
    assert "other" not in read


async def test_who_only_asks_whether_keys_have_changed_reads_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = Kube.list, []

    async def spied(self: Kube, *given: Any, **more: Any) -> list[Manifest]:
        found = await original(self, *given, **more)
        seen.extend(found)
        return found

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a Secret is read")

    await secret(world, "backup-keys", key=BACKUP_KEY)
    await secret(world, "shop-ca", marked=True, key="first")
    spec = {"version": "3.6.10", "backup": policy()}
    meta = {"name": "e", "namespace": world.namespace}
    obj = EtcdCluster.parse(
        {"apiVersion": ETCD.api_version, "kind": ETCD.kind, "metadata": meta, "spec": spec}
    )
    first = await keys.read(world.kube, obj)
    assert first is not None

    with monkeypatch.context() as patched:
        patched.setattr(Kube, "get", never)
        patched.setattr(Kube, "list", spied)
        assert await keys.versions(world.kube, obj) == first.versions
        assert sorted(s["metadata"]["name"] for s in seen) == ["backup-keys", "shop-ca"]
        assert not any("data" in s for s in seen)

    await secret(world, "shop-ca", marked=True, key="second")
    later = await keys.versions(world.kube, obj)
    assert later != first.versions
    await secret(world, "backup-keys", key=base64.b64encode(b"o" * 32).decode())
    assert await keys.versions(world.kube, obj) not in {later, first.versions}


async def test_what_an_earlier_release_recorded_is_recorded_anew_at_rest(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    """It was a hash of the content; what lies in etcd stays as it is."""
    await keeping(world, standin, key="hunter2")
    made = await world.until(lambda m: told(m, "KeysStored", "True"))
    kept = made["status"]["keys"]
    assert kept["content"].startswith("versions:")

    old = {"status": {"keys": {**kept, "content": "0" * 64}}}
    await world.kube.patch(ETCD, "e", world.namespace, old, subresource="status")

    found = await world.until(lambda m: status(m)["keys"]["content"] != "0" * 64)
    assert found["status"]["keys"] == kept


async def test_a_backup_of_a_paused_etcd_waits_for_no_record_of_another_form(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await keeping(world, standin, key="first")
    made = await world.until(lambda m: told(m, "KeysStored", "True"))
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"paused": True}})
    await world.until(lambda m: told(m, "Paused", "True"))
    old = {"status": {"keys": {**made["status"]["keys"], "content": "0" * 64}}}
    await world.kube.patch(ETCD, "e", world.namespace, old, subresource="status")
    await ask(world)
    await until_phase(world, "Complete")

    current = {"status": {"keys": made["status"]["keys"]}}
    await world.kube.patch(ETCD, "e", world.namespace, current, subresource="status")
    await secret(world, "shop-ca", marked=True, key="second")
    await ask(world, "two")
    waiting = await until_reason(world, "KeysNotStored", "two")
    assert "waits until its spec.paused is false" in condition(waiting)["message"]


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
    await keeping(world, standin)

    await ask(world)

    await until_phase(world, "Complete")
    assert calls == (2 if cut == 1 else 1), "what was written is found again"
