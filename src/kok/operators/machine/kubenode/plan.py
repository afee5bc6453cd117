"""What of the spec has yet to be handed on to Machines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kok.api.machine.kubenode import PlannedChange
from kok.api.machine.machine import Machine, MachineComponent

MOST, NAMED = 64, 8
"""Changes that are told, and Machines that are named for one."""


def planned(
    software: Sequence[MachineComponent], machines: Iterable[Machine]
) -> list[PlannedChange]:
    """How the Machines that are there differ from the software that is wanted, by software."""
    wanted = {c.name: c for c in software}
    found: dict[tuple[str, str | None, str | None], list[str]] = {}
    for machine in sorted(machines, key=lambda m: m.name):
        if machine.deleting:
            continue
        there = {c.name: c for c in machine.spec.components}
        for name in wanted.keys() | there.keys():
            old, new = there.get(name), wanted.get(name)
            if old is not None and new is not None and _alike(old, new):
                continue
            change = (name, old.version if old else None, new.version if new else None)
            found.setdefault(change, []).append(machine.name)
    return [
        PlannedChange(
            component=name, before=before, after=after, machines=len(names), names=names[:NAMED]
        )
        for (name, before, after), names in sorted(found.items(), key=lambda item: str(item[0]))
    ][:MOST]


def _alike(old: MachineComponent, new: MachineComponent) -> bool:
    return (old.version, old.params) == (new.version, new.params)
