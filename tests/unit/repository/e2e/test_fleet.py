"""The scenario of fleets says of garbage, of a CVE and of each Cluster what KOK does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from e2e.stories import fleet
from e2e.stories.fleet import elsewhere, knowledge, several, troubles

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.operators.cluster.cluster.spec.flags import check_arguments, unknown_arguments
from kok.operators.cluster.fleetupgrade.plan import Known, make
from kok.operators.cluster.releases import ReleaseSource
from kok.runtime.controller.errors import Invalid
from kok.versions.knowledge import Releases, vulnerable

NOW = datetime(2026, 11, 27, 18, tzinfo=UTC)
AS_PREPARED: Mapping[str, dict[str, Any]] = {
    fleet.MANUAL: {"upgrade": {"fleet": "Forbid"}},
    fleet.PAUSED: {"paused": True},
    fleet.RESTING: {"hibernate": True},
}


def _planned(name: str, **spec: Any) -> FleetUpgrade:
    """A FleetUpgrade of all Clusters as it is when its plan was made."""
    found = FleetUpgrade.parse(fleet.fleet(name, **spec))
    live = [
        {**fleet.manifest(one, **AS_PREPARED.get(one, {})), "status": {"version": fleet.OLD}}
        for one in fleet.ALL
    ]
    clusters = {one.key: one for one in map(ClusterContract.of, live)}
    plan = make(found.spec, Known(clusters, {}, Releases.read(knowledge.KNOWN), NOW))
    found.status.store(plan.rows)
    return found


@pytest.mark.parametrize("what", knowledge.GARBAGE)
def test_garbage_is_refused_in_these_words(what: str) -> None:
    text, words = knowledge.GARBAGE[what]
    source = ReleaseSource()
    source.take({"metadata": {"namespace": "ns"}, "data": {"releases.yaml": text}})
    problem = source.now().problem or ""
    assert problem.startswith("ConfigMap ns/kok-releases, releases.yaml: ")
    assert words in problem


def test_each_kind_of_garbage_has_words_of_its_own() -> None:
    words = [words for _, words in knowledge.GARBAGE.values()]
    assert len(set(words)) == len(words)


def test_the_cve_is_told_of_the_old_version_alone() -> None:
    releases = Releases.read(knowledge.KNOWN)
    assert vulnerable(releases, fleet.OLD) == knowledge.TOLD
    assert vulnerable(releases, fleet.NEW) is None
    assert releases.vulnerability(knowledge.UNHEARD_OF) is None


def test_what_is_the_matter_with_specs_is_found_where_the_stories_say() -> None:
    def spec(part: Mapping[str, Any]) -> Any:
        return Cluster.parse(fleet.manifest("a", apiServer=part)).spec

    told = "; ".join(text for _, text in unknown_arguments(spec(fleet.NO_SUCH_PLUGIN), fleet.NEW))
    assert troubles.WHY[fleet.FLAGGED][1] in told
    check_arguments(spec(fleet.CRASHES), fleet.NEW)
    with pytest.raises(Invalid, match="shutdown-delay-duration"):
        check_arguments(spec(fleet.NOTHING_CAN_BE_MADE), None)


def test_waves_and_who_is_skipped_are_as_the_first_story_has_it() -> None:
    found = _planned(troubles.NAME, target={"fixes": knowledge.CVE}, waves=troubles.WAVES)
    rows = found.status.table()
    waves = {key.partition("/")[2]: row.wave for key, row in rows.items()}
    skipped = {name: said for name, said in fleet.states(found).items() if said[0] == "Skipped"}
    assert skipped == {name: troubles.FIRST[name] for name in troubles.LATER}
    for name in skipped:
        fleet.quotes(fleet.why(found, name), *troubles.WHY[name])
    assert {name for name, wave in waves.items() if wave == "early"} == set(fleet.EARLY)
    assert waves[fleet.SHOP] == "canary"
    assert {row.to for row in rows.values()} == {fleet.NEW}


def test_the_one_whose_upgrade_is_held_is_alone_in_its_wave() -> None:
    """Whatever else could be raised in its place would be through before the story looks."""
    rows = _planned(several.FIRST, waves=several.WAVES).status.table()
    waves = [row.wave for row in rows.values()]
    assert waves.count("next") == 1
    assert rows[f"{fleet.NAMESPACE}/{fleet.FLAGGED}"].wave == "next"


def test_names_of_fleets_beside_the_operators_are_told_apart() -> None:
    assert len({several.ALL_AT_ONCE, elsewhere.WIDE, elsewhere.FAR}) == 3
