"""What a Node needs of its Machine in each pass: certificates for its kubelet, labels and taints."""

from __future__ import annotations

from kok.api.machine.machine import Machine
from kok.kube.errors import Unreachable
from kok.operators.machine.machine.conditions.types import CERTIFIED, MARKED
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.node import labels_and_taints
from kok.operators.machine.node.certificates import Approver
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass


async def look_after(
    p: Pass[Machine],
    view: MachineView,
    connection: ClusterConnection | None,
    approver: Approver,
    told: dict[str, Verdict | None],
    *,
    joined: bool,
) -> float | None:
    """Certificates, labels and taints of the Node, if it is this Machine's; what to say goes to `told`.

    `joined` is whether the host is known to be a member. Returns seconds until the next look.
    """
    found = view.objects.node
    joins = joined or (view.mine and view.memory.joined is not None)
    # The Node of a host that was seen and is not marked as ours is somebody else's so far.
    foreign = view.memory.survey is not None and not view.mine
    if connection is None or connection.answers is False or not joins or foreign:
        return None
    try:
        again = await _approve(p, view, connection, approver, told)
        if found is None:
            return again
        marking = await labels_and_taints.apply(p, connection, found)
    except Unreachable:
        return None  # The next answer of its API wakes the Machine.
    if marking.done or marking.refused is not None:
        told[MARKED] = marking.refused
    return min((s for s in (again, marking.after) if s is not None), default=None)


async def _approve(
    p: Pass[Machine],
    view: MachineView,
    connection: ClusterConnection,
    approver: Approver,
    told: dict[str, Verdict | None],
) -> float | None:
    cluster = view.objects.cluster
    if cluster is None:
        return None
    came = await approver.approve(p, connection, cluster, view.memory.reached)
    if came.verdict is not None:
        told[CERTIFIED] = came.verdict
    return came.after
