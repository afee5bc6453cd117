"""What scenarios of upgrades take for a step, for order, and for a cause that is told."""

from __future__ import annotations

from typing import Any

import pytest
from e2e.fixtures.clusters import Steps, ended, settled, tells

from kok.api.meta import Manifest


def _cluster(step: str = "", hop: str = "1.37.1", **said: tuple[str, str, str]) -> Manifest:
    conditions = [
        {"type": type_, "status": status, "reason": reason, "message": message}
        for type_, (status, reason, message) in said.items()
    ]
    status: dict[str, Any] = {"conditions": conditions, "version": "1.37.0"}
    if step:
        status["upgrade"] = {"from": "1.37.0", "to": "1.37.1", "hop": hop, "step": step}
    return {"metadata": {"name": "shop", "generation": 1}, "status": status}


def _seen(*taken: tuple[str, str]) -> Steps:
    steps = Steps(lambda _: None)
    for hop, step in taken:
        steps.see(_cluster(step, hop))
    return steps


def test_steps_are_seen_once_each_and_by_hop() -> None:
    steps = _seen(("1.36.4", "APIServer"), ("1.36.4", "APIServer"), ("1.37.1", "Preflight"))
    assert steps.taken == [("1.36.4", "APIServer"), ("1.37.1", "Preflight")]
    assert steps.hops == ["1.36.4", "1.37.1"]
    steps.in_order("APIServer", "Preflight")


def test_a_step_that_is_missing_or_comes_too_early_is_found() -> None:
    with pytest.raises(AssertionError, match="Backup"):
        _seen(("1.37.1", "APIServer")).in_order("Backup")
    with pytest.raises(AssertionError, match="out of order"):
        _seen(("1.37.1", "Controllers"), ("1.37.1", "APIServer")).in_order()


def test_a_cluster_is_at_rest_only_without_an_upgrade_and_at_its_version() -> None:
    well = {"Ready": ("True", "Available", "m"), "ControlPlaneReady": ("True", "AsWanted", "m")}
    rest = {**well, "Progressing": ("False", "AsWanted", "m")}
    assert settled("1.37.0")(_cluster(**rest))
    assert not settled("1.37.1")(_cluster(**rest))
    assert not settled("1.37.0")(_cluster("Nodes", **rest))
    assert not settled()(_cluster(**{**rest, "Progressing": ("True", "Upgrading", "m")}))


def test_a_cause_counts_as_told_only_where_people_look() -> None:
    hangs = ("False", "UpgradeStuck", "APIServer made no progress")
    whole = _cluster(
        Progressing=hangs, Ready=("True", "Available", "but APIServer made no progress")
    )
    assert tells("no progress", reasons=("UpgradeStuck",))(whole)
    assert not tells("no progress", reasons=("Crashing",))(whole)
    hidden = _cluster(Progressing=hangs, Ready=("True", "Available", "all is well"))
    assert not tells("no progress", reasons=("UpgradeStuck",))(hidden)


def test_how_an_upgrade_ended_is_read_from_the_record() -> None:
    found = _cluster()
    found["status"]["lastUpgrade"] = {"from": "1.37.0", "to": "1.37.1", "result": "BackedOut"}
    ended(found, "1.37.0", "1.37.1", "BackedOut")
    with pytest.raises(AssertionError, match="should have ended Done"):
        ended(found, "1.37.0", "1.37.1")
