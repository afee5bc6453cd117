"""Addons: rendering, inventory and health."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
import yaml
from tests.unit.golden import cluster as golden
from tests.unit.operators.cluster.builders import NOW, a_cluster

from kok.addons import NAMES, builtin_addon
from kok.api.cluster.addon import Addon, AppliedObject
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Kind, Manifest
from kok.kube.client import Kube
from kok.kube.errors import KubeError, Unreachable
from kok.operators.cluster.addon.applying.inventory import merge_inventory, stale_entries
from kok.operators.cluster.addon.applying.order import removal_order, steps
from kok.operators.cluster.addon.bundle import BundleRenderer
from kok.operators.cluster.addon.context import TemplateContext, context_of
from kok.operators.cluster.addon.health import counts, judge, workloads
from kok.operators.cluster.addon.reconcile import AddonReconciler
from kok.operators.cluster.addon.render import Template, builtin, merged_values, render
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.clock import FakeClock
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import DONE, Pass
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.settings import Settings

STATUS = {"endpoint": "https://192.0.2.10:31443"}
DUAL = {
    "podCIDRs": ["10.64.0.0/16", "fd00:64::/56"],
    "serviceCIDRs": ["10.65.0.0/20", "fd00:65::/112"],
}


def context(**spec: Any) -> TemplateContext:
    found = context_of(a_cluster(status=spec.pop("status", STATUS), **spec))
    assert found is not None
    return found


def rendered(name: str, values: dict[str, Any] | None = None, **spec: Any) -> list[Manifest]:
    template, defaults = builtin(name)
    merged = merged_values(name, defaults, values or {})
    return render([template], context(**spec), merged, f"shop-{name}")


def own(text: str, values: dict[str, Any] | None = None, **spec: Any) -> list[Manifest]:
    return render([Template("inline", text)], context(**spec), values or {}, "mine")


def pick(manifests: list[Manifest], kind: str) -> Manifest:
    return next(m for m in manifests if m["kind"] == kind)


def test_of_a_name_that_is_no_built_in_addon_it_is_said_so() -> None:
    for name in ("ingress", "../cluster", "__init__.py", ""):
        with pytest.raises(Invalid, match="there is no built-in addon"):
            builtin(name)


@pytest.mark.parametrize("name", NAMES)
def test_built_in_addons_are_rendered_as_they_were(name: str) -> None:
    golden.check(f"addon/{name}", rendered(name))


def test_a_cluster_without_endpoint_has_no_facts() -> None:
    assert context_of(a_cluster()) is None


def test_addons_go_by_the_version_that_runs() -> None:
    found = context(status={**STATUS, "version": "1.36.4"})
    assert found.version == "1.36.4"
    daemon = pick(rendered("kube-proxy", status={**STATUS, "version": "1.36.4"}), "DaemonSet")
    image = daemon["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.k8s.io/kube-proxy:v1.36.4"


def test_images_come_from_the_clusters_registry() -> None:
    spec = {"images": {"registry": "mirror.example/all"}}
    for name in NAMES:
        text = yaml.safe_dump_all(rendered(name, **spec))
        images = [line.split("image: ")[1] for line in text.splitlines() if "image: " in line]
        assert images
        assert all(image.startswith("mirror.example/all/") for image in images)


def test_the_dns_service_has_the_tenth_address() -> None:
    assert pick(rendered("coredns"), "Service")["spec"]["clusterIP"] == "10.65.0.10"


def test_the_corefile_serves_the_clusters_domain() -> None:
    network = {"podCIDRs": ["10.1.0.0/16"], "serviceCIDRs": ["10.2.0.0/16"], "dnsDomain": "a.b"}
    corefile = pick(rendered("coredns", network=network), "ConfigMap")["data"]["Corefile"]
    assert "kubernetes a.b in-addr.arpa ip6.arpa {" in corefile
    assert corefile.startswith(".:53 {\n")


def test_conntrack_values_reach_kube_proxy() -> None:
    values = {"conntrack": {"maxPerCore": 0, "min": 0}}
    made = rendered("kube-proxy", values)
    config = yaml.safe_load(pick(made, "ConfigMap")["data"]["config.conf"])
    assert config["conntrack"] == {"maxPerCore": 0, "min": 0}
    assert config["clusterCIDR"] == "10.64.0.0/16"
    assert config["kind"] == "KubeProxyConfiguration"


def test_kube_proxy_restarts_when_its_configuration_changes() -> None:
    def mark(**values: Any) -> str:
        daemon = pick(rendered("kube-proxy", values), "DaemonSet")
        return str(daemon["spec"]["template"]["metadata"]["annotations"]["kok.dev/config"])

    assert mark() == mark()
    assert mark(mode="nftables") != mark()


def test_kube_proxy_reaches_the_api_by_its_public_address() -> None:
    text = pick(rendered("kube-proxy"), "ConfigMap")["data"]["kubeconfig.conf"]
    assert yaml.safe_load(text)["clusters"][0]["cluster"]["server"] == STATUS["endpoint"]


def test_flannel_knows_the_pod_addresses_of_both_families() -> None:
    net = json.loads(pick(rendered("flannel"), "ConfigMap")["data"]["net-conf.json"])
    assert net["Network"] == "10.64.0.0/16"
    assert net["Backend"] == {"Type": "vxlan"}
    dual = json.loads(pick(rendered("flannel", network=DUAL), "ConfigMap")["data"]["net-conf.json"])
    assert (dual["Network"], dual["IPv6Network"]) == ("10.64.0.0/16", "fd00:64::/56")


def test_limits_reach_every_container_of_a_builtin_addon() -> None:
    limits = {"resources": {"limits": {"cpu": "1", "memory": "100Mi"}}}
    for name in ("coredns", "flannel", "kube-proxy"):
        made = [m for m in rendered(name, limits) if m["kind"] in {"DaemonSet", "Deployment"}]
        pods = [m["spec"]["template"]["spec"] for m in made]
        found = [c for pod in pods for c in [*pod.get("initContainers", ()), *pod["containers"]]]
        assert found
        for container in found:
            assert container["resources"]["limits"] == {"cpu": "1", "memory": "100Mi"}


def test_flannel_does_not_wait_for_kube_proxy() -> None:
    container = pick(rendered("flannel"), "DaemonSet")["spec"]["template"]["spec"]["containers"][0]
    variables = {e["name"]: e.get("value") for e in container["env"]}
    assert variables["KUBERNETES_SERVICE_HOST"] == "192.0.2.10"
    assert variables["KUBERNETES_SERVICE_PORT"] == "31443"


def test_the_device_plugin_runs_where_there_are_gpus_that_pods_can_get() -> None:
    (daemon,) = rendered("nvidia-device-plugin")
    pod = daemon["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true", "kubernetes.io/os": "linux"}
    (container,) = pod["containers"]
    assert container["image"] == "nvcr.io/nvidia/k8s-device-plugin:v0.17.4"
    # Nodes do not take a container's word for what it may have, unless it is privileged.
    variables = {e["name"]: e["value"] for e in container["env"]}
    assert variables["DEVICE_LIST_STRATEGY"] == "volume-mounts"
    assert container["securityContext"] == {"privileged": True}
    assert "runtimeClassName" not in pod


def test_where_nvidias_runtime_is_not_the_default_one_the_plugin_names_it() -> None:
    made = rendered("nvidia-device-plugin", {"runtimeClass": "nvidia"})
    assert pick(made, "RuntimeClass")["handler"] == "nvidia"
    daemon = pick(made, "DaemonSet")
    assert daemon["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"


def test_every_object_carries_its_addons_name() -> None:
    for manifest in rendered("coredns"):
        assert manifest["metadata"]["labels"]["kok.dev/addon"] == "shop-coredns"


def test_a_value_that_an_addon_does_not_take_is_refused() -> None:
    with pytest.raises(Invalid, match=r"values.replica: coredns does not take it; it takes cache"):
        merged_values("coredns", builtin_addon("coredns").values, {"replica": 3})


def test_maps_of_values_are_merged() -> None:
    defaults = builtin_addon("coredns").values
    merged = merged_values("coredns", defaults, {"resources": {"limits": {"memory": "1Gi"}}})
    assert merged["resources"]["limits"]["memory"] == "1Gi"
    assert merged["resources"]["requests"] == defaults["resources"]["requests"]


CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


def test_a_template_of_ones_own_sees_the_cluster_and_its_values() -> None:
    text = (
        CONFIG_MAP + "data:\n  a: {{ cluster.dnsAddress }}\n  b: {{ values.greeting }}\n"
        '  c: {{ mirrored("docker.io/library/busybox:1") }}\n'
    )
    [made] = own(text, {"greeting": "hello"}, images={"registry": "mirror.example"})
    assert made["data"] == {
        "a": "10.65.0.10",
        "b": "hello",
        "c": "mirror.example/library/busybox:1",
    }


def test_lists_and_several_documents_are_taken_apart() -> None:
    other = CONFIG_MAP.replace("name: x", "name: y")
    as_list = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(CONFIG_MAP)]}
    )
    assert [m["metadata"]["name"] for m in own(f"{as_list}---\n{other}---\n")] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{ values.nothing }}", "inline, line 1: 'dict object' has no attribute 'nothing'"),
        ("{% if %}", "inline, line 1: Expected an expression"),
        ("a: 1\n\nb: {{ values.no.where }}", "inline, line 3: 'dict object' has no attribute 'no'"),
        ("a: [", "inline, line"),
        ("just text", "renders to something that is no Kubernetes object"),
        ("kind: ConfigMap", "every document needs apiVersion, kind and metadata.name"),
        (f"{CONFIG_MAP}---\n{CONFIG_MAP}", "ConfigMap x is there twice; leave one out"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__'"),
        ("{{ cluster.update({}) }}", "inline"),
        ("{% for i in range(10000000) %}{% endfor %}", "Range too big"),
        ("{{ 1 / 0 }}", "inline, line 1: division by zero"),
    ],
)
def test_what_cannot_be_rendered_is_said_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        own(text)
    assert sentence in str(caught.value)


def an_entry(kind: str, name: str = "x", version: str = "v1") -> AppliedObject:
    return AppliedObject(version=version, kind=kind, plural=f"{kind.lower()}s", name=name)


def test_an_object_of_a_newer_version_is_the_same_object() -> None:
    old, new = an_entry("ConfigMap", version="v1beta1"), an_entry("ConfigMap")
    assert merge_inventory([old], [new]) == [new]
    assert stale_entries([old], [new]) == []


def test_what_is_not_wanted_any_more_is_stale() -> None:
    old, kept = an_entry("ConfigMap", "old"), an_entry("ConfigMap", "kept")
    assert stale_entries([old, kept], [kept]) == [old]


def test_namespaces_are_applied_first_and_removed_last() -> None:
    manifests = [
        {"kind": "Deployment", "metadata": {"name": "d"}},
        {"kind": "Namespace", "metadata": {"name": "n"}},
    ]
    assert [[m["kind"] for m in step.manifests] for step in steps(manifests)] == [
        ["Namespace"],
        ["Deployment"],
    ]
    entries = [an_entry("Namespace"), an_entry("Service")]
    assert [e.kind for e in removal_order(entries)] == ["Service", "Namespace"]


def a_workload(kind: str, spec: dict[str, Any] | None = None, **status: Any) -> Manifest:
    return {
        "kind": kind,
        "metadata": {"name": "w", "generation": 1},
        "spec": spec or {},
        "status": {"observedGeneration": 1, **status},
    }


@pytest.mark.parametrize(
    ("live", "has_nodes", "reason"),
    [
        (a_workload("Deployment", readyReplicas=1, updatedReplicas=1), True, "AsWanted"),
        (a_workload("Deployment", {"replicas": 2}, readyReplicas=1), True, "NotHealthy"),
        (a_workload("Deployment", {"replicas": 2}), False, "WaitingForNodes"),
        (a_workload("Deployment", {"replicas": 0}), True, "AsWanted"),
        (a_workload("DaemonSet", desiredNumberScheduled=0), False, "AsWanted"),
        (a_workload("DaemonSet", observedGeneration=0), True, "NotHealthy"),
        (
            a_workload(
                "DaemonSet", desiredNumberScheduled=2, numberReady=2, updatedNumberScheduled=1
            ),
            True,
            "NotHealthy",
        ),
        (a_workload("ConfigMap"), False, "AsWanted"),
    ],
)
def test_whether_an_addon_is_healthy(live: Manifest, has_nodes: bool, reason: str) -> None:
    judged = judge(workloads([live]), has_nodes=has_nodes)
    assert judged.reason == reason
    assert judged.holds is (reason != "NotHealthy")


def test_pods_are_counted_over_all_workloads() -> None:
    lives = [
        a_workload("Deployment", {"replicas": 2}, readyReplicas=1, updatedReplicas=2),
        a_workload("DaemonSet", desiredNumberScheduled=3, numberReady=3, updatedNumberScheduled=3),
    ]
    assert counts(workloads(lives)) == "4/5"
    assert counts([]) is None


# --- removal


class Business:
    """A business cluster that refuses to be asked until it has been asked often enough."""

    def __init__(self, *errors: KubeError) -> None:
        self.errors = list(errors)
        self.there = {"x"}

    async def get(
        self, _kind: Kind, name: str, _namespace: str | None, **_: object
    ) -> Manifest | None:
        if self.errors:
            raise self.errors.pop(0)
        labels = {"kok.dev/addon": "mine"}
        return {"metadata": {"uid": "u", "labels": labels}} if name in self.there else None

    async def delete(self, _kind: Kind, name: str, *_: object, **__: object) -> None:
        self.there.remove(name)


class Meta:
    """A meta cluster that holds one Cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    async def get(self, *_: object, **__: object) -> Manifest:
        return self.cluster.manifest()


