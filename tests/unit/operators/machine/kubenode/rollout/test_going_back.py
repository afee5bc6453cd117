"""A spec that is written as it was while nodes are being changed: what is said until all are back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.kubenode.rollout.fleet import (
    BASE,
    NEWER,
    Fleet,
    fleet,
    recorded,
    rows,
    said,
)

from kok.api.machine.kubenode import KubeNode
from kok.cli import rollout
from kok.operators.machine.kubenode.rollout import report


def reverted(**policy: Any) -> Fleet:
    """Two nodes were being changed when the spec was written as it was."""
    rolled = fleet(canary=0, maxUnavailable=2, **policy)
    assert rolled.passes() == ["w1", "w2"]
    rolled.places["w1"].fails("Updating")
    rolled.passes()
    rolled.wanted = BASE
    assert rolled.passes() == ["w1", "w2"]
    return rolled


def shown(of: Fleet) -> tuple[str, bool]:
    """The line of `kok rollout status`, and whether `--watch` ends here and finds all well."""
    kubenode = builders.kubenode(metadata={"generation": 2})
    record, told = recorded(of), report.verdict(recorded(of))
    kubenode.status.observed_generation, kubenode.status.rollout = 2, record
    kubenode.status.set_condition(
        report.ROLLED_OUT, told.holds, told.reason, told.message, now=of.now, generation=2
    )
    kubenode = KubeNode.parse(kubenode.manifest())
    lines: list[str] = []
    watching = rollout.Follower(lines.append)
    watching.tell(kubenode)
    return lines[-1], rollout.over(kubenode) and not watching.failed


def test_it_is_not_done_before_the_last_one_is_back() -> None:
    rolled = reverted()
    rolled.after(5)
    assert rolled.passes() == []
    assert rows(rolled) == {"w1": "Changing", "w2": "Changing"}
    assert said(rolled) == (False, "RollingOut")
    line, over = shown(rolled)
    assert "RollingOut, 4/6 nodes updated" in line
    assert "w1 is changed; w2 is changed" in line
    assert not over
    rolled.places["w2"].proves(rolled.now)
    rolled.passes()
    assert rows(rolled) == {"w1": "Changing"}
    assert "RollingOut, 5/6 nodes updated" in shown(rolled)[0]
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    assert (recorded(rolled).phase, recorded(rolled).updated) == ("Done", 6)
    assert said(rolled) == (True, "RolledOut")
    line, over = shown(rolled)
    assert "Done, 6/6 nodes updated; RolledOut" in line
    assert over


def test_nodes_that_went_back_by_themselves_are_waited_for_as_well() -> None:
    """What has failed goes back already when the author reads of it, and writes the spec as it was."""
    rolled = fleet(onFailure="Rollback")
    rolled.passes()
    rolled.places["w1"].fails()
    rolled.passes()
    rolled.after(30)
    assert rolled.passes() == ["w1"]
    rolled.wanted = BASE
    for _ in range(2):
        assert rolled.passes() == []
        assert rows(rolled) == {"w1": "Changing"}
        assert not shown(rolled)[1]
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    assert shown(rolled)[1]


def test_another_retry_forgets_nobody_who_goes_back() -> None:
    rolled = reverted()
    rolled.policy["retry"] = "2"
    rolled.passes()
    rolled.passes()
    assert rows(rolled) == {"w1": "Changing", "w2": "Changing"}


@pytest.mark.parametrize("policy", ["Stop", "Rollback"])
def test_what_fails_on_its_way_back_has_nothing_else_to_go_back_to(policy: str) -> None:
    rolled = reverted(onFailure=policy)
    rolled.places["w2"].proves(rolled.now)
    rolled.places["w1"].fails()
    rolled.passes()
    rolled.after(30)
    assert rolled.passes() == []
    assert rows(rolled) == {"w1": "Failed"}
    assert said(rolled) == (False, "RolloutStopped")
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    assert said(rolled) == (True, "RolledOut")


def test_a_drain_on_the_way_back_is_waited_for_since_skipping_it_leads_nowhere() -> None:
    rolled = reverted(drainTimeout="1m", onDrainTimeout="Skip")
    rolled.places["w2"].proves(rolled.now)
    rolled.places["w1"].drains(rolled.now)
    rolled.passes()
    rolled.after(120)
    rolled.passes()
    assert rows(rolled) == {"w1": "Draining"}
    rolled.places["w1"].proves(rolled.now)
    rolled.passes()
    assert said(rolled) == (True, "RolledOut")


def test_a_node_that_was_through_and_breaks_later_is_through_all_the_same() -> None:
    rolled = reverted()
    for name in ("w1", "w2"):
        rolled.places[name].proves(rolled.now)
    rolled.passes()
    rolled.places["w1"].ready = "False"
    rolled.passes()
    assert said(rolled) == (True, "RolledOut")
    # Nor does it matter that nobody looked in between.
    rolled = fleet(NEWER)
    assert rolled.passes() == ["w1"]
    rolled.after(5)
    rolled.places["w1"].proves(rolled.now)
    rolled.places["w1"].ready = "False"
    rolled.passes()
    assert rows(rolled) == {}
