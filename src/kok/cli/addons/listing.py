"""`kok addons list`: what a cluster has, and what else there is with a reason where it does not suit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table

from kok.api import names
from kok.api.cluster.addon import Addon
from kok.cli.addons.plan import Ground, everything
from kok.cli.addons.world import here
from kok.cli.options import KubectlOptions
from kok.cli.table import cell, empty
from kok.operators.cluster import reasons

_COLOURS = {"Ready": "green", "Pending": "red", "Removing": "yellow", "Waiting": "yellow"}


@dataclass(frozen=True, slots=True)
class Row:
    """One addon."""

    name: str
    source: str
    state: str
    """`Ready`, `Waiting` (for nodes), `Pending`, `Removing`; `Available` or `Unsuitable` for what is
    not there."""
    version: str = ""
    workloads: str = ""
    why: str = ""


async def rows(cluster: str, namespace: str | None, options: KubectlOptions) -> list[Row]:
    """All addons that there are for a cluster. Raises `KubeError`."""
    async with here(cluster, namespace, options) as at:
        facts, there = await at.facts(), await at.addons()
        wanted = at.cluster.spec.wanted_addons()
        plan = everything(Ground(at.cluster, at.entries, facts))
        found = []
        for step in plan.steps:
            live = there.pop(names.cluster_addon(cluster, step.name), None)
            if live is not None:
                found.append(row(step.name, live))
            elif step.name in wanted:
                found.append(Row(step.name, "built in", "Pending", why="it has not been made yet"))
            else:
                state = "Unsuitable" if step.state == "Left" else "Available"
                found.append(Row(step.name, "built in", state, why=step.why))
        return [*found, *(row(name, there[name]) for name in sorted(there))]


def row(name: str, addon: Addon) -> Row:
    """What to show of an Addon."""
    source = next(iter(addon.spec.source.manifest()), "")
    ready = addon.status.condition(reasons.READY)
    state, why = "Pending", "nothing is known yet"
    if ready is not None:
        why = f"{ready.reason}: {ready.message}"
    if addon.deleting:
        state = "Removing"
    elif ready is not None and ready.status == "True":
        waits = ready.reason == reasons.WAITING_FOR_NODES
        state, why = ("Waiting", why) if waits else ("Ready", "")
    shown = "built in" if source == "builtin" else source
    status = addon.status
    return Row(name, shown, state, status.version or "", status.workloads or "", why)


def table(found: Iterable[Row]) -> Table:
    """One line an addon, what KOK brings along first."""
    out = empty("ADDON", "SOURCE", "VERSION", "WORKLOADS", "STATE", "WHY")
    for one in found:
        state = cell(one.state)
        state.stylize(_COLOURS.get(one.state, ""))
        told = map(cell, (one.name, one.source, one.version, one.workloads))
        out.add_row(*told, state, cell(one.why))
    return out
