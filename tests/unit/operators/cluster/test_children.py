"""Which objects that are there already a Cluster takes over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import a_cluster

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.ownership import owner_labels, owner_reference
from kok.operators.cluster.children import judge
from kok.operators.cluster.parts import FIELD_MANAGER
from kok.runtime.errors import Wait

SHOP = a_cluster()
OURS = {"managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply"}]}
THEIRS = {"managedFields": [{"manager": "helm", "operation": "Update"}]}


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
    judge(kinds.SECRET, live, SHOP)


@pytest.mark.parametrize(
    "live",
    [
        found(),
        found(**THEIRS),
        found(labels={"app": "mine"}),
        found(labels={"app.kubernetes.io/managed-by": "Helm"}, **OURS),
        found(labels=owner_labels(a_cluster("other")), **OURS),
        found(ownerReferences=[{**owner_reference(SHOP), "controller": False, "uid": "x"}]),
    ],
    ids=["bare", "Helm's", "labelled", "Helm has it now", "another Cluster's", "in part"],
)
def test_what_nobody_controls_is_not_taken_over(live: Manifest) -> None:
    """Somebody's own kubeconfig would be replaced, and be deleted with the Cluster."""
    with pytest.raises(Wait) as refused:
        judge(kinds.SECRET, live, SHOP)
    assert refused.value.reason == "NameTaken"
    said = str(refused.value)
    assert f"Secret {SHOP.namespace}/shop-kubeconfig exists already" in said
    assert "remove it, or give the Cluster another name" in said
