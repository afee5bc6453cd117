"""Who may reach etcd, and what its pods and the Jobs that move backups may reach."""

from __future__ import annotations

from typing import Any

from tests.unit.fakeapi import FakeApi
from tests.unit.golden import etcd as golden
from tests.unit.operators.etcd.builders import an_etcd
from tests.unit.operators.etcd.etcdbackup.builders import a_backup
from tests.unit.operators.networkpolicy_simulator import Enforcer, Spot

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.kube.client import Kube
from kok.kube.objects.networkpolicy import pods_in
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.observed.children import expected
from kok.operators.etcd.jobs.manifest import Work, job, pod
from kok.operators.etcd.jobs.networkpolicy import fence, own_policy
from kok.runtime.policy import Policies

POLICIES = Policies(
    network_policies=True,
    operator_pods={"app.kubernetes.io/name": "kok"},
    scrapers=(pods_in("monitoring", {"app": "prometheus"}),),
)
OPERATOR = Spot("10.244.0.5", "kok-system", {"app.kubernetes.io/name": "kok", "pod": "1"})
PROMETHEUS = Spot("10.244.0.6", "monitoring", {"app": "prometheus"})


def of_cluster(name: str = "shop") -> EtcdCluster:
    manifest = an_etcd().manifest()
    manifest["metadata"]["name"] = f"{name}-etcd"
    manifest["metadata"]["ownerReferences"] = [
        {"apiVersion": "kok.dev/v1alpha1", "kind": "Cluster", "name": name, "uid": "u"}
        | {"controller": True}
    ]
    return EtcdCluster.parse(manifest)


def network(*of: EtcdCluster, policies: Policies = POLICIES) -> Enforcer:
    return Enforcer(p for obj in of for p in render.network_policies(obj, policies, "kok-system"))


def member(obj: EtcdCluster) -> Spot:
    made = render.statefulset(obj, f"{obj.name}-0", "sha256:00ff")
    labels = made["spec"]["template"]["metadata"]["labels"]
    return Spot("10.244.1.1", obj.namespace, labels)


def worker(obj: EtcdCluster) -> Spot:
    made = job(
        obj,
        Work("w", "backup", "image", 60.0),
        pod(Work("w", "b", "i", 1.0), [{"name": "backup"}], []),
    )
    return Spot("10.244.1.7", obj.namespace, made["spec"]["template"]["metadata"]["labels"])


def server(namespace: str, cluster: str) -> Spot:
    labels = {names.LABEL_CLUSTER: cluster, names.LABEL_COMPONENT: "kube-apiserver"}
    return Spot("10.244.1.3", namespace, labels)


def test_etcd_is_reached_by_its_own_api_servers_the_operator_and_workers_alone() -> None:
    obj = of_cluster()
    etcd, made = member(obj), network(obj)
    for friend in (server(obj.namespace, "shop"), OPERATOR, worker(obj)):
        assert made.lets(friend, etcd, 2379)
        assert not made.lets(friend, etcd, 2380)
    strangers = (
        server(obj.namespace, "toy"),
        server("team-b", "shop"),
        Spot("10.244.1.4", obj.namespace, {"app": "web"}),
        Spot("10.244.1.5", "kok-system", {"app": "other"}),
        Spot("192.0.2.10"),
    )
    for stranger in strangers:
        assert not any(made.lets(stranger, etcd, port) for port in (2379, 2380, 2381))


def test_members_reach_their_own_peers_and_nothing_else() -> None:
    shop, toy = of_cluster("shop"), of_cluster("toy")
    made = network(shop, toy)
    assert made.lets(member(shop), member(shop), 2380)
    assert not made.lets(member(shop), member(toy), 2380)
    assert not made.lets(member(shop), Spot("203.0.113.9"), 443)
    assert made.lets(member(shop), Spot("10.244.0.2", "kube-system", {"k8s-app": "kube-dns"}), 53)


