"""What the status of a Cluster says, in every state that it can be in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.operators.cluster.builders import (
    META_2,
    NOW,
    a_cluster,
    a_deployment,
    a_view,
    all_running,
    an_addon,
    an_etcd,
)
from tests.unit.operators.cluster.healthy_cluster import URL, healthy, verdict

from kok.api.cluster.upgrade import Raised, UpgradeStatus
from kok.operators.cluster.businesscluster.reachability import Reachability
from kok.operators.cluster.businesscluster.unmanaged_nodes import UnmanagedNodes
from kok.operators.cluster.cluster.conditions.report import (
    addon_summaries,
    conditions,
    phase,
    report,
)
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.cluster.outcome import BootstrapState, ClusterOutcome
from kok.operators.cluster.cluster.pki.keys import KeyProblem
from kok.operators.cluster.endpoint import MetaNode, NoEndpoint
from kok.operators.cluster.naming import API_SERVER, CONTROLLER_MANAGER
from kok.runtime.controller.errors import Wait


def test_a_cluster_that_works_is_ready() -> None:
    assert verdict(healthy()) == f"True Available: {URL} answers"
    for type_, judged in conditions(a_cluster(), healthy(), NOW).items():
        assert judged.holds is (type_ not in {"Progressing", "Outdated"}), type_


def test_the_status_shows_what_people_ask_for() -> None:
    cluster = a_cluster()
    report(cluster.status, cluster, healthy(), NOW)
    shown = cluster.status.manifest()
    assert shown["version"] == "1.37.1"
    assert shown["endpoint"] == URL
    assert shown["kubeconfigSecret"] == "shop-kubeconfig"
    assert shown["nodes"] == {"ready": 1, "total": 2, "versions": {}}
    assert shown["nodeSummary"] == "1/2"
    assert shown["phase"] == "Running"
    assert shown["caFingerprints"] == {"shop-ca": "sha256:1"}
    assert [c["name"] for c in shown["components"]] == [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ]
    assert {a["name"]: a["healthy"] for a in shown["addons"]} == {
        "coredns": True,
        "flannel": True,
        "kube-proxy": True,
    }


def test_a_second_pass_that_finds_the_same_changes_nothing() -> None:
    cluster = a_cluster()
    report(cluster.status, cluster, healthy(), NOW)
    before = cluster.status.manifest()
    later = NOW.replace(hour=23)
    report(cluster.status, cluster.model_copy(deep=True), healthy(), later)
    assert cluster.status.manifest() == before


def test_a_new_cluster_says_step_by_step_what_it_waits_for() -> None:
    new = ClusterOutcome(a_view(nodes=()), endpoint=NoEndpoint("WaitingForAddress", "no port yet"))
    assert verdict(new) == "False WaitingForAddress: no port yet"
    started = healthy(view=a_view(an_etcd(ready=False)), reach=None, bootstrap=None)
    assert verdict(started).startswith(
        "False WaitingForEtcd: EtcdCluster team-a/shop-etcd: Ready is False"
    )
    alone = a_view(an_etcd(), a_deployment(API_SERVER, ready=0))
    starting = healthy(view=alone, reach=None, bootstrap=None)
    assert verdict(starting) == (
        "False Starting: ready: kube-apiserver 0/1, kube-controller-manager 0/1, kube-scheduler 0/1"
    )
    assert phase(a_cluster(), conditions(a_cluster(), starting, NOW)) == "Provisioning"


def test_an_api_that_cannot_be_reached_from_outside_is_not_ready() -> None:
    away = healthy(reach=Reachability("unreachable", f"{URL} does not answer: refused"))
    assert verdict(away) == f"False Unreachable: {URL} does not answer: refused"
    assert verdict(away, "ControlPlaneReady").startswith("True")


def test_an_endpoint_that_leads_where_it_is_forbidden_says_so() -> None:
    away = healthy(reach=Reachability("barred", f"cannot connect to {URL}: forbidden"))
    assert verdict(away) == f"False ForbiddenByPolicy: cannot connect to {URL}: forbidden"
    assert verdict(away, "EndpointReachable").startswith("False ForbiddenByPolicy")


def test_an_endpoint_on_a_meta_node_that_is_down_says_so() -> None:
    down = MetaNode("meta-1", ("192.0.2.10",), usable=False)
    view = a_view(an_etcd(), *all_running(), nodes=(down, META_2))
    found = healthy(view=view, reach=Reachability("unreachable", "https://192.0.2.10 is silent"))
    assert "; that is node meta-1 of the meta cluster, which is not Ready" in verdict(found)
    chosen = a_cluster(endpoint={"host": "192.0.2.10"})
    assert verdict(found, cluster=chosen).endswith("https://192.0.2.10 is silent")


def test_an_admin_without_rights_yet_is_not_ready() -> None:
    assert verdict(healthy(reach=Reachability("forbidden"))).startswith("False Creating")


def test_an_admin_kubeconfig_that_is_refused_is_named() -> None:
    assert verdict(healthy(reach=Reachability("unauthorized", "no"))).startswith(
        "False CredentialsRefused"
    )


def test_a_new_cluster_waits_for_its_bootstrap_objects() -> None:
    coming = BootstrapState(False, "Creating", "namespace kube-public is not there yet")
    assert verdict(healthy(bootstrap=coming)).startswith("False Creating: namespace kube-public")


def test_what_the_tenant_refuses_or_blocks_does_not_make_a_serving_cluster_unready() -> None:
    said = "the business cluster refused ConfigMap x: failed calling webhook"
    refused = BootstrapState(False, "ApplyFailed", said)
    slow = BootstrapState(False, "Unreachable", "https://192.0.2.10:31443: did not answer in time")
    serving = a_cluster(status={"phase": "Running", "version": "1.37.1"})
    for cluster in (a_cluster(), serving):
        found = healthy(bootstrap=refused)
        assert verdict(found, cluster=cluster) == f"True Available: {URL} answers; but {said}"
        assert verdict(found, "BootstrapReady", cluster) == f"False ApplyFailed: {said}"
    assert verdict(healthy(bootstrap=slow), cluster=serving).startswith("True Available")


def test_what_was_applied_stays_applied_while_the_api_is_away() -> None:
    cluster = a_cluster()
    report(cluster.status, cluster, healthy(), NOW)
    away = healthy(reach=None, bootstrap=None)
    assert verdict(away, "BootstrapReady", cluster) == "True AsWanted: applied"


def test_a_new_cluster_waits_for_its_addons_but_not_for_refused_or_sick_ones() -> None:
    def with_addon(**state: Any) -> ClusterOutcome:
        return healthy(view=a_view(an_etcd(), *all_running(), an_addon("coredns", **state)))

    coming = with_addon(applied=False, healthy=False, reason="WaitingForCluster")
    assert verdict(coming) == "False WaitingForCluster: Addon shop-coredns: Ready is False"
    serving = a_cluster(status={"phase": "Running", "version": "1.37.1"})
    assert verdict(coming, cluster=serving).startswith("True Available")
    for reason, state in (("ApplyFailed", {"applied": False}), ("NotHealthy", {})):
        sick = with_addon(healthy=False, reason=reason, **state)
        told = "Addon shop-coredns: Ready is False"
        assert verdict(sick) == f"True Available: {URL} answers; but {told}"
        assert verdict(sick, "AddonsReady") == f"False {reason}: {told}"


def test_pods_that_wait_for_the_first_node_are_said_to_and_do_not_matter() -> None:
    addon = an_addon("coredns", reason="WaitingForNodes")
    found = healthy(view=a_view(an_etcd(), *all_running(), addon))
    assert verdict(found).startswith("True Available")
    assert verdict(found, "AddonsReady").startswith("True WaitingForNodes")


def test_an_addon_whose_spec_was_just_changed_is_not_applied() -> None:
    addon = an_addon("coredns")
    addon["metadata"]["generation"] = 2
    found = healthy(view=a_view(an_etcd(), *all_running(), addon))
    assert verdict(found, "AddonsReady").startswith("False")


def test_a_lost_replica_is_shown_and_the_cluster_still_works() -> None:
    two = {"apiServer": {"replicas": 2}}
    view = a_view(an_etcd(), a_deployment(API_SERVER, ready=1, desired=2), *all_running()[1:])
    cluster = a_cluster(**two, status={"version": "1.37.1"})
    found = healthy(view=view)
    assert verdict(found, cluster=cluster).startswith("True Available")
    assert verdict(found, "ControlPlaneReady", cluster) == (
        "False ReplicasMissing: ready: kube-apiserver 1/2"
    )


def test_no_controller_manager_at_all_is_not_ready() -> None:
    view = a_view(
        an_etcd(), *(d for d in all_running() if "controller" not in d["metadata"]["name"])
    )
    assert verdict(healthy(view=view)).startswith("False Starting")


def test_a_refused_ca_is_the_first_thing_to_say() -> None:
    problem = KeyProblem("shop-ca", "CAChanged", "Secret team-a/shop-ca holds another CA")
    found = healthy(problems=(problem,))
    assert verdict(found) == "False CAChanged: Secret team-a/shop-ca holds another CA"


def test_a_ca_that_ends_soon_is_told_and_harms_nobody_yet() -> None:
    found = healthy(ending=("Secret team-a/shop-ca ends on 2036-01-01",))
    said = "True CAEndsSoon: Secret team-a/shop-ca ends on 2036-01-01"
    assert verdict(found, "CertificatesReady") == said
    assert verdict(found).startswith("True Available")


def test_what_stopped_the_pass_explains_why_there_is_no_cluster() -> None:
    stop = Wait("PortTaken", "the meta cluster refuses port 31443")
    new = healthy(view=a_view(an_etcd()), reach=None, bootstrap=None, stopped=stop)
    assert verdict(new) == "False PortTaken: the meta cluster refuses port 31443"
    assert verdict(healthy(stopped=stop)).startswith("True Available")
    assert verdict(healthy(stopped=stop), "Progressing").startswith("False PortTaken")


def test_an_upgrade_names_the_component_that_it_is_at() -> None:
    cluster = a_cluster(status={"version": "1.36.4", "phase": "Running"})
    view = a_view(
        an_etcd(),
        a_deployment(API_SERVER),
        a_deployment(CONTROLLER_MANAGER, ready=0, total=2),
        an_addon("coredns"),
    )
    found = healthy(view=view)
    assert verdict(found, "Progressing", cluster) == (
        "True RollingOut: 1.36.4 -> 1.37.1: kube-controller-manager is being rolled out"
    )
    assert phase(cluster, conditions(cluster, found, NOW)) == "Updating"


def test_a_component_shows_the_version_that_is_completely_rolled_out() -> None:
    status = {"components": [{"name": API_SERVER, "version": "1.36.4", "ready": 1, "desired": 1}]}
    cluster = a_cluster(status=status)
    rolling = a_view(a_deployment(API_SERVER, version="1.37.1", ready=1, total=2))
    report(cluster.status, cluster.model_copy(deep=True), healthy(view=rolling), NOW)
    assert cluster.status.components[0].version == "1.36.4"


def test_etcd_that_was_lost_is_named_as_the_cause() -> None:
    cluster = a_cluster()
    report(cluster.status, cluster, healthy(), NOW)
    view = a_view(an_etcd(ready=False), *all_running(ready=0))
    found = healthy(view=view, reach=None, bootstrap=None)
    assert verdict(found, cluster=cluster).startswith("False EtcdNotReady: EtcdCluster team-a")


def test_nodes_that_nobody_counted_in_this_pass_stay_as_they_were() -> None:
    cluster = a_cluster(status={"nodes": {"ready": 3, "total": 3}, "nodeSummary": "3/3"})
    report(cluster.status, cluster, healthy(nodes=None), NOW)
    assert cluster.status.node_summary == "3/3"


def test_the_sum_is_left_to_the_runtime_when_the_pass_failed() -> None:
    cluster = a_cluster()
    report(cluster.status, cluster, healthy(), NOW, ready=False)
    assert cluster.status.condition("Ready") is None
    assert cluster.status.is_true("EndpointReachable")


def test_a_ca_of_etcd_is_confirmed_only_when_all_api_servers_have_it() -> None:
    etcd = an_etcd()
    etcd["status"]["caRotation"] = {"clients": "Trust-1"}
    etcd["metadata"]["annotations"] = {"kok.dev/ca-trusted": "Drop-0"}
    server = a_deployment(API_SERVER)
    server["spec"]["template"]["metadata"]["annotations"] = {"kok.dev/etcd-ca": "Trust-1"}
    assert a_view(etcd, server).etcd_contract("shop").clients == "Trust-1"
    assert a_view(etcd, server).etcd_trusted("shop") == "Trust-1"
    for short in ({"total": 2}, {"ready": 0}, {"updated": 0}):
        waiting = a_deployment(API_SERVER, **short)
        waiting["spec"] = server["spec"]
        assert a_view(etcd, waiting).etcd_trusted("shop") == "Drop-0"
    assert a_view(an_etcd(), a_deployment(API_SERVER)).etcd_trusted("shop") is None
    assert a_view(an_etcd()).etcd_contract("shop").clients is None


def test_a_restore_of_etcd_is_told_with_its_step() -> None:
    etcd = an_etcd(ready=False)
    etcd["status"] = {**etcd["status"], "restore": {"name": "back", "step": "Seeding"}}
    etcd["status"]["restored"] = {"uid": "uid-1"}
    view = a_view(etcd, *all_running(ready=0))
    found = conditions(a_cluster(), healthy(view=view, reach=None), NOW)["EtcdReady"]
    assert found.reason == "EtcdRestoring"
    assert "EtcdRestore back (Seeding)" in found.message
    assert view.etcd_contract("shop").restored == "uid-1"
    assert a_view(an_etcd()).etcd_contract("shop").restored is None


def test_foreign_nodes_that_wait_are_named_with_the_command() -> None:
    names = tuple(f"w{number}" for number in range(10))
    said = verdict(healthy(unmanaged=UnmanagedNodes(names)), "ForeignNodesCertified")
    assert said == (
        "False ApprovalNeeded: nodes that belong to no Machine wait for serving certificates, "
        "without which logs and exec fail there: w0, w1, w2, w3, w4, w5, w6, w7 and 2 more; write "
        "kok node approve shop w0 -n team-a, or set spec.nodes.foreign to Approve"
    )
    assert verdict(healthy(unmanaged=UnmanagedNodes(names))).startswith("True Available")


def test_what_a_foreign_node_may_not_have_is_told() -> None:
    found = healthy(
        unmanaged=UnmanagedNodes(("w7", "w8"), "CertificateSigningRequest c is not approved: x")
    )
    assert verdict(found, "ForeignNodesCertified") == (
        "False CertificateRequestRefused: CertificateSigningRequest c is not approved: x; 1 more "
        "wait"
    )


def test_foreign_nodes_are_told_of_while_there_is_something_to_say() -> None:
    cluster = a_cluster()
    status = cluster.status
    report(status, cluster, healthy(unmanaged=UnmanagedNodes(("w7",))), NOW)
    assert status.condition("ForeignNodesCertified") is not None
    report(status, cluster, healthy(unmanaged=None), NOW)  # Nobody could look.
    assert status.condition("ForeignNodesCertified") is not None
    report(status, cluster, healthy(unmanaged=UnmanagedNodes()), NOW)
    assert status.condition("ForeignNodesCertified") is None


def test_an_addon_that_cannot_be_read_is_one_that_is_not_ready() -> None:
    addon = an_addon("coredns")
    addon["spec"]["cluster"] = ["shop"]
    found = healthy(view=a_view(an_etcd(), *all_running(), addon))
    judged = conditions(a_cluster(), found, NOW)["AddonsReady"]
    assert (judged.holds, judged.reason) == (False, "Unreadable")
    assert "Addon team-a/shop-coredns cannot be read: spec.cluster" in judged.message
    summary = addon_summaries(a_cluster(), found)
    assert [(a.name, a.healthy) for a in summary] == [("coredns", False)]


def test_the_way_back_that_is_told_leads_back() -> None:
    began = {
        "from": "1.37.0",
        "to": "1.37.1",
        "hop": "1.37.1",
        "hopFrom": "1.37.0",
        "step": "APIServer",
        "since": NOW,
        "movedAt": NOW - timedelta(hours=1),
    }
    raised = {"to": "1.37.1", "by": "team-a/patch", "at": NOW}
    told = {}
    for name, version in (("spec", "1.37.1"), ("fleet", "1.37.0")):
        cluster = a_cluster(version=version)
        cluster.status.upgrade = UpgradeStatus.model_validate(began)
        cluster.status.raised = Raised.model_validate(raised) if name == "fleet" else None
        found = healthy()
        found.upgrade = Upgrade(cluster.status.upgrade, released="1.37.1", stuck=True)
        said = conditions(cluster, found, NOW)["Progressing"]
        assert said.reason == "UpgradeStuck"
        told[name] = said.message
    assert "set spec.version to 1.37.0 to go back" in told["spec"]
    assert "set spec.upgrade.onFailure to BackOut to go back" in told["fleet"]
    assert "set spec.version" not in told["fleet"], "what was raised does not go down by it"
