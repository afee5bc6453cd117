"""What the release of a Machine does: at its host, in its cluster, and for those who are told."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from kok.kube import kinds
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.operators.machine import reasons
from kok.operators.machine.machine.operations.removal_calls import (
    API_AGAIN,
    RemovalContext,
    ReportClean,
    take_token_back,
)
from kok.operators.machine.node.cordon import uncordon
from kok.runtime.controller.errors import Wait


@dataclass(frozen=True, slots=True)
class ReleaseHost:
    """Takes away what is KOK's own on the host, apart from the pass."""

    token: bool
    """Whether there may be a bootstrap token of ours."""

    async def run(self, context: RemovalContext) -> None:
        """Begins it."""
        if context.client is not None:
            work = context.client.release(token=self.token)
            context.session.start("release", work, context.p.wake)


@dataclass(frozen=True, slots=True)
class LetGo:
    """Leaves the host with KOK's mark on it, and tells people what that means."""

    why: str

    async def run(self, context: RemovalContext) -> None:
        """Does it."""
        p = context.p
        context.session.cancel()
        p.event(
            reasons.HOST_ABANDONED,
            f"host {p.obj.spec.address} stays a node, but still bears the mark of KOK ({self.why[:500]}); "
            "remove /var/lib/kok on it, or whoever gets it next cleans it up",
            warning=True,
        )
        # A Host that has one would be cleaned up for it.
        await ReportClean().run(context)


@dataclass(frozen=True, slots=True)
class ReleaseNode:
    """Lets pods get to the node again where a Machine kept them away; labels and taints stay."""

    patience: str | None
    """What is waited for, should the API not answer; None: it had its time."""

    async def run(self, context: RemovalContext) -> None:
        """Does it. Raises `Wait` as long as the API may still answer."""
        p = context.p
        if not context.objects.cluster_gone:
            await self._uncordon(context)
            await take_token_back(context)
        spec = p.obj.spec
        text = f"host {spec.address} stays node {spec.node} of Cluster {spec.cluster} as it is"
        p.event(reasons.RELEASED, text)
        context.memory.forgotten = True

    async def _uncordon(self, context: RemovalContext) -> None:
        p, objects, connection = context.p, context.objects, context.connection
        name, why = p.obj.spec.node, "does not answer"
        if connection is not None and objects.nodes_known:
            node = objects.node
            if node is None or node.cordoned_by != f"{p.obj.namespace}/{p.obj.name}":
                return
            try:
                with suppress(NotFound):
                    await connection.kube.patch(kinds.NODE, name, None, uncordon(node))
                return
            except Conflict:
                raise Wait(reasons.RELEASING, f"Node {name} was just changed", 0.2) from None
            except KubeError as error:
                p.log.info("node not uncordoned", node=name, error=error.message)
                why = error.told
        if self.patience is not None:
            raise Wait(reasons.RELEASING, self.patience, API_AGAIN)
        if p.obj.status.operation is not None:
            text = f"Node {name} may be left cordoned in Cluster {p.obj.spec.cluster}, whose API {why[:400]}"
            p.event(reasons.NODE_LEFT_BEHIND, f"{text}; see `kubectl uncordon`", warning=True)
