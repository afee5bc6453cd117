"""Applying and drift against what a real API server makes of our manifests."""

from __future__ import annotations

import copy

import pytest
from tests.integration.runtime.manifests import INTENTS

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.apply import Change, covers, ensure, ensure_all
from kok.kube.client import Kube


def named(intent: Manifest) -> str:
    """The name of a case."""
    return f"{intent['kind']}-{intent['metadata']['name']}"


def placed(intent: Manifest, namespace: str) -> Manifest:
    """The intent in the test's namespace."""
    return {**intent, "metadata": {**intent["metadata"], "namespace": namespace}}


def refusing(kube: Kube) -> Kube:
    """A client that fails the test on any write."""

    def refuse(method: str, path: str) -> None:
        raise AssertionError(f"{method} {path} was sent")

    return kube.guarded(refuse)


async def live_of(kube: Kube, intent: Manifest) -> Manifest:
    """What the API server has for an intent."""
    kind, meta = await kube.resolve(intent), intent["metadata"]
    live = await kube.get(kind, meta["name"], meta["namespace"])
    assert live is not None
    return live


@pytest.mark.parametrize("intent", INTENTS, ids=named)
async def test_an_intent_is_sent_once(kube: Kube, namespace: str, intent: Manifest) -> None:
    intent = placed(intent, namespace)

    made, first = await ensure(kube, intent, None)
    live = await live_of(kube, intent)
    _, second = await ensure(refusing(kube), intent, live)

    assert first is Change.CREATED
    assert second is Change.NONE
    assert covers(made, intent)


@pytest.mark.parametrize("intent", INTENTS, ids=named)
async def test_a_new_process_does_not_send_it_again(
    kube: Kube, namespace: str, intent: Manifest
) -> None:
    intent = placed(intent, namespace)
    await ensure(kube, intent, None)
    kube.accepted.clear()

    _, change = await ensure(refusing(kube), intent, await live_of(kube, intent))

    assert change is Change.NONE


EDITS: dict[str, Manifest] = {
    "Deployment": {"spec": {"replicas": 5}},
    "StatefulSet": {"spec": {"template": {"metadata": {"annotations": {"kok.dev/config": "2"}}}}},
    "Service": {"spec": {"selector": {"app": "other"}}},
    "Secret": {"data": {"tls.crt": "Qw=="}},
    "ConfigMap": {"data": {"a": None}},
    "ServiceAccount": {"automountServiceAccountToken": True},
    "Role": {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]},
    "RoleBinding": {"subjects": []},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 2}},
    "NetworkPolicy": {"spec": {"ingress": []}},
    "EndpointSlice": {"endpoints": [{"addresses": ["10.9.9.9"]}]},
}


@pytest.mark.parametrize("kind", EDITS)
async def test_what_somebody_changed_is_put_back(kube: Kube, namespace: str, kind: str) -> None:
    intent = placed(next(i for i in INTENTS if i["kind"] == kind), namespace)
    made, _ = await ensure(kube, intent, None)
    await kube.patch(await kube.resolve(intent), made["metadata"]["name"], namespace, EDITS[kind])
    live = await live_of(kube, intent)
    assert not covers(live, intent)

    mended, change = await ensure(kube, intent, live)

    assert change is Change.UPDATED
    assert covers(mended, intent)


async def test_an_added_container_port_of_another_protocol_is_no_drift_but_a_changed_image_is(
    kube: Kube, namespace: str
) -> None:
    intent = placed(INTENTS[0], namespace)
    await ensure(kube, intent, None)
    live = await live_of(kube, intent)
    container = live["spec"]["template"]["spec"]["containers"][0]
    container["ports"].append({"name": "more", "containerPort": 1, "protocol": "TCP"})
    assert covers(live, intent)
    container["image"] = "registry.example/web:2"
    assert not covers(live, intent)


async def test_what_an_intent_drops_is_removed(kube: Kube, namespace: str) -> None:
    intent = placed(INTENTS[0], namespace)
    live, _ = await ensure(kube, intent, None)
    less = copy.deepcopy(intent)
    container = less["spec"]["template"]["spec"]["containers"][0]
    del container["env"]
    container["ports"] = container["ports"][:1]

    now, change = await ensure(kube, less, live)

    assert change is Change.UPDATED
    left = now["spec"]["template"]["spec"]["containers"][0]
    assert "env" not in left
    assert [port["name"] for port in left["ports"]] == ["https"]


async def test_what_others_add_stays(kube: Kube, namespace: str) -> None:
    intent = placed(next(i for i in INTENTS if i["kind"] == "ConfigMap"), namespace)
    await ensure(kube, intent, None)
    theirs = {"metadata": {"labels": {"team": "x"}}, "data": {"b": "2"}}
    live = await kube.patch(kinds.CONFIGMAP, "web", namespace, theirs)

    same, change = await ensure(refusing(kube), intent, live)
    assert change is Change.NONE
    assert same["data"] == {"a": "1", "b": "2"}

    changed = {**intent, "data": {"a": "3"}}
    after, _ = await ensure(kube, changed, live)
    assert after["data"] == {"a": "3", "b": "2"}
    assert after["metadata"]["labels"] == {"team": "x"}


async def test_what_the_server_insists_on_is_not_fought_over(kube: Kube, namespace: str) -> None:
    # The time of creation is the server's, whatever an intent says.
    intent = placed(next(i for i in INTENTS if i["kind"] == "Secret"), namespace)
    intent = {
        **intent,
        "metadata": {**intent["metadata"], "creationTimestamp": "2020-01-01T00:00:00Z"},
    }
    live, _ = await ensure(kube, intent, None)

    _, change = await ensure(refusing(kube), intent, live)

    assert change is Change.NONE


async def test_many_objects_at_once(kube: Kube, namespace: str) -> None:
    intents = [placed(intent, namespace) for intent in INTENTS]

    made = await ensure_all(kube, intents, [])
    again = await ensure_all(refusing(kube), intents, [m for m, _ in made.values()])

    assert {change for _, change in made.values()} == {Change.CREATED}
    assert {change for _, change in again.values()} == {Change.NONE}
    assert len(again) == len(INTENTS)


async def test_an_object_on_its_way_out_is_left_alone(kube: Kube, namespace: str) -> None:
    intent = placed(next(i for i in INTENTS if i["kind"] == "ConfigMap"), namespace)
    intent["metadata"]["finalizers"] = ["kok.dev/test"]
    await ensure(kube, intent, None)
    await kube.delete(kinds.CONFIGMAP, "web", namespace)
    live = await live_of(kube, intent)
    changed = {**intent, "data": {"a": "2"}}

    _, change = await ensure(refusing(kube), changed, live)

    assert change is Change.NONE
