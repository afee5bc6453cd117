"""What the status of a Cluster says, in every state that it can be in."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import (
    META_2,
    NOW,
    a_cluster,
    a_deployment,
    a_world,
    all_running,
    an_addon,
    an_etcd,
)

from kok.api.cluster import Cluster
from kok.api.clusterstatus import CertificateStatus
from kok.api.meta import Manifest
from kok.operators.cluster.endpoint import Endpoint, MetaNode, NoEndpoint
from kok.operators.cluster.findings import Bootstrap, Findings, Foreign, Reach
from kok.operators.cluster.keys import Problem
from kok.operators.cluster.observe import is_late
from kok.operators.cluster.parts import API_SERVER, CONTROLLER_MANAGER
from kok.operators.cluster.status import conditions, phase, report
from kok.runtime.errors import Wait
from kok.runtime.words import Word, last_words

URL = "https://192.0.2.10:31443"
DONE = Bootstrap(True, "AsWanted", "applied")
ANSWER = "Readiness probe failed: HTTP probe failed with statuscode: 401"
WORD = Word("Unhealthy", ANSWER, NOW, NOW)
CERTIFICATE = CertificateStatus(name="shop-ca", not_after=NOW, renew_at=NOW)


def healthy(**changes: Any) -> Findings:
    """A cluster that works, but for `changes`."""
    addons = [an_addon(name) for name in ("coredns", "kube-proxy", "flannel")]
    fields: dict[str, Any] = {
        "world": a_world(an_etcd(), *all_running(), *addons),
        "certificates": [CERTIFICATE],
        "fingerprints": {"shop-ca": "sha256:1"},
        "endpoint": Endpoint("192.0.2.10", 31443),
        "reach": Reach("ok"),
        "bootstrap": DONE,
        "nodes": {"w1": True, "w2": False},
    }
    return Findings(**{**fields, **changes})


def verdict(found: Findings, type_: str = "Ready", cluster: Cluster | None = None) -> str:
    judged = conditions(cluster or a_cluster(), found)[type_]
    return f"{judged.status} {judged.reason}: {judged.message}"


def test_a_cluster_that_works_is_ready() -> None:
    assert verdict(healthy()) == f"True Available: {URL} answers"
    for type_, judged in conditions(a_cluster(), healthy()).items():
        assert judged.status is (type_ != "Progressing"), type_


def test_the_status_shows_what_people_ask_for() -> None:
    cluster = a_cluster()
    report(cluster.status, cluster, healthy(), NOW)
    shown = cluster.status.manifest()
    assert shown["version"] == "1.37.1"
    assert shown["endpoint"] == URL
    assert shown["kubeconfigSecret"] == "shop-kubeconfig"
    assert shown["nodes"] == {"ready": 1, "total": 2}
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
    new = Findings(a_world(nodes=()), endpoint=NoEndpoint("WaitingForAddress", "no port yet"))
    assert verdict(new) == "False WaitingForAddress: no port yet"
    started = healthy(world=a_world(an_etcd(ready=False)), reach=None, bootstrap=None)
    assert verdict(started).startswith(
        "False WaitingForEtcd: EtcdCluster team-a/shop-etcd: Ready is False"
    )
    alone = a_world(an_etcd(), a_deployment(API_SERVER, ready=0))
    starting = healthy(world=alone, reach=None, bootstrap=None)
    assert verdict(starting) == (
        "False Starting: ready: kube-apiserver 0/1, kube-controller-manager 0/1, kube-scheduler 0/1"
    )
    assert phase(a_cluster(), conditions(a_cluster(), starting)) == "Provisioning"


def test_an_api_that_cannot_be_reached_from_outside_is_not_ready() -> None:
    away = healthy(reach=Reach("unreachable", f"{URL} does not answer: refused"))
    assert verdict(away) == f"False Unreachable: {URL} does not answer: refused"
    assert verdict(away, "ControlPlaneReady").startswith("True")


def test_an_endpoint_on_a_meta_node_that_is_down_says_so() -> None:
    down = MetaNode("meta-1", ("192.0.2.10",), usable=False)
    world = a_world(an_etcd(), *all_running(), nodes=(down, META_2))
    found = healthy(world=world, reach=Reach("unreachable", "https://192.0.2.10 is silent"))
    assert "; that is node meta-1 of the meta cluster, which is not Ready" in verdict(found)
    chosen = a_cluster(endpoint={"host": "192.0.2.10"})
    assert verdict(found, cluster=chosen).endswith("https://192.0.2.10 is silent")


def test_an_admin_without_rights_yet_is_not_ready() -> None:
    assert verdict(healthy(reach=Reach("forbidden"))).startswith("False Creating")


def test_an_admin_kubeconfig_that_is_refused_is_named() -> None:
    assert verdict(healthy(reach=Reach("unauthorized", "no"))).startswith(
        "False CredentialsRefused"
    )


def test_a_new_cluster_waits_for_its_bootstrap_objects() -> None:
    coming = Bootstrap(False, "Creating", "namespace kube-public is not there yet")
    assert verdict(healthy(bootstrap=coming)).startswith("False Creating: namespace kube-public")


def test_what_the_tenant_refuses_or_blocks_does_not_make_a_serving_cluster_unready() -> None:
    said = "the business cluster refused ConfigMap x: failed calling webhook"
    refused = Bootstrap(False, "ApplyFailed", said)
    slow = Bootstrap(False, "Unreachable", "https://192.0.2.10:31443: did not answer in time")
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
    def with_addon(**state: Any) -> Findings:
        return healthy(world=a_world(an_etcd(), *all_running(), an_addon("coredns", **state)))

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
    found = healthy(world=a_world(an_etcd(), *all_running(), addon))
    assert verdict(found).startswith("True Available")
    assert verdict(found, "AddonsReady").startswith("True WaitingForNodes")


def test_an_addon_whose_spec_was_just_changed_is_not_applied() -> None:
    addon = an_addon("coredns")
    addon["metadata"]["generation"] = 2
    found = healthy(world=a_world(an_etcd(), *all_running(), addon))
    assert verdict(found, "AddonsReady").startswith("False")


def test_a_lost_replica_is_shown_and_the_cluster_still_works() -> None:
    two = {"apiServer": {"replicas": 2}}
    world = a_world(an_etcd(), a_deployment(API_SERVER, ready=1, desired=2), *all_running()[1:])
    cluster = a_cluster(**two, status={"version": "1.37.1"})
    found = healthy(world=world)
    assert verdict(found, cluster=cluster).startswith("True Available")
    assert verdict(found, "ControlPlaneReady", cluster) == (
        "False ReplicasMissing: ready: kube-apiserver 1/2"
    )


def test_no_controller_manager_at_all_is_not_ready() -> None:
    world = a_world(
        an_etcd(), *(d for d in all_running() if "controller" not in d["metadata"]["name"])
    )
    assert verdict(healthy(world=world)).startswith("False Starting")


def test_a_refused_ca_is_the_first_thing_to_say() -> None:
    problem = Problem("shop-ca", "CAChanged", "Secret team-a/shop-ca holds another CA")
    found = healthy(problems=(problem,))
    assert verdict(found) == "False CAChanged: Secret team-a/shop-ca holds another CA"


def test_a_ca_that_ends_soon_is_told_and_harms_nobody_yet() -> None:
    found = healthy(ending=("Secret team-a/shop-ca ends on 2036-01-01",))
    said = "True CAEndsSoon: Secret team-a/shop-ca ends on 2036-01-01"
    assert verdict(found, "CertificatesReady") == said
    assert verdict(found).startswith("True Available")


def test_what_stopped_the_pass_explains_why_there_is_no_cluster() -> None:
    stop = Wait("PortTaken", "the meta cluster refuses port 31443")
    new = healthy(world=a_world(an_etcd()), reach=None, bootstrap=None, stopped=stop)
    assert verdict(new) == "False PortTaken: the meta cluster refuses port 31443"
    assert verdict(healthy(stopped=stop)).startswith("True Available")
    assert verdict(healthy(stopped=stop), "Progressing").startswith("False PortTaken")


def test_an_upgrade_names_the_component_that_it_is_at() -> None:
    cluster = a_cluster(status={"version": "1.36.4", "phase": "Running"})
    world = a_world(
        an_etcd(),
        a_deployment(API_SERVER),
        a_deployment(CONTROLLER_MANAGER, ready=0, total=2),
        an_addon("coredns"),
    )
    found = healthy(world=world)
    assert verdict(found, "Progressing", cluster) == (
        "True RollingOut: 1.36.4 -> 1.37.1: kube-controller-manager is being rolled out"
    )
    assert phase(cluster, conditions(cluster, found)) == "Updating"


def test_a_component_shows_the_version_that_is_completely_rolled_out() -> None:
    status = {"components": [{"name": API_SERVER, "version": "1.36.4", "ready": 1, "desired": 1}]}
    cluster = a_cluster(status=status)
    rolling = a_world(a_deployment(API_SERVER, version="1.37.1", ready=1, total=2))
    report(cluster.status, cluster.model_copy(deep=True), healthy(world=rolling), NOW)
    assert cluster.status.components[0].version == "1.36.4"


def a_pod(**status: Any) -> Manifest:
    return {
        "kind": "Pod",
        "metadata": {
            "name": "shop-apiserver-1",
            "labels": {"app.kubernetes.io/component": API_SERVER},
        },
        "status": status,
    }


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        (
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 3,
                        "lastState": {
                            "terminated": {
                                "exitCode": 1,
                                "message": "Error: unknown  flag: --x\nUsage:",
                            }
                        },
                    }
                ]
            ),
            "False Crashing: kube-apiserver in pod shop-apiserver-1 exited with code 1, "
            "restarts: 3; it said: Error: unknown flag: --x",
        ),
        (
            a_pod(
                containerStatuses=[
                    {
                        "image": "mirror/kube-apiserver:v1",
                        "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}},
                    }
                ]
            ),
            "False ImageUnavailable: image mirror/kube-apiserver:v1 for kube-apiserver cannot be "
            "pulled: not found",
        ),
        (
            a_pod(
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "lastTransitionTime": "2026-11-22T11:00:00Z",
                        "message": "0/1 nodes are available: 1 Insufficient memory",
                    }
                ]
            ),
            "False Unschedulable: no meta node takes kube-apiserver (since 2026-11-22 11:00:00 "
            "UTC): 0/1 nodes are available: 1 Insufficient memory",
        ),
        (
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 2,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {
                            "terminated": {
                                "exitCode": 137,
                                "reason": "OOMKilled",
                                "finishedAt": "2026-11-22T11:30:00Z",
                            }
                        },
                    }
                ]
            ),
            "False OutOfMemory: kube-apiserver in pod shop-apiserver-1 was killed at "
            "2026-11-22T11:30:00Z because it used more memory than it may have, restarts: 2; "
            "raise spec.apiServer.resources.limits.memory",
        ),
        (
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 0,
                        "state": {"running": {"startedAt": "2026-11-22T11:30:00Z"}},
                    }
                ]
            ),
            f"False NotReady: kube-apiserver in pod shop-apiserver-1 runs since "
            f"2026-11-22T11:30:00Z and is not ready: {ANSWER}",
        ),
        (
            # kubelet ended it in an orderly way: "Completed" would tell nothing.
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 1,
                        "state": {"running": {"startedAt": "2026-11-22T11:30:00Z"}},
                        "lastState": {"terminated": {"exitCode": 0, "reason": "Completed"}},
                    }
                ]
            ),
            f"False NotReady: kube-apiserver in pod shop-apiserver-1 is never ready, and was "
            f"restarted 1 times for that: {ANSWER}",
        ),
        (
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "state": {
                            "waiting": {
                                "reason": "CreateContainerConfigError",
                                "message": 'secret "x" not found',
                            }
                        },
                    }
                ]
            ),
            'False NotReady: kube-apiserver in pod shop-apiserver-1 cannot start: secret "x" not '
            "found",
        ),
        (
            a_pod(
                containerStatuses=[
                    {"ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
                ]
            ),
            f"False NotReady: kube-apiserver in pod shop-apiserver-1 cannot start: {ANSWER} "
            "(since 2026-11-22 12:00:00 UTC)",
        ),
    ],
)
def test_pods_that_are_not_well_say_why(pod: Manifest, sentence: str) -> None:
    world = a_world(
        an_etcd(), a_deployment(API_SERVER, ready=0), pods=(pod,), words={"shop-apiserver-1": WORD}
    )
    assert verdict(healthy(world=world, reach=None, bootstrap=None)) == sentence


def stuck(**condition: str) -> Manifest:
    """An API server's Deployment whose new pod does not come, beside an old one that serves."""
    live = a_deployment(API_SERVER, ready=1, desired=1, updated=0)
    live["status"]["conditions"] = [
        {"lastTransitionTime": "2026-11-22T11:00:00Z", **condition},
    ]
    return live