def removing(
    business: Business | None, *, going: bool = False, deleted_for: float = 1.0
) -> tuple[AddonReconciler, Pass[Addon]]:
    cluster = a_cluster(status=STATUS)
    if going:
        cluster.metadata.deletion_timestamp = NOW
    applied = an_entry("ConfigMap").manifest() | {"namespace": "default"}
    addon = Addon.parse(
        {
            "metadata": {
                "name": "mine",
                "namespace": "team-a",
                "deletionTimestamp": (NOW - timedelta(seconds=deleted_for)).isoformat(),
            },
            "spec": {"cluster": "shop", "source": {"inline": ""}},
            "status": {"inventory": [applied]},
        }
    )
    connection = SimpleNamespace(kube=business) if business is not None else None
    connections: Any = SimpleNamespace(get=lambda _key: connection)
    p: Any = Pass(
        obj=addon,
        status=addon.status.model_copy(deep=True),
        kube=cast("Kube", Meta(cluster)),
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )
    return AddonReconciler(
        ClusterSettings(), connections, Wakeups(), BundleRenderer(SandboxPool())
    ), p


async def test_one_request_that_fails_leaves_nothing_behind() -> None:
    business = Business(KubeError(500, "InternalError", "etcdserver: leader changed"))
    reconciler, p = removing(business)
    with pytest.raises(Wait, match="waiting for ConfigMap x to go"):
        await reconciler.finalize(p)
    assert await reconciler.finalize(p) is DONE
    assert business.there == set()
    assert p.events == []


