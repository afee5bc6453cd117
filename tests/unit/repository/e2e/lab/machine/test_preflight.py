"""What a machine must have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from e2e.lab.machine import preflight
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.preflight import Machine

GOOD = Machine(
    root=True,
    capable=True,
    debian=True,
    memory_gib=7.7,
    free_gib=100.0,
    cold=True,
    python=(3, 11),
    missing_packages=(),
)
CACHE = Path("/cache")


def test_a_good_machine_has_no_problems() -> None:
    assert preflight.problems(GOOD, CACHE) == []


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        (replace(GOOD, root=False), "run it with sudo"),
        (replace(GOOD, capable=False), "run the lab on a machine of its own"),
        (replace(GOOD, root=False, capable=False), "run it with sudo"),
        (replace(GOOD, memory_gib=3.8), "has 3.8 GiB of memory and the lab needs 8"),
        (replace(GOOD, python=(3, 10)), "needs Python 3.11 or newer"),
        (replace(GOOD, free_gib=12.0), "12 GiB are free below /cache and 40 GiB are needed"),
        (replace(GOOD, free_gib=5.0, cold=False), "KOK_CACHE name a directory on a larger disk"),
        (
            replace(GOOD, debian=False, missing_packages=("podman", "runc")),
            "install podman runc by hand",
        ),
    ],
)
def test_each_problem_is_one_sentence_that_says_what_to_do(machine: Machine, sentence: str) -> None:
    (found,) = preflight.problems(machine, CACHE)
    assert sentence in found


def test_all_problems_are_told_at_once() -> None:
    assert len(preflight.problems(replace(GOOD, root=False, free_gib=1.0), CACHE)) == 2


def test_missing_packages_of_debian_are_no_problem() -> None:
    assert preflight.problems(replace(GOOD, missing_packages=("podman",)), CACHE) == []


def test_a_warm_cache_needs_less_room() -> None:
    assert preflight.problems(replace(GOOD, free_gib=12.0, cold=False), CACHE) == []


def test_the_survey_names_the_packages_of_what_is_missing(tmp_path: Path) -> None:
    machine = preflight.survey(Cache(tmp_path), lambda need: need not in {"podman", "ip"})
    assert machine.missing_packages == ("podman", "iproute2")
    assert machine.cold


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.6\n", ("go1.26.6", (1, 26))), ("go1.27rc1", ("go1.27rc1", (1, 27))), ("", None)],
)
def test_the_version_of_go_is_read(text: str, version: tuple[str, tuple[int, int]] | None) -> None:
    assert preflight.parse_go(text) == version


@pytest.mark.parametrize(
    ("effective", "capable"),
    [("000001ffffffffff", True), ("00000000a80425fb", False), ("000001fffeffffff", True)],
)
def test_root_in_a_plain_container_is_not_enough(effective: str, capable: bool) -> None:
    assert preflight._capable(f"Name:\tx\nCapEff:\t{effective}\nSeccomp:\t0\n") is capable