@pytest.mark.parametrize(
    ("condition", "moving", "told"),
    [
        (
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": 'pods "shop-apiserver-7" is forbidden: exceeded quota: small',
            },
            True,
            "PodsRefused: kube-apiserver (since 2026-11-22 11:00:00 UTC): its pod is refused: "
            "exceeded quota: small; set spec.apiServer.resources, or change the namespace's "
            "ResourceQuota or LimitRange",
        ),
        (
            {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": "ReplicaSet has timed out",
            },
            False,
            "RolloutStuck: the rollout of kube-apiserver made no progress in time (since "
            "2026-11-22 11:00:00 UTC): ReplicaSet has timed out",
        ),
    ],
)
def test_a_rollout_that_hangs_says_why_and_the_cluster_still_serves(
    condition: dict[str, str], moving: bool, told: str
) -> None:
    cluster = a_cluster(status={"version": "1.36.4", "phase": "Running"})
    found = healthy(world=a_world(an_etcd(), stuck(**condition), *all_running()[1:]))
    reason, sentence = told.split(": ", 1)
    assert verdict(found, "ControlPlaneReady", cluster) == f"False {told}"
    assert verdict(found, "Progressing", cluster) == (
        f"{moving} {reason}: 1.36.4 -> 1.37.1: kube-apiserver is being rolled out; {sentence}"
    )
    assert verdict(found, cluster=cluster) == f"True Available: {URL} answers; but {sentence}"


