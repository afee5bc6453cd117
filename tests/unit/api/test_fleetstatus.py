"""The table of a FleetUpgrade is stored so that large fleets fit, and nothing of small ones is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kok.api.cluster.fleetstatus import CLUSTERS_MOST, NOT_READY_AFTER, FleetRow, FleetUpgradeStatus
from kok.kube.decoding.brackets import entries
from kok.kube.decoding.truncation import MOST

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STORED = 1_400_000
"""Bytes of status that leave room for the rest of an object in etcd's 1.5 MiB."""

WORDS = st.sampled_from(["", "UpgradeStuck", "OptedOut"])


@st.composite
def rows(draw: st.DrawFn) -> FleetRow:
    state = draw(st.sampled_from(["Waiting", "Upgrading", "Done", "Failed", "Skipped"]))
    row = FleetRow(draw(st.sampled_from(["", "canary", "rest"])), "1.37.0", draw(WORDS))
    if state == "Waiting":
        return row
    if state in {"Upgrading", "Done"}:
        return row.turned(state, NOW)
    return row.turned(state, NOW, draw(st.sampled_from(["A", "B"])), draw(st.text(max_size=20)))


@given(st.dictionaries(st.from_regex(r"\A[a-c]/[a-z]{1,4}\Z"), rows(), max_size=20))
def test_what_is_stored_is_what_is_read(table: dict[str, FleetRow]) -> None:
    status = FleetUpgradeStatus()
    status.store(table)
    read = FleetUpgradeStatus.model_validate(status.manifest())

    assert read.table() == dict(sorted(table.items()))
    assert read.counts.total == len(table)


def stored(table: dict[str, FleetRow]) -> tuple[FleetUpgradeStatus, bytes]:
    status = FleetUpgradeStatus()
    status.store(table)
    return status, json.dumps(status.manifest(), separators=(",", ":")).encode()


def fleet(row: Any, count: int = CLUSTERS_MOST, name: str = "team-{n}/cluster-{n}") -> Any:
    return {name.format(n=n): row(n) for n in range(count)}


def test_a_fleet_of_5000_that_is_through_fits() -> None:
    row = FleetRow("rest", "1.37.0", "1.37.1")
    status, text = stored(fleet(lambda _: row.turned("Done", NOW)))

    assert len(text) < STORED / 2
    assert entries(text) < MOST
    assert status.counts.done == CLUSTERS_MOST


def test_if_all_of_5000_fail_with_long_words_each_is_still_told() -> None:
    row = FleetRow("rest", "1.37.0", "1.37.1")
    table = fleet(lambda n: row.turned("Failed", NOW, "UpgradeStuck", f"{n} " + "so, " * 120))
    status, text = stored(table)

    assert len(text) < STORED
    assert entries(text) < MOST
    assert len(status.table()) == CLUSTERS_MOST
    assert {one.state for one in status.table().values()} == {"Failed"}


def test_if_each_of_5000_is_skipped_for_its_own_reason_the_words_stay() -> None:
    row = FleetRow("", "1.37.0", "1.37.1")
    table = fleet(
        lambda n: row.turned("Skipped", NOW, "VersionUnreachable", f"{n} " + "so, " * 120)
    )
    status, text = stored(table)

    assert len(text) < STORED
    assert entries(text) < MOST
    assert {one.reason for one in status.table().values()} == {"VersionUnreachable"}


def test_of_a_small_fleet_every_sentence_is_kept() -> None:
    row = FleetRow("rest", "1.37.0", "1.37.1")
    table = fleet(lambda n: row.turned("Failed", NOW, "UpgradeStuck", f"{n} " + "so, " * 120), 200)

    assert stored(table)[0].table() == dict(sorted(table.items()))


def test_of_a_large_fleet_it_stays_known_who_has_the_version_and_is_not_ready() -> None:
    row = FleetRow("rest", "1.37.0", "1.37.1")

    def one(n: int) -> FleetRow:
        lost = n < 1000
        return row.turned("Failed", NOW, NOT_READY_AFTER if lost else "UpgradeStuck", "so, " * 120)

    status, text = stored(fleet(one))

    assert len(text) < STORED
    assert entries(text) < MOST
    told = [row.reason for row in status.table().values()]
    assert told.count(NOT_READY_AFTER) == 1000


def test_if_all_of_5000_are_not_ready_they_still_fit() -> None:
    row = FleetRow("rest", "1.37.0", "1.37.1")
    status, text = stored(fleet(lambda _: row.turned("Failed", NOW, NOT_READY_AFTER, "no")))

    assert len(text) < STORED
    assert entries(text) < MOST
    assert status.counts.failed == CLUSTERS_MOST
