"""Each check of the preflight: what it finds, how bad that is, and what the sentence says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.cluster.builders import NOW, a_cluster, an_addon, an_etcd
from tests.unit.operators.cluster.cluster.operations.upgrade_world import somebodys

from kok.api.cluster.addon import Addon
from kok.api.cluster.status import CertificateStatus
from kok.api.cluster.upgrade import FINDINGS_MOST, UpgradeFinding
from kok.api.etcd.contract import EtcdContract
from kok.api.unreadable import Unreadable
from kok.kube.objects.ownership import owned
from kok.operators.cluster.businesscluster.deprecated import Counted, Requested, Stored
from kok.operators.cluster.businesscluster.look import BusinessLook, Unseen
from kok.operators.cluster.businesscluster.webhooks import Webhook
from kok.operators.cluster.cluster.operations.preflight.checks import check
from kok.operators.cluster.cluster.operations.preflight.facts import Facts
from kok.operators.cluster.cluster.operations.preflight.probes import Probed, Trouble
from kok.versions import Minor

OLD, NEW = "1.36.4", "1.37.1"
STORE = {"backup": {"store": {"volume": {"claim": "backups"}}}}
CIDRS = Requested("networking.k8s.io", "v1beta1", "servicecidrs", "", Minor(1, 37))
CLAIMS = Requested("resource.k8s.io", "v1beta1", "resourceclaims", "", Minor(1, 38))
WRITTEN = Stored("networking.k8s.io/v1beta1", "servicecidrs", ("a", "b", "c"), True, ("helm",))
HOOK = Webhook("policy", "pods.example.org", ("pods", "nodes"), ("guard", "guard"))


def facts(spec: dict[str, Any] | None = None, note: str = "", **changes: Any) -> Facts:
    """Nothing speaks against anything."""
    annotations = {"kok.dev/upgrade-consent": note} if note else None
    cluster = a_cluster(annotations=annotations, **{"version": OLD, "etcd": STORE, **(spec or {})})
    etcd = EtcdContract.of(an_etcd())
    return replace(Facts(cluster, NOW, OLD, etcd), **changes)


def seen(**changes: Any) -> dict[str, Any]:
    return {"look": replace(BusinessLook(Counted(frozenset(), 1)), **changes)}


def certificate(days: float) -> CertificateStatus:
    ends = NOW + timedelta(days=days)
    return CertificateStatus(name="shop-ca", not_after=ends, renew_at=ends)


def arguments(name: str, value: str, part: str = "apiServer") -> dict[str, Any]:
    return {part: {"extraArgs": [{"name": name, "value": value}]}}


def counted(*apis: Requested, servers: int = 1) -> Counted:
    return Counted(frozenset(apis), servers)


def for_versions(versions: str, maker: str = "", **spec: Any) -> Addon:
    """A healthy Addon of somebody's, or one that an Addon for many Clusters made."""
    addon = somebodys(kubernetes=versions, **spec)
    if maker:
        addon["metadata"] |= owned(addon, Addon.parse(somebodys(maker)))["metadata"]
    return Addon.parse(addon)


def test_an_addon_that_is_not_for_the_version_can_be_consented_to() -> None:
    found = check(facts(note="AddonVersion/cni", addons=(for_versions("<1.37"),), **seen()), NEW)
    assert [(f.check, f.blocks) for f in found] == [("AddonVersion", False)]


@pytest.mark.parametrize("versions", [">=1.34", "<1.38", ">=            1.34"])
def test_addons_that_the_version_changes_nothing_for_are_not_named(versions: str) -> None:
    assert check(facts(addons=(for_versions(versions),), **seen()), NEW) == []


def test_nothing_is_found_where_nothing_is() -> None:
    assert check(facts(**seen()), NEW) == []


