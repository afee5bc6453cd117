"""The process as a whole, where it ends badly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
NOWHERE = """
from kok.kube.http.access import Access
from kok.runtime.process import main
from kok.runtime.settings import Settings

nowhere = (Settings(), Access("http://127.0.0.1:1"))
"""


def left(code: str, port: str) -> subprocess.CompletedProcess[str]:
    """A process that ran this code to its end."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "KOK_HTTP_HOST": "127.0.0.1",
        "KOK_HTTP_PORT": port,
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_end_by_an_error_is_a_line_of_the_log_like_all_others() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = left(NOWHERE + "main.run([], *nowhere)", port)
    assert ended.returncode == 1
    last = [json.loads(line) for line in ended.stderr.splitlines()][-1]
    assert (last["level"], last["event"]) == ("error", "the process ends")
    assert "address already in use" in last["exception"]


FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1500))
main.allow_open_files()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_thousand_hosts_may_be_connected_where_few_files_are_allowed_at_first() -> None:
    assert left(NOWHERE + FILES, "0").stdout.split() == ["(1500,", "1500)"]


LEFT = """
import asyncio, contextlib, types

@contextlib.asynccontextmanager
async def block():
    try:
        yield
    finally:
        await asyncio.sleep(0)

async def stream():
    async with block():
        yield

streams = []

class RunningOperator:
    def __init__(self, spec, around):
        self.spec, self.stop = spec, around.stop

    async def run(self):
        streams.extend(stream() for _ in range(10))
        for one in streams:
            await anext(one)
        self.stop.set()

main.RunningOperator = RunningOperator
main.run([types.SimpleNamespace(name="idle")], *nowhere)
"""


def test_streams_that_are_left_to_the_loop_s_end_make_no_noise() -> None:
    ended = left(NOWHERE + LEFT, port="0")
    assert ended.returncode == 0
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line for line in lines if line["level"] not in {"info", "debug"}] == []


ASKING = """
import asyncio, types

code = '''
async def ask(stop):
    await stop.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    raise OSError("the session is closed")
'''
scope = {"asyncio": asyncio}
exec(compile(code, FILE, "exec"), scope)

class RunningOperator:
    def __init__(self, spec, around):
        self.spec, self.stop = spec, around.stop

    async def run(self):
        asyncio.ensure_future(scope["ask"](self.stop))
        await asyncio.sleep(0)
        self.stop.set()
        for _ in range(20):
            await asyncio.sleep(0)

main.RunningOperator = RunningOperator
main.run([types.SimpleNamespace(name="idle")], *nowhere)
"""


@pytest.mark.parametrize(
    ("file", "errors"), [("main.KOPF + '/scanning.py'", 0), ("'ours.py'", 1)], ids=["kopf", "ours"]
)
def test_requests_of_kopf_s_that_end_with_its_session_make_no_noise(file: str, errors: int) -> None:
    ended = left(NOWHERE + ASKING.replace("FILE", file), port="0")
    assert ended.returncode == 0
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["level"] for line in lines if line["level"] != "info"] == ["error"] * errors
