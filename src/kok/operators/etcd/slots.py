"""How many Jobs that move backups may run at the same time, over all EtcdClusters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.etcd import jobs, layout, reasons
from kok.runtime.errors import Wait

COUNTED = ("backup", "verify")
"""Restores and removals are few and waited for: they come at once."""
AGAIN = 5.0


class Slots:
    """Counts what the API server has, so that neither a restart nor another leader miscounts."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def one(self, kube: Kube, namespaces: Sequence[str], mine: str) -> AsyncIterator[None]:
        """Held while a Job is created in namespace `mine`; raises `Wait` if too many run already.

        `namespaces` are those that are looked after, all of them if empty.
        """
        async with self._turn:
            labels = f"{layout.LABEL_WORKER} in ({','.join(COUNTED)})"
            found = await asyncio.gather(
                *(kube.list(kinds.JOB, where, labels=labels) for where in namespaces or (None,))
            )
            running = [job for some in found for job in some if jobs.holds_a_slot(job)]
            why = full(running, mine, self._limit)
            if why is not None:
                raise Wait(reasons.QUEUED, why, after=AGAIN)
            yield


def full(running: Sequence[Manifest], mine: str, limit: int) -> str | None:
    """Why no Job may be added in namespace `mine`, or None. Pure.

    One place is kept for others: a namespace whose Jobs hang must not hold up all backups.
    """
    if len(running) >= limit:
        return (
            f"{len(running)} Jobs that move backups run already, as many as may run at the same "
            "time (setting worker_jobs)"
        )
    here = sum(job["metadata"]["namespace"] == mine for job in running)
    share = max(1, limit - 1)
    if here >= share:
        return (
            f"{here} Jobs that move backups run in namespace {mine} already; the last place is kept "
            "for other namespaces (setting worker_jobs)"
        )
    return None
