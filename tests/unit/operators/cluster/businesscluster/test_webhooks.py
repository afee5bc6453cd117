"""Webhooks that may refuse what an upgrade writes: which count, and whether anybody answers for them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi

from kok.kube.client import Kube
from kok.operators.cluster.businesscluster.webhooks import Webhook, selects, webhooks

CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/policy"
MUTATING = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/inject"
SERVICE = "/api/v1/namespaces/guard/services/guard"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/guard/endpointslices/guard-1"
PODS = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE"],
    "resources": ["pods"],
    "scope": "*",
}
NOT_SYSTEM = {
    "matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}
    ]
}
NOT_OURS = {
    "matchExpressions": [
        {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "default"],
        }
    ]
}


def hook(**changes: Any) -> dict[str, Any]:
    return {
        "name": "pods.policy.example.org",
        "failurePolicy": "Fail",
        "clientConfig": {
            "service": {"namespace": "guard", "name": "guard", "path": "/", "port": 443},
            "caBundle": "Zm9v",
        },
        "rules": [PODS],
        "namespaceSelector": {},
        "objectSelector": {},
        **changes,
    }


def put(api: FakeApi, *hooks: dict[str, Any], path: str = CONFIGURATION) -> None:
    for name in ("kube-system", "default"):
        labels = {"kubernetes.io/metadata.name": name}
        api.put(f"/api/v1/namespaces/{name}", {"metadata": {"labels": labels}})
    api.put(path, {"webhooks": list(hooks)})


def slice_of(*ready: bool | None) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "guard", "labels": {"kubernetes.io/service-name": "guard"}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": one}} for one in ready],
    }


@pytest.mark.parametrize(
    ("changes", "resources"),
    [
        ({}, ("pods",)),
        ({"failurePolicy": "Ignore"}, None),
        # The API server's default.
        ({"failurePolicy": "Fail", "matchConditions": []}, ("pods",)),
        ({"rules": [{**PODS, "operations": ["CONNECT"]}]}, None),
        ({"rules": [{**PODS, "operations": ["*"]}]}, ("pods",)),
        ({"rules": [{**PODS, "resources": ["deployments"], "apiGroups": ["apps"]}]}, None),
        ({"rules": [{**PODS, "resources": ["pods/*"]}]}, ("pods",)),
        ({"rules": [{**PODS, "scope": "Cluster"}]}, None),
        ({"rules": [{**PODS, "resources": ["nodes"], "scope": "Cluster"}]}, ("nodes",)),
        ({"namespaceSelector": NOT_SYSTEM}, ("pods",)),
        ({"namespaceSelector": NOT_OURS}, None),
        ({"namespaceSelector": {"matchLabels": {"guarded": "yes"}}}, None),
        # What has no namespace is chosen by none.
        (
            {
                "namespaceSelector": NOT_OURS,
                "rules": [{**PODS, "resources": ["nodes", "namespaces"]}],
            },
            ("nodes",),
        ),
        ({"objectSelector": {"matchLabels": {"guarded": "yes"}}}, None),
        (
            {
                "objectSelector": {
                    "matchExpressions": [{"key": "unguarded", "operator": "DoesNotExist"}]
                }
            },
            ("pods",),
        ),
        (
            {"rules": [{**PODS, "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"]}]},
            ("roles", "rolebindings", "clusterroles", "clusterrolebindings"),
        ),
        ({"rules": "nonsense"}, None),
        ({"rules": [{"apiGroups": [{}], "resources": 7}]}, None),
    ],
)
async def test_only_what_has_to_be_asked_about_what_is_needed_counts(
    api: FakeApi, kube: Kube, changes: dict[str, Any], resources: tuple[str, ...] | None
) -> None:
    put(api, hook(**changes))
    found = await webhooks(kube)
    assert [one.resources for one in found] == ([] if resources is None else [resources])


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ({}, "Service guard/guard does not exist"),
        ({SERVICE: {"spec": {}}}, "Service guard/guard has no endpoint that is ready"),
        (
            {SERVICE: {"spec": {}}, SLICE: slice_of(False)},
            "Service guard/guard has no endpoint that is ready",
        ),
        ({SERVICE: {"spec": {}}, SLICE: slice_of(False, True)}, None),
        # What is not said means ready.
        ({SERVICE: {"spec": {}}, SLICE: slice_of(None)}, None),
        ({SERVICE: {"spec": {"type": "ExternalName"}}}, None),
    ],
)
async def test_whether_anybody_answers_is_found_out(
    api: FakeApi, kube: Kube, there: dict[str, Any], missing: str | None
) -> None:
    put(api, hook(), path=MUTATING)
    for path, manifest in there.items():
        meta = {"namespace": "guard", **manifest.get("metadata", {})}
        api.put(path, {**manifest, "metadata": meta})
    [found] = await webhooks(kube)
    assert found == Webhook(
        "inject",
        "pods.policy.example.org",
        ("pods",),
        ("guard", "guard"),
        conditions=False,
        missing=missing,
    )


async def test_a_url_is_somewhere_else_and_conditions_are_told(api: FakeApi, kube: Kube) -> None:
    away = hook(name="b", clientConfig={"url": "https://guard.example"})
    put(api, away, hook(name="a", matchConditions=[{"name": "n", "expression": "true"}]))
    first, second = await webhooks(kube)
    assert (first.name, first.conditions, second.service) == ("a", True, None)
    assert second.missing is None


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        (None, {}, True),
        ({}, {}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {"a": "b"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Other"}]}, {}, True),
    ],
)
def test_label_selectors(selector: object, labels: dict[str, str], matches: bool) -> None:
    assert selects(selector, labels) is matches
