"""What an upgrade of a control plane costs in seconds: a patch level with two API servers and with
one, and a minor with etcd untouched.

Beside them stands the floor of the same run: an API server and etcd as bare processes until they are
ready. An upgrade replaces API servers and then the others, so that it takes at least two starts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator

from e2e.bench import clusters
from e2e.bench.bare import control_plane
from e2e.bench.figure import Figure, figure
from e2e.fixtures import clusters as fixture
from e2e.framework.environment import Environment

BEFORE, OLD, NEW = "1.36.4", "1.37.0", "1.37.1"
ROUNDS = 3
MINORS = 2
WHAT = "spec.version written until all of the control plane and its addons are at it"


async def one(w: Environment) -> AsyncIterator[Figure]:
    """A patch level forth and back with two API servers and with one; a minor with two."""
    for version in (BEFORE, OLD):
        await w.lab.want(kubernetes=f"v{version}")
    programs = w.lab.program("etcd"), w.lab.program("kube-apiserver")
    floors = [await control_plane.measure(*programs) for _ in range(ROUNDS)]
    base = statistics.median(floors)
    yield figure("upgrade-floor", floors, "s", note="bare etcd and kube-apiserver until /readyz")
    for name, spec, target in (("2", clusters.STANDARD, 25.0), ("1", clusters.EDGE, 20.0)):
        took = await _patches(w, f"patch-{name}", spec)
        for found in _beside(f"upgrade-patch-{name}", took, target, base):
            yield found
    took = [await _minor(w, f"minor-{n}") for n in range(MINORS)]
    for found in _beside("upgrade-minor-2", took, 40.0, base):
        yield found


def _beside(name: str, took: list[float], target: float, base: float) -> list[Figure]:
    return [
        figure(name, took, "s", target, WHAT),
        figure(f"{name}-ratio", [seconds / base for seconds in took], "x-floor"),
    ]


async def _patches(w: Environment, name: str, spec: dict[str, object]) -> list[float]:
    """Seconds of each of some patch levels, forth and back in turn."""
    await fixture.create(w, clusters.NAMESPACE, name, **{**spec, "version": OLD})
    turns = [(NEW, OLD)[n % 2] for n in range(ROUNDS)]
    took = [await timed(w, name, version) for version in turns]
    await clusters.delete(w, name)
    return took


async def _minor(w: Environment, name: str) -> float:
    """Seconds of one minor; nothing leads back, so that each takes a Cluster of its own."""
    await fixture.create(w, clusters.NAMESPACE, name, **{**clusters.STANDARD, "version": BEFORE})
    took = await timed(w, name, NEW)
    await clusters.delete(w, name)
    return took


async def timed(w: Environment, name: str, version: str) -> float:
    """Seconds until a Cluster is what the spec says from now on, which has been at rest before."""
    await fixture.quiet(w, clusters.NAMESPACE, name)
    begin = time.monotonic()
    await fixture.change(w, clusters.NAMESPACE, name, version=version)
    await fixture.at_rest(w, clusters.NAMESPACE, name, version)
    return time.monotonic() - begin