@pytest.mark.parametrize(
    ("pod", "late"),
    [
        (a_pod(), False),
        (a_pod(startTime="2026-11-22T11:59:50Z", containerStatuses=[{"ready": False}]), False),
        (a_pod(startTime="2026-11-22T11:59:00Z", containerStatuses=[{"ready": False}]), True),
        (a_pod(startTime="2026-11-22T11:59:00Z", containerStatuses=[{"ready": True}]), False),
        (
            a_pod(
                startTime="2026-11-22T11:59:55Z",
                containerStatuses=[{"ready": False, "restartCount": 1}],
            ),
            True,
        ),
    ],
)
def test_kubelet_is_asked_only_about_pods_that_should_be_ready(pod: Manifest, late: bool) -> None:
    assert is_late(pod, NOW) is late


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("one\ntwo\n", "two"),
        (
            'I1122 22:07:19.8 1 a.go:1] "Starting"\n'
            'E1122 22:07:19.9 1 server.go:281] "Leaderelection lost"\n'
            'I1122 22:07:20.0 1 b.go:2] "Shutting down"\n',
            '"Leaderelection lost"',
        ),
        (
            "E1122 1:1 1 a.go:1] first\nError: unknown flag: --x\nUsage:\n",
            "Error: unknown flag: --x",
        ),
        ("F1122 1:1 1 a.go:1] no etcd\ngoroutine 1 [running]:\nmain.main()\n", "no etcd"),
    ],
)
def test_of_a_log_the_line_that_tells_most_is_shown(log: str, words: str) -> None:
    assert last_words(log) == words


