"""Watching a host: the real script in a real shell, beside what stands for systemd."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.unit.operators.machine.remote.services import Services

from kok.operators.machine.remote import watching
from kok.operators.machine.remote.watching import Watch, Watched, Watching, take

LIMIT = 60.0


class Seen:
    """What the script told so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.watched = Watched("d")
        self.now = 0.0

    async def until(self, holds: Callable[[Watched], bool]) -> Watched:
        """Reads on until what is known is as asked for."""
        assert self.process.stdout
        async with asyncio.timeout(LIMIT):
            while not holds(self.watched):
                line = await self.process.stdout.readline()
                assert line, "the script has ended"
                self.now += 1
                self.watched = take(self.watched, line.decode().rstrip("\n"), self.now)
        return self.watched


@asynccontextmanager
async def seen(home: Path, watch: Watch, **environment: str) -> AsyncIterator[Seen]:
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-s",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "KOK_HOME": str(home), "KOK_YOUNG": "0", **environment},
    )
    assert process.stdin
    process.stdin.write(f"{{\n{watching.script(watch)}\n}} </dev/null\n".encode())
    process.stdin.write_eof()
    try:
        yield Seen(process)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(LIMIT):
            await process.communicate()


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return Services(tmp_path / "kok", "tool", "other")


def word(name: str) -> Callable[[Watched], str]:
    return lambda w: w.services[name].word if name in w.services else ""


async def test_a_service_that_ends_is_told_at_once(services: Services, tmp_path: Path) -> None:
    async with seen(tmp_path / "kok", Watch(("tool", "other"))) as host:
        await host.until(lambda w: w.rounds > 0)
        assert word("tool")(host.watched) == word("other")(host.watched) == "ok"
        rounds = host.watched.rounds
        services.put("tool", "failed", "failed", result="signal")
        found = await host.until(lambda w: word("tool")(w) == "down")
        assert found.services["tool"].detail == "enabled signal"
        # The journal told of it: nobody waited for the next look.
        assert found.rounds <= rounds + 1
        services.put("tool", "activating", "auto-restart")
        await host.until(lambda w: word("tool")(w) == "restarting")
        services.put("tool")
        await host.until(lambda w: word("tool")(w) == "ok")


async def test_a_service_that_ends_again_and_again_is_looping(
    services: Services, tmp_path: Path
) -> None:
    async with seen(tmp_path / "kok", Watch(("tool",))) as host:
        await host.until(lambda w: w.rounds > 0)
        services.put("tool", restarts=1)
        rounds = host.watched.rounds
        await host.until(lambda w: w.rounds > rounds)
        assert word("tool")(host.watched) == "ok"
        services.put("tool", restarts=3)
        await host.until(lambda w: word("tool")(w) == "looping")


async def test_health_that_is_bad_and_one_that_hangs(services: Services, tmp_path: Path) -> None:
    gate = tmp_path / "hang"
    health = {
        "tool": (services.health("tool"), ("tool",)),
        "other": (f"[ ! -e {gate} ] || sleep 60", ("other",)),
    }
    watch = Watch(("tool", "other"), health)
    services.sicken("tool")
    gate.write_text("")
    async with seen(tmp_path / "kok", watch, KOK_ANSWER="1") as host:
        found = await host.until(lambda w: len(w.health) == 2)
        assert found.health["tool"].word == "bad"
        assert found.health["tool"].detail == "tool is sick"
        assert found.health["other"].detail == "it did not answer within 1 s"


async def test_health_of_what_does_not_run_is_not_asked(services: Services, tmp_path: Path) -> None:
    services.put("tool", "inactive", "dead")
    watch = Watch(("tool",), {"tool": ("exit 1", ("tool",))})
    async with seen(tmp_path / "kok", watch) as host:
        found = await host.until(lambda w: "tool" in w.health)
        assert found.health["tool"].word == "wait"


async def test_health_is_told_of_the_component_whatever_its_services_are_called(
    services: Services, tmp_path: Path
) -> None:
    services.put("tool", "inactive", "dead")
    watch = Watch(("tool", "other"), {"suite": ("exit 0", ("tool", "other"))})
    async with seen(tmp_path / "kok", watch) as host:
        found = await host.until(lambda w: w.rounds > 0)
        assert {name: told.word for name, told in found.health.items()} == {"suite": "wait"}
        services.put("tool")
        found = await host.until(lambda w: w.health["suite"].word == "ok")
        assert list(found.health) == ["suite"]


async def test_a_file_that_changes_is_told(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "tool.conf"
    file.write_text("one")
    watch = Watch(("tool",), paths=(str(file), str(tmp_path / "absent")))
    async with seen(tmp_path / "kok", watch) as host:
        await host.until(lambda w: w.rounds > 0)
        assert f"--path-property=PathChanged={file}" in (tmp_path / "watched-files").read_text()
        file.write_text("two, and longer")
        # What the path unit does on a host.
        services.tell("kok-files: Started")
        await host.until(lambda w: w.changes == 1)
        file.chmod(0o600)
        services.tell("kok-files: Started")
        await host.until(lambda w: w.changes == 2)


async def test_a_full_disk_is_told(services: Services, tmp_path: Path) -> None:
    df = tmp_path / "bin" / "df"
    df.write_text("#!/bin/sh\nprintf 'head\\nfs 100 100 0 100%% /\\n'\n")
    df.chmod(0o755)
    async with seen(tmp_path / "kok", Watch(("tool",))) as host:
        found = await host.until(lambda w: w.rounds > 0)
        assert found.full == "/var/lib"


def left(folder: Path) -> int:
    return len(list(folder.iterdir()))


async def test_nothing_of_it_is_left(services: Services, tmp_path: Path) -> None:
    before = left(tmp_path)
    async with seen(tmp_path / "kok", Watch(("tool",))) as host:
        await host.until(lambda w: w.rounds > 0)
        assert left(tmp_path) == before + 1
    assert left(tmp_path) == before


def test_what_a_host_makes_up_is_bounded() -> None:
    known = Watched("d")
    for number in range(1000):
        known = take(known, f"service s{number} down enabled signal", 1.0)
        known = take(known, f"health h{number} bad !!!", 1.0)
    assert len(known.services) == len(known.health) == 64
    for line in ("", "service", "service a b", "service ../x down", "disk", "health a", "what"):
        take(known, line, 1.0)
    assert take(Watched("d"), f"disk all full {'x' * 9999}", 1.0).full == "x" * 64


def test_what_gets_no_better_has_been_so_since_it_began() -> None:
    known = take(Watched("d"), "service tool ok enabled success", 1.0)
    known = take(known, "service tool restarting enabled signal", 5.0)
    known = take(known, "service tool down enabled signal", 7.0)
    assert known.services["tool"].since == 5.0
    known = take(known, "service tool ok enabled success", 9.0)
    assert known.services["tool"].since == 9.0


async def test_a_host_has_one_watch_and_another_one_for_other_things() -> None:
    began: list[str] = []
    gate = asyncio.Event()

    async def work(name: str) -> None:
        began.append(name)
        await gate.wait()

    watches = Watching()
    for name in ("one", "one", "two"):
        watches.keep("uid", name, lambda name=name: work(name))
        await asyncio.sleep(0)
    assert began == ["one", "two"]
    gate.set()
    for _ in range(3):
        await asyncio.sleep(0)
    watches.keep("uid", "two", lambda: work("again"))
    await asyncio.sleep(0)
    assert began == ["one", "two", "again"]
    watches.close()
