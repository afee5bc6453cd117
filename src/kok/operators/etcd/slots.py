"""How many Jobs that move backups may run at the same time, shared fairly by namespace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from kok.api.etcdbackup import EtcdBackup
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.cutting import ANYTHING
from kok.operators.etcd import jobs, layout, reasons
from kok.runtime.errors import Wait

COUNTED = ("backup", "verify")
"""Restores and removals are few and waited for: they come at once."""
AGAIN = 5.0


def waits_for(running: Mapping[str, int], namespace: str, limit: int) -> str | None:
    """What a further Job of a namespace has to wait for, or None; `running` is by namespace.

    A namespace has three quarters of `limit` at most. Beyond `limit`, and up to twice as many, the
    first Job of a namespace still starts: a tenant whose store is silent holds his own for an hour.
    """
    share = max(1, limit * 3 // 4)
    mine = running.get(namespace, 0)
    # Who makes such Jobs by hand may have any number of them.
    total = sum(min(count, share) for count in running.values())
    if mine >= share:
        return f"{mine} Jobs that move backups of this namespace run already"
    if total >= (limit if mine else limit * 2):
        return f"{total} Jobs that move backups run already"
    return None


class Slots:
    """Counts what the API server has, so that neither a restart nor another leader miscounts."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def one(self, kube: Kube, namespace: str, watched: Sequence[str]) -> AsyncIterator[None]:
        """Held while a Job is created; raises `Wait` if too many run already.

        `watched` are the namespaces that are looked after, all of them if empty.
        """
        async with self._turn:
            labels = f"{layout.LABEL_WORKER} in ({','.join(COUNTED)})"
            found = await asyncio.gather(
                *(
                    # Neither large nor many Jobs of one namespace may keep others from theirs.
                    kube.list(kinds.JOB, where, labels=labels, unread=ANYTHING, keep=_place)
                    for where in watched or (None,)
                )
            )
            running = Counter(
                place["namespace"] for some in found for place in some if place["held"]
            )
            why = waits_for(running, namespace, self._limit)
            if why is not None:
                text = f"{why}, as many as may run at the same time (setting worker_jobs)"
                raise Wait(reasons.QUEUED, text, after=AGAIN)
            yield


def _place(job: Manifest) -> Manifest:
    """The namespace of a Job, and whether it holds a place: one that is an EtcdBackup's may."""
    kind = EtcdBackup.info.kind
    ours = any(
        bool(owner.get("controller"))
        and (owner.get("apiVersion"), owner.get("kind")) == (kind.api_version, kind.kind)
        for owner in job["metadata"].get("ownerReferences") or ()
    )
    held = ours and jobs.holds_a_slot(job)
    return {"namespace": str(job["metadata"]["namespace"]), "held": held}