def test_metrics_are_for_the_operator_and_declared_scrapers() -> None:
    obj = of_cluster()
    assert network(obj).lets(OPERATOR, member(obj), 2381)
    assert network(obj).lets(PROMETHEUS, member(obj), 2381)
    assert not network(obj).lets(PROMETHEUS, member(obj), 2379)
    alone = Policies(network_policies=True)
    assert not network(obj, policies=alone).lets(PROMETHEUS, member(obj), 2381)


def test_an_etcd_without_a_cluster_serves_its_namespace() -> None:
    obj = an_etcd()
    web = {"app": "web"}
    assert network(obj).lets(Spot("10.244.1.4", obj.namespace, web), member(obj), 2379)
    assert not network(obj).lets(Spot("10.244.1.4", "team-b", web), member(obj), 2379)


def test_workers_go_to_stores_but_not_where_the_administrator_closes() -> None:
    obj = of_cluster()
    made = network(obj)
    assert made.lets(worker(obj), Spot("203.0.113.9"), 443)
    assert made.lets(worker(obj), Spot("2001:db8::9"), 443)
    for closed in ("169.254.169.254", "127.0.0.1", "fd00:ec2::254"):
        assert not made.lets(worker(obj), Spot(closed), 80)
    assert not made.lets(Spot("203.0.113.9"), worker(obj), 80)


def test_jobs_of_a_backup_alone_reach_stores_and_nothing_else() -> None:
    backup = a_backup()
    made = job(
        backup,
        Work("w", "verify", "image", 60.0),
        pod(Work("w", "v", "i", 1.0), [{"name": "check"}], []),
    )
    alone = Spot("10.244.1.8", backup.namespace, made["spec"]["template"]["metadata"]["labels"])
    closed = Enforcer([own_policy(backup, POLICIES)])
    assert closed.lets(alone, Spot("203.0.113.9"), 443)
    assert closed.lets(alone, Spot("10.244.0.2", "kube-system", {"k8s-app": "kube-dns"}), 53, "UDP")
    assert not closed.lets(alone, Spot("169.254.169.254"), 80)
    assert not closed.lets(Spot("203.0.113.9"), alone, 80)
    assert not closed.lets(OPERATOR, alone, 80)
    other = Spot("10.244.1.9", backup.namespace, {**alone.labels, "kok.dev/owner-name": "two"})
    assert closed.lets(other, Spot("169.254.169.254"), 80), "it is of this backup's Jobs alone"


def test_they_are_off_where_they_are_switched_off() -> None:
    assert render.network_policies(of_cluster(), Policies(network_policies=False), "x") == []


def test_policies_are_rendered_as_they_were() -> None:
    documents: list[dict[str, Any]] = render.network_policies(of_cluster(), POLICIES, "kok-system")
    golden.check("network", documents)


def test_names_of_policies_are_the_ones_that_are_watched_for_being_taken() -> None:

    obj = of_cluster()
    made = {p["metadata"]["name"] for p in render.network_policies(obj, POLICIES, "x")}
    assert made == {name for kind, name in expected(obj, ()) if kind.kind == "NetworkPolicy"}
    assert naming.workers_policy(obj.name) in made


async def test_what_another_projects_etcd_cluster_owns_fences_no_jobs(
    api: FakeApi, kube: Kube
) -> None:
    backup = a_backup()
    base = f"/apis/networking.k8s.io/v1/namespaces/{backup.namespace}/networkpolicies"
    name = naming.workers_policy(backup.spec.etcd_cluster)
    own = f"{base}/{own_policy(backup, POLICIES)['metadata']['name']}"
    for group, made in (("kok.dev", False), ("etcd.example", True)):
        owner = {"apiVersion": f"{group}/v1alpha1", "kind": "EtcdCluster", "name": "x", "uid": "u"}
        bare = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        meta = {"name": name, "ownerReferences": [owner | {"controller": True}]}
        api.put(f"{base}/{name}", {**bare, "metadata": meta})
        await fence(kube, backup, POLICIES)
        assert (own in api.objects) is made
