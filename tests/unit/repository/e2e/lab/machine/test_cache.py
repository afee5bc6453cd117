"""The cache: whole results or none, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.lab.machine.cache import Cache, default_root

REPOSITORY = Path(__file__).parents[6]


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_a_result_is_built_once(tmp_path: Path) -> None:
    cache, built = Cache(tmp_path), []

    async def build(work: Path) -> None:
        built.append(work)
        await asyncio.sleep(0)
        (work / "file").write_text("content")

    first, second = await asyncio.gather(
        cache.ensure(("a", "v1"), build), cache.ensure(("a", "v1"), build)
    )
    assert first == second
    assert (first / "file").read_text() == "content"
    assert len(built) == 1


async def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    async def build(work: Path) -> None:
        (work / "half").touch()
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await cache.ensure(("a", "v1"), build)
    assert not cache.path("a", "v1").exists()
    assert _names(tmp_path / "tmp") == []


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from e2e.lab.machine.cache import Cache

async def build(work):
    (work / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(Cache(Path(sys.argv[1])).ensure(("a", "v1"), build))
"""


async def test_a_killed_build_leaves_no_half_result_and_no_lock(tmp_path: Path) -> None:
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=REPOSITORY,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    cache = Cache(tmp_path)
    assert not cache.path("a", "v1").exists()
    assert _names(tmp_path / "tmp")
    cache.sweep()
    assert not _names(tmp_path / "tmp")

    async def build(work: Path) -> None:
        (work / "file").touch()

    built = await cache.ensure(("a", "v1"), build)
    assert _names(built) == ["file"]


async def test_sweeping_spares_what_is_being_built(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    async with cache.lock("a", "v1"), cache.workspace("a", "v1") as work:
        cache.sweep()
        assert work.exists()


def test_what_is_discarded_is_out_of_the_cache_at_once_and_gone_soon(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    deep = cache.path("go", "mod")
    deep.mkdir(parents=True)
    cache.discard(cache.path("go"))
    assert not cache.path("go").exists()
    os.waitpid(-1, 0)
    assert not _names(tmp_path / "tmp")
    cache.discard(cache.path("go"))


async def test_a_shared_lock_keeps_out_only_who_wants_it_alone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    async with cache.lock("sources", shared=True):
        async with asyncio.timeout(60), cache.lock("sources", shared=True):
            pass
        with cache.if_free("sources") as free:
            assert not free
    with cache.if_free("sources") as free:
        assert free


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_a_key_cannot_lead_out_of_the_cache(tmp_path: Path, part: str) -> None:
    with pytest.raises(ValueError, match="cache key"):
        Cache(tmp_path).path("a", part)


def test_a_reference_can_be_part_of_a_key(tmp_path: Path) -> None:
    path = Cache(tmp_path).path("images", "registry.k8s.io/pause:3.10.1")
    assert path.parent == tmp_path / "images"


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.delenv("KOK_CACHE", raising=False)
    assert default_root() == Path("/xdg/kok")
    monkeypatch.setenv("KOK_CACHE", "/own")
    assert default_root() == Path("/own")
