"""A Cluster that goes to another version under load: its steps, its end, and what was noticed of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from e2e.fixtures import clusters
from e2e.framework.environment import Environment
from e2e.load import Load, line, undisturbed
from kok import versions

STEPS = ("APIServer", "Controllers")
"""Steps that every upgrade takes, and that take so long that nobody misses them."""
BACK = ("APIServer",)
"""The same on the way back, where controllers have gone before."""


async def move(
    w: Environment,
    load: Load,
    where: tuple[str, str],
    target: str,
    *,
    figure: str,
    steps: Iterable[str] = (),
    **spec: Any,
) -> clusters.Steps:
    """Takes the Cluster (namespace and name) to a version; raises `AssertionError` with what was
    noticed of it.

    `steps` are those that have to be seen beside the usual ones; `figure` names its seconds, those of its slowest request and of the longest time without leaders.
    """
    namespace, name = where
    source = (await clusters.get(w, namespace, name))["status"]["version"]
    await load.lap()
    async with clusters.followed(w, namespace, name) as seen:
        with w.report.step(f"{name}: {source} -> {target} under load", f"{figure}_s"):
            await clusters.change(w, namespace, name, version=target, **spec)
            found = await clusters.at_rest(w, namespace, name, target)
    goes_back = versions.is_above(source, target)
    seen.in_order(*(BACK if goes_back else (*steps, *STEPS)))
    clusters.ended(found, source, target)
    await unnoticed(w, load, where, figure)
    return seen


async def unnoticed(w: Environment, load: Load, where: tuple[str, str], figure: str) -> None:
    """Waits until what was replaced is gone, and raises `AssertionError` with what was noticed."""
    await clusters.quiet(w, *where)
    told = await load.lap()
    note(w, told, figure)
    undisturbed(told)


def note(w: Environment, told: dict[str, Any], figure: str) -> None:
    """A lap for people, and as figures."""
    w.report.line(line(told))
    slowest = sorted(told["kinds"].items(), key=lambda kind: -kind[1]["max_ms"])[:3]
    shown = (f"{k} {v['max_ms']} ms (told to come again {v['waited']} times)" for k, v in slowest)
    w.report.line(f"slowest: {', '.join(shown)}")
    figures = w.report.figures
    for name in ("done", "failed", "waited", "races", "torn"):
        total = f"requests_{name}"
        figures[total] = int(figures.get(total, 0)) + int(told[name])
    figures[f"{figure}_slowest_ms"] = told["max_ms"]
    gaps = [leader["longest_s"] for leader in told["leaders"].values()]
    figures[f"{figure}_leaderless_s"] = max(gaps, default=0.0)
    for name, stream in told["streams"].items():
        figures[f"{figure}_{name}_breaks"] = stream["breaks"]
