"""Applying and drift against what a real API server makes of our manifests."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.runtime.manifests import INTENTS, POD

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.apply.serverside import Change, covers, ensure, ensure_all
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


@pytest.fixture
async def other(api_server: ApiServer) -> AsyncIterator[Kube]:
    """Somebody else, who may change what is ours."""
    async with await Kube.from_kubeconfig(
        api_server.kubeconfig(), field_manager="kubectl-edit"
    ) as client:
        yield client


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


TEMPLATE = "/spec/template/spec"
MORE: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    "host network": ("Deployment", [(f"{TEMPLATE}/hostNetwork", True)]),
    "host users": ("StatefulSet", [(f"{TEMPLATE}/hostPID", True)]),
    "a container": (
        "Deployment",
        [(f"{TEMPLATE}/containers/-", {"name": "miner", "image": "example/miner"})],
    ),
    "a variable, a port and a mount": (
        "StatefulSet",
        [
            (f"{TEMPLATE}/containers/0/env/-", {"name": "LD_PRELOAD", "value": "/x.so"}),
            (f"{TEMPLATE}/containers/0/ports/-", {"name": "more", "containerPort": 7}),
            (f"{TEMPLATE}/containers/0/volumeMounts/-", {"name": "keys", "mountPath": "/more"}),
        ],
    ),
    "volumes": (
        "Deployment",
        [
            (f"{TEMPLATE}/volumes/-", {"name": "one", "hostPath": {"path": "/"}}),
            (f"{TEMPLATE}/volumes/-", {"name": "two", "emptyDir": {}}),
        ],
    ),
    "a node selector": ("Deployment", [(f"{TEMPLATE}/nodeSelector", {"disk": "fast"})]),
    "a limit": (
        "StatefulSet",
        [(f"{TEMPLATE}/containers/0/resources/limits/memory", "2Gi")],
    ),
    "a label of pods": ("Deployment", [("/spec/template/metadata/labels/team", "x")]),
    "a pause": ("Deployment", [("/spec/paused", True)]),
    "addresses": ("Service", [("/spec/externalIPs", ["192.0.2.7"])]),
    "a term of a selector": ("Service", [("/spec/selector/other", "term")]),
    "a port": ("Service", [("/spec/ports/-", {"name": "more", "port": 99})]),
    "a way out of a policy": (
        "NetworkPolicy",
        [("/spec/egress", [{}]), ("/spec/podSelector/matchLabels", {"other": "term"})],
    ),
}
"""What somebody adds to the spec of a kind that is ours as a whole."""


@pytest.mark.parametrize("name", MORE)
async def test_what_others_add_to_a_spec_goes_at_once_and_for_good(
    kube: Kube, other: Kube, namespace: str, name: str
) -> None:
    kind, fields = MORE[name]
    intent = placed(next(i for i in INTENTS if i["kind"] == kind), namespace)
    made, _ = await ensure(kube, intent, None)
    patch = [{"op": "add", "path": path, "value": value} for path, value in fields]
    live = await other.patch(
        await kube.resolve(intent), made["metadata"]["name"], namespace, patch, type="json"
    )
    assert live["spec"] != made["spec"]

    mended, change = await ensure(kube, intent, live)

    assert change is Change.UPDATED
    assert mended["spec"] == made["spec"]
    _, again = await ensure(refusing(kube), intent, mended)
    assert again is Change.NONE


async def test_a_restart_by_kubectl_stays(kube: Kube, other: Kube, namespace: str) -> None:
    intent = placed(INTENTS[0], namespace)
    await ensure(kube, intent, None)
    notes = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    template = {"template": {"metadata": {"annotations": notes}}}
    live = await other.patch(kinds.DEPLOYMENT, "web", namespace, {"spec": template})

    _, change = await ensure(refusing(kube), intent, live)

    assert change is Change.NONE


async def test_a_forged_or_erased_record_hides_nothing(
    api_server: ApiServer, kube: Kube, other: Kube, namespace: str
) -> None:
    intent = placed(INTENTS[0], namespace)
    made, _ = await ensure(kube, intent, None)
    host = {"spec": {"template": {"spec": {"hostNetwork": True}}}}
    async with await Kube.from_kubeconfig(
        api_server.kubeconfig(), field_manager=kube.field_manager
    ) as forger:
        await forger.patch(kinds.DEPLOYMENT, "web", namespace, host)
    erased = {"metadata": {"managedFields": [{}]}}
    for live in (
        await live_of(kube, intent),
        await other.patch(kinds.DEPLOYMENT, "web", namespace, {**host, **erased}),
    ):
        assert live["spec"]["template"]["spec"]["hostNetwork"] is True
        mended, _ = await ensure(kube, intent, live)
        assert mended["spec"] == made["spec"]
        _, again = await ensure(refusing(kube), intent, mended)
        assert again is Change.NONE


async def test_who_adds_again_and_again_is_answered_once_the_minute_is_over(
    kube: Kube, other: Kube, namespace: str
) -> None:
    intent, patient = placed(INTENTS[0], namespace), kube.apart()
    await ensure(patient, intent, None)
    host = {"spec": {"template": {"spec": {"hostPID": True}}}}
    for _ in range(6):
        live = await other.patch(kinds.DEPLOYMENT, "web", namespace, host)
        mended, _ = await ensure(patient, intent, live)
        assert len(patient.postponed) == ("hostPID" in mended["spec"]["template"]["spec"])
    assert len(patient.postponed) == 1
    assert 0 < patient.postponed[0] <= 62


FORGED: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    name: MORE[name] for name in ("a container", "volumes", "addresses")
} | {
    "a variable and a mount": (
        "StatefulSet",
        [
            (f"{TEMPLATE}/containers/0/env/-", {"name": "LD_PRELOAD", "value": "/x.so"}),
            (f"{TEMPLATE}/containers/0/volumeMounts/-", {"name": "keys", "mountPath": "/more"}),
        ],
    ),
    "host network": ("Deployment", [(f"{TEMPLATE}/hostPID", True)]),
    "a user": ("Deployment", [(f"{TEMPLATE}/securityContext/runAsUser", 0)]),
    "a capability": (
        "StatefulSet",
        [(f"{TEMPLATE}/containers/0/securityContext/capabilities/add", ["SYS_ADMIN"])],
    ),
    "privileges": (
        "StatefulSet",
        [
            (f"{TEMPLATE}/containers/0/securityContext/privileged", True),
            (f"{TEMPLATE}/containers/0/securityContext/allowPrivilegeEscalation", True),
        ],
    ),
    "a service account": ("Deployment", [(f"{TEMPLATE}/serviceAccountName", "other")]),
    "a node": ("Deployment", [(f"{TEMPLATE}/nodeName", "meta-1")]),
    "a container before all": (
        "Deployment",
        [(f"{TEMPLATE}/initContainers", [{"name": "miner", "image": "example/miner"}])],
    ),
    "a host's directory for an empty one": (
        "Deployment",
        [
            (
                f"{TEMPLATE}/volumes",
                [{"name": "scratch", "hostPath": {"path": "/"}}, *POD["spec"]["volumes"][1:]],
            )
        ],
    ),
    "a port of the host": ("Deployment", [(f"{TEMPLATE}/containers/0/ports/0/hostPort", 22)]),
    "a command": (
        "Deployment",
        [(f"{TEMPLATE}/containers/0/lifecycle", {"postStart": {"exec": {"command": ["x"]}}})],
    ),
    "a label of pods": ("Deployment", [("/spec/template/metadata/labels/team", "x")]),
    "a term of a selector": ("Service", [("/spec/selector/other", "term")]),
    "a way out of a policy": ("NetworkPolicy", [("/spec/egress", [{}])]),
    "a wider rule": (
        "NetworkPolicy",
        [("/spec/ingress/0/from/0/namespaceSelector", {})],
    ),
}
"""What is added and then struck from the record of who wrote it."""


@pytest.mark.parametrize("name", FORGED)
async def test_what_matters_goes_though_nobody_is_recorded_as_its_writer(
    kube: Kube, other: Kube, namespace: str, name: str
) -> None:
    kind_name, fields = FORGED[name]
    intent = placed(next(i for i in INTENTS if i["kind"] == kind_name), namespace)
    made, _ = await ensure(kube, intent, None)
    kind, record = await kube.resolve(intent), made["metadata"]["managedFields"]
    patch = [{"op": "add", "path": path, "value": value} for path, value in fields]
    name = made["metadata"]["name"]
    await other.patch(kind, name, namespace, patch, type="json")
    live = await other.patch(kind, name, namespace, {"metadata": {"managedFields": record}})
    assert live["metadata"]["managedFields"] == record
    assert live["spec"] != made["spec"]

    mended, change = await ensure(kube, intent, live)

    assert change is Change.UPDATED
    assert mended["spec"] == made["spec"]
    _, again = await ensure(refusing(kube), intent, mended)
    assert again is Change.NONE


async def test_what_cannot_be_removed_keeps_nothing_else(
    kube: Kube, other: Kube, namespace: str
) -> None:
    """Somebody makes the object first, with what nobody can change later."""
    intent = placed(next(i for i in INTENTS if i["kind"] == "StatefulSet"), namespace)
    without = copy.deepcopy(intent)
    del without["spec"]["podManagementPolicy"]
    theirs = copy.deepcopy(intent)
    theirs["spec"]["template"]["spec"]["hostPID"] = True
    live = await other.create(theirs)

    mended, _ = await ensure(kube, without, live)

    assert mended["spec"]["podManagementPolicy"] == "Parallel"
    assert not mended["spec"]["template"]["spec"].get("hostPID")
    _, again = await ensure(refusing(kube), without, mended)
    assert again is Change.NONE
    host = [{"op": "add", "path": f"{TEMPLATE}/hostIPC", "value": True}]
    live = await other.patch(kinds.STATEFULSET, "web", namespace, host, type="json")
    mended, _ = await ensure(kube, without, live)
    assert not mended["spec"]["template"]["spec"].get("hostIPC")


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
