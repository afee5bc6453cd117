"""Machines that no KubeNode stages turn to another address or CA one after the other."""

from __future__ import annotations

from kok.operators.machine.machines.turns import PATIENCE, Turns

SHOP, OTHER = ("team-a", "shop"), ("team-b", "shop")


def test_the_next_one_waits_until_the_one_before_serves_again() -> None:
    turns = Turns(lambda: 0.0)
    assert turns.free(SHOP, "a")
    turns.take(SHOP, "a")
    assert turns.free(SHOP, "a")
    assert not turns.free(SHOP, "b")
    assert turns.free(OTHER, "b"), "each cluster has turns of its own"
    turns.over(SHOP, "b")
    assert not turns.free(SHOP, "b"), "only who has it gives it on"
    turns.over(SHOP, "a")
    assert turns.free(SHOP, "b")


def test_one_that_never_serves_again_does_not_stop_all_others() -> None:
    now = 0.0
    turns = Turns(lambda: now)
    turns.take(SHOP, "a")
    now = PATIENCE - 1
    turns.take(SHOP, "a")
    assert not turns.free(SHOP, "b")
    now = PATIENCE
    assert turns.free(SHOP, "b")
    turns.take(SHOP, "b")
    assert not turns.free(SHOP, "a")