def test_etcd_that_was_lost_is_named_as_the_cause() -> None:
    cluster = a_cluster()
    report(cluster.status, cluster, healthy(), NOW)
    world = a_world(an_etcd(ready=False), *all_running(ready=0))
    found = healthy(world=world, reach=None, bootstrap=None)
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
    assert a_world(etcd, server).etcd_trust("shop") == "Trust-1"
    assert a_world(etcd, server).etcd_trusted("shop") == "Trust-1"
    for short in ({"total": 2}, {"ready": 0}, {"updated": 0}):
        waiting = a_deployment(API_SERVER, **short)
        waiting["spec"] = server["spec"]
        assert a_world(etcd, waiting).etcd_trusted("shop") == "Drop-0"
    assert a_world(an_etcd(), a_deployment(API_SERVER)).etcd_trusted("shop") is None
    assert a_world(an_etcd()).etcd_trust("shop") is None


def test_a_restore_of_etcd_is_told_with_its_step() -> None:
    etcd = an_etcd(ready=False)
    etcd["status"] = {**etcd["status"], "restore": {"name": "back", "step": "Seeding"}}
    etcd["status"]["restored"] = {"uid": "uid-1"}
    world = a_world(etcd, *all_running(ready=0))
    found = conditions(a_cluster(), healthy(world=world, reach=None))["EtcdReady"]
    assert found.reason == "EtcdRestoring"
    assert "EtcdRestore back (Seeding)" in found.message
    assert world.etcd_restored("shop") == "uid-1"
    assert a_world(an_etcd()).etcd_restored("shop") is None


def test_foreign_nodes_that_wait_are_named_with_the_command() -> None:
    names = tuple(f"w{number}" for number in range(10))
    said = verdict(healthy(foreign=Foreign(names)), "ForeignNodesCertified")
    assert said == (
        "False ApprovalNeeded: nodes that belong to no Machine wait for serving certificates, "
        "without which logs and exec fail there: w0, w1, w2, w3, w4, w5, w6, w7 and 2 more; write "
        "kok node approve shop w0 -n team-a, or set spec.nodes.foreign to Approve"
    )
    assert verdict(healthy(foreign=Foreign(names))).startswith("True Available")


def test_what_a_foreign_node_may_not_have_is_told() -> None:
    found = healthy(foreign=Foreign(("w7", "w8"), "CertificateSigningRequest c is not approved: x"))
    assert verdict(found, "ForeignNodesCertified") == (
        "False CertificateRequestRefused: CertificateSigningRequest c is not approved: x; 1 more "
        "wait"
    )


def test_foreign_nodes_are_told_of_while_there_is_something_to_say() -> None:
    cluster = a_cluster()
    status = cluster.status
    report(status, cluster, healthy(foreign=Foreign(("w7",))), NOW)
    assert status.condition("ForeignNodesCertified") is not None
    report(status, cluster, healthy(foreign=None), NOW)  # Nobody could look.
    assert status.condition("ForeignNodesCertified") is not None
    report(status, cluster, healthy(foreign=Foreign()), NOW)
    assert status.condition("ForeignNodesCertified") is None