async def test_what_cannot_be_removed_in_time_is_named() -> None:
    reconciler, p = removing(Business(Unreachable("no answer")), deleted_for=61)
    assert await reconciler.finalize(p) is DONE
    assert [(e.reason, e.note) for e in p.events] == [("GaveUp", "ConfigMap x may be left behind")]


async def test_a_cluster_whose_credentials_are_missing_is_waited_for_like_one_that_is_away() -> (
    None
):
    reconciler, p = removing(None)
    with pytest.raises(Wait, match="waiting for ConfigMap x to go"):
        await reconciler.finalize(p)
    reconciler, p = removing(None, deleted_for=61)
    assert await reconciler.finalize(p) is DONE
    assert [(e.reason, e.note) for e in p.events] == [("GaveUp", "ConfigMap x may be left behind")]
    reconciler, p = removing(None, going=True)
    assert await reconciler.finalize(p) is DONE
    assert p.events == []


async def test_an_operator_that_comes_back_after_the_time_is_over_still_removes_it() -> None:
    business = Business()
    reconciler, p = removing(business, deleted_for=3600)
    assert await reconciler.finalize(p) is DONE
    assert business.there == set()
    assert p.events == []


async def test_a_cluster_that_goes_and_no_longer_answers_is_not_waited_for() -> None:
    reconciler, p = removing(Business(Unreachable("no answer")), going=True)
    assert await reconciler.finalize(p) is DONE
    assert p.events == []
