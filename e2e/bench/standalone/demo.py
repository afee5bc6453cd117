"""How long `make demo` takes: in a lab of its own, with the cache as it is or with an empty one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from e2e.bench.figure import Figure, figure
from e2e.bench.standalone import release_mirror
from e2e.bench.standalone.release_mirror import Published
from e2e.lab.machine import preflight
from e2e.lab.machine.cache import Cache
from e2e.lab.plan import ensure_runc, usual
from e2e.lab.programs.binaries import Builder, architecture
from e2e.lab.programs.releases import RELEASES, Releases
from e2e.lab.programs.sources import KUBERNETES, RUNC
from e2e.lab.steps.durations import Durations

ROOT = Path(__file__).parents[3]
LAB = "kok-bench-demo"
WARM, COLD, RELEASED = 180.0, 1020.0, 240.0
"""Seconds that `make demo` may take on two cores: with a filled cache, with an empty one, and with an
empty one where the projects' release sites answer."""
COLD_RATIO = 2.55
"""The same target on a machine of any speed: where Kubernetes is compiled in 400 s it is 1,020 s."""


async def warm() -> AsyncIterator[Figure]:
    """`make demo` on a machine whose cache is filled: meta cluster, KOK, cluster, node, pod."""
    await _demo({})  # fills what is missing
    took, said = await _demo({})
    yield figure("demo-warm", took, "s", WARM, note="the whole command, with a filled cache")
    for part in ("lab_s", "install_s", "cluster_ready_s", "node_ready_s", "pod_s"):
        yield figure(f"demo-{part.removesuffix('_s').replace('_', '-')}", float(said[part]), "s")


async def cold() -> AsyncIterator[Figure]:
    """`make demo` with an empty cache: everything is compiled and built; takes as long."""
    with _folder("kok-cold-") as cache:
        took, _ = await _demo({"KOK_CACHE": str(cache)})
        kubernetes = Durations(Cache(cache)).known()[f"kubernetes-{KUBERNETES}"]
    yield figure("demo-cold", took, "s", COLD, note="the whole command, with an empty cache")
    yield figure("demo-cold-kubernetes", kubernetes, "s", note="the compiler's work for it alone")
    note = "what a busy or slow machine leaves of the target: to that part of the same run"
    yield figure("demo-cold-ratio", took / kubernetes, "x-kubernetes", COLD_RATIO, note=note)


async def released() -> AsyncIterator[Figure]:
    """`make demo` with an empty cache beside release sites that answer: a server on this machine."""
    await _demo({})  # builds what the sites are to serve
    with _folder("kok-cold-") as cache, _folder("kok-sites-") as folder:
        release_mirror.lay_out(folder, architecture(), await _published())
        async with release_mirror.serving(folder) as sites:
            took, _ = await _demo({"KOK_CACHE": str(cache), **sites})
    note = "the whole command, with an empty cache; downloads from a server beside it"
    yield figure("demo-released", took, "s", RELEASED, note=note)


async def _published() -> list[Published]:
    """Everything that sites publish of what a demo needs, from the usual cache."""
    cache = Cache()
    builder = Builder(cache, *await preflight.go(cache))
    found = [
        Published(item.source.name, item.version, item.name, builder.path(item))
        for item in usual()
        if item.source.name in RELEASES
    ]
    runc = await ensure_runc(cache, Releases(architecture()))
    return [*found, Published("runc", RUNC, "runc", runc)]


@contextlib.contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    """An empty folder, gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=_roomy()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _roomy() -> Path:
    """Beside the usual cache, since a temporary directory may be a small file system in memory."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    place.mkdir(parents=True, exist_ok=True)
    return place


async def _demo(env: Mapping[str, str]) -> tuple[float, dict[str, float | str]]:
    """Seconds, and the figures of the demo's last line; its lab is gone before and after."""
    own = {"KOK_LAB": LAB, **env}
    await _make("lab-down", own)
    try:
        begin = time.monotonic()
        out = await _make("demo", own)
        took = time.monotonic() - begin
    finally:
        await _make("lab-down", own)
    return took, json.loads(out.rstrip().splitlines()[-1])


async def _make(target: str, env: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *("make", "--silent", target),
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    if process.stdout is None:
        raise AssertionError("the output is piped")
    kept: list[str] = []
    async for line in process.stdout:
        kept.append(line.decode(errors="replace"))
        sys.stderr.write(kept[-1])
    if code := await process.wait():
        raise RuntimeError(f"make {target} ended with exit code {code}")
    return "".join(kept)
