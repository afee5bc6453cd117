"""What the garbage collector does in a foreground deletion of a Cluster, and what it must not reach.

Nothing here collects garbage by itself: `collect` removes what Kubernetes would, namely all that has
the Cluster for an owner, at once and whatever other finalizers the Cluster has.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import NOW, a_cluster
from tests.unit.operators.cluster.cluster.test_delete import passing

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.objects.ownership import owned, owner_labels, owner_reference
from kok.operators.cluster.cluster.children import RULES
from kok.operators.cluster.cluster.delete import Deletion
from kok.operators.cluster.cluster.pki.credentials import OPAQUE, secret
from kok.operators.cluster.naming import FIELD_MANAGER, key_entries, key_secrets
from kok.runtime.children.ensure import Children
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE

SECRETS = "/api/v1/namespaces/team-a/secrets"
ETCD = "/apis/kok.dev/v1alpha1/namespaces/team-a/etcdclusters/shop-etcd"
KEYS = key_secrets("shop")
FOREIGN = {"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "theirs"}


def shop(policy: str) -> Cluster:
    cluster = a_cluster(deletionPolicy=policy)
    cluster.metadata.deletion_timestamp = NOW
    return cluster


async def made(api: FakeApi, kube: Kube, cluster: Cluster, manager: str = FIELD_MANAGER) -> None:
    """The Secrets of a Cluster; `manager` wrote what is in the keys."""
    wanted = [secret(name, OPAQUE, dict.fromkeys(key_entries(name), "eA==")) for name in KEYS]
    wanted.append(secret("shop-kubeconfig", OPAQUE, {}))
    await Children(kube, cluster, RULES).ensure(wanted, {})
    for name in KEYS:
        fields = {"f:data": {f"f:{key}": {} for key in key_entries(name)}}
        meta = api.objects[f"{SECRETS}/{name}"]["metadata"]
        meta["managedFields"] = [{"manager": manager, "fieldsV1": fields}]


def collect(api: FakeApi) -> None:
    for path, live in list(api.objects.items()):
        owners = live["metadata"].get("ownerReferences") or ()
        if any(one["uid"] == "uid-1" for one in owners):
            api.drop(path)


async def gone(kube: Kube, cluster: Cluster, after: timedelta = timedelta(0)) -> Any:
    """Passes until the Cluster may go, or has to wait for what stays."""
    p = passing(kube, 0)
    p.obj = cluster
    p.now = NOW + after
    for _ in range(5):
        with suppress(Wait):
            return await Deletion(p).step()
    return None


def left(api: FakeApi) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in api.objects if path.startswith(SECRETS))


@pytest.mark.parametrize(("policy", "rest"), [("Retain", sorted(KEYS)), ("Delete", [])])
async def test_keys_stay_or_go_as_the_policy_says(
    api: FakeApi, kube: Kube, policy: str, rest: list[str]
) -> None:
    cluster = shop(policy)
    await made(api, kube, cluster)

    collect(api)

    assert left(api) == sorted(KEYS), "nobody but the operator removes them"
    assert await gone(kube, cluster) is DONE
    assert left(api) == rest
    for name in rest:
        # A later Cluster of any name may find them: they are nobody's.
        labels = api.objects[f"{SECRETS}/{name}"]["metadata"]["labels"]
        assert not labels.keys() & {*owner_labels(cluster), "kok.dev/owner-uid"}


async def test_keys_of_earlier_releases_are_out_of_its_reach_before_anything_is_waited_for(
    api: FakeApi, kube: Kube
) -> None:
    cluster = shop("Retain")
    await made(api, kube, cluster)
    for name in KEYS:
        meta = api.objects[f"{SECRETS}/{name}"]["metadata"]
        meta["ownerReferences"] = [owner_reference(cluster), FOREIGN]
        del meta["labels"]["kok.dev/owner-uid"]
    addon: Manifest = {
        "metadata": {"name": "a", "finalizers": ["x/y"]},
        "spec": {"cluster": "shop"},
    }
    addon = owned({"apiVersion": "kok.dev/v1alpha1", "kind": "Addon", **addon}, cluster)
    api.put("/apis/kok.dev/v1alpha1/namespaces/team-a/addons/a", addon)

    p = passing(kube, 0)
    p.obj = cluster
    with pytest.raises(Wait, match="Addon a"):
        await Deletion(p).step()

    collect(api)
    assert set(KEYS) <= set(left(api))
    for name in KEYS:
        assert api.objects[f"{SECRETS}/{name}"]["metadata"]["ownerReferences"] == [FOREIGN]


async def test_what_a_user_wrote_is_given_back(api: FakeApi, kube: Kube) -> None:
    cluster = shop("Delete")
    await made(api, kube, cluster, "kubectl")

    collect(api)

    assert await gone(kube, cluster) is DONE
    assert left(api) == sorted(KEYS)
    assert "kok.dev/owner-uid" not in api.objects[f"{SECRETS}/shop-ca"]["metadata"]["labels"]


async def test_what_an_earlier_cluster_left_does_not_go_with_a_later_one(
    api: FakeApi, kube: Kube
) -> None:
    """One that came no further than being deleted has taken up nothing."""
    earlier = shop("Delete")
    earlier.metadata.uid = "uid-of-the-earlier-one"
    await made(api, kube, earlier)

    assert await gone(kube, shop("Delete")) is DONE
    assert set(KEYS) <= set(left(api))


async def test_keys_of_an_etcd_that_was_left_as_an_orphan_stay(api: FakeApi, kube: Kube) -> None:
    """`--cascade=orphan` takes the reference off all that has one; etcd and its data go on."""
    cluster = shop("Delete")
    await made(api, kube, cluster)
    etcd = owned({"metadata": {"name": "shop-etcd"}, "spec": {}}, cluster)
    del etcd["metadata"]["ownerReferences"]
    api.put(ETCD, etcd)

    assert await gone(kube, cluster) is DONE
    assert set(KEYS) <= set(left(api))
    assert ETCD in api.objects


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_etcd_knows_the_policy_before_it_is_deleted(
    api: FakeApi, kube: Kube, policy: str
) -> None:
    cluster = shop(policy)
    etcd = owned({"metadata": {"name": "shop-etcd", "finalizers": ["x/y"]}}, cluster)
    before = {"Delete": "Retain", "Retain": "Delete"}[policy]
    bare = {"apiVersion": "kok.dev/v1alpha1", "kind": "EtcdCluster"}
    api.put(ETCD, {**bare, **etcd, "spec": {"deletionPolicy": before}})

    await gone(kube, cluster)

    assert api.objects[ETCD]["metadata"]["deletionTimestamp"]
    assert api.objects[ETCD]["spec"]["deletionPolicy"] == policy
    assert [method for method, path in api.writes if path == ETCD].count("PATCH") == 1
