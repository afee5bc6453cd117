"""What counts as drift and what does not."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.kube.objects.drift import covers, differences


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


def test_long_keys_over_many_values_take_little_memory() -> None:
    """Whoever writes an object decides on both."""
    key = "k" * 100_000
    live = {"spec": {key: {f"a{n}": 1 for n in range(5000)}}}
    intent = {"spec": {key: {f"a{n}": 2 for n in range(5000)}}}
    tracemalloc.start()
    found = frozenset(differences(live, intent))
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    assert len(found) == 5000
    deep: Any = {f"b{n}": 1 for n in range(100)}
    for number in range(90):
        deep = {"k" * 60 + str(number): deep}
    assert {len(path) <= 512 for path in differences({}, deep)} == {True}


def test_long_lists_of_names_are_compared_once() -> None:
    def named(numbers: Iterable[int]) -> dict[str, Any]:
        return {"metadata": {"finalizers": [f"f{number}" for number in numbers]}}

    live, intent = named(range(100_000, 0, -1)), named(range(1, 100_001))
    begin = time.process_time()
    assert covers(live, intent)
    assert not covers(named(range(2, 100_001)), intent)
    assert time.process_time() - begin < 5


def test_what_is_no_name_among_names_is_no_error() -> None:
    intent = {"metadata": {"finalizers": ["a"]}}
    assert not covers({"metadata": {"finalizers": [{"a": 1}, 3, None]}}, intent)
    assert covers({"metadata": {"finalizers": [{"a": 1}, "a"]}}, intent)


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
