"""Work in a process of its own: what it may not do, and that it ends."""

from __future__ import annotations

import ast
import asyncio
import json
import math
import os
import select
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import fifos

from kok.runtime.sandbox.process import Limits, TooMuch, Unfinished, processor_time, run_limited

PATIENT = 600.0
"""Seconds: the machine may have other things to do than to start a process."""


async def test_a_result_comes_back() -> None:
    assert await run_limited(statistics.mean, [1, 2, 3], Limits(wall=PATIENT)) == 2


@pytest.mark.parametrize(
    ("function", "argument", "limits", "words"),
    [
        (math.factorial, 10**8, Limits(cpu=0, wall=PATIENT), "took longer than 0 s"),
        (bytearray, 10**10, Limits(wall=PATIENT), "took more than 96 MiB of memory"),
        (textwrap.dedent, "x" * 2**21, Limits(output=1, wall=PATIENT), "gave more than 1 MiB"),
    ],
)
async def test_who_wants_too_much_is_told_what(
    function: Callable[[Any], Any], argument: object, limits: Limits, words: str
) -> None:
    with pytest.raises(TooMuch) as caught:
        await run_limited(function, argument, limits)
    assert str(caught.value) == words


async def test_a_process_that_hangs_is_given_up() -> None:
    begin = time.monotonic()
    with pytest.raises(Unfinished, match=r"was given up after 0 s"):
        await run_limited(time.sleep, PATIENT, Limits(wall=0.2))
    assert time.monotonic() - begin < PATIENT


async def test_a_process_learns_nothing_of_the_operators_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "AWS_SECRET_ACCESS_KEY", "KOK_PASSES"):
        monkeypatch.setenv(name, "of the operator")
        assert await run_limited(os.getenv, name, Limits(wall=PATIENT)) is None
    assert await run_limited(os.getenv, "PATH", Limits(wall=PATIENT)) == os.environ["PATH"]


async def test_how_long_a_process_was_at_work_is_known() -> None:
    before = time.process_time()
    while (used := time.process_time()) < before + 0.1:
        pass
    assert processor_time(os.getpid()) == pytest.approx(used, abs=0.05)
    assert processor_time(2**22 + 1) == 0, "no process has such a number"


async def test_a_process_that_fails_is_no_result_and_tells_no_secret() -> None:
    with pytest.raises(TooMuch) as caught:
        await run_limited(json.loads, "hunter2", Limits(wall=PATIENT))
    assert str(caught.value) == "broke down"


async def test_what_is_nested_too_deeply_is_refused_and_not_tried_again() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(TooMuch, match="nested"):
        await run_limited(repr, deep, Limits(wall=PATIENT))
    with pytest.raises(TooMuch, match="nested"):
        await run_limited(ast.literal_eval, "-" * 5000 + "1", Limits(wall=PATIENT))


async def test_a_process_that_somebody_kills_is_no_fault_of_the_work() -> None:
    with pytest.raises(Unfinished, match="ended with -9"):
        await run_limited(signal.raise_signal, signal.SIGKILL, Limits(wall=PATIENT))


async def test_a_program_that_the_work_starts_has_the_same_limits() -> None:
    limits = Limits(cpu=1, memory=64, programs=True, wall=PATIENT)
    spins = [sys.executable, "-c", "while True: pass"]
    assert await run_limited(subprocess.call, spins, limits) in {-signal.SIGXCPU, -signal.SIGKILL}
    grows = [sys.executable, "-c", "bytearray(10**9)"]
    assert await run_limited(subprocess.call, grows, limits) == 1
    fine = [sys.executable, "-c", "bytearray(10**6)"]
    assert await run_limited(subprocess.call, fine, limits) == 0


TELLS_AND_WAITS = """
import os, sys, time
with open(sys.argv[1], "w") as pipe:
    pipe.write(str(os.getpid()))
time.sleep(600)
"""


async def test_what_the_work_started_ends_with_it(tmp_path: Path) -> None:
    pipe = tmp_path / "number"
    os.mkfifo(pipe)
    command = [sys.executable, "-c", TELLS_AND_WAITS, str(pipe)]
    limits = Limits(programs=True, wall=PATIENT)
    work = asyncio.create_task(run_limited(subprocess.call, command, limits))
    number = await fifos.read(pipe)
    handle = os.pidfd_open(int(number))
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert await asyncio.to_thread(select.select, [handle], [], [], PATIENT) == ([handle], [], [])
    os.close(handle)
