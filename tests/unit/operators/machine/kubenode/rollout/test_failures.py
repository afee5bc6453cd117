"""What becomes of a change of software that fails on a node, and of the other nodes."""

from __future__ import annotations

from typing import Any

from tests.unit.operators.machine.kubenode.rollout.fleet import (
    BASE,
    NEW,
    NEWER,
    Fleet,
    One,
    fleet,
    recorded,
    rows,
    said,
)

from kok.operators.machine.kubenode.rollout import report


def broken(**policy: Any) -> Fleet:
    """The canary was changed, and its kubelet ends again and again."""
    rolled = fleet(**policy)
    assert rolled.passes() == ["w1"]
    rolled.places["w1"].fails()
    assert rolled.passes() == []
    return rolled


def test_a_service_that_is_started_again_has_not_failed_yet() -> None:
    rolled = broken(onFailure="Rollback")
    assert rolled.found
    assert rolled.found.after == 30.0
    rolled.after(29)
    assert rolled.passes() == []
    rolled.places["w1"].proves(rolled.now)
    assert rolled.passes() == ["w2"]


def test_what_has_failed_goes_back_and_nobody_else_is_touched() -> None:
    rolled = broken(onFailure="Rollback")
    rolled.after(30)
    assert rolled.passes() == ["w1"]
    assert rolled.versions() == [BASE] * 6
    assert said(rolled) == (False, "RollingBack")
    rolled.places["w1"].proves(rolled.now)
    assert rolled.passes() == []
    assert rows(rolled) == {"w1": "RolledBack"}
    assert said(rolled) == (False, "RolledBack")
    assert recorded(rolled).ended_at is not None
    assert "ServiceFailing: w1 says so" in report.verdict(recorded(rolled)).message
    # Nor is it tried again, whoever comes after, and however long that takes.
    rolled.after(86400)
    assert rolled.passes() == []
    assert rolled.found
    assert rolled.found.waiting == ()


def test_the_same_is_tried_again_once_the_spec_changes() -> None:
    rolled = broken(onFailure="Rollback")
    rolled.after(30)
    rolled.passes()
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    rolled.policy["retry"] = "once more"
    assert rolled.passes() == ["w1"]
    other = broken(onFailure="Rollback")
    other.after(30)
    other.passes()
    other.wanted = NEWER
    assert other.passes() == ["w1"], "what was under way goes on to the newest at once"
    assert other.versions()[0] == NEWER


def test_a_spec_that_goes_back_ends_what_had_failed() -> None:
    rolled = broken(onFailure="Rollback")
    rolled.after(30)
    rolled.passes()
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    rolled.wanted = BASE
    assert rolled.passes() == []
    assert said(rolled) == (True, "RolledOut")


def test_without_a_way_back_it_stops_and_goes_on_when_the_node_serves() -> None:
    rolled = broken()
    rolled.after(30)
    assert rolled.passes() == []
    assert said(rolled) == (False, "RolloutStopped")
    rolled.after(86400)
    assert rolled.passes() == []
    rolled.places["w1"].proves(rolled.now)
    assert rolled.passes() == ["w2"]


def test_a_host_that_is_given_up_while_it_is_drained_does_not_hold_up_the_others() -> None:
    rolled = fleet(onFailure="Rollback")
    rolled.passes()
    dies = rolled.places["w1"]
    dies.drains(rolled.now)
    dies.ready = "Unknown"
    gone = {"fault": "HostDead", "message": "it is away", "rung": "Replace", "tries": 1}
    dies.fault = {**gone, "since": rolled.now.isoformat(), "attempts": 1}
    rolled.passes()
    rolled.after(30)
    assert rolled.passes() == ["w1"]
    assert rows(rolled) == {"w1": "RollingBack"}


def test_a_node_of_which_nothing_comes_has_failed_at_the_deadline() -> None:
    rolled = fleet(onFailure="Rollback", deadline="2m")
    rolled.passes()
    rolled.places["w1"].fails("Updating")
    rolled.passes()
    rolled.after(119)
    assert rolled.passes() == []
    rolled.after(1)
    assert rolled.passes() == ["w1"]
    assert "was not through within 2m" in recorded(rolled).nodes[0].why


def test_an_api_that_says_nothing_is_no_failure_of_what_was_changed() -> None:
    rolled = fleet(onFailure="Rollback", deadline="2m")
    rolled.passes()
    rolled.places["w1"].fails("Updating")
    rolled.places["w1"].ready, rolled.places["w1"].why = "Unknown", "ClusterUnreachable"
    rolled.after(600)
    assert rolled.passes() == []
    assert rows(rolled) == {"w1": "Changing"}


