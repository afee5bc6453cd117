"""A change goes from wave to wave, stops where it fails, and is never with two at a time by mistake."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.operators.cluster.addon.many.world import FIVE, World

NEW = {"level": "new"}
WAVES = {"waves": [{"name": "first", "names": ["c3"]}, {"name": "rest", "maxParallel": 2}]}


def a_world(**spec: object) -> World:
    """Five Clusters that have revision one."""
    world = World(*FIVE, **spec)
    world.run()
    assert world.having() == set(FIVE)
    world.writes.clear()
    return world


def test_the_first_content_goes_to_a_canary_and_then_to_all() -> None:
    world = World(*FIVE)
    world.step()
    assert world.writes == []
    world.step()
    assert world.writes == ["c0"]
    world.run()
    assert set(world.states().values()) == {"Done"}
    assert world.ready() == ("True", "AsWanted")
    rollout = world.addon.status.rollout
    assert rollout is not None
    assert (rollout.summary, rollout.wave) == ("5/5", None)
    assert rollout.proven is not None
    assert rollout.proven.revision == rollout.revision


def test_a_change_goes_by_waves_and_others_keep_what_they_have() -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.step()
    world.step()
    assert world.having(**NEW) == {"c3"}
    world.step()
    assert world.having(**NEW) == {"c3"}, "nobody else before the canary is Ready"
    assert world.ready() == ("False", "WaveUnderWay")
    world._settle()
    world.step()
    assert len(world.having(**NEW)) == 3, "maxParallel is 2"
    world.run()
    assert world.having(**NEW) == set(FIVE)
    assert len(world.writes) == 5


def test_it_looks_again_when_a_cluster_has_had_its_time() -> None:
    world = World("a", rollout={"progressDeadline": "1m"})
    world.step()
    began = world.step()
    assert began.look == pytest.approx(61, abs=2)


def test_a_canary_that_fails_stops_it_and_says_where() -> None:
    world = a_world(rollout={**WAVES, "progressDeadline": "1m"})
    world.change(values=NEW)
    world.broken["c3"] = "NotHealthy"
    world.run()
    assert world.having(**NEW) == {"c3"}
    world.now += timedelta(minutes=2)
    world.run()
    assert world.having(**NEW) == {"c3"}
    assert world.why("c3") == ("NotReadyInTime", "NotHealthy: of c3")
    assert world.ready() == ("False", "TooManyFailures")
    said = world.addon.status.condition("Stopped")
    assert said is not None
    assert "c3" in said.message
    assert "kok.dev/retry" in said.message


def test_what_nothing_mends_fails_at_once() -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.broken["c3"] = "TemplateInvalid"
    world.run()
    assert world.why("c3")[0] == "TemplateInvalid"
    assert world.having(**NEW) == {"c3"}


def test_what_was_there_is_restored_by_the_spec_of_before() -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.broken["c3"] = "TemplateInvalid"
    world.run()
    world.broken.clear()
    world.change(values={})
    world.writes.clear()
    world.run()
    assert world.having() == set(FIVE)
    assert world.writes == ["c3"], "the others never had anything else"
    assert world.ready() == ("True", "AsWanted")


def test_it_goes_on_by_itself_once_what_failed_is_ready() -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.broken["c3"] = "TemplateInvalid"
    world.run()
    world.broken.clear()
    world.run()
    assert world.having(**NEW) == set(FIVE)


def test_another_try_is_asked_for_by_the_annotation() -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.refused["c3"] = ("RaiseRefused", "no")
    world.run()
    assert world.states()["c3"] == "Failed"
    assert world.having(**NEW) == set()
    world.refused.clear()
    world.annotate(retry="1")
    world.run()
    assert world.having(**NEW) == set(FIVE)
    rollout = world.addon.status.rollout
    assert rollout is not None
    assert rollout.retried == "1"


def test_another_change_in_the_middle_begins_with_the_first_wave() -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.step()
    world.step()
    world.change(values={"level": "newest"})
    world.run()
    assert world.having(level="newest") == set(FIVE)
    assert world.writes.count("c0") == 1, "it has never had what was in between"


def test_so_many_may_fail_as_the_spec_says() -> None:
    world = a_world(rollout={"waves": [{"name": "all", "maxParallel": 1}], "stopAfterFailures": 2})
    world.change(values=NEW)
    world.broken["c1"] = "TemplateInvalid"
    world.run()
    assert world.having(**NEW) == set(FIVE)
    assert world.ready() == ("False", "NotHealthy")
    said = world.addon.status.condition("Ready")
    assert said is not None
    assert "c1: TemplateInvalid" in said.message


def test_a_wave_proves_itself_before_the_next_one() -> None:
    waves = [{"name": "first", "names": ["c0"], "soak": "1h"}, {"name": "rest"}]
    world = a_world()
    world.change(values=NEW, rollout={"waves": waves})
    world.run()
    assert world.having(**NEW) == {"c0"}
    assert world.ready() == ("False", "Soaking")
    world.broken["c0"] = "NotHealthy"
    world._settle()
    world.now += timedelta(hours=2)
    world.run()
    assert world.having(**NEW) == {"c0"}
    assert world.why("c0")[0] == "NotReadyAfter"

    world.annotate(retry="1")
    world.run()
    assert world.having(**NEW) == {"c0"}, "it has the content, and is not Ready"

    world.broken.clear()
    world.run()
    assert world.states()["c0"] == "Done"
    assert world.ready() == ("False", "Soaking"), "it proves itself once more"
    assert world.having(**NEW) == {"c0"}
    world.now += timedelta(hours=2)
    world.run()
    assert world.having(**NEW) == set(FIVE)


def test_a_canary_that_gets_ready_late_has_its_time_too() -> None:
    waves = [{"name": "first", "names": ["c0"], "soak": "1h"}, {"name": "rest"}]
    world = a_world()
    world.change(values=NEW, rollout={"waves": waves, "progressDeadline": "1m"})
    world.broken["c0"] = "NotHealthy"
    world.run()
    world.now += timedelta(minutes=2)
    world.run()
    assert world.why("c0")[0] == "NotReadyInTime"
    world.broken.clear()
    world.run()
    assert world.states()["c0"] == "Done"
    assert world.ready() == ("False", "Soaking")
    assert world.having(**NEW) == {"c0"}


@pytest.mark.parametrize("mends", [True, False], ids=["ready again", "broken"])
def test_what_was_told_before_a_change_does_not_end_the_time_of_a_wave(mends: bool) -> None:
    waves = [{"name": "first", "names": ["c0"], "soak": "1h"}, {"name": "rest"}]
    world = a_world()
    world.change(values=NEW, rollout={"waves": waves})
    world.run()
    world.now += timedelta(hours=2)
    world.children["log-c0"] = replace(world.children["log-c0"], ready=None)
    for _ in range(3):
        world.step()
        assert world.having(**NEW) == {"c0"}
        assert world.states()["c0"] == "Done", "nothing is told against it either"
        assert world.ready() == ("False", "Soaking")
    said = world.addon.status.condition("Ready")
    assert said is not None
    assert "until it is told how c0 is since its last change" in said.message
    if not mends:
        world.broken["c0"] = "NotHealthy"
    world.run()
    assert world.having(**NEW) == (set(FIVE) if mends else {"c0"})
    assert world.states()["c0"] == ("Done" if mends else "Failed")


def test_neither_does_what_was_told_of_what_others_wrote() -> None:
    waves = [{"name": "first", "names": ["c0"], "soak": "1h"}, {"name": "rest"}]
    world = a_world()
    world.change(values=NEW, rollout={"waves": waves})
    world.run()
    world.now += timedelta(hours=2)
    world.children["log-c0"] = replace(world.children["log-c0"], digest="theirs")
    world.step()
    world.step()
    assert world.having(**NEW) == {"c0"}
    assert world.ready() == ("False", "Soaking")
    world.run()
    assert world.having(**NEW) == set(FIVE)


def test_a_spec_that_goes_there_and_back_is_done_once_that_is_told() -> None:
    world = a_world(rollout=WAVES)
    for values in (NEW, {}):
        world.change(values=values)
        world.step()
        world.step()
    assert world.having() == set(FIVE)
    for values in (NEW, {}):
        world.change(values=values)
        world.step()
    for _ in range(3):
        world.step()
        assert world.states()["c3"] == "Upgrading", (
            "its Addon was written and has not told anything"
        )
        assert world.ready() == ("False", "WaveUnderWay")
    world.run()
    assert set(world.states().values()) == {"Done"}
    assert world.writes == ["c3", "c3"]
    assert world.ready() == ("True", "AsWanted")


def test_one_whose_content_stays_the_same_has_no_turn() -> None:
    world = a_world(rollout=WAVES)
    world.change(overrides=[{"names": ["c1"], "values": NEW}])
    world.run()
    assert world.writes == ["c1"]
    assert world.having(**NEW) == {"c1"}
    assert set(world.states().values()) == {"Done"}


OVERRIDE = [{"names": ["c1"], "values": {"x": 1}}]


def test_a_canary_that_failed_has_not_proven_it_for_another_revision() -> None:
    world = a_world(rollout=WAVES)
    world.broken["c3"] = "NotHealthy"
    world.change(values=NEW)
    world.run()
    world.change(overrides=OVERRIDE)
    world.run()
    assert {key for key in FIVE if world.values(key)} == {"c3"}
    assert world.states()["c3"] == "Upgrading"
    world.broken.clear()
    world.run()
    assert {key for key in FIVE if world.values(key)} == set(FIVE)


def test_neither_has_one_that_soaks() -> None:
    waves = [{**WAVES["waves"][0], "soak": "1h"}, WAVES["waves"][1]]
    world = a_world(rollout=WAVES)
    world.change(values=NEW, rollout={"waves": waves})
    world.run()
    world.change(overrides=OVERRIDE)
    world.run()
    assert {key for key in FIVE if world.values(key)} == {"c3"}
    assert world.writes == ["c3"], "it has what it is to have"
    world.now += timedelta(hours=2)
    world.run()
    assert {key for key in FIVE if world.values(key)} == set(FIVE)


def test_while_it_is_paused_nobody_gets_anything() -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    world.step()
    world.step()
    world.change(paused=True)
    world.run()
    assert world.having(**NEW) == {"c3"}
    assert world.ready() == ("False", "FleetPaused")
    world.change(paused=False)
    world.run()
    assert world.having(**NEW) == set(FIVE)


@pytest.mark.parametrize("when", range(12))
def test_whoever_goes_on_after_a_kill_does_the_same(when: int) -> None:
    world = a_world(rollout=WAVES)
    world.change(values=NEW)
    for _ in range(when):
        world.step()
        world._settle()
    world.step(dies=True)
    world.run()
    assert world.having(**NEW) == set(FIVE)
    assert sorted(world.writes) == FIVE, "each was written once"


def test_what_somebody_changed_in_the_addon_of_a_cluster_is_put_right() -> None:
    world = a_world()
    del world.children["log-c2"]
    world.run()
    assert world.writes == ["c2"]
    assert world.ready() == ("True", "AsWanted")


def test_values_that_cannot_be_read_change_nothing() -> None:
    world = a_world()
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"a": deep}
    world.change(values=deep)
    assert world.decision().stop is not None
    world.run()
    assert world.writes == []
