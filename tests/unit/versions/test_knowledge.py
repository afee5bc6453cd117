"""What a document on releases says of a version, and which documents are not believed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kok.versions.knowledge import (
    SIZE_MOST,
    KnowledgeError,
    Releases,
    outdated,
    vulnerable,
    worst,
)
from kok.versions.number import parse, parse_minor

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
TEXT = """
format: 1
issued: 2026-11-30T08:00:00Z
kubernetes:
  "1.35": {patches: [1.35.4], endOfLife: 2026-10-28}
  "1.37": {patches: [1.37.1, 1.37.2], endOfLife: 2027-10-28}
vulnerabilities:
  - {id: CVE-2026-0001, severity: Low, fixed: {"1.37": 1.37.1}}
  - id: CVE-2026-0002
    severity: Critical
    summary: anybody may read Secrets
    fixed: {"1.36": 1.36.5, "1.37": 1.37.2}
    unfixed: ["1.35"]
later: {words: are passed over}
"""


@pytest.fixture
def known() -> Releases:
    return Releases.read(TEXT)


def test_patch_levels_of_the_document_come_on_top_of_those_built_in(known: Releases) -> None:
    assert known.latest(parse_minor("1.37")) == parse("1.37.2")
    assert parse("1.37.0") in known.patches(parse_minor("1.37"))
    assert known.latest(parse_minor("1.36")) == parse("1.36.4")
    assert known.latest(parse_minor("1.99")) is None


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.37.1", "1.37.2 is out, 1.37.1 runs"),
        ("1.37.2", None),
        ("1.37.9", None),
        ("1.35.4", "1.35 gets no more patch levels since 2026-10-28: upgrade to a later minor"),
        ("no version", None),
    ],
)
def test_what_is_out_of_date_is_told(known: Releases, version: str, said: str | None) -> None:
    assert outdated(known, version, NOW) == said


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (
            "1.37.0",
            "CVE-2026-0002, Critical (anybody may read Secrets): fixed in 1.37.2; CVE-2026-0001, "
            "Low: fixed in 1.37.1",
        ),
        ("1.37.2", None),
        ("1.34.4", None),
        (
            "1.35.4",
            "CVE-2026-0002, Critical (anybody may read Secrets): not fixed in 1.35, upgrade to a "
            "later minor",
        ),
        ("no version", None),
    ],
)
def test_cves_are_told_the_worst_first(known: Releases, version: str, said: str | None) -> None:
    assert vulnerable(known, version) == said


def test_the_worst_severity_is_found(known: Releases) -> None:
    assert worst(known.vulnerabilities(parse("1.37.0"))) == "Critical"
    assert worst(known.vulnerabilities(parse("1.37.2"))) is None


def test_a_cve_is_found_by_its_id(known: Releases) -> None:
    found = known.vulnerability("CVE-2026-0002")
    assert found is not None
    assert found.fixed[parse_minor("1.36")] == parse("1.36.5")
    assert known.vulnerability("CVE-2026-9999") is None


def test_without_a_document_what_is_built_in_counts() -> None:
    assert outdated(Releases(), "1.37.0", NOW) == "1.37.1 is out, 1.37.0 runs"
    assert vulnerable(Releases(), "1.37.0") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is no mapping"),
        ("[1, 2]", "it is no mapping"),
        ("{", "it is neither YAML nor JSON"),
        ("a: &a [1]\nb: *a", "an alias"),
        ("format: 2\nissued: 2026-11-30T08:00:00Z", "format"),
        ("format: 1", "issued"),
        ("format: 1\nissued: 2026-11-30T08:00:00", "issued"),
        ('format: 1\nissued: 2026-11-30T08:00:00Z\nkubernetes: {"x": {}}', "x.0"),
        (
            "format: 1\nissued: 2026-11-30T08:00:00Z\nvulnerabilities: [{id: nothing}]",
            "vulnerabilities.0.id",
        ),
        (
            "format: 1\nissued: 2026-11-30T08:00:00Z\nvulnerabilities: "
            '[{id: CVE-2026-0001, fixed: {"1.36": 1.37.2}}]',
            "CVE-2026-0001: 1.37.2 is no version of 1.36",
        ),
        (
            "format: 1\nissued: 2026-11-30T08:00:00Z\nvulnerabilities: "
            '[{id: CVE-2026-0001, fixed: {"1.36": 1.36.5}, unfixed: ["1.36"]}]',
            "CVE-2026-0001: 1.36 is both fixed and unfixed",
        ),
        ("[" * 5000, "it is neither YAML nor JSON"),
        ("x" * (SIZE_MOST + 1), f"more than {SIZE_MOST}"),
    ],
)
def test_what_is_no_such_document_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(KnowledgeError, match=said.replace("[", r"\[")):
        Releases.read(text)


def test_json_is_read_as_well() -> None:
    assert Releases.read('{"format": 1, "issued": "2026-11-30T08:00:00Z"}').document is not None
