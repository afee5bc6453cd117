"""Hosts as they are worked on: over one connection each, by one operation at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine.remote import commands, jobs, watching
from kok.operators.machine.remote.host_credentials import HostCredentials
from kok.operators.machine.remote.host_identity import place_of
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.join import Joining
from kok.operators.machine.remote.session import NEVER, HostMemory, Sessions
from kok.operators.machine.remote.ssh import (
    Connection,
    Connections,
    HostError,
    ScriptFailed,
    Target,
)
from kok.operators.machine.remote.survey import Identity, Owner, SurveyRequest
from kok.operators.machine.remote.watching import Watch, Watched
from kok.runtime.clock import Clock

_LOST = -1


class Hosts:
    """All hosts of one process: how to log in, the connections, and what is remembered of each."""

    def __init__(
        self, connections: Connections, sessions: Sessions, credentials: HostCredentials
    ) -> None:
        self.connections = connections
        self.sessions = sessions
        self.credentials = credentials
        self._installation = ""

    async def installation(self, kube: Kube) -> str:
        """What tells this meta cluster from others: hosts are marked with it. Raises `KubeError`."""
        if not self._installation:
            found = await kube.get(kinds.NAMESPACE, "kube-system")
            self._installation = str((found or {}).get("metadata", {}).get("uid", ""))
        return self._installation

    def forget(self, uid: str) -> None:
        """A Machine, or a Host that is cleaned up, is gone: what goes on at its host is ended."""
        self.sessions.end(uid)
        self.connections.drop(uid)

    def close(self) -> None:
        """Ends everything that goes on; what runs on hosts goes on."""
        self.sessions.close()
        self.connections.close()


@dataclass(frozen=True, slots=True)
class HostClient:
    """What can be done at one host; what is found out there goes into its memory."""

    connections: Connections
    clock: Clock
    uid: str
    """The Machine's."""
    target: Target
    memory: HostMemory
    wake: Callable[[], None]
    key: str = ""
    """Of the connection; the Machine's UID if empty."""

    async def _connection(self) -> Connection:
        return await self.connections.get(self.key or self.uid, self.target, self._lost)

    def _lost(self, error: HostError) -> None:
        """The host, or the way to it, is no longer what it was."""
        self.memory.lost(error, self.clock.monotonic())
        self.wake()

    async def look(self, what: SurveyRequest) -> None:
        """Sees how the host is."""
        connection, asked = await self._connection(), self.clock.monotonic()
        found = await commands.look(
            connection, what.questions, what.urls, what.towards, self.clock.now
        )
        memory = self.memory
        memory.survey = found.of(what.questions, what.urls)
        memory.asked, memory.identity, memory.identified = what.digest, found.identity, asked
        memory.surveyed = self.clock.monotonic()
        memory.place, memory.reached = place_of(self.target), connection.reached

    async def watch(self, what: Watch) -> None:
        """Has the host watched for as long as it answers, and wakes the Machine with all that is
        another than before."""
        memory = self.memory
        memory.watched = Watched(what.digest)

        def told(line: str) -> None:
            before = memory.watched or Watched(what.digest)
            now = memory.watched = watching.take(before, line, self.clock.monotonic())
            if now.changes != before.changes:
                memory.surveyed = NEVER
            if replace(now, rounds=min(now.rounds, 1)) != replace(
                before, rounds=min(before.rounds, 1)
            ):
                self.wake()

        try:
            while True:
                await self._watch_once(what, told)
        except HostError as error:
            # Whoever looks at the host next finds out more, and has it watched again.
            memory.lost(error, self.clock.monotonic())
        finally:
            if memory.watched is not None and memory.watched.digest == what.digest:
                memory.watched = None
        self.wake()

    async def _watch_once(self, what: Watch, told: Callable[[str], None]) -> None:
        connection = await self._connection()
        # Where one command at a time is all there may be, others must have their turn.
        held = await connection.side_by_side() > 1
        seconds = watching.SECONDS if held else watching.ONCE
        begun = self.clock.monotonic()
        # Of one that fails the connection is well, and there is nothing else that would tell.
        with suppress(ScriptFailed):
            await watching.follow(connection, what, told, seconds=seconds)
        # Nor is one that is through at once begun again and again, whatever the host says.
        pause = begun + watching.AGAIN - self.clock.monotonic() if held else watching.TICK
        await self.clock.wait(asyncio.Event(), max(0.0, pause))

    async def run_jobs(
        self, plans: Sequence[JobPlan], owner: Owner, ended: Callable[[JobPlan, JobResult], None]
    ) -> None:
        """Has jobs done; `ended` is called for each as it ends."""
        by_id = {plan.id: plan for plan in plans}

        def told(result: JobResult) -> None:
            self.memory.heard_of(result.id, result)
            if result.ended:
                ended(by_id[result.id], result)
            self.wake()

        await commands.work(await self._connection(), plans, owner, told, self.clock)
        if self.memory.survey is not None:
            self.memory.survey = replace(self.memory.survey, owner=owner)

    async def reboot(self, boot: str) -> None:
        """Boots the host if it still is in that boot, and returns if it is not. Raises `HostError`,
        also as the connection ends with the boot."""
        try:
            await commands.reboot(await self._connection(), self.uid, boot)
        finally:
            self.memory.surveyed = NEVER

    async def join(self, joining: Joining) -> None:
        """Lets the kubelet in."""
        memory = self.memory
        memory.identity = await commands.let_join(await self._connection(), joining)
        # What it told was asked for after the kubelet was started.
        memory.joined = memory.changed = memory.identified = self.clock.monotonic()

    async def finish_joining(self) -> Identity:
        """Takes the bootstrap token off the host, once the kubelet has a certificate of its own."""
        memory = self.memory
        asked = memory.finished = self.clock.monotonic()
        found = await commands.finish_joining(await self._connection(), self.uid)
        memory.identity, memory.identified = found, asked
        memory.unfinished = memory.unfinished + 1 if found.bootstrap else 0
        return found

    async def adopt(self, owner: Owner, homes: Sequence[commands.Home], replaces: str) -> None:
        """Marks the host as the owner's, and leaves all that is there as it is."""
        try:
            await commands.adopt(await self._connection(), owner, homes, replaces)
        finally:
            self.memory.surveyed = NEVER

    async def release(self, *, token: bool) -> None:
        """Takes away what is ours alone, and leaves the host the node that it is."""
        await commands.release(await self._connection(), self.uid, token=token)
        self.memory.survey = None
        self.memory.surveyed = NEVER
        self.memory.cleaned = True

    async def clean(self, owner: Owner, *, marked: bool = False) -> None:
        """Takes everything of an owner away from the host. Raises `RemovalFailed` if the job
        for that did not go through, and `HostTaken` if the host is somebody else's, or, with
        `marked`, nobody's."""
        connection = await self._connection()
        ends: list[JobResult] = []

        def told(result: JobResult) -> None:
            self.memory.heard_of(jobs.REMOVAL, result)
            if result.ended:
                ends.append(result)
            self.wake()

        job = jobs.removal_job(owner.uid, self.memory.removals)
        await commands.work(connection, [job], owner, told, self.clock, marked=marked)
        if ends and ends[-1].exit == 0:
            # Whatever is left is only taken away by a job of another name.
            self.memory.removals += 1
            await commands.forget(connection, owner.uid)
            self.memory.survey = None
            self.memory.surveyed = NEVER
            self.memory.jobs.clear()
            self.memory.cleaned = owner.uid == self.uid
            self.memory.reclaimed = self.clock.monotonic()
            return
        self.memory.removals += 1
        end = ends[-1] if ends else JobResult(jobs.REMOVAL, _LOST)
        raise commands.RemovalFailed(end.message or "the removal ended without telling how", end)
