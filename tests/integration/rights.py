"""Identities with exactly the rights that the chart gives an operator, for tests of operators."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml
from tests.integration.apiserver import ApiServer, find_binary
from tests.unit.chart.conftest import CHART, HELM_VERSION

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.access import Access, from_kubeconfig
from kok.kube.client import Kube
from kok.kube.paths import object_path

RBAC = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}


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
    for manifest in chart(namespace, namespace, **values):
        if manifest["kind"] in RBAC:
            await kube.apply(manifest)
    account = f"{namespace}-kok-{operator}"
    path = object_path(kinds.SERVICEACCOUNT, namespace, account, "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    granted = await kube.raw("POST", path, request)
    config = yaml.safe_load(api_server.kubeconfig())
    config["users"][0]["user"] = {"token": granted["status"]["token"]}
    return from_kubeconfig(config)


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
