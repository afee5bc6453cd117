"""Programs out of Debian packages; apt is a script that answers like one without lists."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from e2e.lab.errors import CommandError, LabError
from e2e.lab.machine.cache import Cache
from e2e.lab.programs import debs

APT = """#!/bin/sh
echo "$1" >> {calls}
if [ "$1" = update ]; then touch {lists}; else [ -e {lists} ] && cp {deb} .; fi
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where apt notes what it was asked for; its one package holds a promtool."""
    program = tmp_path / "package" / debs.PROGRAMS["promtool"].path
    program.parent.mkdir(parents=True)
    program.write_text("a program")
    control = tmp_path / "package" / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        "Package: prometheus\nVersion: 2\nArchitecture: all\nMaintainer: a\nDescription: a\n"
    )
    deb = tmp_path / "prometheus_2_all.deb"
    subprocess.run(
        ["dpkg-deb", "--build", tmp_path / "package", deb], check=True, capture_output=True
    )
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    calls = tmp_path / "calls"
    apt.write_text(APT.format(calls=calls, lists=tmp_path / "lists", deb=deb))
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:/usr/bin:/bin")
    return calls


def test_a_program_is_fetched_once_and_lists_only_if_there_are_none(
    calls: Path, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    for _ in range(2):
        found = asyncio.run(debs.ensure(cache, "promtool", "debian"))
        assert found.read_text() == "a program"
    assert [file.name for file in found.parent.iterdir()] == ["promtool"]
    assert calls.read_text().split() == ["download", "update", "download"]


def test_what_apt_does_not_have_is_told(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "prometheus_2_all.deb").unlink()
    with pytest.raises(CommandError, match="apt-get download"):
        asyncio.run(debs.ensure(Cache(tmp_path / "cache"), "promtool"))
    assert calls.exists()


def test_another_version_than_debians_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="ask for debian"):
        asyncio.run(debs.ensure(Cache(tmp_path / "cache"), "promtool", "v3.0.0"))