@pytest.mark.parametrize(
    ("of", "version", "severity", "name", "says"),
    [
        (facts(), "1.99.0", "Error", "Version/1.99.0", "1.99.0 is not supported"),
        (facts(), "1.37.9", "Warning", "Version/1.37.9", "not among the patch levels"),
        (facts(running="1.35.4"), NEW, "Error", f"Version/{NEW}", "skips 1.36"),
        (facts(), "1.35.4", "Error", "Version/1.35.4", "goes down"),
        (
            facts(unreachable="it is silent"),
            NEW,
            "Error",
            "Reachable/",
            "does not answer (it is silent)",
        ),
        (facts(unreachable="it is silent"), "1.36.3", "Error", "Version/1.36.3", "goes down"),
        (
            facts(running="1.36.3", unreachable="it is silent"),
            OLD,
            "Warning",
            "Reachable/",
            "it is silent",
        ),
        (
            facts({"etcd": {**STORE, "version": "3.5.21"}}),
            NEW,
            "Error",
            "EtcdVersion/spec.etcd.version",
            "etcd 3.5.21 is too old for Kubernetes 1.37.1",
        ),
        (
            facts(etcd=EtcdContract.of(an_etcd(ready=False))),
            NEW,
            "Error",
            "EtcdHealth/EtcdCluster/shop-etcd",
            "is not ready: Ready is False",
        ),
        (
            facts(etcd=EtcdContract.of(None)),
            NEW,
            "Error",
            "EtcdHealth/EtcdCluster/shop-etcd",
            "does not say how it is",
        ),
        (
            facts(kubelets={"1.33.1": 2, "1.36.4": 5, "odd": 1}),
            NEW,
            "Error",
            "NodeSkew/1.33.1",
            "2 nodes: kubelet 1.33.1 is too old",
        ),
        (
            facts(kubelets={"1.38.0": 1}),
            NEW,
            "Error",
            "NodeSkew/1.38.0",
            "1 node: kubelet 1.38.0 is newer",
        ),
        (
            facts(arguments("feature-gates", "StructuredAuthenticationConfiguration=true")),
            NEW,
            "Error",
            "Arguments/spec.apiServer.extraArgs",
            "StructuredAuthenticationConfiguration was removed in 1.37",
        ),
        (
            facts(arguments("feature-gates", "A=true,DRAExtendedResource=false", "scheduler")),
            NEW,
            "Error",
            "Arguments/spec.scheduler.extraArgs",
            "feature gate DRAExtendedResource is locked to true since 1.37",
        ),
        (
            facts(arguments("enable-admission-plugins", "JobValidation")),
            NEW,
            "Error",
            "Arguments/spec.apiServer.extraArgs",
            "has no admission plugin JobValidation",
        ),
        (
            facts(arguments("concurrent-service-syncs", "2", "controllerManager")),
            NEW,
            "Error",
            "Arguments/spec.controllerManager.extraArgs",
            "--concurrent-service-syncs was removed in 1.37",
        ),
        (facts(certificates=(certificate(-1),)), NEW, "Error", "Certificates/shop-ca", "ended at"),
        (facts(certificates=(certificate(3),)), NEW, "Warning", "Certificates/shop-ca", "ends at"),
        (
            facts(addons=(Addon.parse(an_addon("coredns", healthy=False)),)),
            NEW,
            "Warning",
            "AddonHealth/shop-coredns",
            "is not healthy, and is not waited for",
        ),
        (
            facts(addons=(for_versions(">=1.34 <1.37"),)),
            NEW,
            "Error",
            "AddonVersion/cni",
            "spec.kubernetes of Addon team-a/cni is >=1.34 <1.37, which does not hold 1.37.1: "
            "once that runs nothing of it is changed any more; take a source that is made for 1.37.1",
        ),
        (
            facts(addons=(for_versions("<1.37", maker="net"),)),
            NEW,
            "Error",
            "AddonVersion/cni",
            "in Addon team-a/net, which makes it, take a source",
        ),
        (
            facts(addons=(for_versions("<1.36"),)),
            NEW,
            "Warning",
            "AddonVersion/cni",
            "does not hold 1.37.1",
        ),
        (
            facts(addons=(for_versions(">=1.34", paused=True),)),
            NEW,
            "Warning",
            "AddonHealth/cni",
            "Addon cni is paused, and is not waited for",
        ),
        (
            facts(odd_addons=(Unreadable("Addon", somebodys(), "spec.upgrade: no"),)),
            NEW,
            "Warning",
            "AddonHealth/cni",
            "cannot be read: spec.upgrade: no",
        ),
        (facts(more_addons=True), NEW, "Warning", "AddonHealth/", "more Addons with spec.cluster"),
        (facts({"etcd": {}}), NEW, "Warning", "Backup/spec.etcd.backup", "names no store"),
        (
            facts(**seen(counted=counted(CIDRS))),
            NEW,
            "Error",
            f"DeprecatedAPIs/{CIDRS.name}",
            "1.37 no longer serves it; who asks for it stands in the audit log",
        ),
        (
            facts(**seen(counted=counted(CLAIMS))),
            NEW,
            "Warning",
            f"DeprecatedAPIs/{CLAIMS.name}",
            "1.38 no longer serves",
        ),
        (
            facts(**seen(stored=(WRITTEN,))),
            NEW,
            "Warning",
            f"DeprecatedAPIs/{WRITTEN.name}",
            "a, b, c and more: helm writes by networking.k8s.io/v1beta1/servicecidrs, which 1.37",
        ),
        (
            facts(**seen(servers=2)),
            NEW,
            "Warning",
            "DeprecatedAPIs/metrics",
            "1 of 2 API servers",
        ),
        (
            facts(**seen(counted=Unseen("does not answer: x"))),
            NEW,
            "Warning",
            "DeprecatedAPIs/metrics",
            "the API does not answer: x",
        ),
        (
            facts(**seen(stored=Unseen("does not answer: x"))),
            NEW,
            "Warning",
            "DeprecatedAPIs/objects",
            "the API does not answer: x",
        ),
        (
            facts(**seen(webhooks=(HOOK,))),
            NEW,
            "Warning",
            "Webhooks/policy/pods.example.org",
            "asked about pods, nodes: if Service guard/guard does not answer",
        ),
        (
            facts(**seen(webhooks=(replace(HOOK, missing="Service g/g does not exist"),))),
            NEW,
            "Error",
            "Webhooks/policy/pods.example.org",
            "and Service g/g does not exist: all of that is refused",
        ),
        (
            facts(**seen(webhooks=(replace(HOOK, missing="no", conditions=True),))),
            NEW,
            "Warning",
            "Webhooks/policy/pods.example.org",
            "unless its matchConditions exclude that",
        ),
        (
            facts(**seen(webhooks=Unseen("is not read: x"))),
            NEW,
            "Warning",
            "Webhooks/",
            "the API is not read: x",
        ),
        (
            facts(probed=Probed(troubles=(Trouble("Room", "kube-apiserver", "no room"),))),
            NEW,
            "Error",
            "Room/kube-apiserver",
            "no room",
        ),
        (
            facts(probed=Probed(troubles=(Trouble("Images", "x", "not brought", error=False),))),
            NEW,
            "Warning",
            "Images/x",
            "not brought",
        ),
        (facts(probed=Probed(tried=False)), NEW, "Warning", "Images/", "a dry run makes no pods"),
    ],
)
def test_what_is_found_is_named_with_what_to_do(
    of: Facts, version: str, severity: str, name: str, says: str
) -> None:
    [found] = check(of, version)
    assert (found.severity, f"{found.check}/{found.object}") == (severity, name)
    assert says in found.message


