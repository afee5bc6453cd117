"""What a change does to the Node for which that has to be drained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.api.operation import Operation
from kok.kube import kinds
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.operators.machine import reasons
from kok.operators.machine.machine.operations.host_steps import StepContext
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.operators.machine.node.cordon import cordon, uncordon
from kok.operators.machine.node.drain import Drain, DrainTimings
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote.session import HostMemory
from kok.runtime.controller.reconciler import Pass
from kok.runtime.operations.action import transition

EMPTY: Final = "empty"
"""No pod was left that has to leave."""
DEAD: Final = "dead"
"""Pods were left on a node that does not answer, and that nobody ends therefore."""
EVICT: Final = "evict"
"""What goes on while the node is drained, apart from the passes."""
LASTS = 15.0
"""Seconds after which that ends, so that the host is looked at and what is wanted is seen. More than a
node has to be silent to count as dead."""
SLOW = 5.0
"""Seconds between two looks at pods that have been in the way for long."""


def record_operation(
    p: Pass[Machine], memory: HostMemory, now: Operation | None, *, drained: bool
) -> bool:
    """Puts what is under way into the status; whether that must be written before it is begun.

    `drained`: whether it has come so far that the drain is over.
    """
    before = p.status.operation
    for reason, text in transition(before, now):
        p.event(reason, text)
    if now is not None and drained and memory.forced:
        text = f"{now.reason}; pods were deleted in spite of their disruption budgets"
        p.event(reasons.DRAIN_FORCED, text, warning=True)
        memory.forced = False
    p.status.operation = now
    return now is not None and now != before


@dataclass(frozen=True, slots=True)
class CordonNode:
    """Keeps new pods away from the node, in the name of the Machine."""

    async def run(self, context: StepContext) -> None:
        """Does it, unless the Node has changed since it was looked at."""
        machine, node = context.p.obj, context.view.objects.node
        if node is not None:
            await _patch(context, node, cordon(node, f"{machine.namespace}/{machine.name}"))


@dataclass(frozen=True, slots=True)
class UncordonNode:
    """Lets pods get to the node again."""

    async def run(self, context: StepContext) -> None:
        """Does it, unless the Node has changed since it was looked at."""
        if context.session.doing == EVICT:
            context.session.cancel()
        memory, node = context.session.memory, context.view.objects.node
        memory.emptied, memory.draining = ("", ""), ""
        if node is not None:
            await _patch(context, node, uncordon(node))


@dataclass(frozen=True, slots=True)
class EmptyNode:
    """Moves pods away, apart from the pass and for a while; then it is looked at again."""

    drain: str
    """Which drain it is."""
    slow: bool = False
    """Whether it has taken so long that it is no use to hurry."""
    deadline: datetime | None = None
    """When disruption budgets no longer count; None: they always do."""

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        p, node, connection = context.p, context.view.objects.node, context.connection
        session, memory = context.session, context.session.memory
        if node is None or connection is None or session.doing:
            return

        def told(text: str) -> None:
            if text != memory.draining:
                memory.draining = text
                p.wake()

        drain = Drain(
            kube=connection.kube,
            clock=p.clock,
            node=node.name,
            alive=lambda: _ready(connection, node.name),
            deadline=self.deadline,
            told=told,
            timings=DrainTimings(again=SLOW) if self.slow else DrainTimings(),
            cordons=False,
            lasts=LASTS,
        )
        session.start(EVICT, self._evict(drain, connection, memory), p.wake)

    def _given_up(self, drain: Drain) -> bool:
        if self.deadline is None or not drain.alive():
            return False
        late = (drain.clock.now() - self.deadline).total_seconds()
        return late > drain.timings.forced

    async def _evict(self, drain: Drain, connection: ClusterConnection, memory: HostMemory) -> None:
        await drain.run()
        memory.forced = memory.forced or drain.forced
        if drain.emptied or self._given_up(drain):
            # Who forces a drain does not wait for pods that never end.
            memory.emptied, memory.draining = (self.drain, EMPTY), ""
        elif not _ready(connection, drain.node):
            memory.emptied = (self.drain, DEAD)


def _ready(connection: ClusterConnection, name: str) -> bool:
    node = connection.nodes.get(name)
    return node is not None and node.ready is True


async def _patch(context: StepContext, node: NodeView, patch: Manifest) -> None:
    memory, connection = context.session.memory, context.connection
    if connection is None:
        return
    cluster = context.p.obj.spec.cluster
    try:
        kube = context.p.guarded(connection.kube)
        connection.saw(await kube.patch(kinds.NODE, node.name, None, patch))
    except (Conflict, NotFound):
        return
    except KubeError as error:
        memory.draining = f"the API of Cluster {cluster} {error.told}"[:300]
        raise
    memory.draining = ""
