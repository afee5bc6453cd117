"""What podman says, and what is really there."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.lab.errors import CommandError
from e2e.lab.machine import podman


def _inspected(pid: int, exit_command: list[str]) -> podman.Container:
    raw = {
        "Id": "0" * 64,
        "Name": "kok-meta-1",
        "ImageName": "localhost/kok-lab/host:1",
        "State": {"Status": "running", "Pid": pid},
        "Config": {"Labels": {"dev.kok.lab": "kok"}, "ExitCommand": exit_command},
    }
    (container,) = podman.parse(json.dumps([raw]))
    return container


def test_a_container_whose_process_is_gone_is_dead_whatever_podman_says() -> None:
    gone = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    container = _inspected(gone, [])
    assert container.status == "running"
    assert not container.alive


def test_a_process_number_that_somebody_else_has_now_does_not_make_a_container_alive() -> None:
    assert not _inspected(os.getpid(), []).alive


def test_podman_tells_where_it_learns_of_the_end_of_containers() -> None:
    command = ["/usr/bin/podman", "--root", "/var/lib", "--tmpdir", "/run/elsewhere", "cleanup"]
    assert _inspected(0, command).tmpdir == Path("/run/elsewhere")
    assert _inspected(0, []).tmpdir == Path("/run/libpod")


async def test_a_container_that_was_ended_behind_podmans_back_is_removed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Podman 4.3 fails once, over a paused one with a wait for its end, before it believes it."""
    (tmp_path / "exits").mkdir()
    container = _inspected(0, ["--tmpdir", str(tmp_path)])
    noted: list[str] = []

    async def find(_name: str) -> podman.Container:
        return container

    async def run(*argv: str, **_: object) -> str:
        note = tmp_path / "exits" / container.id
        noted.append(note.read_text())
        note.unlink()
        if len(noted) == 1:
            raise CommandError(list(argv), 125, "timed out waiting for file")
        return ""

    monkeypatch.setattr(podman, "find", find)
    monkeypatch.setattr(podman, "run", run)
    await podman.remove(container.name)
    assert noted == ["137", "137"]


async def test_a_container_that_was_killed_while_it_was_frozen_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = _inspected(0, [])
    frozen = replace(dead, status="paused", pid=os.getpid(), id=_own_id())
    states = iter((frozen, dead))
    done: list[str] = []

    async def find(_name: str) -> podman.Container:
        return next(states)

    async def run(*argv: str, **_: object) -> str:
        done.append(argv[len(podman.PODMAN)])
        return ""

    async def succeeds(*argv: str, **_: object) -> bool:
        done.append(argv[len(podman.PODMAN)])
        return True

    monkeypatch.setattr(podman, "find", find)
    monkeypatch.setattr(podman, "run", run)
    monkeypatch.setattr(podman, "succeeds", succeeds)
    assert await podman.keep("kok", "kok-meta-1")
    assert done == ["unpause", "start"]


def _own_id() -> str:
    """Something by which this process is known to belong to a container."""
    return Path(f"/proc/{os.getpid()}/cgroup").read_text().splitlines()[0]
