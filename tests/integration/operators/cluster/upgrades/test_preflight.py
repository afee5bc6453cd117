"""Before an upgrade: what is found inside, what pods of the new version meet, and what is left behind."""

from __future__ import annotations

import itertools
import subprocess
from typing import Any

from tests.integration.apiserver import find_binary
from tests.integration.operators.cluster.conftest import (
    MortalClusters,
    Workspace,
    condition,
    soon,
    usable,
)
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Kind, Manifest
from kok.api.names import ANNOTATION_PREFLIGHT, ANNOTATION_UPGRADE_CONSENT
from kok.kube.client import Kube
from kok.operators.cluster.businesscluster.webhooks import CONFIGURATIONS
from kok.operators.cluster.cluster.operations.preflight.probes import wrong_version
from kok.runtime.process.main import Process

OLD, NEW = "1.36.4", "1.37.1"
BETA = {"extraArgs": [{"name": "runtime-config", "value": "networking.k8s.io/v1beta1=true"}]}
RANGE = {
    "apiVersion": "networking.k8s.io/v1beta1",
    "kind": "ServiceCIDR",
    "metadata": {"name": "more"},
    "spec": {"cidrs": ["10.123.0.0/24"]},
}
WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "policy"},
    "webhooks": [
        {
            "name": "pods.policy.example.org",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"service": {"namespace": "default", "name": "nobody"}},
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                }
            ],
        }
    ],
}


def findings(cluster: Manifest | None) -> dict[str, str]:
    """Severities of what the preflight found, by check and object."""
    upgrade = ((cluster or {}).get("status") or {}).get("upgrade") or {}
    return _by_name(upgrade.get("findings") or [])


def _by_name(found: Any) -> dict[str, str]:
    """Of several about the same the worst: errors come first."""
    return {
        f"{f['check']}/{f.get('object', '')}".rstrip("/"): f["severity"] for f in reversed(found)
    }


def blocked(cluster: Manifest | None) -> bool:
    return condition(cluster, "Progressing").get("reason") == "UpgradeBlocked"


def done(cluster: Manifest | None) -> bool:
    status = (cluster or {}).get("status") or {}
    return status.get("version") == NEW and "upgrade" not in status and "probes" not in status


async def test_what_is_found_inside_blocks_until_it_is_mended_or_consented_to(
    workspace: Workspace,
    cluster_operator: Process,
    standin: StandIn,
    kube: Kube,
    namespace: str,
) -> None:
    await workspace.make(version=OLD, apiServer=BETA)
    await workspace.until_ready()
    async with workspace.business() as admin:
        await admin.apply(RANGE)
        await admin.create(WEBHOOK)

    # First as a question, which changes nothing.
    asked = f"{NEW},test"
    await workspace.patch({"metadata": {"annotations": {ANNOTATION_PREFLIGHT: asked}}})
    found = await workspace.until(lambda m: "preflight" in ((m or {}).get("status") or {}))
    answer = found["status"]["preflight"]
    assert (answer["version"], answer["asked"], answer["passed"]) == (NEW, asked, False)
    told = _by_name(answer["findings"])
    assert told["DeprecatedAPIs/networking.k8s.io/v1beta1/servicecidrs"] == "Error"
    assert told["Webhooks/policy/pods.policy.example.org"] == "Error"
    assert told["Images"] == "Warning", "what was not tried is said"
    assert not standin.kubelet.seen
    assert "upgrade" not in found["status"]
    await workspace.patch({"metadata": {"annotations": {ANNOTATION_PREFLIGHT: None}}})
    await workspace.until(lambda m: "preflight" not in (m or {})["status"])

    await workspace.patch({"spec": {"version": NEW}})
    stopped = await workspace.until(blocked)
    assert {name for name, severity in findings(stopped).items() if severity == "Error"} == {
        "DeprecatedAPIs/networking.k8s.io/v1beta1/servicecidrs",
        "Webhooks/policy/pods.policy.example.org",
    }
    message = next(
        f["message"]
        for f in stopped["status"]["upgrade"]["findings"]
        if f["check"] == "DeprecatedAPIs" and f["severity"] == "Warning"
    )
    assert message.startswith("more: user writes by networking.k8s.io/v1beta1/servicecidrs")
    # What was tried is known, and none of those that tried it is left.
    await soon(lambda: _none_left(standin, namespace))
    assert {
        pod["metadata"]["labels"]["kok.dev/probed"] for pod in standin.kubelet.seen.values()
    } == {
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    }

    async with workspace.business() as admin:
        await admin.delete(CONFIGURATIONS[0], "policy")
    consent = "DeprecatedAPIs/networking.k8s.io/v1beta1/servicecidrs"
    await workspace.patch({"metadata": {"annotations": {ANNOTATION_UPGRADE_CONSENT: consent}}})
    await workspace.until(done)
    assert await standin.kubelet.pods(namespace) == []
    assert len(standin.kubelet.seen) == 3, "each was made once"


