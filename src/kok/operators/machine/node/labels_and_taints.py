"""Labels and taints of the spec on the Node of a Machine."""

from __future__ import annotations

from dataclasses import dataclass

from kok.api.machine.machine import Machine
from kok.kube import kinds
from kok.kube.errors import Conflict, KubeError, NotFound, Unreachable
from kok.operators.machine import gpus, reasons
from kok.operators.machine.node import nodes
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.operators.machine.node.nodes import NodeView
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass

CONFLICT_AGAIN = 1.0
"""Seconds after which a write that met another one is tried again."""
REFUSED_AGAIN = 15.0
"""Seconds after which what the API refused is tried again."""


@dataclass(frozen=True, slots=True)
class Marking:
    """What came of it."""

    after: float | None = None
    """Seconds until the next pass, if there has to be one."""
    done: bool = False
    """Whether the Node has all of them now."""
    refused: Verdict | None = None
    """Why the business cluster does not take them."""


async def apply(p: Pass[Machine], connection: ClusterConnection, found: NodeView) -> Marking:
    """Sets labels and taints of the Node, and records before which ones. Raises `Unreachable`.

    Not of one that has more of them than are kept: those of others would go.
    """
    if not found.whole:
        return Marking()
    spec, status = p.obj.spec, p.status
    labels = gpus.labels(p.obj, status.facts.gpu if status.facts is not None else None)
    patch = nodes.patch(found, labels, spec.taints, status.node_marks)
    wanted = nodes.marks(labels, spec.taints)
    if patch is not None:
        both = nodes.union(status.node_marks, wanted)
        if both != status.node_marks:
            status.node_marks = both
            await p.latch()
        try:
            changed = await p.guarded(connection.kube).patch(kinds.NODE, found.name, None, patch)
        except (Conflict, NotFound):
            return Marking(CONFLICT_AGAIN)
        except Unreachable:
            raise
        except KubeError as error:
            return Marking(REFUSED_AGAIN, refused=_refused(p.obj, found.name, error))
        connection.saw(changed)
    status.node_marks = wanted
    # The pass goes by the Node as it was. The watch, which now brings what is known already, wakes
    # nobody.
    return Marking(None if patch is None else 0.0, done=True)


def _refused(machine: Machine, node: str, error: KubeError) -> Verdict:
    """Of labels and taints that the business cluster does not take: the Node serves without them."""
    return Verdict(
        False,
        reasons.MARKS_REFUSED,
        f"the API of Cluster {machine.spec.cluster} refuses labels and taints of Node {node}: "
        f"{error.message[:500]}; correct spec.labels and spec.taints, or what refuses them there",
    )
