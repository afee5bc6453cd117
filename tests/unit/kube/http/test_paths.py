"""Addresses of objects."""

from __future__ import annotations

import pytest

from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.errors import NotFound
from kok.kube.http.paths import object_path, selector
from kok.kube.kinds import kind_of


def test_paths() -> None:
    assert object_path(kinds.NODE) == "/api/v1/nodes"
    assert object_path(kinds.NODE, None, "n") == "/api/v1/nodes/n"
    assert object_path(kinds.POD) == "/api/v1/pods"
    assert object_path(kinds.POD, "ns", "p", "eviction") == "/api/v1/namespaces/ns/pods/p/eviction"
    assert object_path(kinds.LEASE, "ns") == "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
    assert object_path(kinds.CLUSTERROLE, None, "system:node").endswith("/clusterroles/system:node")


def test_a_name_cannot_leave_its_place() -> None:
    assert object_path(kinds.SECRET, "ns", "../x") == "/api/v1/namespaces/ns/secrets/..%2Fx"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_name_leads_to_a_collection_or_to_another_object(name: str) -> None:
    with pytest.raises(NotFound, match="can have the name"):
        object_path(kinds.SECRET, "ns", name)
    with pytest.raises(NotFound, match="can have the name"):
        object_path(kinds.SECRET, name or "..", "s")
    with pytest.raises(NotFound, match="can have the name"):
        object_path(Kind("apps", "v1", "Odd", name), "ns", "s")


def test_an_object_of_a_namespace_needs_one() -> None:
    with pytest.raises(ValueError, match="Secret s needs a namespace"):
        object_path(kinds.SECRET, None, "s")


def test_selectors() -> None:
    assert selector({"b": "2", "a": "1"}, "metadata.name=x") == {
        "labelSelector": "a=1,b=2",
        "fieldSelector": "metadata.name=x",
    }
    assert selector(None, None) == {}


def test_kinds_are_known_by_group_and_name() -> None:
    assert kind_of({"apiVersion": "apps/v1", "kind": "Deployment"}) is kinds.DEPLOYMENT
    assert kind_of({"apiVersion": "other/v1", "kind": "Deployment"}) is None
