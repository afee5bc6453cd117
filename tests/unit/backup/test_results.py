"""Comparing a restored etcd, and lists that have to fit a termination message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kok.backup.commands.catalog import shorten
from kok.backup.commands.check import compare
from kok.backup.description import Contents, Description, Origin
from kok.backup.report import MESSAGE_LIMIT, Report

THEN = Contents(revision=10, etcd_version="3.6.10", keys=5, hash=77, compact_revision=-1)


def found(**changes: object) -> Contents:
    return THEN.model_copy(update={"revision": 12, **changes})


def test_the_same_content_at_a_later_revision_is_equal() -> None:
    result = compare(THEN, found())

    assert (result.equal, result.hash_compared, result.differences) == (True, True, [])


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"revision": 9}, "revision 9"), ({"keys": 4}, "4 keys"), ({"hash": 78}, "HashKV is 78")],
)
def test_what_differs_is_told(changes: dict[str, object], word: str) -> None:
    result = compare(THEN, found(**changes))

    assert not result.equal
    assert word in result.differences[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"etcd_version": "3.6.11", "hash": 78},
        {"compact_revision": 7, "hash": 78},
        {"hash": None, "compact_revision": None},
    ],
)
def test_hashes_that_cannot_be_compared_make_no_difference(changes: dict[str, object]) -> None:
    result = compare(THEN, found(**changes))

    assert (result.equal, result.hash_compared) == (True, False)


def described(number: int) -> Description:
    return Description(
        key=f"team-a/shop/{number:05d}-{'x' * 60}.snapshot",
        size=number,
        sha256="0" * 64,
        snapshot_size=number,
        contents=THEN,
        origin=Origin(namespace="team-a", name="shop", backup_uid="u"),
        created=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number),
    )


def test_a_long_list_is_cut_to_the_newest_that_fit() -> None:
    everything = [described(n) for n in range(500, 0, -1)]

    result = shorten(everything, undescribed=3)

    assert len(Report(listing=result).text().encode()) <= MESSAGE_LIMIT
    assert (result.total, result.undescribed) == (500, 3)
    assert result.newest == everything[0]
    assert [b.size for b in result.backups[:3]] == [500, 499, 498]
    assert 5 < len(result.backups) < 500


def test_an_empty_store_has_an_empty_list() -> None:
    assert shorten([], undescribed=0).newest is None
