"""Which Secrets an EtcdCluster may put into its backups."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import NOW, an_etcd
from tests.unit.operators.etcd.etcdbackup.builders import a_backup

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned_by_label, owner_labels, owner_reference
from kok.operators.etcd.backups import keys
from kok.operators.etcd.etcdbackup import attempts

CLUSTER = Cluster.parse(
    {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "shop", "namespace": "team-a", "uid": "uid-of-shop"},
        "spec": {"version": "1.37.1", "endpoint": {"host": "api.shop.example"}},
    }
)
SHOP = owner_reference(CLUSTER)
"""As KOK writes it into the children of a Cluster."""


def owned(*owners: dict[str, Any], name: str = "shop-etcd") -> EtcdCluster:
    """An EtcdCluster of these owners."""
    live = an_etcd(name=name).manifest()
    live["metadata"]["ownerReferences"] = list(owners)
    return EtcdCluster.parse({"apiVersion": "kok.dev/v1alpha1", "kind": "EtcdCluster", **live})


def a_secret(name: str, *owners: dict[str, Any]) -> Manifest:
    return {"metadata": {"name": name, "ownerReferences": list(owners)}}


def test_a_secret_that_is_marked_is_kept() -> None:
    marked = {"metadata": {"name": "passwords", "labels": {names.LABEL_BACKED_UP: "true"}}}
    assert keys.refusal(an_etcd(), marked) is None


@pytest.mark.parametrize("labels", [None, {}, {names.LABEL_BACKED_UP: "false"}, {"app": "shop"}])
def test_a_secret_that_is_not_marked_is_not_kept(labels: dict[str, str] | None) -> None:
    """The sentence says what to do."""
    found = keys.refusal(an_etcd(), {"metadata": {"name": "ssh-of-hosts", "labels": labels}})
    assert found is not None
    assert 'label it kok.dev/backed-up: "true"' in found


@pytest.mark.parametrize("name", names.kept_keys("shop").values())
def test_the_keys_that_kok_made_for_its_cluster_need_no_mark(name: str) -> None:
    assert keys.refusal(owned(SHOP), owned_by_label({"metadata": {"name": name}}, CLUSTER)) is None
    # As earlier releases made them.
    assert keys.refusal(owned(SHOP), a_secret(name, SHOP)) is None


@pytest.mark.parametrize(
    "meta",
    [
        {"name": "shop-kubeconfig"},
        {"ownerReferences": [{**SHOP, "kind": "ExternalSecret"}]},
        {"labels": {"kok.dev/owner-uid": "uid-of-shop"}},
        {"labels": {**owner_labels(CLUSTER), "kok.dev/owner-uid": "uid-of-another"}},
        {"labels": {**owner_labels(CLUSTER), "kok.dev/owner-uid": ""}},
        {"labels": owner_labels(CLUSTER)},
    ],
    ids=["no key", "controlled", "of nobody", "of an earlier Cluster", "emptied", "no UID"],
)
def test_labels_that_do_not_name_the_cluster_open_no_secret(meta: dict[str, Any]) -> None:
    key = owned_by_label({"metadata": {"name": "shop-ca"}}, CLUSTER)
    key["metadata"] |= meta
    assert keys.refusal(owned(SHOP), key) is not None


@pytest.mark.parametrize(
    ("obj", "secret"),
    [
        (owned(SHOP), a_secret("shop-ca")),
        (owned(SHOP), a_secret("shop-ca", {**SHOP, "uid": "uid-of-another"})),
        (owned(SHOP), a_secret("shop-ca", {**SHOP, "controller": False})),
        (owned(SHOP), a_secret("shop-kubeconfig", SHOP)),
        (owned(), a_secret("shop-ca", SHOP)),
        (owned({**SHOP, "controller": False}), a_secret("shop-ca", SHOP)),
        (owned({**SHOP, "kind": "Deployment"}), a_secret("shop-ca", SHOP)),
        (owned({**SHOP, "apiVersion": "example/v1"}), a_secret("shop-ca", SHOP)),
        (owned(SHOP, name="other-etcd"), a_secret("shop-ca", SHOP)),
    ],
    ids=[
        "somebody's own",
        "of an earlier Cluster",
        "not its controller",
        "no key",
        "of no Cluster",
        "of a Cluster in part",
        "of something else",
        "of another group",
        "not the Cluster's EtcdCluster",
    ],
)
def test_no_other_secret_passes_for_a_key_of_its_cluster(
    obj: EtcdCluster, secret: Manifest
) -> None:
    assert keys.refusal(obj, secret) is not None


@pytest.mark.parametrize("name", ["shop-ca", "shop-front-proxy-ca", "shop-sa", "shop-encryption"])
@pytest.mark.parametrize(
    "theirs",
    [
        {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "shop"},
        {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "shop"},
        {"apiVersion": "kok.dev/v1alpha1", "kind": "EtcdCluster", "name": "shop"},
        {"apiVersion": "kok.dev/v1alpha1", "kind": "Cluster", "name": "other"},
        {"name": "shop"},
    ],
    ids=["another Cluster", "another kind", "etcd's own CA", "another name", "nothing said"],
)
def test_an_owner_that_an_author_made_up_opens_no_secret(theirs: dict[str, Any], name: str) -> None:
    """Who writes EtcdClusters writes their owners, with the UID of whatever has the Secret."""
    uid = {"uid": "uid-of-theirs", "controller": True}
    for version in ("kok.dev/v1alpha1", "kok.dev/v9"):
        made_up = {"apiVersion": version, "kind": "Cluster", "name": "shop", **uid}
        refused = keys.refusal(owned(made_up), a_secret(name, {**theirs, **uid}))
        assert refused is not None


def test_who_waits_for_keys_looks_less_and_less_often() -> None:
    begun = a_backup(reason="KeysNotStored")
    ready = begun.status.condition("Ready")
    assert ready is not None
    looks, now = [], ready.last_transition_time
    for _ in range(8):
        looks.append(attempts.look_again(begun, now))
        now += timedelta(seconds=looks[-1])
    assert looks == [2.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert attempts.look_again(a_backup(), NOW) == 2.0
