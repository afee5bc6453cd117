"""Identities with exactly the rights that the chart gives an operator, for tests of operators."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from e2e.polling import eventually
from tests.integration.apiserver import ApiServer, find_binary
from tests.integration.conftest import PATIENCE
from tests.unit.repository.chart.conftest import CHART, HELM_VERSION

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import Access, from_kubeconfig
from kok.kube.http.paths import object_path

RBAC = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
REVIEW = Kind(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False
)


def chart(release: str, namespace: str, **values: Any) -> list[Manifest]:
    """The objects of the chart, rendered for a release."""
    helm = find_binary("helm", HELM_VERSION, "KOK_TEST_HELM")
    done = subprocess.run(
        [helm, "template", release, str(CHART), f"--namespace={namespace}", "--values=-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=True,
    )
    return [m for m in yaml.safe_load_all(done.stdout) if m]


async def operator_access(
    api_server: ApiServer, kube: Kube, namespace: str, operator: str, **values: Any
) -> Access:
    """What a pod of the operator has if the chart is installed in that namespace.

    `operator` is etcd, cluster or machine, or `operator` with `singleProcess=True`. The Lease may
    be in that namespace only, as with the chart.
    """
    rights = [m for m in chart(namespace, namespace, **values) if m["kind"] in RBAC]
    for manifest in rights:
        await kube.apply(manifest)
    account = f"{namespace}-kok-{operator}"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    await in_force(kube, rights, subject, f"system:serviceaccount:{namespace}:{account}")
    path = object_path(kinds.SERVICEACCOUNT, namespace, account, "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    granted = await kube.raw("POST", path, request)
    config = yaml.safe_load(api_server.kubeconfig())
    config["users"][0]["user"] = {"token": granted["status"]["token"]}
    return from_kubeconfig(config)


async def in_force(
    kube: Kube, manifests: Sequence[Manifest], subject: Mapping[str, str], user: str, *groups: str
) -> None:
    """Returns once the API server heeds the bindings of a subject: it hears of them a moment later.

    `manifests` are these and their roles; `user` and `groups` are whom it then takes for the subject.
    """
    roles = {(m["kind"], m["metadata"]["name"]): m for m in manifests if m.get("rules")}
    bound = [
        (roles[reference], m["metadata"].get("namespace"))
        for m in manifests
        if any(subject.items() <= s.items() for s in m.get("subjects") or ())
        and (reference := (m["roleRef"]["kind"], m["roleRef"]["name"])) in roles
    ]
    assert bound, f"nothing is bound to {user}"
    async with asyncio.timeout(PATIENCE):
        for role, namespace in bound:
            asked = {"user": user, "groups": groups, **_first(role, namespace)}
            review = {"apiVersion": REVIEW.api_version, "kind": REVIEW.kind, "spec": asked}

            async def allowed() -> bool:
                answer = await kube.raw("POST", object_path(REVIEW), review)  # noqa: B023 - waited for below
                return bool(answer["status"]["allowed"])

            await eventually(allowed, PATIENCE)


def _first(role: Manifest, namespace: str | None) -> Manifest:
    """The first thing that a role allows, as it is asked for."""
    rule = role["rules"][0]
    resource, _, subresource = rule["resources"][0].partition("/")
    wanted = {
        "verb": rule["verbs"][0],
        "group": rule["apiGroups"][0],
        "resource": resource,
        "subresource": subresource,
        "name": (rule.get("resourceNames") or [""])[0],
        "namespace": namespace or "",
    }
    return {"resourceAttributes": wanted}


async def refused(kube: Kube) -> dict[str, float]:
    """Requests that the API server has answered with 403 so far, by `verb resource`."""
    text = await kube.raw("GET", "/metrics")
    found: dict[str, float] = {}
    for line in str(text).splitlines():
        if line.startswith("apiserver_request_total{") and 'code="403"' in line:
            labels, _, value = line.removeprefix("apiserver_request_total{").rpartition("} ")
            named = dict(part.split("=", 1) for part in labels.replace('"', "").split(","))
            key = " ".join(filter(None, (named["verb"], named["resource"], named["subresource"])))
            found[key] = found.get(key, 0) + float(value)
    return found
