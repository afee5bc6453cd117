"""Programs with a wrong clock."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from e2e.lab.errors import LabError
from e2e.lab.programs import clock_skew

NOW = """\
func Now() Time {
\tsec, nsec, mono := runtimeNow()
\tif mono == 0 {
"""


@pytest.mark.parametrize("seconds", [1800, -1800])
def test_only_the_seconds_of_the_wall_clock_are_others(seconds: int) -> None:
    assert clock_skew.patched(NOW, seconds).splitlines() == [
        "func Now() Time {",
        "\tsec, nsec, mono := runtimeNow()",
        f"\tsec += {seconds}",
        "\tif mono == 0 {",
    ]


@pytest.mark.parametrize(
    ("source", "places"),
    [("", 0), (NOW.replace("runtimeNow()", "walltime()"), 0), (NOW + NOW, 2)],
)
def test_a_go_that_reads_its_clock_otherwise_is_refused(source: str, places: int) -> None:
    with pytest.raises(LabError, match=f"at {re.escape(str(places))} places instead of one"):
        clock_skew.patched(source, 1800)


def test_go_itself_stays_as_it_is(tmp_path: Path) -> None:
    root, work = tmp_path / "go", tmp_path / "work"
    clock = root / clock_skew.CLOCK
    clock.parent.mkdir(parents=True)
    clock.write_text(NOW)
    work.mkdir()

    listed = clock_skew.overlay(root, work, -1800)

    (other,) = json.loads(listed.read_text())["Replace"].items()
    assert other[0] == str(clock)
    assert Path(other[1]).read_text() == clock_skew.patched(NOW, -1800)
    assert clock.read_text() == NOW


def test_a_go_without_its_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="Go's own source is needed"):
        clock_skew.overlay(tmp_path, tmp_path, 1800)
