"""Runs in one lab come one after the other, and none inherits what another left half done."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from e2e.framework.alone import alone
from e2e.framework.report import Report
from e2e.lab.cluster.state import Store, lab_name
from e2e.lab.machine.cache import Cache
from e2e.polling import eventually
from rich.console import Console


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KOK_CACHE", str(tmp_path / "cache"))


class Lab:
    """A lab that only counts how often it was taken down."""

    def __init__(self) -> None:
        self.said = io.StringIO()
        self.report = Report(Console(file=self.said))
        self.taken_down = 0

    async def take_down(self, cache: Cache) -> None:
        """As the real one does: what the lab remembers is gone."""
        del cache
        self.taken_down += 1
        Store(lab_name()).remove()

    async def told_to_wait(self) -> bool:
        """Whether a run said that it waits."""
        return "waiting for it" in self.said.getvalue()

    async def run(self, name: str, *, fails: bool = False) -> None:
        """A run that does nothing, or fails."""
        async with alone(name, self.report, take_down=self.take_down):
            if fails:
                raise AssertionError


async def test_after_a_run_that_failed_another_one_gets_a_new_lab() -> None:
    lab = Lab()
    with pytest.raises(AssertionError):
        await lab.run("bench konnectivity", fails=True)
    await lab.run("first-cluster")
    assert lab.taken_down == 1
    assert "bench konnectivity did not end well" in lab.said.getvalue()
    await lab.run("etcd-members")
    assert lab.taken_down == 1


async def test_the_same_run_removes_what_is_its_own() -> None:
    lab = Lab()
    with pytest.raises(AssertionError):
        await lab.run("first-cluster", fails=True)
    await lab.run("first-cluster")
    assert not lab.taken_down


async def test_a_lab_that_was_left_well_stays() -> None:
    lab = Lab()
    await lab.run("first-cluster")
    await lab.run("etcd-members")
    assert not lab.taken_down


async def test_a_run_waits_for_the_one_that_is_on() -> None:
    lab = Lab()
    async with alone("faults", lab.report, take_down=lab.take_down):
        waiting = asyncio.create_task(lab.run("shapes"))
        await eventually(lab.told_to_wait, 60.0, every=0.01)
        assert not waiting.done()
    await waiting
    assert not lab.taken_down
