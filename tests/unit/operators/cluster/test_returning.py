"""Keys of a Cluster whose etcd begins with a backup are taken over, waited for, or asked for."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.unit.operators.cluster.builders import NOW

from kok import pki
from kok.api.cluster import Cluster
from kok.api.meta import Manifest
from kok.operators.cluster.keys import KeyRing
from kok.operators.cluster.observe import ETCD, World
from kok.operators.cluster.returning import returned

SOURCE = {"store": {"volume": {"claim": "backups"}}, "newestOf": "old/shop-etcd"}
CA, FRONT = pki.new_ca("shop-ca", NOW), pki.new_ca("shop-front", NOW)
PAIR = pki.service_account_keys()
CAME = {
    "ca.tls.crt": CA.cert_pem,
    "ca.tls.key": CA.key_pem,
    "front-proxy-ca.tls.crt": FRONT.cert_pem,
    "front-proxy-ca.tls.key": FRONT.key_pem,
    "sa.sa.key": PAIR.private_pem,
    "encryption.key1": b"k" * 32,
}


def a_cluster(*, restored: bool = True, **status: Any) -> Cluster:
    etcd = {"restoreFrom": SOURCE} if restored else {}
    return Cluster.parse(
        {
            "apiVersion": "kok.dev/v1alpha1",
            "kind": "Cluster",
            "metadata": {"name": "shop2", "namespace": "team-a", "uid": "uid-2"},
            "spec": {"version": "1.37.1", "etcd": etcd},
            "status": status,
        }
    )


def a_world(came: dict[str, bytes] | None = None, said: tuple[str, str] | None = None) -> World:
    conditions = [{"type": "KeysRestored", "status": said[0], "message": said[1]}] if said else []
    etcd: Manifest = {"metadata": {"name": "shop2-etcd"}, "status": {"conditions": conditions}}
    secret = {"data": pki.encode(came)} if came is not None else None
    children = {(ETCD.kind, "shop2-etcd"): etcd}
    return World(children, etcd_secret=False, returned_keys=secret)


async def test_a_new_cluster_takes_the_keys_that_came_with_the_backup() -> None:
    cluster, world = a_cluster(), a_world(CAME, ("True", ""))
    found = returned(cluster, world, {})
    assert found.reason is None
    keys = await KeyRing(cluster, found.secrets, NOW).settle()
    assert keys.ca is not None
    assert keys.ca.cert_pem == CA.cert_pem
    assert keys.service_account is not None
    assert keys.service_account.private_pem == PAIR.private_pem
    assert keys.encryption == b"k" * 32
    assert not keys.problems


async def test_nothing_is_made_while_it_is_not_known_what_came() -> None:
    cluster = a_cluster()
    found = returned(cluster, a_world(), {})
    assert found.reason == "WaitingForKeys"
    keys = await KeyRing(cluster, found.secrets, NOW, may_make=False).settle()
    assert keys.data == {}
    assert not keys.problems


def test_a_secret_that_is_not_seen_yet_is_waited_for() -> None:
    found = returned(a_cluster(), a_world(said=("True", "Secret team-a/x holds all")), {})
    assert found.reason == "WaitingForKeys"
    assert "Secret team-a/x holds all, and it is not there" in found.message


def test_what_did_not_come_is_asked_for_by_name() -> None:
    found = returned(a_cluster(), a_world(said=("False", "the backup holds no keys")), {})
    assert found.reason == "KeysMissing"
    assert "the backup holds no keys" in found.message
    assert "Secret team-a/shop2-encryption with key1" in found.message
    assert "Secret team-a/shop2-ca with tls.crt, tls.key" in found.message
    some = {key: value for key, value in CAME.items() if not key.startswith("sa.")}
    partly = returned(a_cluster(), a_world(some, ("True", "")), {})
    assert partly.reason == "KeysMissing"
    assert "shop2-sa" in partly.message
    assert "shop2-ca " not in partly.message


def test_keys_that_somebody_brought_are_used() -> None:
    brought: dict[str, Manifest] = {
        name: {} for name in ("shop2-ca", "shop2-front-proxy-ca", "shop2-sa", "shop2-encryption")
    }
    assert returned(a_cluster(), a_world(CAME), brought).secrets == {}
    assert returned(a_cluster(), a_world(), brought).reason is None


def test_another_key_than_that_of_the_backup_is_named_by_its_hash() -> None:
    brought: dict[str, Manifest] = {
        "shop2-encryption": {"data": pki.encode({"key1": b"x" * 32})},
    }
    found = returned(a_cluster(), a_world(CAME, ("True", "")), brought)
    assert found.reason == "KeysMissing"
    right = hashlib.sha256(b"k" * 32).hexdigest()
    assert f"Secrets in this backup are encrypted with key sha256:{right}" in found.message
    assert "Secret team-a/shop2-encryption holds key1 sha256:" in found.message


def test_keys_that_were_in_use_are_judged_as_ever() -> None:
    recorded = dict.fromkeys(
        ("shop2-ca", "shop2-front-proxy-ca", "shop2-sa", "shop2-encryption"), "sha256:1"
    )
    found = returned(a_cluster(caFingerprints=recorded), a_world(CAME), {})
    assert found == type(found)()


def test_a_cluster_that_begins_empty_makes_its_own() -> None:
    found = returned(a_cluster(restored=False), a_world(CAME), {})
    assert found.reason is None
    assert found.secrets == {}
