"""Places at which scripts of tests wait."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from tests import fifos


async def test_a_script_waits_until_it_is_told_to_go_on(tmp_path: Path) -> None:
    gate = fifos.Gate(tmp_path)
    script = await asyncio.create_subprocess_exec("sh", "-c", gate.script, stdout=PIPE)
    await gate.reached()
    assert script.returncode is None
    await gate.open()
    assert (await script.communicate())[0] == b"go on\n"


async def test_whoever_never_comes_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(TimeoutError):
        await fifos.read(fifo, within=0.1)
    with pytest.raises(TimeoutError):
        await fifos.write(fifo, "go on\n", within=0.1)
