"""Which Machines of a KubeNode may change now: one budget, and nothing on mere suspicion."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operators.machine.kubenode.rollout.rolling import (
    BROKEN,
    CHANGING,
    FRESH,
    NAMES,
    NEWER,
    SERVING,
    UNKNOWN,
    changeable,
    changed,
    intents,
    living,
    status,
)

from kok.api.meta import Manifest


def test_new_machines_are_all_made_at_once() -> None:
    wanted = intents()
    assert changeable(wanted, {}) == wanted


def test_nothing_changes_when_nothing_changed() -> None:
    assert changed(intents(), living(intents())) == []


def test_software_changes_on_one_machine_at_a_time() -> None:
    lives = living(intents())
    wanted = intents(labels={"tier": "gold"}, **NEWER)
    assert changed(wanted, lives) == ["w1"]
    # What does not disturb a node does not wait for its turn.
    now = changeable(wanted, lives)
    assert all(m["spec"]["labels"] == {"tier": "gold"} for m in now.values())


def test_more_addresses_of_hosts_reach_one_machine_at_a_time() -> None:
    """They may change which one the node goes by."""
    wanted, lives = intents(), living(intents())
    for number, machine in enumerate(wanted.values()):
        machine["spec"]["addresses"] = [f"10.0.0.{number}"]
    assert changed(wanted, lives) == ["w1"]
    assert changed(wanted, {**lives, "w1": living(wanted)["w1"]}) == ["w2"]


def test_the_next_machine_waits_until_the_one_before_has_proven_itself() -> None:
    wanted, lives = intents(**NEWER), living(intents())
    lives["w1"] = living(wanted, w1=CHANGING)["w1"]
    assert changed(wanted, lives) == []
    lives["w1"] = living(wanted)["w1"]
    assert changed(wanted, lives) == ["w2"]


def test_new_labels_that_are_not_set_yet_give_nobody_a_turn() -> None:
    """With a change of labels and software in one all Machines got the software at once."""
    labels = {"labels": {"tier": "gold"}}
    lives = living(intents(**labels), **dict.fromkeys(NAMES, CHANGING))
    wanted = intents(**labels, **NEWER)
    assert changed(wanted, lives) == ["w1"]
    lives["w1"] = living(wanted, w1=CHANGING)["w1"]
    assert changed(wanted, lives) == []
    lives["w1"] = living(wanted)["w1"]
    assert changed(wanted, lives) == ["w2"]


def test_a_silent_api_lets_nothing_be_changed() -> None:
    """All Machines were NotReady for a moment, and all were changed at once."""
    silent = living(intents(), **dict.fromkeys(NAMES, UNKNOWN))
    assert changed(intents(**NEWER), silent) == []


@pytest.mark.parametrize(
    ("states", "turn"),
    [
        # One that does not serve anyway is changed first, and alone: the next may prove it wrong.
        ({"w2": BROKEN}, ["w2"]),
        ({"w2": BROKEN, "w3": BROKEN}, ["w2"]),
        ({"w2": BROKEN, "w3": UNKNOWN}, ["w2"]),
        # Of which nothing is heard may be repaired by the change, if it is the only one.
        ({"w3": UNKNOWN}, ["w3"]),
        ({"w2": UNKNOWN, "w3": UNKNOWN}, []),
        # What has never served disturbs nobody.
        ({"w2": FRESH, "w3": FRESH}, ["w1", "w2", "w3"]),
        # A change that is not through may be corrected.
        ({"w2": CHANGING}, ["w2"]),
    ],
)
def test_who_comes_first(states: dict[str, dict[str, Any]], turn: list[str]) -> None:
    assert changed(intents(**NEWER), living(intents(), **states)) == turn


@pytest.mark.parametrize("state", [BROKEN, UNKNOWN, CHANGING])
def test_a_machine_that_was_changed_and_does_not_serve_stops_the_others(
    state: dict[str, Any],
) -> None:
    wanted, lives = intents(**NEWER), living(intents())
    lives["w1"] = living(wanted, w1=state)["w1"]
    assert changed(wanted, lives) == []


def test_a_new_address_or_ca_reaches_one_machine_at_a_time() -> None:
    """All nodes joined anew at once."""
    lives = living(intents("a"))
    wanted = intents("b")
    assert changed(wanted, lives) == ["w1"]
    lives["w1"] = living(wanted, w1=CHANGING)["w1"]
    assert changed(wanted, lives) == []
    lives["w1"] = living(wanted)["w1"]
    assert changed(wanted, lives) == ["w2"]


def test_a_new_address_brings_back_nodes_of_which_nothing_is_heard_one_by_one() -> None:
    """The earlier one may be gone already: nothing else would ever make them known again."""
    lives = living(intents("a"), **dict.fromkeys(NAMES, UNKNOWN))
    assert changed(intents("b"), lives) == ["w1"]


def test_software_waits_until_all_have_the_new_address() -> None:
    lives = living(intents("a"))
    wanted = intents("b", **NEWER)
    now = changeable(wanted, lives)
    assert [m["spec"]["accessHash"][0] for m in now.values()] == ["b", "a", "a"]
    assert all(
        m["spec"]["components"] == intents()["w1"]["spec"]["components"] for m in now.values()
    )


def test_machines_made_by_an_earlier_release_are_told_of_their_address_without_a_stage() -> None:
    lives = living(intents(""))
    now = changeable(intents("a"), lives)
    assert [m["spec"]["accessHash"][0] for m in now.values()] == ["a", "a", "a"]
    assert changed(intents("a"), lives) == []


def test_an_address_that_is_not_known_for_a_moment_changes_nothing() -> None:
    now = changeable(intents(""), living(intents("a")))
    assert [m["spec"]["accessHash"][0] for m in now.values()] == ["a", "a", "a"]


def of_version(version: str, **states: dict[str, Any]) -> dict[str, Manifest]:
    """Machines whose kubelets are of a version, and say so unless their status has another."""
    made = living(intents(), **states)
    for live in made.values():
        live["spec"] = {**live["spec"], "components": [{"name": "kubelet", "version": version}]}
        live["status"] = {"kubelet": version, **live["status"]}
    return made


UNDER_WAY = {"type": "Update", "step": "Draining", "since": "2026-11-02T12:00:00Z"}


def test_nothing_is_given_to_others_while_a_node_goes_to_another_minor() -> None:
    """Labels that were not set yet made two of them busy, and the first of these had its turn."""
    wanted, lives = intents(), of_version("1.36.4", w1=CHANGING)
    lives["w2"] = of_version("1.37.1", w2=status("True", "True", "False", kubelet="1.36.4"))["w2"]
    wanted = {name: {**m, "spec": {**m["spec"], **LATER}} for name, m in wanted.items()}
    assert changed(wanted, lives) == ["w2"]
    lives["w2"]["status"] = status("True", "True", "False", kubelet="1.37.1", operation=UNDER_WAY)
    assert changed(wanted, lives) == ["w2"]
    lives["w2"]["status"] = {**SERVING, "kubelet": "1.37.1"}
    assert changed(wanted, lives) == ["w1"]


LATER = {"components": [{"name": "kubelet", "version": "1.37.2"}]}


def test_one_that_is_being_removed_keeps_nobody_waiting() -> None:
    lives = of_version("1.36.4", w1=status(operation=UNDER_WAY))
    assert changed(intents(), lives) == ["w1"]
    lives["w1"]["metadata"]["deletionTimestamp"] = "2026-11-02T12:00:00Z"
    del lives["w1"]["status"]["operation"]
    left = {name: m for name, m in intents().items() if name != "w1"}
    assert changed(left, lives) == ["w2"]


def test_no_kubelet_changes_its_version_while_that_is_held() -> None:
    wanted, lives = intents(labels={"tier": "gold"}), of_version("1.36.4", w3=FRESH)
    now = changeable(wanted, lives, held=True)
    versions = [m["spec"]["components"][0]["version"] for m in now.values()]
    assert versions[:2] == ["1.36.4", "1.36.4"]
    assert now["w1"]["spec"]["labels"] == {"tier": "gold"}
    # One that has never served disturbs nobody.
    assert now["w3"]["spec"]["components"] == wanted["w3"]["spec"]["components"]
    # Of the same version all else may be changed.
    held = changeable(intents(**NEWER), living(intents()), held=True)
    assert held["w1"]["spec"] == intents(**NEWER)["w1"]["spec"]


_states = st.sampled_from([SERVING, CHANGING, UNKNOWN, BROKEN])


@given(st.tuples(_states, _states, _states), st.sets(st.sampled_from(NAMES)), st.booleans())
def test_never_are_two_that_have_served_disturbed_at_once(
    states: tuple[dict[str, Any], ...], through: set[str], access: bool
) -> None:
    wanted = intents("b") if access else intents(**NEWER)
    states_ = dict(zip(NAMES, states, strict=True))
    lives = living(intents(), **states_)
    lives |= {n: m for n, m in living(wanted, **states_).items() if n in through}
    begun = changed(wanted, lives)
    assert len(begun) <= 1
    if CHANGING in states:
        assert all(states_[n] is CHANGING for n in begun)


def test_a_host_that_is_replaced_is_missed_until_the_one_in_its_place_serves() -> None:
    """Otherwise a further node is drained while there is one too few."""
    wanted, lives = intents(**NEWER), living(intents(), w3=FRESH)
    known = {"fault": "HostDead", "since": "2026-11-02T11:00:00Z", "rung": "Replace"}
    gone = {**lives["w1"]["metadata"], "name": "w0", "deletionTimestamp": "2026-11-02T12:00:00Z"}
    dead = status("False", "Unknown", remediation=known)
    lost = {**lives["w1"], "metadata": gone, "status": dead}
    assert not {"w1", "w2"} & {*changed(wanted, {**lives, "w0": lost})}
    serves = living(intents())["w3"]
    assert changed(wanted, {**lives, "w3": serves, "w0": lost}) == ["w1"]


def test_a_node_whose_runtime_hangs_is_out_of_service_whatever_its_cluster_says() -> None:
    fault = {"fault": "ServiceHung", "since": "2026-11-02T11:59:00Z"}
    hangs = status(remediation={**fault, "component": "containerd"})
    own = status(remediation={**fault, "component": "log-shipper"})
    wanted = intents(**NEWER)
    assert changed(wanted, living(intents(), w3=hangs)) == ["w3"]
    assert changed(wanted, living(intents(), w3=own)) == ["w1"]