def test_a_kubelet_that_is_not_heard_of_any_more_has_failed_at_the_deadline() -> None:
    rolled = fleet(onFailure="Rollback", deadline="2m")
    rolled.passes()
    rolled.places["w1"].fails("Updating")
    rolled.places["w1"].ready, rolled.places["w1"].why = "Unknown", "NodeNotReady"
    rolled.after(600)
    assert rolled.passes() == ["w1"]
    assert rows(rolled) == {"w1": "RollingBack"}


def test_a_node_that_breaks_while_it_soaks_goes_back() -> None:
    rolled = fleet(onFailure="Rollback", soak="10m")
    rolled.passes()
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    rolled.places["w1"].ready = "False"
    rolled.passes()
    rolled.after(30)
    assert rolled.passes() == ["w1"]
    assert rolled.versions() == [BASE] * 6


def test_a_node_whose_runtime_hangs_while_it_soaks_goes_back_though_it_is_ready() -> None:
    rolled = fleet(onFailure="Rollback", soak="10m")
    rolled.passes()
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    hangs = {"fault": "ServiceHung", "component": "containerd", "message": "it answers nothing"}
    rolled.places["w1"].fault = {**hangs, "since": "2026-11-02T12:00:00Z"}
    rolled.passes()
    rolled.after(30)
    assert rolled.passes() == ["w1"]
    assert recorded(rolled).nodes[0].why == "ServiceHung: it answers nothing"


def test_a_host_that_died_of_its_change_for_good_has_failed() -> None:
    rolled = fleet(onFailure="Rollback")
    rolled.passes()
    rolled.places["w1"].fails("Updating")
    rolled.places["w1"].ready = "Unknown"
    dead = {"fault": "HostDead", "message": "it does not answer", "since": "2026-11-02T12:00:00Z"}
    rolled.places["w1"].fault = dead
    rolled.after(600)
    assert rolled.passes() == [], "it may be booting"
    rolled.places["w1"].fault = {**dead, "rung": "Replace"}
    rolled.passes()
    rolled.after(30)
    assert rolled.passes() == ["w1"]
    assert rows(rolled) == {"w1": "RollingBack"}


def test_others_of_the_batch_come_to_their_end_while_one_goes_back() -> None:
    rolled = fleet(canary=0, maxUnavailable=3, onFailure="Rollback")
    assert rolled.passes() == ["w1", "w2", "w3"]
    rolled.places["w2"].fails()
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    rolled.after(30)
    assert rolled.passes() == ["w2"]
    rolled.places["w3"].proves(rolled.now)
    rolled.places["w2"].proves(rolled.now)
    assert rolled.passes() == []
    assert rolled.versions() == [NEW, BASE, NEW, BASE, BASE, BASE]
    assert said(rolled) == (False, "RolledBack")


def test_an_abort_puts_back_what_is_under_way_and_nothing_else() -> None:
    rolled = fleet(canary=0, maxUnavailable=2)
    rolled.passes()
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    rolled.policy["abort"] = recorded(rolled).id
    assert rolled.passes() == ["w2"]
    rolled.places["w2"].proves(rolled.now)
    rolled.passes()
    assert rolled.versions() == [NEW, BASE, BASE, BASE, BASE, BASE]
    assert said(rolled) == (False, "RolloutAborted")
    # It names that rollout, and none that comes after.
    rolled.wanted = NEWER
    assert rolled.passes() == ["w1", "w2"]


def test_an_abort_counts_also_while_one_goes_back_by_itself() -> None:
    rolled = fleet(canary=0, maxUnavailable=3, onFailure="Rollback")
    assert rolled.passes() == ["w1", "w2", "w3"]
    rolled.places["w2"].fails()
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    rolled.after(30)
    assert rolled.passes() == ["w2"]
    rolled.policy["abort"] = recorded(rolled).id
    assert rolled.passes() == ["w3"], "it is on its way to what has failed"
    for name in ("w2", "w3"):
        rolled.places[name].proves(rolled.now)
    rolled.passes()
    assert rolled.versions() == [NEW, BASE, BASE, BASE, BASE, BASE]
    assert said(rolled) == (False, "RolloutAborted")


def test_a_new_host_does_not_get_what_has_failed() -> None:
    rolled = broken(onFailure="Rollback")
    rolled.after(30)
    rolled.passes()
    fresh = rolled.places["w7"] = One("w7", version=BASE, served=False, ready="Unknown")
    rolled.passes()
    assert fresh.version == BASE
