"""Keys of a Cluster whose etcd begins with a backup are taken over, waited for, or asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.operators.cluster.builders import NOW

from kok import pki
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.operators.cluster.cluster.observe import ETCD, ClusterView
from kok.operators.cluster.cluster.pki.keys import KeyRing
from kok.operators.cluster.cluster.pki.restored_keys import restored_keys

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
BROUGHT: dict[str, Manifest] = {
    f"shop2-{called}": {
        "metadata": {"name": f"shop2-{called}", "uid": "theirs"},
        "data": pki.encode({k.partition(".")[2]: v for k, v in CAME.items() if k.startswith(of)}),
    }
    for called, of in {c: f"{c}." for c in ("ca", "front-proxy-ca", "sa", "encryption")}.items()
}
KEYS = {"ca": "tls.key", "front-proxy-ca": "tls.key", "sa": "sa.key", "encryption": "key1"}


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


def a_view(
    came: dict[str, bytes] | None = None, said: tuple[str, str] | None = None
) -> ClusterView:
    conditions = [{"type": "KeysRestored", "status": said[0], "message": said[1]}] if said else []
    etcd: Manifest = {"metadata": {"name": "shop2-etcd"}, "status": {"conditions": conditions}}
    secret = {"data": pki.encode(came)} if came is not None else None
    children = {(ETCD.kind, "shop2-etcd"): etcd}
    return ClusterView(children, etcd_secret=False, backup_keys=secret)


async def test_a_new_cluster_takes_the_keys_that_came_with_the_backup() -> None:
    cluster, view = a_cluster(), a_view(CAME, ("True", ""))
    found = restored_keys(cluster, view, {}, NOW)
    assert found.reason is None
    keys = await KeyRing(cluster, found.instead_of({}), NOW).settle()
    assert keys.ca is not None
    assert keys.ca.cert_pem == CA.cert_pem
    assert keys.service_account is not None
    assert keys.service_account.private_pem == PAIR.private_pem
    assert keys.encryption == b"k" * 32
    assert not keys.problems


async def test_nothing_is_made_while_it_is_not_known_what_came() -> None:
    cluster = a_cluster()
    found = restored_keys(cluster, a_view(), {}, NOW)
    assert found.reason == "WaitingForKeys"
    keys = await KeyRing(cluster, found.instead_of({}), NOW).settle()
    assert keys.data == {}
    assert not keys.problems


def test_a_secret_that_is_not_seen_yet_is_waited_for() -> None:
    found = restored_keys(a_cluster(), a_view(said=("True", "Secret team-a/x holds all")), {}, NOW)
    assert found.reason == "WaitingForKeys"
    assert "Secret team-a/x holds all, and it is not there" in found.message


def test_what_did_not_come_is_asked_for_by_name() -> None:
    found = restored_keys(a_cluster(), a_view(said=("False", "the backup holds no keys")), {}, NOW)
    assert found.reason == "KeysMissing"
    assert "the backup holds no keys" in found.message
    assert "Secret team-a/shop2-encryption with key1" in found.message
    assert "Secret team-a/shop2-ca with tls.crt, tls.key" in found.message
    some = {key: value for key, value in CAME.items() if not key.startswith("sa.")}
    partly = restored_keys(a_cluster(), a_view(some, ("True", "")), {}, NOW)
    assert partly.reason == "KeysMissing"
    assert "shop2-sa" in partly.message
    assert "shop2-ca " not in partly.message


def test_keys_that_somebody_brought_are_used() -> None:
    assert restored_keys(a_cluster(), a_view(CAME), BROUGHT, NOW) == restored_keys(
        a_cluster(restored=False), a_view(), {}, NOW
    )
    assert restored_keys(a_cluster(), a_view(), BROUGHT, NOW).reason is None


def test_another_key_than_that_of_the_backup_is_named_by_its_hash() -> None:
    brought: dict[str, Manifest] = {
        "shop2-encryption": {"data": pki.encode({"key1": b"x" * 32})},
    }
    found = restored_keys(a_cluster(), a_view(CAME, ("True", "")), brought, NOW)
    assert found.reason == "KeysMissing"
    right = hashlib.sha256(b"k" * 32).hexdigest()
    assert f"Secrets in this backup are encrypted with key sha256:{right}" in found.message
    assert "Secret team-a/shop2-encryption holds key1 sha256:" in found.message


Spoil = Callable[[dict[str, bytes], str], dict[str, bytes]]
SPOILT: dict[str, tuple[Spoil, str]] = {
    "nothing": (lambda _, __: {}, "no entry {first} (it has none)"),
    "misspelt": (
        lambda has, entry: {**without(has, entry), "mykey": has[entry]},
        "no entry {entry} (it has mykey",
    ),
    "blank": (lambda has, entry: {**has, entry: b"\n"}, "has nothing in its entry {entry}"),
    "of another kind": (lambda has, entry: {**has, entry: b"hush"}, ""),
}


def without(entries: dict[str, bytes], entry: str) -> dict[str, bytes]:
    return {key: value for key, value in entries.items() if key != entry}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("called", KEYS)
async def test_a_secret_without_the_key_that_is_needed_is_none(called: str, how: str) -> None:
    """Whatever it is called and whatever else it holds: another key is not made in its place."""
    spoil, says = SPOILT[how]
    name, entry, cluster = f"shop2-{called}", KEYS[called], a_cluster()
    has = {e: pki.decode(BROUGHT[name], e) or b"" for e in BROUGHT[name]["data"]}
    spoilt = {**BROUGHT[name], "data": pki.encode(spoil(has, entry))}
    secrets = {**BROUGHT, name: spoilt}
    for came in (None, CAME):
        found = restored_keys(cluster, a_view(came, ("True", "")), secrets, NOW)
        assert found.reason == "KeysMissing"
        assert f"Secret team-a/{name} " in found.message
        assert says.format(entry=entry, first=min(has)) in found.message
        assert "hush" not in found.message
        assert "get a new" not in found.message
        assert ("remove it, and the key that came" in found.message) == (came is not None)
        keys = await KeyRing(cluster, found.instead_of(secrets), NOW).settle()
        assert set(keys.data) == BROUGHT.keys() - {name}
        assert set(keys.fingerprints) == BROUGHT.keys() - {name}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("called", KEYS)
async def test_what_came_without_the_key_that_is_needed_is_asked_for(called: str, how: str) -> None:
    """As from an EtcdCluster whose `keys.secrets` somebody wrote by hand."""
    spoil, says = SPOILT[how]
    name, entry, cluster = f"shop2-{called}", KEYS[called], a_cluster()
    has = {e: pki.decode(BROUGHT[name], e) or b"" for e in BROUGHT[name]["data"]}
    others = {key: value for key, value in CAME.items() if not key.startswith(f"{called}.")}
    came = {**others, **{f"{called}.{e}": value for e, value in spoil(has, entry).items()}}
    found = restored_keys(cluster, a_view(came, ("True", "")), {}, NOW)
    assert found.reason == "KeysMissing"
    assert f"Secret team-a/{name} with " in found.message
    if spoil(has, entry):
        assert f"{called} in Secret team-a/shop2-etcd-keys, which came with" in found.message
        assert says.format(entry=entry) in found.message
    keys = await KeyRing(cluster, found.instead_of({}), NOW).settle()
    assert set(keys.fingerprints) == BROUGHT.keys() - {name}
    # With the Secret that is asked for the Cluster goes on.
    assert restored_keys(cluster, a_view(came), {name: BROUGHT[name]}, NOW).reason is None


async def test_no_key_is_made_whatever_is_known_of_the_others() -> None:
    """Also not by a pass in which nothing seems to be missing."""
    keys = await KeyRing(a_cluster(), {}, NOW).settle()
    assert (keys.data, keys.fingerprints) == ({}, {})


async def test_another_key_than_that_of_the_backup_is_not_recorded() -> None:
    secrets = {**BROUGHT, "shop2-encryption": {"data": pki.encode({"key1": b"x" * 32})}}
    found = restored_keys(a_cluster(), a_view(CAME), secrets, NOW)
    assert found.refused == {"shop2-encryption"}
    keys = await KeyRing(a_cluster(), found.instead_of(secrets), NOW).settle()
    assert "shop2-encryption" not in keys.fingerprints


def test_keys_that_were_in_use_are_judged_as_ever() -> None:
    recorded = dict.fromkeys(
        ("shop2-ca", "shop2-front-proxy-ca", "shop2-sa", "shop2-encryption"), "sha256:1"
    )
    found = restored_keys(a_cluster(caFingerprints=recorded), a_view(CAME), {}, NOW)
    assert found == type(found)()


def test_a_cluster_that_begins_empty_makes_its_own() -> None:
    found = restored_keys(a_cluster(restored=False), a_view(CAME), {}, NOW)
    assert found.reason is None
    assert found.secrets == {}
