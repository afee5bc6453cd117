"""Running commands."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.lab.errors import CommandError
from e2e.lab.machine.commands import run, succeeds

from kok.runtime.clock import settle

REPOSITORY = Path(__file__).parents[6]


async def _ends(process: int) -> bool:
    """Whether a process is gone soon: the kernel ends it, and somebody reaps it."""
    for _ in range(6000):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_output_and_input_are_text() -> None:
    assert await run("cat", stdin="grüße") == "grüße"


async def test_a_failure_tells_the_command_its_code_and_its_last_words() -> None:
    with pytest.raises(CommandError, match=r"`sh -c .*` ended with 3\nno disk") as caught:
        await run("sh", "-c", "echo no disk >&2; exit 3")
    assert caught.value.code == 3


async def test_a_failure_points_at_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    with pytest.raises(CommandError, match=f"broken\nthe whole output: {re.escape(str(log))}"):
        await run("sh", "-c", "echo broken; exit 1", log=log)
    assert "broken" in log.read_text()


async def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    note.touch()
    script = f"sleep 600 & echo $! > {note}; wait"
    running = asyncio.create_task(run("sh", "-c", script, timeout=300))
    while not note.read_text().endswith("\n"):  # noqa: ASYNC110 - a file wakes nobody
        await asyncio.sleep(0.01)
    await settle()  # until its end is waited for
    loop = asyncio.get_running_loop()
    real = loop.time
    loop.time = lambda: real() + 300  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        await running
    assert await _ends(int(note.read_text()))


async def test_programs_of_administrators_are_found_also_without_their_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    path = (await run("sh", "-c", "echo $PATH")).strip().split(":")
    assert path[:2] == ["/usr/bin", "/bin"]
    assert {"/usr/sbin", "/sbin"} <= set(path)


async def test_whether_a_command_succeeds_can_be_asked() -> None:
    assert await succeeds("true")
    assert not await succeeds("false")


KILLED = """
import asyncio, os, sys
from e2e.lab.machine.commands import run
asyncio.run(run("sh", "-c", f"echo $$; echo $$ > {sys.argv[1]}; kill -9 $PPID; exec sleep 600"))
"""


async def test_a_command_does_not_outlive_a_killed_lab(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, str(note)],
        cwd=REPOSITORY,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert await _ends(int(note.read_text()))
