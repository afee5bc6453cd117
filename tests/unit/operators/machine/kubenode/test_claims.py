"""Which Hosts of the pool a KubeNode has, gets and gives back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.kubenode.living import host, on

from kok.api.machine.host import Host
from kok.api.machine.machine import Machine
from kok.api.unreadable import Unreadable
from kok.operators.machine.kubenode import claims


def planned(
    replicas: int,
    hosts: list[Host],
    machines: list[Machine] | None = None,
    claimed: list[str] | None = None,
    taken: set[str] | None = None,
    pods: dict[str, int] | None = None,
    **labels: str,
) -> claims.Claims:
    kubenode = builders.kubenode(
        replicas=replicas, pool={"matchLabels": labels}, status={"claims": claimed or []}
    )
    return claims.plan(
        kubenode,
        {h.name: h for h in hosts},
        {m.spec.node: m for m in machines or []},
        taken or set(),
        pods,
    )


def test_hosts_of_the_pool_are_claimed_in_order_of_their_names() -> None:
    hosts = [host("c", rack="a"), host("b", rack="b"), host("a", rack="a")]
    found = planned(2, hosts, rack="a")
    assert found.held == found.serving == ("a", "c")
    assert found.missing == 0


def test_what_others_have_is_not_touched() -> None:
    found = planned(2, [host("a"), host("b"), host("c", deleting=True)], taken={"a"})
    assert found.serving == ("b",)
    assert found.missing == 1


def test_scaling_down_gives_back_what_serves_least() -> None:
    hosts = [host(n) for n in "abcd"]
    machines = [on("a", ready=False), on("b"), on("c")]
    found = planned(2, hosts, machines, ["a", "b", "c", "d"])
    assert found.serving == ("b", "c")
    # `a` stays claimed until its Machine is gone; `d` never had one.
    assert found.held == ("b", "c", "a")


def test_of_nodes_that_serve_the_emptiest_go_first() -> None:
    hosts = [host(n) for n in "abcd"]
    machines = [on("a", ready=False), on("b"), on("c"), on("d")]
    claimed, pods = ["a", "b", "c", "d"], {"b": 7, "c": 0, "d": 2}
    assert planned(3, hosts, machines, claimed, pods=pods).going == ("a",)
    assert planned(2, hosts, machines, claimed, pods=pods).going == ("a", "c")
    assert planned(1, hosts, machines, claimed, pods=pods).serving == ("b",)
    # As many pods: the eldest stays, and so it is where nobody knows how many there are.
    assert planned(1, hosts, machines, claimed, pods=dict.fromkeys("bcd", 3)).serving == ("b",)
    assert planned(1, hosts, machines, claimed).serving == ("b",)


def test_what_goes_already_is_not_chosen_anew_whatever_its_pods_do() -> None:
    hosts = [host(n) for n in "abc"]
    machines = [on("a"), on("b", deleting=True), on("c")]
    found = planned(2, hosts, machines, ["a", "b", "c"], pods={"a": 0, "b": 9, "c": 1})
    assert found.serving == ("a", "c")


def test_pods_are_asked_for_only_where_some_of_several_have_to_go() -> None:
    def compared(replicas: int, *machines: Machine) -> list[str]:
        return claims.to_be_compared(builders.kubenode(replicas=replicas, pool={}), machines)

    assert compared(1, on("a"), on("b"), on("c", ready=False)) == ["a", "b"]
    assert compared(2, on("a"), on("b")) == []
    assert compared(0, on("a"), on("b")) == []
    assert compared(1, on("a"), on("b", deleting=True)) == []
    assert claims.to_be_compared(builders.kubenode(), [on("a"), on("b")]) == []


def test_people_are_told_which_hosts_leave_and_why_these() -> None:
    hosts = [host(n) for n in "abcd"]
    machines = [on("a", ready=False), on("b"), on("c"), on("d", deleting=True)]
    pods = {"b": 1, "c": 4}
    found = planned(1, hosts, machines, ["a", "b", "c", "d"], pods=pods)
    by_host = {m.spec.node: m for m in machines}
    assert claims.leaving(found, by_host, pods) == "leaves a (not Ready), b (1 pod)"
    assert claims.leaving(found, by_host, {}) == "leaves a (not Ready), b (pods unknown)"
    assert claims.leaving(planned(4, hosts, machines[:3], ["a", "b", "c"]), by_host, {}) == ""


def test_a_host_that_goes_is_replaced() -> None:
    found = planned(1, [host("a", deleting=True), host("b")], [on("a")], ["a"])
    assert found.serving == ("b",)
    assert found.held == ("b", "a")


def test_a_host_object_that_vanished_keeps_its_claim_until_its_machine_is_gone() -> None:
    assert planned(1, [], [on("a")], ["a"]).held == ("a",)
    assert planned(1, [], [], ["a"]).held == ()


def test_a_machine_deleted_by_hand_comes_back_on_its_host() -> None:
    found = planned(1, [host("a"), host("b")], [], ["a"])
    assert found.serving == ("a",)


def test_a_host_that_was_not_left_clean_is_claimed_by_nobody() -> None:
    assert planned(1, [host("a", dirty=True), host("b")]).serving == ("b",)
    # Nor is it kept by who had it, if its Machine is gone: another one would only hang on it.
    found = planned(1, [host("a", dirty=True), host("b")], [], ["a"])
    assert found.held == found.serving == ("b",)
    # While there is a Machine, that one's software is the reason.
    assert planned(1, [host("a", dirty=True), host("b")], [on("a")], ["a"]).serving == ("a",)


_names = st.sampled_from("abcde")


@given(
    st.integers(0, 5),
    st.sets(_names),
    st.sets(_names),
    st.dictionaries(_names, st.tuples(st.booleans(), st.booleans())),
    st.sets(_names),
    st.dictionaries(_names, st.integers(0, 9)),
)
def test_claims_never_exceed_what_may_be_claimed(
    replicas: int,
    hosts: set[str],
    claimed: set[str],
    machines: dict[str, tuple[bool, bool]],
    taken: set[str],
    pods: dict[str, int],
) -> None:
    made = [on(n, ready=ready, deleting=gone) for n, (ready, gone) in machines.items()]
    found = planned(replicas, [host(n) for n in hosts], made, sorted(claimed), taken, pods)
    assert len(found.serving) <= replicas
    assert set(found.serving) <= hosts & set(found.held)
    # A host that somebody else has is never newly claimed, and one with a Machine never let go.
    assert not (set(found.serving) - claimed - set(machines)) & taken
    assert set(machines) <= set(found.held)
    assert len(set(found.held)) == len(found.held)
    again = planned(replicas, [host(n) for n in hosts], made, list(found.held), taken, pods)
    assert again.held == found.held
    # None that goes is fuller than one that stays and serves as well.
    serves = {n for n, (ready, gone) in machines.items() if ready and not gone and n in hosts}
    stays = [pods.get(n, 0) for n in serves & set(found.serving)]
    assert all(pods.get(n, 0) <= min(stays, default=9) for n in serves & set(found.going))


def test_hosts_with_somebody_elses_machine_are_taken() -> None:
    kubenode = builders.kubenode(replicas=1, pool={})
    other = builders.kubenode(
        metadata={"name": "other", "uid": "uid-other"},
        replicas=1,
        pool={},
        status={"claims": ["a"]},
    )
    by_hand = builders.machine(address="b.example")
    hosts = [host(n) for n in "abc"]
    assert claims.taken_by_others(kubenode, [kubenode, other], [by_hand], hosts) == {"a", "b"}


def test_behind_another_bastion_the_same_address_is_another_host() -> None:
    def ssh(address: str, port: int = 22) -> dict[str, Any]:
        jump = {"address": address, "port": port, "user": "jump", "hostKey": "SHA256:" + "A" * 43}
        return {"secret": "ops-ssh", "jump": jump}

    def behind(name: str, *way: Any) -> Host:
        spec = {"address": "10.0.0.21", "ssh": ssh(*way) if way else {"secret": "ops-ssh"}}
        return Host.parse({"metadata": builders.meta(name), "spec": spec})

    hosts = [behind("a", "bastion.example"), behind("b", "bastion.example", 2201), behind("c")]
    by_hand = builders.machine(address="10.0.0.21", ssh=ssh("Bastion.example."))
    kubenode = builders.kubenode(replicas=1, pool={})
    assert claims.taken_by_others(kubenode, [], [by_hand], hosts) == {"a"}
    written = by_hand.manifest()
    written["spec"]["ssh"]["jump"]["port"] = 2201
    odd = Unreadable("Machine", written, "spec.node")
    assert claims.taken_by_others(kubenode, [], [], hosts, odd=[odd]) == {"b"}


def lost(name: str, *, well: bool = False, fault: str = "HostDead") -> Machine:
    """A Machine whose host is to be replaced, or was to be before it was well again."""
    known = {"fault": fault, "since": "2026-11-02T11:00:00Z", "rung": "Replace"}
    machine = on(name, ready=False)
    status = {"remediation": {**known, **({"well": "2026-11-02T11:30:00Z"} if well else {})}}
    machine.status.remediation = builders.machine(status=status).status.remediation
    return machine


def test_a_host_of_which_all_was_tried_is_replaced_once_there_is_one_for_it() -> None:
    alone = planned(1, [host("a")], [lost("a")], ["a"])
    assert alone.serving == ("a",)
    # So it is woken when another KubeNode gives one up.
    assert alone.lacking
    found = planned(1, [host("a"), host("b")], [lost("a")], ["a"])
    assert found.serving == ("b",)
    assert not found.lacking
    assert found.held == ("b", "a")
    # What was well again in time stays.
    assert planned(1, [host("a"), host("b")], [lost("a", well=True)], ["a"]).serving == ("a",)


def test_no_more_hosts_are_given_up_than_others_are_free() -> None:
    hosts = [host(n) for n in "abcd"]
    machines = [lost("a"), lost("b"), on("c")]
    found = planned(3, hosts, machines, ["a", "b", "c"])
    assert set(found.serving) == {"b", "c", "d"}
    # Whatever is free is first for those that are lacking anyhow.
    found = planned(4, hosts, machines, ["a", "b", "c"])
    assert set(found.serving) == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("fault", "state", "replaced"),
    [
        ("ServiceLooping", "Failed", False),
        ("ServiceLooping", "Soaking", False),
        ("ServiceLooping", "RolledBack", True),
        ("HostDead", "Failed", False),
        ("HostDead", "RollingBack", True),
    ],
)
def test_what_fails_with_new_software_is_not_tried_on_the_next_host(
    fault: str, state: str, replaced: bool
) -> None:
    row = {"machine": "shop-workers-a", "state": state, "since": "2026-11-02T11:00:00Z"}
    rollout = {"id": "r", "since": "2026-11-02T11:00:00Z", "nodes": [row]}
    status = {"claims": ["a"], "rollout": rollout}
    kubenode = builders.kubenode(replicas=1, pool={}, status=status)
    hosts = {name: host(name) for name in "ab"}
    found = claims.plan(kubenode, hosts, {"a": lost("a", fault=fault)}, set())
    assert found.serving == (("b",) if replaced else ("a",))
