"""Ranges of versions mean what Helm's mean."""

from __future__ import annotations

import pytest

from kok.versions.ranges import Range, parse_range, semver


def holds(known: Range, text: str) -> bool:
    version = semver(text)
    assert version is not None
    return known.holds(version)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.4.0", "1.4.0 v1.4.0 1.4.0+build", "1.4.1 1.3.9 1.4.0-rc.1"),
        ("1.4", "1.4.0 1.4.17", "1.5.0 1.3.9"),
        ("1.x", "1.0.0 1.99.1", "2.0.0 0.9.0"),
        ("*", "0.0.1 7.0.0", "1.0.0-rc.1"),
        (">=1.34 <1.37", "1.34.0 1.36.9", "1.33.9 1.37.0 1.37.1"),
        (">=1.34,<1.37", "1.34.0 1.36.9", "1.33.9 1.37.0"),
        (">= 1.34.2", "1.34.2 2.0.0", "1.34.1"),
        (">1.34", "1.35.0", "1.34.0 1.34.9"),
        ("<=1.34", "1.34.9 1.0.0", "1.35.0"),
        ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0 2.0.0-rc.1"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("~1.4.1", "1.4.1 1.4.9", "1.4.0 1.5.0"),
        ("~1", "1.0.0 1.9.0", "2.0.0"),
        ("!=1.4.1", "1.4.0 1.4.2", "1.4.1"),
        ("1.x || >=3", "1.5.0 3.0.0", "2.0.0"),
        (">=1.0.0-beta.2", "1.0.0-beta.2 1.0.0-beta.10 1.0.0 1.1.0", "1.0.0-beta.1 1.1.0-beta.3"),
    ],
)
def test_what_belongs_to_a_range(text: str, inside: str, outside: str) -> None:
    known = parse_range(text)
    for one in inside.split():
        assert holds(known, one), one
    for one in outside.split():
        assert not holds(known, one), one


def test_the_latest_is_the_latest_by_number() -> None:
    known = ["1.9.0", "1.10.0", "1.11.0-rc.1", "2.0.0", "nightly", "1.2"]
    assert parse_range("^1").latest(known) == "1.10.0"
    assert parse_range("3").latest(known) is None


@pytest.mark.parametrize("text", ["", "||", "latest", ">=", "1 | 2", "1.2.3.4"])
def test_what_is_no_range_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is no range of versions"):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "exact"), [("1.4.0", True), ("=v1.4.0", True), ("1.4", False), ("^1.4.0", False)]
)
def test_whether_only_one_version_is_meant(text: str, exact: bool) -> None:
    assert parse_range(text).exact is exact
