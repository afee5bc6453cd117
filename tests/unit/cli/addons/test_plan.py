"""What commands make of `spec.addons`, and which addons suit which cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kok.addons import DEFAULTS, AddonFacts
from kok.api.cluster.cluster import Cluster
from kok.cli.addons import plan as plans
from kok.cli.addons.plan import Ground, Plan, Step
from kok.cli.addons.suiting import ClusterFacts, facts_of, objection
from kok.cli.query import Refused

SEEN = ClusterFacts(version="1.36.4", nodes=0, gpus=0)


def about(*needs: str, **more: Any) -> AddonFacts:
    given = {"description": "x", "images": {"x": {"repository": "x"}}, "upgrade": {"note": "x"}}
    return AddonFacts.model_validate({**given, "needs": needs, **more})


KNOWN = {
    "coredns": about(),
    "kube-proxy": about(role="proxy"),
    "flannel": about("nodes", role="network"),
    "konnectivity-agent": about("tunnel", "nodes"),
    "nvidia-device-plugin": about("nodes", "gpu"),
    "other-network": about("nodes", role="network"),
    "novelty": about(since="1.37"),
}


def cluster(
    *addons: dict[str, Any], tunnel: str = "Never", status: dict[str, Any] | None = None
) -> Cluster:
    spec = {"version": "1.36.4", "addons": list(addons), "network": {"tunnel": tunnel}}
    meta = {"name": "demo", "namespace": "ns"}
    return Cluster.parse({"metadata": meta, "spec": spec, "status": status or {}})


def ground(*addons: dict[str, Any], facts: ClusterFacts = SEEN, tunnel: str = "Never") -> Ground:
    return Ground(cluster(*addons, tunnel=tunnel), list(addons), facts, KNOWN)


def steps(plan: Plan) -> dict[str, str]:
    return {step.name: step.state for step in plan.steps}


@pytest.mark.parametrize(
    ("asked", "facts", "word"),
    [
        (about(), SEEN, None),
        (about("nodes"), SEEN, None),
        (about(since="1.36"), SEEN, None),
        (about(since="1.37"), SEEN, "1.37 or newer, and the cluster is at 1.36.4"),
        (about("gpu"), SEEN, "no Machine of the cluster has a GPU"),
        (about("gpu"), replace(SEEN, gpus=None), "may not list Machines"),
        (about("gpu"), replace(SEEN, gpus=2), None),
        (about("tunnel"), SEEN, "spec.network.tunnel is Never"),
        (about("tunnel"), replace(SEEN, tunnel="Auto"), "comes by itself once there"),
        (about("tunnel"), replace(SEEN, tunnel="Auto", tunnelled=True), None),
        (about("nodes", "reach"), SEEN, "there is no node yet to serve its API"),
        (about("nodes", "reach"), replace(SEEN, nodes=1), None),
        (about("nodes", "reach"), replace(SEEN, nodes=1, unreached="no way"), "no way"),
    ],
)
def test_what_does_not_suit_a_cluster_has_a_reason(
    asked: AddonFacts, facts: ClusterFacts, word: str | None
) -> None:
    found = objection(asked, facts)
    assert found is None if word is None else word in (found or "")


def test_facts_are_those_of_what_runs() -> None:
    since = {"since": "2026-01-01T00:00:00Z", "why": "x"}
    status = {"version": "1.37.0", "nodes": {"ready": 1, "total": 2}, "tunnel": since}
    seen = cluster(tunnel="Auto", status=status)
    assert facts_of(seen, 3) == ClusterFacts("1.37.0", 2, 3, "Auto", tunnelled=True)
    told = {"type": "ClusterReachable", "status": "True", "reason": "PodsUnreachable"}
    told |= {"message": "no way", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    assert facts_of(cluster(status={"conditions": [told]}), 0).unreached == "no way"
    assert facts_of(cluster(), None) == ClusterFacts("1.36.4", 0, None)


def test_all_that_suits_is_added_and_the_rest_has_a_reason() -> None:
    plan = plans.everything(ground(facts=replace(SEEN, version="1.37.1", gpus=1)))
    assert steps(plan) == {
        **dict.fromkeys(DEFAULTS, "There"),
        "konnectivity-agent": "Left",
        "nvidia-device-plugin": "Added",
        "other-network": "Left",
        "novelty": "Added",
    }
    assert plan.entries == [{"name": "nvidia-device-plugin"}, {"name": "novelty"}]
    assert Step("other-network", "Left", "flannel does the same") in plan.steps


def test_what_somebody_switched_off_is_not_switched_on_by_all() -> None:
    off = {"name": "coredns", "enabled": False}
    plan = plans.everything(ground(off))
    assert plan.entries == [off]
    assert not plan.changes
    assert steps(plan)["coredns"] == "Left"
    # Its role is free, but for all that somebody wants nobody knows.
    plan = plans.everything(ground({"name": "flannel", "enabled": False}))
    assert steps(plan) | {"flannel": "Left", "other-network": "Added"} == steps(plan)


def test_what_comes_with_the_tunnel_is_never_written() -> None:
    facts = replace(SEEN, tunnel="Always", tunnelled=True)
    plan = plans.everything(ground(facts=facts, tunnel="Always"))
    assert steps(plan)["konnectivity-agent"] == "There"
    assert not plan.changes


def test_one_is_added_behind_the_others_and_takes_values_over_those_it_has() -> None:
    mine = {"name": "coredns", "values": {"replicas": 3}}
    facts = replace(SEEN, gpus=1)
    added = plans.one(ground(mine, facts=facts), "nvidia-device-plugin", {})
    assert added.entries == [mine, {"name": "nvidia-device-plugin"}]
    assert steps(added) == {"nvidia-device-plugin": "Added"}
    changed = plans.one(ground(mine), "coredns", {"cpu": "50m"})
    assert changed.entries == [{"name": "coredns", "values": {"replicas": 3, "cpu": "50m"}}]
    assert steps(changed) == {"coredns": "Changed"}
    same = plans.one(ground(mine), "coredns", {"replicas": 3})
    assert steps(same) == {"coredns": "There"}
    assert same.entries == [mine]


def test_naming_one_that_is_switched_off_switches_it_on() -> None:
    off = {"name": "coredns", "enabled": False, "values": {"replicas": 3}}
    plan = plans.one(ground(off), "coredns", {})
    assert plan.entries == [{"name": "coredns", "values": {"replicas": 3}}]
    assert steps(plan) == {"coredns": "Added"}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("nobody", "nobody is not built in; write one of coredns, "),
        ("novelty", "novelty does not suit Cluster ns/demo: it needs Kubernetes 1.37"),
        ("konnectivity-agent", "spec.network.tunnel is Never"),
    ],
)
def test_what_cannot_be_installed_is_refused_with_a_reason(name: str, word: str) -> None:
    with pytest.raises(Refused, match=word.replace(".", r"\.")):
        plans.one(ground(), name, {})


def test_a_network_takes_the_place_of_another_as_long_as_there_is_no_node() -> None:
    plan = plans.one(ground(), "other-network", {})
    assert plan.entries == [{"name": "flannel", "enabled": False}, {"name": "other-network"}]
    assert steps(plan) == {"flannel": "Removed", "other-network": "Added"}
    back = Ground(cluster(plan.entries[0]), plan.entries, SEEN, KNOWN)
    with pytest.raises(Refused, match="only while a cluster has no node"):
        plans.one(ground(facts=replace(SEEN, nodes=1)), "other-network", {})
    again = plans.one(back, "flannel", {})
    assert again.entries[0] == {"name": "flannel"}


def test_other_values_are_over_those_there_or_in_their_place() -> None:
    mine = [{"name": "coredns", "values": {"replicas": 3}}]
    over = plans.changed(mine, "coredns", {"cpu": "50m"}, reset=False)
    assert over.entries == [{"name": "coredns", "values": {"replicas": 3, "cpu": "50m"}}]
    alone = plans.changed(mine, "coredns", {"cpu": "50m"}, reset=True)
    assert alone.entries == [{"name": "coredns", "values": {"cpu": "50m"}}]
    none = plans.changed(mine, "coredns", {}, reset=True)
    assert none.entries == [{"name": "coredns"}]
    assert not plans.changed(mine, "coredns", {"replicas": 3}, reset=False).changes


def test_a_default_is_switched_off_and_all_else_is_taken_out() -> None:
    entries = [{"name": "nvidia-device-plugin"}, {"name": "coredns", "values": {"replicas": 3}}]
    gone = plans.less(cluster(*entries), entries, "coredns")
    assert gone.entries == [entries[0], {"name": "coredns", "enabled": False}]
    assert plans.less(cluster(*entries), entries, "nvidia-device-plugin").entries == [entries[1]]
    assert plans.less(cluster(), [], "flannel").entries == [{"name": "flannel", "enabled": False}]
    with pytest.raises(Refused, match="comes and goes with the tunnel"):
        plans.less(cluster(), [], "konnectivity-agent")
