"""Which objects that are there already a Cluster takes over, and which it makes once."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import a_cluster

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.objects.ownership import owned_by_label, owner_labels, owner_reference
from kok.operators.cluster.cluster.children import RULES
from kok.operators.cluster.cluster.pki.credentials import OPAQUE, secret
from kok.operators.cluster.naming import FIELD_MANAGER
from kok.runtime.children.ensure import Children
from kok.runtime.children.takeover import check_takeover, is_anothers, is_child
from kok.runtime.controller.errors import Invalid, Wait

SHOP = a_cluster()
OURS = {"managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply"}]}
THEIRS = {"managedFields": [{"manager": "helm", "operation": "Update"}]}
LOOKED_AFTER = {
    "managedFields": [*THEIRS["managedFields"], {"manager": FIELD_MANAGER, "subresource": "status"}]
}
"""Somebody's own object of a kind of ours: what it says of itself we wrote."""


def found(**meta: Any) -> Manifest:
    return {
        "kind": "Secret",
        "metadata": {"name": "shop-kubeconfig", "namespace": SHOP.namespace, **meta},
    }


@pytest.mark.parametrize(
    "live",
    [
        found(ownerReferences=[owner_reference(SHOP)]),
        found(labels={**owner_labels(SHOP), "more": "of it"}),
        found(labels=owner_labels(SHOP), **THEIRS),
        found(**OURS),
    ],
    ids=["owned", "labelled", "restored by somebody", "written by the operator"],
)
def test_what_was_made_for_the_cluster_is_taken_over(live: Manifest) -> None:
    check_takeover(RULES, kinds.SECRET, live, SHOP)


def test_a_namesake_of_another_projects_kind_is_no_earlier_cluster() -> None:
    """It would be waited for that it goes, each second and for ever."""
    owner = owner_reference(SHOP) | {"apiVersion": "cluster.x-k8s.io/v1beta1", "uid": "x"}
    with pytest.raises(Invalid) as refused:
        check_takeover(RULES, kinds.SECRET, found(ownerReferences=[owner]), SHOP)
    assert refused.value.reason == "NameTaken"
    with pytest.raises(Wait) as waits:
        check_takeover(
            RULES, kinds.SECRET, found(ownerReferences=[owner_reference(SHOP) | {"uid": "x"}]), SHOP
        )
    assert "still being removed" in str(waits.value)


@pytest.mark.parametrize(
    "live",
    [
        found(),
        found(**THEIRS),
        found(**LOOKED_AFTER),
        found(labels={"app": "mine"}),
        found(labels={"app.kubernetes.io/managed-by": "Helm"}, **OURS),
        found(labels=owner_labels(a_cluster("other")), **OURS),
        found(ownerReferences=[{**owner_reference(SHOP), "controller": False, "uid": "x"}]),
    ],
    ids=[
        "bare",
        "Helm's",
        "looked after",
        "labelled",
        "Helm has it now",
        "another Cluster's",
        "in part",
    ],
)
def test_what_nobody_controls_is_not_taken_over(live: Manifest) -> None:
    """Somebody's own kubeconfig would be replaced, and be deleted with the Cluster."""
    with pytest.raises(Wait) as refused:
        check_takeover(RULES, kinds.SECRET, live, SHOP)
    assert refused.value.reason == "NameTaken"
    said = str(refused.value)
    assert f"Secret {SHOP.namespace}/shop-kubeconfig exists already" in said
    assert "remove it, or give the Cluster another name" in said


def a_key(of: str, **meta: Any) -> Manifest:
    """`shop-x-ca`, the CA of Cluster `shop-x`, as KOK made it for some Cluster."""
    bare = secret("shop-x-ca", OPAQUE, {"tls.crt": "", "tls.key": ""})
    made = owned_by_label(bare, a_cluster(of))
    fields = {"f:data": {"f:tls.crt": {}, "f:tls.key": {}}}
    made["metadata"] |= {
        "uid": "1",
        "managedFields": [{"manager": FIELD_MANAGER, "fieldsV1": fields}],
    }
    made["metadata"] |= meta
    return made


def test_the_key_of_a_cluster_whose_derived_names_are_the_same_is_not_taken_over() -> None:
    other = a_cluster("shop-x")
    other.metadata.uid = "uid-2"
    with pytest.raises(Invalid, match="shop-x-ca belongs to Cluster shop; give one of the two"):
        check_takeover(RULES, kinds.SECRET, a_key("shop"), other)
    assert is_anothers(RULES, a_key("shop"), other)


def test_what_an_earlier_cluster_of_that_name_or_somebody_else_left_is_nobody_elses() -> None:
    other = a_cluster("shop-x")
    other.metadata.uid = "uid-2"
    assert not is_anothers(RULES, a_key("shop-x"), other)
    check_takeover(RULES, kinds.SECRET, a_key("shop-x"), other)
    # A copy of another Cluster's key, made with all its labels.
    fields = {"f:data": {"f:tls.key": {}}}
    copied = a_key("shop", managedFields=[{"manager": "kubectl", "fieldsV1": fields}])
    assert not is_anothers(RULES, copied, other)


def test_only_keys_are_told_by_labels() -> None:
    forged = owned_by_label(secret("shop-kubeconfig", OPAQUE, {}), SHOP)
    assert not is_child(RULES, forged, SHOP)


WHERE = f"/api/v1/namespaces/{SHOP.namespace}/secrets/shop-encryption"
MADE = secret("shop-encryption", OPAQUE, {"key1": "b3Vycw=="})
THEIR_KEY = {**MADE, "data": {"key1": "dGhlaXJz"}}


async def test_what_is_made_once_says_whose_it_is(api: FakeApi, kube: Kube) -> None:
    [made] = await Children(kube, SHOP, RULES).make_once([MADE], {})

    assert made["data"] == MADE["data"]
    assert "ownerReferences" not in made["metadata"], "no garbage collector removes a key"
    assert owner_labels(SHOP).items() <= made["metadata"]["labels"].items()
    assert is_child(RULES, made, SHOP)
    assert [method for method, _ in api.writes] == ["POST"]
    # It is as it should be: nothing is sent again.
    await Children(kube, SHOP, RULES).make_once([MADE], {("Secret", "shop-encryption"): made})
    assert [method for method, _ in api.writes] == ["POST"]


async def test_what_somebody_makes_at_the_same_moment_is_not_written_over(
    api: FakeApi, kube: Kube
) -> None:
    async def meanwhile(_request: web.Request) -> None:
        api.put(WHERE, THEIR_KEY)

    api.script("POST", "secrets$", meanwhile)
    with pytest.raises(Wait) as caught:
        await Children(kube, SHOP, RULES).make_once([MADE], {})

    assert caught.value.reason == "Creating"
    assert api.objects[WHERE]["data"] == THEIR_KEY["data"]
    assert "ownerReferences" not in api.objects[WHERE]["metadata"]


async def test_a_key_that_another_process_has_made_is_looked_at_first(
    api: FakeApi, kube: Kube
) -> None:
    """Two that both believe to lead: what the first one made is in use."""
    api.put(WHERE, {**THEIR_KEY, "metadata": {"ownerReferences": [owner_reference(SHOP)]}})

    with pytest.raises(Wait):
        await Children(kube, SHOP, RULES).make_once([MADE], {})

    assert api.objects[WHERE]["data"] == THEIR_KEY["data"]
    assert api.writes == []
