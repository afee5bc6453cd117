"""Clusters that come, go, sleep and wake while an Addon for many is there."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.operators.cluster.addon.many.world import RUNS, World, a_cluster

NEW = {"level": "new"}
CANARY = {"waves": [{"name": "canary", "names": ["a"]}, {"name": "rest"}]}


def a_world(**spec: object) -> World:
    world = World("a", "b", **spec)
    world.run()
    world.writes.clear()
    return world


def test_one_that_comes_later_gets_it_at_once() -> None:
    world = a_world(rollout=CANARY)
    world.clusters["late"] = a_cluster("late")
    world.step()
    assert world.writes == ["late"]
    world.run()
    assert world.states() == {"a": "Done", "b": "Done", "late": "Done"}


def test_one_that_comes_in_the_middle_gets_what_is_proven_and_then_its_turn() -> None:
    world = a_world(rollout=CANARY)
    world.change(values=NEW)
    world.broken["a"] = "NotHealthy"
    world.run()
    world.clusters["late"] = a_cluster("late")
    world.run()
    assert world.having(**NEW) == {"a"}
    assert world.having() == {"b", "late"}
    assert world.states()["late"] == "Waiting"
    world.broken.clear()
    world.run()
    assert world.having(**NEW) == {"a", "b", "late"}


def test_before_anything_is_proven_it_waits_for_its_turn() -> None:
    world = World("a", "b", rollout=CANARY)
    world.broken["a"] = "NotHealthy"
    world.run()
    world.clusters["late"] = a_cluster("late")
    world.run()
    assert set(world.children) == {"log-a"}


def test_one_that_fails_later_holds_up_no_other_that_comes() -> None:
    world = a_world(rollout=CANARY)
    world.broken["bad"] = "TemplateInvalid"
    world.clusters["bad"] = a_cluster("bad")
    world.run()
    world.clusters["late"] = a_cluster("late")
    world.run()
    assert world.states() == {"a": "Done", "b": "Done", "bad": "Failed", "late": "Done"}
    assert world.ready() == ("False", "NotHealthy")


def test_one_that_is_being_made_gets_it_as_soon_as_it_runs() -> None:
    world = a_world()
    world.clusters["late"] = a_cluster("late", runs="")
    world.run()
    assert world.why("late")[0] == "WaitingForCluster"
    assert world.ready() == ("True", "AsWanted")
    world.alter("late", runs=RUNS)
    world.run()
    assert world.states()["late"] == "Done"


def test_one_that_sleeps_is_skipped_and_gets_it_when_it_wakes() -> None:
    world = a_world(rollout=CANARY)
    world.alter("a", hibernates=True)
    world.change(values=NEW)
    world.run()
    assert world.having(**NEW) == {"b"}, "it does not hold up its wave"
    assert world.why("a")[0] == "ClusterHibernated"
    said = world.addon.status.condition("Ready")
    assert said is not None
    assert (said.status, "1 ClusterHibernated" in said.message) == ("True", True)
    world.alter("a", hibernates=False)
    world.run()
    assert world.having(**NEW) == {"a", "b"}


def test_one_that_is_paused_under_way_holds_up_nothing() -> None:
    world = a_world(rollout=CANARY)
    world.broken["a"] = "NotHealthy"
    world.change(values=NEW)
    world.run()
    world.alter("a", paused=True)
    world.run()
    assert world.having(**NEW) == {"a", "b"}
    assert world.why("a")[0] == "ClusterPaused"


def test_one_that_is_no_longer_selected_loses_it() -> None:
    world = World("a", "b", clusters={"matchLabels": {"tier": "web"}})
    for name in ("a", "b"):
        world.alter(name, labels={"tier": "web"})
    world.run()
    assert set(world.children) == {"log-a", "log-b"}
    world.alter("b", labels={})
    world.run()
    assert set(world.children) == {"log-a"}
    assert world.states() == {"a": "Done"}


def test_or_it_keeps_it_where_that_is_wanted() -> None:
    world = a_world(whenUnselected="Orphan")
    world.change(clusters={"matchExpressions": [{"key": "no", "operator": "Exists"}]})
    world.run()
    assert sorted(world.released) == ["a", "b"]
    assert world.ready() == ("True", "NothingSelected")


def test_one_that_sleeps_keeps_it_until_it_can_be_removed() -> None:
    world = a_world()
    world.alter("b", hibernates=True)
    world.change(clusters={"matchExpressions": [{"key": "no", "operator": "Exists"}]})
    world.run()
    assert set(world.children) == {"log-b"}
    assert world.why("b")[0] == "Unselected"
    world.alter("b", hibernates=False)
    world.run()
    assert world.children == {}
    assert world.states() == {}


def test_what_is_left_of_a_cluster_that_is_gone_goes() -> None:
    world = a_world(whenUnselected="Orphan")
    world.alter("a", deleting=True)
    world.run()
    assert set(world.children) == {"log-b"}
    del world.clusters["b"]
    world.run()
    assert world.children == {}
    assert world.released == []


def test_a_cluster_deleted_in_the_middle_holds_up_nothing() -> None:
    world = a_world(rollout=CANARY)
    world.broken["a"] = "NotHealthy"
    world.change(values=NEW)
    world.run()
    assert world.having(**NEW) == {"a"}
    world.alter("a", deleting=True)
    world.run()
    assert world.states() == {"b": "Done"}


def test_other_labels_give_one_other_values_at_once() -> None:
    eu = {"clusters": {"matchLabels": {"region": "eu"}}, "values": {"url": "eu"}}
    world = a_world(overrides=[eu])
    world.alter("b", labels={"region": "eu"})
    world.step()
    assert world.writes == ["b"]
    assert world.values("b") == {"url": "eu"}
    world.run()
    assert world.ready() == ("True", "AsWanted")


def test_one_that_no_wave_takes_is_told_of() -> None:
    world = World("a", "b", rollout={"waves": [{"name": "only", "names": ["a"]}]})
    world.run()
    assert world.why("b")[0] == "InNoWave"
    world.change(rollout=CANARY)
    world.run()
    assert world.states() == {"a": "Done", "b": "Done"}
    assert world.writes == ["a", "b"], "what is there is not written again"


def test_more_than_one_addon_takes_are_told_of() -> None:
    names = [f"c{n:04}" for n in range(1003)]
    world = World(*names, rollout={"waves": [{"name": "all", "maxParallel": "100%"}]})
    world.run()
    rollout = world.addon.status.rollout
    assert rollout is not None
    assert (rollout.counts.total, rollout.beyond) == (1000, 3)
    assert len(rollout.model_dump_json()) < 400_000
    assert world.ready() == ("False", "TooManyClusters")


def test_a_quiet_world_changes_nothing() -> None:
    world = a_world()
    before = world.addon.status.model_dump_json()
    world.now += timedelta(days=3)
    made = world.decision()
    world.step()
    assert world.addon.status.model_dump_json() == before
    assert (made.intents, made.removed, made.begun, made.look) == ({}, (), (), None)
