"""What counts as drift and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.kube.drift import covers, differences


def pod(**container: Any) -> dict[str, Any]:
    """A pod template with one container."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", **container}]}}}}


COVERED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults are added": ({"spec": {"a": 1, "b": 2}}, {"spec": {"a": 1}}),
    "empty mappings vanish": ({"spec": {}}, {"spec": {"selector": {}}}),
    "empty lists vanish": ({}, {"spec": {"ports": []}}),
    "false vanishes": ({"spec": {}}, {"spec": {"hostNetwork": False}}),
    "zero vanishes": ({"spec": {}}, {"spec": {"minReadySeconds": 0}}),
    "none asks for nothing": ({"spec": {"a": 1}}, {"spec": {"a": None}}),
    "amounts in other units": (
        pod(resources={"limits": {"cpu": "1", "memory": "1Gi"}}),
        pod(resources={"limits": {"cpu": 1, "memory": "1024Mi"}}),
    ),
    "sidecars of others": (
        {"spec": {"containers": [{"name": "x"}, {"name": "main", "image": "i"}]}},
        {"spec": {"containers": [{"name": "main", "image": "i"}]}},
    ),
    "ports by number and protocol": (
        pod(
            ports=[
                {"containerPort": 53, "protocol": "UDP"},
                {"containerPort": 53, "protocol": "TCP"},
            ]
        ),
        pod(ports=[{"containerPort": 53}]),
    ),
    "the kind of claim templates": (
        {"spec": {"volumeClaimTemplates": [{"kind": "", "metadata": {"name": "d"}}]}},
        {"spec": {"volumeClaimTemplates": [{"kind": "X", "metadata": {"name": "d"}}]}},
    ),
    "more finalizers": (
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"finalizers": ["b"]}},
    ),
    "another version of the API": ({"apiVersion": "v2"}, {"apiVersion": "v1"}),
}
DRIFT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a changed value": ({"spec": {"a": 1}}, {"spec": {"a": 2}}, "spec.a"),
    "a removed field": ({"spec": {}}, {"spec": {"a": 2}}, "spec.a"),
    "true is not one": ({"a": 1}, {"a": True}, "a"),
    "a longer list": ({"args": ["a", "b"]}, {"args": ["a"]}, "args"),
    "a list in another order": ({"args": ["b", "a"]}, {"args": ["a", "b"]}, "args"),
    "a container that is gone": (
        {"spec": {"containers": [{"name": "x"}]}},
        {"spec": {"containers": [{"name": "main", "image": "i"}]}},
        "spec.containers.main",
    ),
    "another amount": (
        pod(resources={"limits": {"cpu": "1"}}),
        pod(resources={"limits": {"cpu": "1100m"}}),
        "spec.template.spec.containers.main.resources.limits.cpu",
    ),
    "amounts count only as amounts": (
        {"metadata": {"annotations": {"a": "1"}}},
        {"metadata": {"annotations": {"a": "1.0"}}},
        "metadata.annotations.a",
    ),
    "another port of a network policy": (
        {"spec": {"ingress": [{"ports": [{"port": 1}, {"port": 2}]}]}},
        {"spec": {"ingress": [{"ports": [{"port": 1}]}]}},
        "spec.ingress.ports",
    ),
    "a value instead of a mapping": ({"a": "x"}, {"a": {"b": 1}}, "a"),
    "a deep empty mapping with content": ({}, {"a": {"b": {"c": 1}}}, "a"),
}


@pytest.mark.parametrize(("live", "intent"), COVERED.values(), ids=COVERED)
def test_no_drift(live: dict[str, Any], intent: dict[str, Any]) -> None:
    assert list(differences(live, intent)) == []


@pytest.mark.parametrize(("live", "intent", "path"), DRIFT.values(), ids=DRIFT)
def test_drift(live: dict[str, Any], intent: dict[str, Any], path: str) -> None:
    assert set(differences(live, intent)) == {path}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(min_size=1, max_size=5), JSON, max_size=4)


@given(OBJECTS)
def test_everything_covers_itself(manifest: dict[str, Any]) -> None:
    assert covers(manifest, manifest)


@given(OBJECTS, OBJECTS)
def test_additions_of_others_are_no_drift(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert covers({**theirs, **ours}, ours)
