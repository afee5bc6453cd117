"""What the benchmarks of upgrades reckon, and what stands in for a business cluster's API."""

from __future__ import annotations

import pytest
from e2e.bench.upgrades.spending import Spending
from e2e.bench.upgrades.standins.business import Objects, Target
from e2e.bench.upgrades.standins.operator import PASSES, REQUESTS, of_kind, sums


def test_shares_of_the_machine_are_all_of_it() -> None:
    pods = {"kok-system": 2.0, "bench": 6.0, "kube-system": 3.0, "default": 1.0}
    spent = Spending(pods, own=1.0, busy=15.0, total=20.0)

    shares = spent.shares({"kok-system": "operators", "bench": "control-planes"}, "meta")

    assert shares == {
        "operators": 10.0,
        "control-planes": 30.0,
        "meta": 20.0,
        "measuring": 5.0,
        "rest": 10.0,
        "idle": 25.0,
    }


def test_what_was_counted_twice_leaves_no_negative_rest() -> None:
    spent = Spending({"bench": 9.0}, own=2.0, busy=10.0, total=10.0)

    assert spent.shares({"bench": "control-planes"}, "meta")["rest"] == 0.0


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/namespaces/kube-system", Target("api/v1/namespaces", name="kube-system")),
        ("/api/v1/nodes", Target("api/v1/nodes")),
        (
            "/apis/apps/v1/namespaces/kube-system/deployments/coredns",
            Target("apis/apps/v1/deployments", "kube-system", "coredns"),
        ),
        (
            "/api/v1/namespaces/kube-system/configmaps",
            Target("api/v1/configmaps", "kube-system"),
        ),
        ("/apis/apps/v1", None),
        ("/api/v1", None),
        ("/version", None),
    ],
)
def test_paths_lead_to_objects_and_collections(path: str, target: Target | None) -> None:
    assert Target.of(path) == target


def test_an_object_keeps_its_identity_and_is_found_by_its_labels() -> None:
    stored = Objects()
    here = Target("api/v1/configmaps", "kube-system", "one")
    first = stored.put(here, {"metadata": {"name": "one", "labels": {"kok.dev/addon": "dns"}}})
    again = stored.put(here, {"metadata": {"name": "one", "labels": {"kok.dev/addon": "net"}}})

    assert again["metadata"]["uid"] == first["metadata"]["uid"]
    assert again["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    everywhere = Target("api/v1/configmaps")
    assert stored.among(everywhere, "kok.dev/addon") == [again]
    assert stored.among(everywhere, "kok.dev/addon=dns") == []
    assert stored.among(Target("api/v1/configmaps", "default"), "") == []
    assert stored.take(here) == again
    assert stored.get(here) is None


def test_metrics_of_the_operator_are_summed_up_by_one_label() -> None:
    text = """# TYPE kok_kube_requests counter
kok_kube_requests_total{code="200",operator="cluster",verb="GET"} 3.0
kok_kube_requests_total{code="404",operator="cluster",verb="GET"} 1.0
kok_kube_requests_total{code="200",operator="cluster",verb="PATCH"} 1.2e+03
kok_passes_total{end="done",kind="Cluster",operator="cluster"} 7.0
"""
    assert sums(text, REQUESTS, "verb") == {"GET": 4, "PATCH": 1200}
    assert sums(text, PASSES, "kind") == {"Cluster": 7}


def test_seconds_of_passes_are_those_of_one_kind() -> None:
    text = """kok_pass_seconds_bucket{kind="Addon",le="0.01",operator="cluster"} 3.0
kok_pass_seconds_count{kind="Addon",operator="cluster"} 4.0
kok_pass_seconds_sum{kind="Addon",operator="cluster"} 0.0125
kok_pass_seconds_sum{kind="Cluster",operator="cluster"} 9.5
"""
    assert of_kind(text, "kok_pass_seconds_sum", "Addon") == 0.0125
    assert of_kind(text, "kok_pass_seconds_count", "Addon") == 4
    assert of_kind(text, "kok_pass_seconds_count", "EtcdCluster") == 0
