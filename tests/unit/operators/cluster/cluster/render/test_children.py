"""Manifests for the meta cluster: golden files, and what must hold for all of them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.unit.golden import cluster as golden
from tests.unit.operators.cluster.builders import a_cluster, an_etcd

from kok import versions
from kok.api.cluster.managedflags import MANAGED_FLAGS
from kok.api.meta import Manifest
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.pki.credentials import egress_configuration
from kok.operators.cluster.cluster.render import apiserver, controllers, konnectivity, owned, pods
from kok.operators.cluster.cluster.render.service import service
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster, resolve
from kok.operators.cluster.tunnel import TunnelEnd

FULL: dict[str, Any] = {
    "version": "1.36.4",
    "profile": "ha",
    "endpoint": {"type": "LoadBalancer", "port": 443},
    "network": {
        "podCIDRs": ["10.64.0.0/16", "fd00:64::/56"],
        "serviceCIDRs": ["10.65.0.0/20", "fd00:65::/112"],
        "dnsDomain": "shop.internal",
    },
    "etcd": {"version": "3.6.8", "storage": {"size": "16Gi", "className": "fast"}},
    "apiServer": {
        "replicas": 3,
        "extraArgs": [{"name": "event-ttl", "value": "2h"}],
        "nodeSelector": {"tier": "control"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "podAnnotations": {"example.com/note": "yes"},
    },
    "images": {"registry": "mirror.example", "pullSecrets": ["pull"]},
    "deletionPolicy": "Retain",
}


def everything(resolved: ResolvedCluster) -> list[Manifest]:
    return [
        owned.etcd_cluster(resolved, None),
        service(resolved),
        *(pods.budget(resolved, part) for part in resolved.parts.values()),
        apiserver.deployment(resolved, resolved.version, "hash"),
        controllers.controller_manager(resolved, resolved.version, "hash"),
        controllers.scheduler(resolved, resolved.version, "hash"),
        *owned.addons(resolved),
    ]


@pytest.mark.parametrize(("name", "spec"), [("edge", {}), ("ha", FULL)])
def test_children_are_rendered_as_they_were(name: str, spec: dict[str, Any]) -> None:
    golden.check(f"children-{name}", everything(resolve(a_cluster(**spec))))


TUNNEL = {"network": {"tunnel": "Always"}}
VERSIONS = ["1.34.4", "1.35.4", "1.36.4", "1.37.1"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_tunnel_is_rendered_as_it_was(version: str) -> None:
    resolved = resolve(a_cluster(version=version, **TUNNEL))
    made = [
        konnectivity.service(resolved),
        apiserver.deployment(resolved, version, "hash"),
    ]
    golden.check(f"tunnel-{version.rpartition('.')[0]}", made)


def test_the_tunnels_server_is_there_before_the_api_server_and_after_it() -> None:
    pod = pod_specs(**TUNNEL)["shop-apiserver"]
    [sidecar] = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    # It is no part of it whether there is an agent: the API works without nodes.
    assert {sidecar[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")} == {
        "/healthz"
    }
    assert "readinessProbe" not in sidecar


def test_the_tunnels_server_sees_no_file_of_the_api_servers() -> None:
    pod = pod_specs(**TUNNEL)["shop-apiserver"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    [sidecar] = pod["initContainers"]
    seen = {
        source["secret"]["name"]
        for mount in sidecar["volumeMounts"]
        for source in volumes[mount["name"]].get("projected", {}).get("sources", ())
    }
    assert seen == {"shop-konnectivity"}
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert sidecar["securityContext"]["readOnlyRootFilesystem"] is True
    assert set(sidecar["resources"]["requests"]) == {"cpu", "memory"}


def test_both_ends_of_the_tunnels_socket_are_one_file() -> None:
    pod = pod_specs(**TUNNEL)["shop-apiserver"]
    socket = json.loads(egress_configuration("1.37.1"))["egressSelections"][0]["connection"][
        "transport"
    ]["uds"]["udsName"]
    [sidecar], [server] = pod["initContainers"], pod["containers"]
    assert f"--uds-name={socket}" in sidecar["command"]
    folders = [
        next(m["mountPath"] for m in one["volumeMounts"] if m["name"] == "konnectivity-socket")
        for one in (sidecar, server)
    ]
    assert {socket.rpartition("/")[0]} == set(folders)


def test_agents_come_with_the_tunnel_and_are_told_where_it_is() -> None:
    told = TunnelEnd("shop.example", 31555, ("192.0.2.10",)).values(b"PEM")
    spec = {**TUNNEL, "addons": [{"name": "konnectivity-agent", "values": {"replicas": 3}}]}
    made = {m["metadata"]["name"]: m for m in owned.addons(resolve(a_cluster(**spec)), told)}
    assert made["shop-konnectivity-agent"]["spec"]["values"] == {
        "replicas": 3,
        "server": {
            "host": "shop.example",
            "port": 31555,
            "addresses": ["192.0.2.10"],
            "ca": "PEM",
        },
    }
    spec["addons"][0]["enabled"] = False
    for none in (
        owned.addons(resolve(a_cluster(**spec)), told),
        owned.addons(resolve(a_cluster(**TUNNEL))),
    ):
        assert "shop-konnectivity-agent" not in {m["metadata"]["name"] for m in none}


def pod_specs(**spec: Any) -> dict[str, dict[str, Any]]:
    resolved = resolve(a_cluster(**spec))
    return {
        m["metadata"]["name"]: m["spec"]["template"]["spec"]
        for m in everything(resolved)
        if m["kind"] == "Deployment"
    }


@pytest.mark.parametrize("spec", [{}, FULL])
def test_pods_are_restricted(spec: dict[str, Any]) -> None:
    for name, pod in pod_specs(**spec).items():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"]["drop"] == ["ALL"]
        # The one capability that the Pod Security level "restricted" lets one have.
        assert set(security["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}, name
        assert set(container["resources"]["requests"]) >= {"cpu", "memory"}
        assert not any("hostPath" in volume for volume in pod["volumes"])


def flags_of(pod: dict[str, Any]) -> dict[str, str]:
    arguments = pod["containers"][0]["command"][1:]
    return dict(a.removeprefix("--").split("=", 1) for a in arguments)


def test_every_flag_that_must_not_be_changed_is_refused_to_users() -> None:
    """What is not in the list can be overridden by `extraArgs`; each was left out on purpose."""
    overridable = {
        "controllers",
        "enable-admission-plugins",
        "goaway-chance",
        "kubelet-preferred-address-types",
        "leader-elect-retry-period",
        "node-cidr-mask-size-ipv4",
        "node-cidr-mask-size-ipv6",
        "profiling",
        "shutdown-delay-duration",
        "shutdown-send-retry-after",
        "shutdown-watch-termination-grace-period",
        "tls-min-version",
    }
    for spec in ({}, FULL, TUNNEL):
        for name, pod in pod_specs(**spec).items():
            component = f"kube-{name.removeprefix('shop-')}"
            managed = set(MANAGED_FLAGS[naming.SPEC_FIELDS[component]])
            users = {a["name"] for a in spec.get("apiServer", {}).get("extraArgs", [])}
            assert set(flags_of(pod)) - managed - users <= overridable, component


@pytest.mark.parametrize("version", VERSIONS)
def test_no_flag_is_known_to_be_missing_from_a_version(version: str) -> None:
    for name, pod in pod_specs(version=version, **TUNNEL).items():
        component = f"kube-{name.removeprefix('shop-')}"
        for flag in flags_of(pod):
            assert versions.check_flag(component, flag, version) is None


def test_the_service_account_issuer_follows_the_clusters_domain() -> None:
    flags = flags_of(pod_specs(**FULL)["shop-apiserver"])
    assert flags["service-account-issuer"] == "https://kubernetes.default.svc.shop.internal"


@pytest.mark.parametrize("spec", [FULL, TUNNEL])
def test_every_file_that_a_flag_names_is_mounted(spec: dict[str, Any]) -> None:
    for pod in pod_specs(**spec).values():
        mount, volume = pod["containers"][0]["volumeMounts"][0], pod["volumes"][0]
        files = {
            f"{mount['mountPath']}/{item['path']}"
            for source in volume["projected"]["sources"]
            for item in source["secret"]["items"]
        }
        named = {v for v in flags_of(pod).values() if v.startswith("/")}
        assert named <= files


def test_a_stopping_server_has_time_for_all_that_it_promises() -> None:
    pod = pod_specs()["shop-apiserver"]
    flags = flags_of(pod)
    promised = sum(
        int(flags[f].removesuffix("s"))
        for f in ("shutdown-delay-duration", "shutdown-watch-termination-grace-period")
    )
    assert pod["terminationGracePeriodSeconds"] > promised


def test_the_end_of_a_pod_follows_the_users_flags() -> None:
    extra = [
        {"name": "shutdown-delay-duration", "value": "1m10s"},
        {"name": "shutdown-watch-termination-grace-period", "value": "0"},
    ]
    pod = pod_specs(apiServer={"extraArgs": extra})["shop-apiserver"]
    assert pod["terminationGracePeriodSeconds"] == 70 + 30


@pytest.mark.parametrize("profile", ["edge", "standard", "ha"])
def test_another_number_of_pods_restarts_none(profile: str) -> None:
    one, two = (
        everything(
            resolve(
                a_cluster(
                    profile=profile,
                    apiServer={"replicas": n},
                    controllerManager={"replicas": n},
                    scheduler={"replicas": n},
                )
            )
        )
        for n in (1, 2)
    )
    templates = [
        [m["spec"]["template"] for m in made if m["kind"] == "Deployment"] for made in (one, two)
    ]
    assert templates[0] == templates[1]


def without_what_several_need(
    made: Manifest, *, flag: bool = True, spread: bool = True
) -> Manifest:
    """As an earlier release made it for a single pod."""
    live = copy.deepcopy(made)
    pod = live["spec"]["template"]["spec"]
    if flag:
        words = pod["containers"][0]["command"]
        words[:] = [word for word in words if not word.startswith("--goaway-chance")]
    if spread:
        del pod["topologySpreadConstraints"]
    return live


@pytest.mark.parametrize("state", [{}, {"flag": False}, {"spread": False}])
def test_what_an_earlier_release_made_for_one_pod_is_not_restarted(state: dict[str, bool]) -> None:
    resolved = resolve(a_cluster(profile="standard", apiServer={"replicas": 2}))
    made = apiserver.deployment(resolved, resolved.version, "x")
    live = without_what_several_need(made, **state)
    assert pods.without_rollout(made, live)["spec"]["template"] == live["spec"]["template"]
    assert pods.without_rollout(made, None) == made
    # With another change they come as well.
    later = apiserver.deployment(resolved, resolved.version, "y")
    assert pods.without_rollout(later, live) == later


@pytest.mark.parametrize("render", [controllers.controller_manager, controllers.scheduler])
def test_how_often_leaders_try_is_no_reason_to_restart_them(render: Any) -> None:
    resolved = resolve(a_cluster())
    made = render(resolved, resolved.version, "x")
    live = copy.deepcopy(made)
    words = live["spec"]["template"]["spec"]["containers"][0]["command"]
    words.remove("--leader-elect-retry-period=1s")
    live["spec"]["template"]["spec"].pop("topologySpreadConstraints", None)
    assert pods.without_rollout(made, live)["spec"]["template"] == live["spec"]["template"]
    later = render(resolved, resolved.version, "y")
    assert pods.without_rollout(later, live) == later


def test_a_flag_waits_for_the_version_that_knows_it() -> None:
    extra = [{"name": "tls-curve-preferences", "value": "29"}]
    resolved = resolve(a_cluster(version="1.36.4", apiServer={"extraArgs": extra}))
    for version, there in (("1.36.4", True), ("1.35.4", False)):
        [container] = apiserver.deployment(resolved, version, "x")["spec"]["template"]["spec"][
            "containers"
        ]
        assert any("tls-curve" in word for word in container["command"]) is there


@pytest.mark.parametrize(
    ("cidrs", "masks"),
    [
        (["10.64.0.0/16"], {}),
        (["10.0.0.0/8"], {}),
        (["10.64.0.0/20"], {}),
        (["10.64.0.0/22"], {"node-cidr-mask-size": "26"}),
        (["10.64.0.0/24"], {"node-cidr-mask-size": "28"}),
        (["fd00:64::/48"], {}),
        (["fd00:64::/64"], {"node-cidr-mask-size": "68"}),
        (["10.64.0.0/24", "fd00:64::/56"], {"node-cidr-mask-size-ipv4": "28"}),
    ],
)
def test_nodes_get_a_share_of_the_pod_addresses_that_fits(
    cidrs: list[str], masks: dict[str, str]
) -> None:
    assert controllers.node_masks(tuple(cidrs)) == masks


def test_what_cannot_be_changed_of_etcd_stays_as_it_was_made() -> None:
    live = an_etcd(version="3.5.21", members=1)
    made = owned.etcd_cluster(resolve(a_cluster(profile="ha")), live)["spec"]
    assert (made["version"], made["members"]) == ("3.5.21", 1)


def test_addons_can_be_left_out_and_given_values() -> None:
    spec = [
        {"name": "flannel", "enabled": False},
        {"name": "kube-proxy", "values": {"conntrack": {"min": 0}}},
    ]
    made = {m["metadata"]["name"]: m for m in owned.addons(resolve(a_cluster(addons=spec)))}
    assert set(made) == {"shop-coredns", "shop-kube-proxy"}
    assert made["shop-kube-proxy"]["spec"]["values"] == {"conntrack": {"min": 0}}


def test_a_built_in_addon_that_is_no_default_is_there_where_a_cluster_names_it() -> None:
    def made(*names: str) -> list[str]:
        spec = [{"name": name} for name in names]
        resolved = resolve(a_cluster(addons=spec))
        return [m["metadata"]["name"] for m in owned.addons(resolved)]

    assert "shop-metrics-server" not in made()
    assert set(made("metrics-server")) - set(made()) == {"shop-metrics-server"}


def test_spread_is_strict_only_where_the_profile_says_so() -> None:
    def spread(profile: str) -> list[dict[str, Any]]:
        pod = pod_specs(profile=profile, apiServer={"replicas": 2})["shop-apiserver"]
        found: list[dict[str, Any]] = pod.get("topologySpreadConstraints", [])
        return found

    assert spread("edge") == []
    assert [s["whenUnsatisfiable"] for s in spread("standard")] == ["ScheduleAnyway"]
    assert [s["whenUnsatisfiable"] for s in spread("ha")] == ["DoNotSchedule"]
    # Each revision is spread by itself, or a rollout would find no room.
    assert spread("ha")[0]["matchLabelKeys"] == ["pod-template-hash"]


def test_a_restore_of_etcd_restarts_pods_once_and_its_absence_changes_nothing() -> None:
    resolved = resolve(a_cluster())
    made = apiserver.deployment(resolved, resolved.version, "keys")
    assert pods.with_annotations(made, {pods.ANNOTATION_RESTORED: None}) == made
    with_annotations = pods.with_annotations(made, {pods.ANNOTATION_RESTORED: "uid-1"})
    assert with_annotations != made
    notes = with_annotations["spec"]["template"]["metadata"]["annotations"]
    assert notes[pods.ANNOTATION_RESTORED] == "uid-1"
    assert pods.with_annotations(made, {pods.ANNOTATION_RESTORED: "uid-1"}) == with_annotations


def test_another_ca_of_etcd_is_noted_where_it_is_confirmed() -> None:
    resolved = resolve(a_cluster())
    assert "annotations" not in owned.etcd_cluster(resolved, None)["metadata"]
    notes = owned.etcd_cluster(resolved, None, "Trust-1")["metadata"]["annotations"]
    assert notes == {"kok.dev/ca-trusted": "Trust-1"}


def test_what_is_said_of_etcd_reaches_it_and_nothing_else_does() -> None:
    plain = owned.etcd_cluster(resolve(a_cluster()), None)
    left_open = {"backup", "restoreFrom", "maintenance", "recovery", "tuning"}
    assert left_open & set(plain["spec"]) == set()
    store = {"volume": {"claim": "backups", "path": ""}}
    spec = {
        "backup": {"schedule": "0 * * * *", "store": store},
        "restoreFrom": {"backup": "one"},
        "maintenance": {"window": "22:00-04:00"},
        "recovery": {"allowDataLoss": "abc"},
        "tuning": {"heartbeatMilliseconds": 200, "electionMilliseconds": 2000},
    }
    asked = owned.etcd_cluster(resolve(a_cluster(etcd=spec)), None)
    assert asked["spec"]["backup"]["store"] == store
    assert asked["spec"]["backup"]["schedule"] == "0 * * * *"
    assert asked["spec"]["restoreFrom"]["backup"] == "one"
    assert asked["spec"]["maintenance"]["window"] == "22:00-04:00"
    assert asked["spec"]["recovery"]["allowDataLoss"] == "abc"
    assert asked["spec"]["tuning"] == spec["tuning"]