async def _none_left(standin: StandIn, namespace: str) -> bool:
    return await standin.kubelet.pods(namespace) == []


async def test_what_pods_of_the_new_version_meet_is_said(
    workspace: Workspace,
    cluster_operator: Process,
    standin: StandIn,
    kube: Kube,
    namespace: str,
) -> None:
    await workspace.make(version=OLD)
    await workspace.until_ready()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": namespace},
        "spec": {"hard": {"requests.memory": "250Mi"}},
    }
    await kube.create(quota)
    used = {"status": {"hard": quota["spec"]["hard"], "used": {"requests.memory": "0"}}}  # type: ignore[index]
    await kube.patch(
        Kind("", "v1", "ResourceQuota", "resourcequotas"),
        "small",
        namespace,
        used,
        subresource="status",
    )
    standin.kubelet.fates = {
        "kube-controller-manager": "imageless",
        "kube-scheduler": "Kubernetes v1.30.0",
    }

    await workspace.patch({"spec": {"version": NEW}})
    found = await workspace.until(lambda m: "Room/kube-apiserver" in findings(m))
    found = await workspace.until(lambda m: len(_errors(m)) == 3)
    errors = _errors(found)
    assert "exceeded quota: small" in errors["Room/kube-apiserver"]
    assert "spec.apiServer.resources" in errors["Room/kube-apiserver"]
    assert "manifest unknown" in errors["Images/kube-controller-manager"]
    assert "says v1.30.0, and should be v1.37.1" in errors["Images/kube-scheduler"]

    # Called off: nothing of it stays.
    await workspace.patch({"spec": {"version": OLD}})
    at_rest = await workspace.until(
        lambda m: m is not None and not {"upgrade", "probes"} & m["status"].keys()
    )
    assert usable(at_rest) or condition(at_rest)
    assert await standin.kubelet.pods(namespace) == []


def test_programs_say_what_is_expected_of_them() -> None:
    program = find_binary("kube-apiserver", f"v{NEW}", "KOK_TEST_kube-apiserver")
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    assert wrong_version("kube-apiserver", said, NEW, "image") is None
    assert wrong_version("kube-apiserver", said, OLD, "image") is not None


def _errors(cluster: Manifest | None) -> dict[str, str]:
    upgrade = ((cluster or {}).get("status") or {}).get("upgrade") or {}
    return {
        f"{f['check']}/{f['object']}": f["message"]
        for f in upgrade.get("findings") or ()
        if f["severity"] == "Error"
    }


async def test_no_probe_is_left_wherever_the_operator_dies(
    workspace: Workspace, kube: Kube, namespace: str, standin: StandIn
) -> None:
    mortal = MortalClusters(kube, namespace)
    await workspace.make(version=OLD)
    await workspace.patch({"metadata": {"finalizers": [mortal.finalizer]}})
    await mortal.work(usable)
    mortal.lives = itertools.repeat(1)

    # Called off while pods are on their way, of one version and another.
    standin.kubelet.fates = {"kube-apiserver": "stays", "kube-scheduler": "homeless"}
    await workspace.patch({"spec": {"version": NEW}})
    await mortal.work(lambda m: len(((m["status"].get("probes") or {}).get("passed")) or ()) == 1)
    await workspace.patch({"spec": {"version": "1.37.0"}})
    await mortal.work(lambda m: (m["status"].get("probes") or {}).get("version") == "1.37.0")
    await workspace.patch({"spec": {"version": OLD}})
    await mortal.work(lambda m: not {"upgrade", "probes"} & m["status"].keys())
    assert await standin.kubelet.pods(namespace) == []

    standin.kubelet.fates = {}
    await workspace.patch({"spec": {"version": NEW}})
    await mortal.work(done)
    assert await standin.kubelet.pods(namespace) == []
    assert any("POST pods" in point for point in mortal.points)
    assert any("DELETE pods" in point for point in mortal.points)


async def test_a_cluster_that_is_deleted_takes_its_probes_along(
    workspace: Workspace,
    cluster_operator: Process,
    standin: StandIn,
    namespace: str,
) -> None:
    await workspace.make(version=OLD)
    await workspace.until_ready()
    standin.kubelet.fates = dict.fromkeys(("kube-apiserver", "kube-scheduler"), "stays")
    await workspace.patch({"spec": {"version": NEW}})
    waiting = await workspace.until(
        lambda m: "through" in (((m or {})["status"].get("upgrade") or {}).get("waitingFor") or "")
    )
    assert "pods that try its images" in waiting["status"]["upgrade"]["waitingFor"]
    await workspace.delete(Kind("kok.dev", "v1alpha1", "Cluster", "clusters"), "shop")
    await soon(lambda: _none_left(standin, namespace))