def test_who_writes_objects_is_named_where_somebody_asks_for_them() -> None:
    error, warning = check(facts(**seen(counted=counted(CIDRS), stored=(WRITTEN,))), NEW)
    assert (error.severity, warning.severity) == ("Error", "Warning")
    assert "objects are written by helm" in error.message


def test_several_minors_may_be_checked_where_they_may_be_gone_through() -> None:
    assert check(facts({"upgrade": {"chained": True}}, running="1.35.4"), NEW) == []


@pytest.mark.parametrize(
    ("note", "blocks"),
    [
        ("", {"NodeSkew", "Webhooks"}),
        ("NodeSkew", {"Webhooks"}),
        ("Webhooks/policy/pods.example.org, NodeSkew/1.33.1", set()),
        ("Webhooks/policy/other", {"NodeSkew", "Webhooks"}),
    ],
)
def test_what_is_consented_to_blocks_no_more(note: str, blocks: set[str]) -> None:
    dead = seen(webhooks=(replace(HOOK, missing="nobody"),))
    found = check(facts(note=note, kubelets={"1.33.1": 1}, **dead), NEW)
    assert {one.check for one in found if one.blocks} == blocks
    assert len(found) == 2


def test_errors_come_first_and_what_does_not_fit_is_counted() -> None:
    hooks = tuple(replace(HOOK, name=f"n{n}") for n in range(FINDINGS_MOST + 5))
    found = check(facts(kubelets={"1.33.1": 1}, **seen(webhooks=hooks)), NEW)
    assert len(found) == FINDINGS_MOST
    assert found[0].check == "NodeSkew"
    assert found[-1] == UpgradeFinding(
        check="More",
        severity="Warning",
        message="7 more findings, which are told once those above are mended",
    )
