"""The API server takes what the chart renders, under the strictest pod security."""

from __future__ import annotations

import pytest
import yaml
from tests.integration.rights import chart
from tests.unit.repository.chart.conftest import CHART

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Forbidden
from kok.kube.http.paths import object_path

STRICT = {"dryRun": "All", "fieldValidation": "Strict"}
# The Prometheus operator is not there.
ELSEWHERE = "monitoring.coreos.com/"
VALUES = {f.stem: yaml.safe_load(f.read_text()) or {} for f in (CHART / "ci").glob("*.yaml")}


@pytest.mark.parametrize("values", sorted(VALUES))
async def test_everything_that_is_rendered_is_accepted(
    kube: Kube, namespace: str, values: str
) -> None:
    given = {**VALUES[values], "watchNamespaces": [namespace]}
    for manifest in chart("kok", namespace, **given):
        if not manifest["apiVersion"].startswith(ELSEWHERE):
            kind = await kube.resolve(manifest)
            path = object_path(kind, manifest["metadata"].get("namespace"))
            made = await kube.raw("POST", path, manifest, query=STRICT)
            assert made["metadata"]["name"] == manifest["metadata"]["name"]


@pytest.fixture
async def restricted(kube: Kube, namespace: str) -> str:
    """A namespace that takes pods of the restricted kind only."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await kube.patch(kinds.NAMESPACE, namespace, None, {"metadata": {"labels": labels}})
    return namespace


def pods(namespace: str, **values: object) -> list[Manifest]:
    """The pods that the chart's Deployments would make."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**m["spec"]["template"]["metadata"], "name": m["metadata"]["name"]},
            "spec": m["spec"]["template"]["spec"],
        }
        for m in chart("kok", namespace, **values)
        if m["kind"] == "Deployment"
    ]


@pytest.mark.parametrize("single", [False, True])
async def test_pods_run_where_only_restricted_ones_may(
    kube: Kube, restricted: str, single: bool
) -> None:
    for pod in pods(restricted, singleProcess=single):
        await kube.raw("POST", object_path(kinds.POD, restricted), pod, query=STRICT)


async def test_a_pod_with_more_rights_would_have_been_refused(kube: Kube, restricted: str) -> None:
    (pod, *_) = pods(restricted)
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(Forbidden, match="restricted"):
        await kube.raw("POST", object_path(kinds.POD, restricted), pod, query=STRICT)
