"""`kok machine plan`: what would run where, as the machine operator has found out."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from kok.api.machine.kubenode import KubeNode, PlannedChange
from kok.api.machine.machine import Machine, PlannedStep
from kok.api.names import LABEL_KUBENODE
from kok.cli.options import KubectlOptions
from kok.cli.query import connected, namespace_of
from kok.cli.table import cell, empty
from kok.kube.errors import NotFound


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found: of a KubeNode what its Machines have yet to be told, of a Machine its steps."""

    title: str
    changes: tuple[PlannedChange, ...] = ()
    steps: tuple[tuple[str, PlannedStep], ...] = ()
    """With the name of the Machine."""

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not self.changes and not self.steps


async def plan(name: str, namespace: str | None, options: KubectlOptions) -> Plan:
    """The plan of a KubeNode with that of its Machines, or of the Machine of that name. Raises
    `KubeError`, and `Unreadable`."""
    async with await connected(options) as kube:
        where = namespace_of(kube, namespace)
        found = await kube.get(KubeNode.info.kind, name, where)
        if found is not None:
            kubenode = KubeNode.parse(found)
            labels = {LABEL_KUBENODE: kubenode.name}
            own = await kube.list(Machine.info.kind, where, labels=labels)
            machines = sorted((Machine.parse(m) for m in own), key=lambda m: m.name)
            return Plan(str(kubenode), tuple(kubenode.status.plan), _steps(machines))
        alone = await kube.get(Machine.info.kind, name, where)
        if alone is None:
            text = f"there is no KubeNode and no Machine {name} in namespace {where}; name another with -n"
            raise NotFound(404, "NotFound", text)
        machine = Machine.parse(alone)
        return Plan(str(machine), (), _steps([machine]))


def tables(found: Plan) -> list[Table]:
    """What is to be handed on, and what is to be done on hosts; a line each."""
    out = []
    if found.changes:
        changes = empty("SOFTWARE", "FROM", "TO", "MACHINES", "FIRST OF THEM")
        for one in found.changes:
            row = (one.component, one.before or "-", _after(one.before, one.after))
            changes.add_row(*map(cell, (*row, str(one.machines), ", ".join(one.names))))
        out.append(changes)
    if found.steps:
        steps = empty("MACHINE", "SOFTWARE", "ACTION", "FROM", "TO", "NEEDS")
        for name, step in found.steps:
            done = (name, step.component, step.action, step.before or "-")
            steps.add_row(*map(cell, (*done, _after(step.before, step.after), step.needs)))
        out.append(steps)
    return out


def _after(before: str | None, after: str | None) -> str:
    if after is None:
        return "(goes)"
    return f"{after} (settings)" if after == before else after


def _steps(machines: list[Machine]) -> tuple[tuple[str, PlannedStep], ...]:
    return tuple((m.name, step) for m in machines for step in m.status.plan)
