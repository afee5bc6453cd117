"""Who is raised, to which version, in which wave, and why others are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import (
    NEW,
    NOW,
    OLD,
    a_fleet,
    a_member,
    known,
    planned,
)

from kok.api.cluster.contract import Said
from kok.api.cluster.fleetstatus import CLUSTERS_MOST
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade import plan


def members(count: int, **rest: Any) -> list[Any]:
    return [a_member(f"c{n:02}", **rest) for n in range(count)]


def waves(rows: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, row in rows.items():
        found.setdefault(row.wave, []).append(name)
    return found


def test_by_default_one_goes_first_and_then_the_others() -> None:
    rows = planned(a_fleet(), *members(4))

    assert waves(rows) == {"canary": ["c00"], "rest": ["c01", "c02", "c03"]}
    assert {(r.from_, r.to, r.state) for r in rows.values()} == {(OLD, NEW, "Waiting")}


def test_waves_take_by_name_label_and_share_what_none_before_them_has() -> None:
    fleet = a_fleet(
        waves=[
            {"name": "named", "names": ["c03", "team-a/c04", "nobody"]},
            {"name": "web", "selector": {"matchLabels": {"tier": "web"}}},
            {"name": "some", "percent": 25},
            {"name": "rest"},
        ]
    )
    clusters = [*members(8), a_member("web1", labels={"tier": "web"})]

    assert waves(planned(fleet, *clusters)) == {
        "named": ["c03", "c04"],
        "web": ["web1"],
        "some": ["c00", "c01", "c02"],
        "rest": ["c05", "c06", "c07"],
    }


def test_who_is_in_no_wave_is_told_so() -> None:
    rows = planned(a_fleet(waves=[{"name": "one", "percent": 50}]), *members(2))

    assert (rows["c01"].state, rows["c01"].reason) == ("Skipped", reasons.IN_NO_WAVE)


@pytest.mark.parametrize(
    ("requirement", "taken"),
    [
        ({"key": "tier", "operator": "In", "values": ["web"]}, ["web"]),
        ({"key": "tier", "operator": "NotIn", "values": ["web"]}, ["db", "none"]),
        ({"key": "tier", "operator": "Exists"}, ["db", "web"]),
        ({"key": "tier", "operator": "DoesNotExist"}, ["none"]),
    ],
    ids=lambda value: value["operator"] if isinstance(value, dict) else None,
)
def test_clusters_are_selected_as_kubernetes_selects(requirement: Any, taken: list[str]) -> None:
    fleet = a_fleet(selector={"matchExpressions": [requirement]})
    clusters = [
        a_member("web", labels={"tier": "web"}),
        a_member("db", labels={"tier": "db"}),
        a_member("none"),
    ]

    assert list(planned(fleet, *clusters)) == taken


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        ({"forbids": True}, reasons.OPTED_OUT, "set it to Allow"),
        ({"runs": NEW, "version": NEW}, reasons.ALREADY_THERE, "it has 1.37.1"),
        (
            {"raised": NEW, "raised_by": "team-a/old"},
            reasons.ALREADY_THERE,
            "it runs 1.37.0, and is on its way to 1.37.1 by FleetUpgrade team-a/old",
        ),
        (
            {"version": NEW, "progressing": Said(False, reasons.UPGRADE_STUCK, "no image")},
            reasons.ALREADY_THERE,
            "it runs 1.37.0, and is on its way to 1.37.1, which does not go on: no image",
        ),
        ({"version": NEW, "hibernates": True}, reasons.ALREADY_THERE, "by itself when it wakes"),
        ({"runs": "1.35.4", "version": "1.35.4"}, reasons.VERSION_UNREACHABLE, "chained to true"),
        ({"deleting": True}, reasons.CLUSTER_GONE, "being deleted"),
        ({"paused": True}, reasons.CLUSTER_PAUSED, "stays at 1.37.0 when spec.paused is false"),
        ({"hibernates": True}, reasons.CLUSTER_ASLEEP, "stays at 1.37.0 when it wakes"),
    ],
    ids=[
        "opted out",
        "runs it",
        "was raised to it",
        "its spec has it and it hangs",
        "its spec has it and it sleeps",
        "too far away",
        "goes",
        "paused",
        "asleep",
    ],
)
def test_who_is_not_raised_is_told_why(change: Any, reason: str, told: str) -> None:
    rows = planned(a_fleet(), replace(a_member(), **change), a_member("other"))

    assert rows["shop"].state == "Skipped"
    assert rows["shop"].reason == reason
    assert told in rows["shop"].why
    assert rows["other"].wave == "canary"


def test_a_cluster_of_another_fleet_is_refused_by_name() -> None:
    rows = planned(a_fleet(), a_member(), claims={"team-a/shop": "team-a/earlier"})

    assert rows["shop"].reason == reasons.IN_ANOTHER_FLEET
    assert "FleetUpgrade team-a/earlier has it" in rows["shop"].why


def test_minors_in_between_are_gone_through_where_the_cluster_says_so() -> None:
    far = a_member(runs="1.35.4", chained=True)

    assert planned(a_fleet(), far)["shop"].state == "Waiting"
    assert planned(a_fleet(), a_member("new", runs="", version="1.35.4"))["new"].to == NEW


def test_an_unknown_minor_cannot_be_gone_to() -> None:
    fleet = a_fleet(target={"version": "1.99.0"})

    for cluster in (a_member(), a_member(chained=True), a_member(runs="", version=OLD)):
        row = planned(fleet, cluster)["shop"]
        assert row.reason == reasons.VERSION_UNREACHABLE
        assert "not supported" in row.why


def test_the_latest_patch_level_is_that_of_the_minor_that_each_has() -> None:
    rows = planned(
        a_fleet(target={"latestPatch": True}),
        a_member("one", runs="1.36.3"),
        a_member("two", runs=OLD),
        a_member("far", runs="1.30.1"),
        a_member("odd", runs="", version="new"),
    )

    assert {name: row.to for name, row in rows.items() if row.to} == {"one": "1.36.4", "two": NEW}
    assert {rows["far"].reason, rows["odd"].reason} == {reasons.VERSION_UNREACHABLE}


def test_a_fix_is_the_patch_level_that_has_it() -> None:
    rows = planned(
        a_fleet(target={"fixes": "CVE-2026-1111"}),
        a_member("one", runs="1.36.3"),
        a_member("two", runs=OLD),
        a_member("new", runs=NEW),
        a_member("aged", runs="1.35.4"),
    )

    assert rows["two"].to == NEW
    assert (rows["one"].reason, rows["one"].to) == (reasons.NOT_CONCERNED, "")
    assert (rows["aged"].reason, rows["aged"].to) == (reasons.NO_FIX, "")
    assert rows["new"].reason == reasons.ALREADY_THERE


def test_sleepers_have_a_wave_and_take_nobodys_place_in_it() -> None:
    clusters = [a_member("a", hibernates=True), a_member("b"), a_member("c")]
    rows = planned(a_fleet(), *clusters)

    assert {name: (row.wave, row.state) for name, row in rows.items()} == {
        "a": ("rest", "Skipped"),
        "b": ("canary", "Waiting"),
        "c": ("rest", "Waiting"),
    }


def test_what_does_not_fit_is_counted_and_those_to_be_upgraded_go_first() -> None:
    there = [a_member(f"a{n:05}", runs=NEW) for n in range(CLUSTERS_MOST)]
    made = plan.make(a_fleet().spec, known([*there, *members(3)]))

    assert len(made.rows) == CLUSTERS_MOST
    assert made.beyond == 3
    assert sum(row.state == "Waiting" for row in made.rows.values()) == 3


def test_what_is_tried_again_keeps_its_place_and_its_version() -> None:
    fleet = a_fleet()
    clusters = [a_member("a"), a_member("b", paused=True), a_member("c", forbids=True)]
    made = plan.make(fleet.spec, known(clusters))
    rows = {**made.rows, "team-a/a": made.rows["team-a/a"].turned("Failed", NOW, "Why", "so")}
    through = [w.model_copy(update={"done": NOW, "soaked": NOW}) for w in made.waves]

    awake = [a_member("a"), a_member("b"), a_member("c")]
    later = NOW + timedelta(hours=1)
    again = plan.again(fleet.spec, rows, through, NOW, known(awake, now=later))

    assert {key: (r.state, r.wave, r.to) for key, r in again.rows.items()} == {
        "team-a/a": ("Waiting", "canary", NEW),
        "team-a/b": ("Waiting", "rest", NEW),
        "team-a/c": ("Waiting", "rest", NEW),
    }
    assert [(w.name, w.done, w.soaked, w.clusters) for w in again.waves] == [
        ("canary", None, None, 1),
        ("rest", None, None, 2),
    ]


@pytest.mark.parametrize(
    ("cluster", "state", "reason"),
    [
        (None, "Skipped", reasons.CLUSTER_PAUSED),
        (a_member(paused=True), "Skipped", reasons.CLUSTER_PAUSED),
        (a_member(forbids=True), "Skipped", reasons.OPTED_OUT),
        (a_member(created=NOW + timedelta(seconds=1)), "Skipped", reasons.CLUSTER_PAUSED),
        (a_member(runs=NEW), "Done", ""),
    ],
    ids=["gone", "still asleep", "opted out now", "another one", "went there by itself"],
)
def test_what_cannot_be_tried_again_is_told_why(cluster: Any, state: str, reason: str) -> None:
    fleet = a_fleet()
    made = plan.make(fleet.spec, known([a_member(paused=True)]))
    later = known([cluster] if cluster else [], now=NOW + timedelta(hours=1))
    again = plan.again(fleet.spec, made.rows, made.waves, NOW, later)

    row = again.rows["team-a/shop"]
    assert (row.state, row.reason) == (state, reason)


def test_the_same_world_gives_the_same_plan() -> None:
    clusters = members(9)
    fleet = a_fleet(waves=[{"name": "a", "percent": 34}, {"name": "b"}])

    assert plan.make(fleet.spec, known(clusters)) == plan.make(fleet.spec, known(clusters[::-1]))
