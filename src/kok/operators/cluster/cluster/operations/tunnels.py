"""What `spec.network.tunnel: Auto` comes to: straight, until something turns out not to be reached.

A tunnel that was found to be needed stays until somebody writes another word: whether it still is could
only be found out without it.
"""

from __future__ import annotations

from datetime import datetime

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import TunnelStatus
from kok.operators.cluster import reasons
from kok.operators.cluster.businesscluster.reach import Reach
from kok.runtime.controller.reconciler import Pass

_WHY = 512


def decide(cluster: Cluster, inside: Reach | None, now: datetime) -> TunnelStatus | None:
    """What the status is to say; None as long as there is to be none because of `Auto`. Pure."""
    if cluster.spec.network.tunnel != "Auto":
        return None
    if cluster.status.tunnel is not None or inside is None:
        return cluster.status.tunnel
    # A node that dies is not reached either, until it is no longer Ready.
    lost = inside.lasting
    return TunnelStatus(since=now, why=lost[0][:_WHY]) if lost else None


async def settle(p: Pass[Cluster], inside: Reach | None) -> None:
    """Records it; the next pass, which comes at once, acts on what is recorded."""
    found = decide(p.obj, inside, p.now)
    if found == p.obj.status.tunnel:
        return
    p.status.tunnel = found
    if found is not None:
        p.event(reasons.TUNNEL_NEEDED, f"API servers do not reach {found.why}")
    await p.latch()
    p.wake()
