"""How many Jobs that move backups may run at the same time, shared fairly by namespace."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.decoding.truncation import ANYTHING
from kok.kube.errors import TooLarge
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.jobs import outcome
from kok.runtime.controller.errors import Wait
from kok.runtime.process.event_loop import at_nobodys_expense

COUNTED = ("backup", "verify")
"""Restores and removals are few and waited for: they come at once."""
AGAIN = 5.0
FRESH = 4.0
"""Seconds for which an answer of the API server is good."""
LEISURE = 4.0
"""The same, in times of what it took to get it."""
LONGEST = 60.0
NAMESPACES = 1000
"""Namespaces of which answers are remembered, all that are in use being more if need be."""
REMEMBERED = 600.0
"""Seconds after which each answer that is looked at shows what was begun before."""


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
    """Counts what the API server has, so that neither a restart nor another leader miscounts.

    Anybody can make Jobs that look like these, large and many, and a try of each that waits would
    read them all: so an answer is shared by all who ask within seconds, and nobody asks for those
    of other namespaces whose own namespace has its share already.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._monotonic = monotonic
        self._counts: dict[str | None, _Count] = {}
        self._begun: list[_Begun] = []

    @asynccontextmanager
    async def one(self, kube: Kube, namespace: str, watched: Sequence[str]) -> AsyncIterator[None]:
        """Held while a Job is created; raises `Wait` if too many run already.

        `watched` are the namespaces that are looked after, all of them if empty.
        """
        own = self._count_of(namespace)
        await own.look(kube)
        self._refuse(waits_for(self._running([own]), namespace, self._limit))
        others = [self._count_of(where) for where in watched or (None,)]
        known = await asyncio.gather(*(one.try_to_look(kube) for one in others))
        if not all(known):
            # Who made that many must not stop everybody: those count who asked for places lately.
            others = [one for one in self._counts.values() if one.is_fresh()]
        # Nothing is waited for from here on: whoever comes next counts this one.
        self._refuse(waits_for(self._running([own, *others]), namespace, self._limit))
        begun = _Begun(namespace)
        self._begun.append(begun)
        try:
            yield
        finally:
            begun.ended = self._monotonic()

    def _count_of(self, where: str | None) -> _Count:
        if len(self._counts) >= NAMESPACES:
            self._counts = {key: one for key, one in self._counts.items() if one.is_in_use()}
        return self._counts.setdefault(where, _Count(where, self._monotonic))

    def _running(self, counts: Iterable[_Count]) -> Counter[str]:
        """The most that any answer says of each namespace, with what was begun too late for it."""
        past = self._monotonic() - REMEMBERED
        self._begun = [one for one in self._begun if one.ended is None or one.ended > past]
        found: Counter[str] = Counter()
        for count in counts:
            found |= count.found + Counter(
                one.namespace
                for one in self._begun
                if one.ended is None or one.ended >= count.since
                if count.where in {None, one.namespace}
            )
        return found

    def _refuse(self, why: str | None) -> None:
        if why is not None:
            text = f"{why}, as many as may run at the same time (setting worker_jobs)"
            raise Wait(reasons.QUEUED, text, after=AGAIN)


@dataclass(slots=True)
class _Begun:
    """A Job that this process creates or has created: no list that began before shows it."""

    namespace: str
    ended: float | None = None
    """When its creation was over, in monotonic seconds."""


class _Count:
    """Jobs that hold places, in one namespace or (None) in all, as they were a few seconds ago."""

    def __init__(self, where: str | None, monotonic: Callable[[], float]) -> None:
        self.where = where
        self.found: Counter[str] = Counter()
        self.since = float("-inf")
        """When the list of `found` began."""
        self._until = float("-inf")
        self._too_many: TooLarge | None = None
        self._monotonic = monotonic
        self._lock = asyncio.Lock()

    def is_fresh(self) -> bool:
        """Whether the answer is good for those who ask now."""
        return self._monotonic() < self._until

    def is_in_use(self) -> bool:
        """Whether anybody asks for it, or has asked for it lately."""
        return self.is_fresh() or self._lock.locked()

    async def look(self, kube: Kube) -> None:
        """Counts anew unless that was done just now: those who ask meanwhile share the answer.

        Raises `KubeError`; of too many Jobs for a while without asking again.
        """
        async with self._lock:
            if not self.is_fresh():
                await at_nobodys_expense(self._ask(kube))
            if self._too_many is not None:
                raise self._too_many

    async def try_to_look(self, kube: Kube) -> bool:
        """The same; whether they are not too many to be counted."""
        try:
            await self.look(kube)
        except TooLarge:
            return False
        return True

    async def _ask(self, kube: Kube) -> None:
        labels = f"{naming.LABEL_WORKER} in ({','.join(COUNTED)})"
        began, self._too_many = self._monotonic(), None
        listed: list[Manifest] = []
        try:
            # Neither large nor many Jobs of one namespace may keep others from theirs.
            listed = await kube.list(
                kinds.JOB, self.where, labels=labels, unread=ANYTHING, keep=_place
            )
        except TooLarge as error:
            self._too_many = error
        self.found = Counter(str(job["namespace"]) for job in listed if job)
        self.since, now = began, self._monotonic()
        # What takes long is asked for the more rarely: nobody may make it all that is done here.
        self._until = now + min(max(FRESH, LEISURE * (now - began)), LONGEST)


def _place(job: Manifest) -> Manifest:
    """The namespace of a Job that holds a place, as one that is an EtcdBackup's may."""
    kind = EtcdBackup.info.kind
    ours = any(
        bool(owner.get("controller"))
        and (owner.get("apiVersion"), owner.get("kind")) == (kind.api_version, kind.kind)
        for owner in job["metadata"].get("ownerReferences") or ()
    )
    if not ours or not outcome.holds_a_slot(job):
        return {}
    return {"namespace": str(job["metadata"]["namespace"])}
