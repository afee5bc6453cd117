"""Fields that others decide on."""

from __future__ import annotations

from typing import Any

import pytest

from kok.api.cluster.addon import IgnoredFields
from kok.api.meta import Manifest
from kok.operators.cluster.addon.applying.ignored import (
    parsed,
    pointers_for,
    with_values_of,
    without,
)

DEPLOYMENT: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "app", "namespace": "web", "annotations": {"a/b": "1"}},
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "containers": [
                    {"name": "main", "image": "a", "resources": {"limits": {"cpu": "1"}}},
                    {"name": "side", "image": "b"},
                ]
            }
        },
    },
}


def changed(path: str, live: dict[str, Any]) -> Manifest:
    return with_values_of(live, DEPLOYMENT, [parsed(path)])


def containers(made: Manifest) -> Any:
    return made["spec"]["template"]["spec"]["containers"]


def test_a_field_has_the_value_that_is_there() -> None:
    made = changed("/spec/replicas", {"spec": {"replicas": 7, "paused": True}})
    assert made["spec"]["replicas"] == 7
    assert "paused" not in made["spec"]
    assert DEPLOYMENT["spec"]["replicas"] == 1


def test_a_field_that_somebody_took_away_stays_away() -> None:
    assert "replicas" not in changed("/spec/replicas", {"spec": {}})["spec"]


def test_what_is_not_in_the_intent_is_not_taken_over() -> None:
    assert changed("/spec/minReadySeconds", {"spec": {"minReadySeconds": 5}}) == DEPLOYMENT


def test_parts_with_a_slash_are_escaped() -> None:
    live = {"metadata": {"annotations": {"a/b": "2"}}}
    made = changed("/metadata/annotations/a~1b", live)
    assert made["metadata"]["annotations"] == {"a/b": "2"}


def test_containers_are_told_apart_by_name_whatever_was_put_between_them() -> None:
    there = [
        {"name": "injected", "image": "x"},
        {"name": "side", "image": "b2"},
        {"name": "main", "image": "a2"},
    ]
    live = {"spec": {"template": {"spec": {"containers": there}}}}
    each = changed("/spec/template/spec/containers/*/image", live)
    assert [(c["name"], c["image"]) for c in containers(each)] == [("main", "a2"), ("side", "b2")]
    one = changed("/spec/template/spec/containers/1/image", live)
    assert [(c["name"], c["image"]) for c in containers(one)] == [("main", "a"), ("side", "b2")]


def test_of_lists_without_keys_places_count() -> None:
    intent = {"webhooks": [{"clientConfig": {"caBundle": "mine"}}, {"clientConfig": {}}]}
    live = {"webhooks": [{"clientConfig": {"caBundle": "theirs"}}, {"clientConfig": {"a": 1}}]}
    made = with_values_of(live, intent, [parsed("/webhooks/*/clientConfig/caBundle")])
    assert made["webhooks"] == [{"clientConfig": {"caBundle": "theirs"}}, {"clientConfig": {}}]


def test_the_intent_is_told_apart_by_the_rest() -> None:
    path = [parsed("/spec/replicas")]
    other = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicas": 9}}
    assert without(DEPLOYMENT, path) == without(other, path)
    assert without(DEPLOYMENT, []) == DEPLOYMENT


@pytest.mark.parametrize("junk", [None, 5, "x", [1], {"a": 1}])
def test_live_objects_of_any_shape_do_no_harm(junk: Any) -> None:
    for path in ("/spec/replicas", "/spec/template/spec/containers/*/resources/limits"):
        for live in ({"spec": junk}, {"spec": {"template": {"spec": {"containers": junk}}}}):
            changed(path, live)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kind": "Deployment", "paths": ["/a"]}, [("a",)]),
        ({"kind": "Deployment", "group": "apps", "paths": ["/a"]}, [("a",)]),
        ({"kind": "Deployment", "group": "", "paths": ["/a"]}, []),
        ({"kind": "Deployment", "name": "app", "namespace": "web", "paths": ["/a"]}, [("a",)]),
        ({"kind": "Deployment", "name": "other", "paths": ["/a"]}, []),
        ({"kind": "Deployment", "namespace": "other", "paths": ["/a"]}, []),
        ({"kind": "Service", "paths": ["/a"]}, []),
        ({"kind": "Deployment"}, None),
    ],
)
def test_which_objects_are_meant(given: dict[str, Any], expected: Any) -> None:
    assert pointers_for(DEPLOYMENT, [IgnoredFields.model_validate(given)]) == expected
