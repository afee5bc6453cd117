"""What the lab does to hosts: software that counts its runs, kills at each record, a server that stalls."""

from __future__ import annotations

import asyncio
import re
import subprocess
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from e2e.faults import artifact_server, host_trouble, kills
from scripts import conditions
from tests.unit.operators.machine import builders

from kok.api.machine.component import Component
from kok.api.machine.machine import MachineStatus
from kok.api.meta import Manifest
from kok.operators.machine.component.render import rendered
from kok.operators.machine.remote.survey import Survey

MADE = (host_trouble.step("team-a", "1.0"), host_trouble.exec_check("team-a", "1.0"))


@pytest.mark.parametrize("made", MADE, ids=lambda made: made["metadata"]["name"])
def test_software_of_the_lab_is_what_shells_understand(made: Manifest) -> None:
    component = Component.parse({**made, "metadata": builders.meta(made["metadata"]["name"])})
    found = rendered(component, builders.machine(), {}, Survey(datetime.now(UTC)))
    assert "echo 1.0" in found.probe + found.scripts["install"]
    for name, text in {**found.scripts, "probe": found.probe}.items():
        checked = subprocess.run(
            ["sh", "-n"], check=False, input=text, text=True, capture_output=True
        )
        assert checked.returncode == 0, f"{name}: {checked.stderr}"


def test_the_manual_shows_the_check_that_the_lab_has() -> None:
    manual = (conditions.ROOT / "docs" / "machines.md").read_text()
    blocks = re.findall(r"(?m)^((?:    .*\n|\n)+)", manual)
    texts = [textwrap.dedent(block) for block in blocks if "name: exec-check" in block]
    (shown,) = [yaml.safe_load(text) for text in texts]
    assert shown == host_trouble.exec_check("team-a", "1.0")


def test_each_record_of_a_machine_is_told_apart() -> None:
    job = {"id": "j", "script": "install", "attempt": 2}
    begun = MachineStatus(token_id="abcdef").manifest()
    status: dict[str, Any] = {
        **begun,
        "installedOn": {"address": "192.0.2.21"},
        "components": [
            {"name": "step", "job": job},
            {"name": "runc", "job": {**job, "exit": 0}},
            {"name": "kubelet"},
        ],
        "operation": {"type": "Update", "step": "Draining"},
    }
    found = kills.recorded({"status": status})
    assert found == {"the host", "a token", "step install 2", "Update Draining"}
    assert kills.recorded({}) == set()


async def test_a_server_stalls_as_long_as_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubelet").write_bytes(b"k" * 10)
    (tmp_path / "runc").write_bytes(b"r" * 10)
    async with (
        artifact_server.served(tmp_path, "127.0.0.1") as server,
        aiohttp.ClientSession() as session,
    ):

        async def read(path: str) -> tuple[int, bytes]:
            async with session.get(f"{server.url}/{path}") as answer:
                return answer.status, await answer.read()

        with server.stalling("kubelet"):
            stalled = asyncio.create_task(read("bin/kubelet"))
            assert await read("runc") == (200, b"r" * 10)
            assert not stalled.done()
        assert await stalled == (200, b"k" * 10)
        assert (await read("gone"))[0] == 404
        assert (await read("../etc/passwd"))[0] == 404
        assert (await read(""))[0] == 200
        assert server.served == ["/runc", "/bin/kubelet"]
