"""How a change of software goes over the nodes of a KubeNode: batches, pauses, drains, and two changes at once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.machine.kubenode.rollout.fleet import (
    BASE,
    NEW,
    NEWER,
    Fleet,
    fleet,
    recorded,
    rows,
    said,
)

from kok.operators.machine.kubenode.rollout import report
from kok.operators.machine.kubenode.rollout.order import Load


def test_without_a_policy_nodes_are_changed_one_after_the_other() -> None:
    story = fleet().rolls()
    assert story == [["w1"], ["w2"], ["w3"], ["w4"], ["w5"], ["w6"]]


def test_a_canary_goes_first_and_then_batches_of_the_size_that_was_asked_for() -> None:
    rolled = fleet(canary=1, batch=3, maxUnavailable=3)
    assert rolled.rolls() == [["w1"], ["w2", "w3", "w4"], ["w5", "w6"]]
    assert recorded(rolled).phase == "Done"
    assert said(rolled) == (True, "RolledOut")
    assert (recorded(rolled).batch, recorded(rolled).updated) == (3, 6)


def test_a_batch_is_never_larger_at_a_time_than_what_may_be_out_of_service() -> None:
    assert fleet(canary=0, batch=4, maxUnavailable=2).rolls()[:2] == [["w1", "w2"], ["w3", "w4"]]


def test_a_share_of_nodes_is_rounded_down_and_never_nothing() -> None:
    assert fleet(canary=0, maxUnavailable="50%").rolls()[0] == ["w1", "w2", "w3"]
    assert fleet(canary=0, maxUnavailable="1%").rolls()[0] == ["w1"]


def test_nothing_is_recorded_of_what_changes_nothing() -> None:
    same = fleet(BASE)
    assert same.passes() == []
    assert same.status is None


def test_nodes_that_are_out_of_service_use_up_the_budget() -> None:
    rolled = fleet(canary=0, maxUnavailable=2)
    rolled.places["w6"].version = NEW
    rolled.places["w6"].proves(rolled.now)
    rolled.places["w6"].ready = "False"
    assert rolled.passes() == ["w1"]
    # Unknown readiness is no readiness.
    rolled = fleet(canary=0, maxUnavailable=2)
    rolled.places["w6"].ready = rolled.places["w5"].ready = "Unknown"
    assert "w1" not in rolled.passes()


def test_it_waits_between_batches_for_as_long_as_was_asked_for() -> None:
    rolled = fleet(pause="10m")
    assert rolled.passes() == ["w1"]
    rolled.places["w1"].proves(rolled.now)
    assert rolled.passes() == []
    assert rolled.found
    assert rolled.found.after == 600.0
    assert "the next batch begins at 2026-11-02 12:10:00 UTC" in recorded(rolled).message
    rolled.after(599)
    assert rolled.passes() == []
    rolled.after(1)
    assert rolled.passes() == ["w2"]


def test_a_node_has_to_go_on_serving_for_a_while_before_the_next_batch() -> None:
    rolled = fleet(soak="5m")
    assert rolled.passes() == ["w1"]
    rolled.places["w1"].proves(rolled.now)
    assert rolled.passes() == []
    assert rows(rolled) == {"w1": "Soaking"}
    rolled.after(300)
    rolled.places["w1"].soaks(rolled.now)
    assert rolled.passes() == ["w2"]


def test_empty_nodes_come_first_and_zones_take_turns() -> None:
    rolled = fleet()
    rolled.loads = {
        "w1": Load(9, "a"),
        "w2": Load(3, "a"),
        "w3": Load(5, "b"),
        "w4": Load(0, "b"),
        "w5": Load(4, "b"),
    }
    order = [told[0] for told in rolled.rolls()]
    # Of w6 nothing is known; it is in no zone.
    assert order == ["w4", "w6", "w2", "w5", "w1", "w3"]


def test_what_comes_next_is_told_before_so_that_it_can_be_fetched() -> None:
    rolled = fleet(batch=2, maxUnavailable=2)
    assert rolled.passes() == ["w1"]
    assert recorded(rolled).next == ["w2", "w3"]
    rolled.loads = {"w6": Load(0)}
    rolled.places["w1"].proves(rolled.now)
    assert rolled.passes() == ["w2", "w3"], "what was promised is kept"
    assert recorded(rolled).next == ["w6", "w4"]


def test_a_pause_begins_no_further_node_and_brings_to_an_end_what_was_begun() -> None:
    rolled = fleet()
    assert rolled.passes() == ["w1"]
    rolled.policy["paused"] = True
    assert rolled.passes() == []
    assert said(rolled) == (False, "RolloutPaused")
    rolled.places["w1"].proves(rolled.now)
    assert rolled.passes() == []
    assert rows(rolled) == {}
    rolled.policy["paused"] = False
    assert rolled.passes() == ["w2"]


def test_what_is_held_for_the_moment_is_not_done() -> None:
    """While the control plane is upgraded no kubelet changes its version."""
    rolled = fleet()
    assert rolled.passes() == ["w1"]
    rolled.places["w1"].proves(rolled.now)
    rolled.held = True
    assert rolled.passes() == []
    assert said(rolled) == (False, "RollingOut")
    rolled.held = False
    assert rolled.passes() == ["w2"]


# --- drains


def blocked(**policy: Any) -> Fleet:
    """A node is drained, and a disruption budget keeps its pods where they are."""
    rolled = fleet(drainTimeout="1m", **policy)
    rolled.passes()
    rolled.places["w1"].drains(rolled.now)
    rolled.passes()
    assert rows(rolled) == {"w1": "Draining"}
    rolled.places["w1"].reason = "DrainBlocked"
    return rolled


def test_a_drain_that_takes_too_long_stops_the_others() -> None:
    rolled = blocked()
    rolled.after(86400)
    assert rolled.passes() == []
    assert rows(rolled) == {"w1": "Draining"}


def test_a_node_that_cannot_be_drained_is_left_as_it_is_where_that_was_asked_for() -> None:
    rolled = blocked(onDrainTimeout="Skip")
    rolled.after(59)
    assert rolled.passes() == []
    rolled.after(1)
    assert rolled.passes() == ["w1"]
    assert rolled.versions() == [BASE] * 6
    assert rows(rolled) == {"w1": "Skipped"}
    rolled.places["w1"].proves(rolled.now)
    assert rolled.rolls() == [["w2"], ["w3"], ["w4"], ["w5"], ["w6"]]
    assert said(rolled) == (False, "NodesSkipped")
    rolled.policy["retry"] = "2"
    assert rolled.passes() == ["w1"]


def test_the_time_of_a_drain_is_not_that_of_the_change() -> None:
    rolled = blocked(onFailure="Rollback", deadline="2m")
    rolled.after(3600)
    rolled.passes()
    rolled.places["w1"].operation = None
    rolled.places["w1"].fails("Changing")
    rolled.passes()
    rolled.after(119)
    assert rolled.passes() == []
    rolled.after(1)
    assert rolled.passes() == ["w1"]


def test_another_policy_finds_who_is_under_way() -> None:
    """It was done at once, since nobody had to be told of anything."""
    rolled = blocked()
    rolled.policy.update(onDrainTimeout="Skip", retry="2")
    rolled.after(60)
    assert rolled.passes() == ["w1"]
    assert rows(rolled) == {"w1": "Skipped"}


# --- two at once


def test_the_newest_wins_and_what_was_changed_goes_on_to_it() -> None:
    rolled = fleet(canary=0, maxUnavailable=2)
    assert rolled.passes() == ["w1", "w2"]
    rolled.places["w1"].proves(rolled.now)
    rolled.wanted = NEWER
    assert rolled.passes() == ["w2"], "it is disturbed already; w1 serves"
    rolled.places["w2"].proves(rolled.now)
    assert rolled.rolls() == [["w1", "w3"], ["w4", "w5"], ["w6"]]
    assert rolled.versions() == [NEWER] * 6


def test_who_dies_after_the_record_tells_nobody_twice_and_forgets_nobody() -> None:
    rolled = fleet(canary=0, maxUnavailable=2)
    assert rolled.passes(dies=True) == []
    assert rolled.passes() == ["w1", "w2"]


@pytest.mark.parametrize(
    ("before", "now", "events"),
    [
        (0, 1, ["RollingOut"]),
        (1, 2, []),
        (2, 3, ["RollingBack"]),
        (3, 4, ["RolledBack"]),
    ],
)
def test_people_hear_of_beginnings_failures_and_ends(
    before: int, now: int, events: list[str]
) -> None:
    rolled = fleet(onFailure="Rollback")
    story = [rolled.status]
    rolled.passes()
    story.append(rolled.status)
    rolled.places["w1"].fails()
    rolled.passes()
    story.append(rolled.status)
    rolled.after(30)
    rolled.passes()
    story.append(rolled.status)
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    story.append(rolled.status)
    assert [told.reason for told in report.told(story[before], story[now])] == events


def test_nodes_are_counted_by_what_has_become_of_them() -> None:
    rolled = fleet()
    rolled.passes()
    assert report.numbers(rolled.status) == {"Changing": 1, "Updated": 0, "Waiting": 5}
    assert report.numbers(None) == {}
