"""What can be asked of a host, each in one round trip over its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kok.operators.machine import reasons
from kok.operators.machine.remote import host_paths, jobs, join, shell, survey
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.ssh import Connection, HostError, ScriptFailed
from kok.operators.machine.remote.survey import Identity, Owner, Question, Survey
from kok.runtime.clock import Clock

SURVEY_DEADLINE = 60.0
STEP_DEADLINE = 90.0
"""Seconds; stopping a kubelet that hangs takes systemd up to 90, but then we may ask again."""
_SILENT_ROUNDS = 3
"""How often a host may be asked for jobs and tell of none of them."""
_MARGIN = 5.0 * jobs.PATIENCE
"""Seconds that jobs may be late: they are stopped on the host when their time is over."""
_FOREIGN_OWNER = 75
_ENDPOINT_UNREACHABLE = 79
_QUOTED = 512
"""Characters of what a host says of the way to an endpoint."""


@dataclass(frozen=True, slots=True)
class Home:
    """Software that is left as it was found on a host, with all by which it is taken away in the end."""

    name: str
    uninstall: str = field(repr=False)
    """Its script."""
    services: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()
    """A place in each, and the names of what it makes there, with blanks between them."""


class HostTaken(HostError):
    """The host belongs to another Machine."""

    reason = reasons.HOST_IN_USE

    def __init__(self, message: str, owner: Owner) -> None:
        super().__init__(message)
        self.owner = owner


class EndpointUnreachable(HostError):
    """The cluster's API cannot be reached from the host."""

    reason = reasons.ENDPOINT_UNREACHABLE


class RemovalFailed(HostError):
    """The job that cleans up did not go through."""

    def __init__(self, message: str, result: JobResult) -> None:
        super().__init__(message)
        self.reason = result.reason or reasons.JOB_FAILED
        self.result = result


async def look(
    connection: Connection,
    questions: Iterable[Question],
    urls: Sequence[str],
    towards: str,
    now: Callable[[], datetime],
) -> Survey:
    """All about the host."""
    text = survey.script(questions, urls, towards)
    output = await connection.run(text, deadline=SURVEY_DEADLINE)
    return survey.parse(output, now())


async def work(
    connection: Connection,
    plans: Sequence[JobPlan],
    owner: Owner,
    told: Callable[[JobResult], None],
    clock: Clock,
    *,
    marked: bool = False,
) -> None:
    """Starts what never ran and tells of each job when it ends; returns when all have ended.

    Also tells of those that run from time to time. The host is claimed first, or has to be claimed
    already if it has to be `marked`: `HostTaken`. A host
    that tells of no job, or that a job still runs when its time is over, is given up.
    """
    waiting = {plan.id: plan for plan in plans}
    heard: set[str] = set()

    def take(line: str) -> None:
        result = jobs.parse_line(line)
        # Of each job the script tells once.
        if result is not None and result.id in waiting and result.id not in heard:
            if result.ended:
                del waiting[result.id]
            heard.add(result.id)
            told(result)

    begun, rounds, silent = clock.monotonic(), 0, 0
    until = begun + sum(plan.timeout for plan in plans) + _MARGIN
    while waiting:
        asked = clock.monotonic()
        heard.clear()
        text = jobs.start_script(list(waiting.values()), owner, marked=marked)
        await _run(connection, text, deadline=jobs.PATIENCE + 30.0, each=take)
        rounds, silent = rounds + 1, 0 if heard else silent + 1
        if waiting and (silent >= _SILENT_ROUNDS or clock.monotonic() > until):
            raise ScriptFailed(_untold(connection, silent), -1)
        if waiting:
            # A host that means it waits for its jobs by itself, as long as this.
            pause = asked + min(jobs.PATIENCE, 2.0 ** min(rounds, 10)) - clock.monotonic()
            await clock.wait(asyncio.Event(), pause)


def _untold(connection: Connection, silent: int) -> str:
    place = connection.target.place
    if silent:
        return f"host {place} ends what is to wait for jobs without a word about any of them"
    return f"host {place} tells of jobs that still run although their time is over"


async def let_join(connection: Connection, joining: join.Joining) -> Identity:
    """Writes what the kubelet needs and starts it. Raises `EndpointUnreachable`."""
    try:
        output = await _run(connection, join.script(joining), deadline=STEP_DEADLINE)
    except ScriptFailed as error:
        if error.code != _ENDPOINT_UNREACHABLE:
            raise
        problem = " ".join(shell.decoded(_said(error.output, "endpoint")).split())[:_QUOTED]
        raise EndpointUnreachable(
            f"host {connection.target.place} cannot reach the cluster's API at "
            f"{joining.endpoint.server}: {problem or 'no answer'}; check routes and firewalls "
            "between them"
        ) from error
    return survey.parse_identity(output)


async def finish_joining(connection: Connection, uid: str) -> Identity:
    """Removes the bootstrap token if it is no longer needed; the kubelet's identity."""
    output = await _run(connection, join.finish_script(uid), deadline=STEP_DEADLINE)
    return survey.parse_identity(output)


async def reboot(connection: Connection, uid: str, boot: str) -> None:
    """Boots the host if it still is in that boot; it does not return before the host goes down."""
    text = shell.compose({"KOK_UID": uid, "KOK_BOOT": boot}, shell.library("reboot"))
    await _run(connection, text, deadline=STEP_DEADLINE)


async def adopt(connection: Connection, owner: Owner, homes: Sequence[Home], replaces: str) -> None:
    """Marks a host as the owner's, and notes there what is left as it is; nothing else is touched."""
    parts = []
    for item in homes:
        parts += [
            shell.call("home", item.name),
            shell.feed("noted", "uninstall", content=item.uninstall),
            shell.feed("noted", "services", content="".join(f"{s}\n" for s in item.services)),
            shell.feed("noted", "remains", content="".join(f"{r}\n" for r in item.remains)),
            "as_found\n",
        ]
    known = {"KOK_UID": owner.uid, "KOK_OWNER": owner.text(), "KOK_REPLACES": replaces}
    text = shell.compose(known, shell.library("adopt"), *parts, "mark\n")
    await _run(connection, text, deadline=STEP_DEADLINE)


async def release(connection: Connection, uid: str, *, token: bool) -> None:
    """All that is the operator's own goes, and what runs goes on. `token`: a bootstrap token may be
    there that we have made."""
    known = {
        "KOK_UID": uid,
        "KOK_BOOTSTRAP": host_paths.BOOTSTRAP if token else "",
        "KOK_CERTIFICATE": host_paths.CLIENT_CERTIFICATE,
    }
    text = shell.compose(known, shell.library("release"), shell.library("forget"))
    await _run(connection, text, deadline=STEP_DEADLINE)


async def forget(connection: Connection, uid: str) -> None:
    """The last traces of the operator go."""
    text = shell.compose({"KOK_UID": uid}, shell.library("forget"))
    await _run(connection, text, deadline=STEP_DEADLINE)


async def _run(
    connection: Connection,
    text: str,
    *,
    deadline: float,
    each: Callable[[str], None] | None = None,
) -> str:
    try:
        return await connection.run(text, deadline=deadline, each=each)
    except ScriptFailed as error:
        if error.code != _FOREIGN_OWNER:
            raise
        owner = survey.parse_owner(_said(error.output, "owner"))
        target = connection.target
        raise HostTaken(taken(target.place, owner, target.namespace), owner) from error


def taken(place: str, owner: Owner, namespace: str) -> str:
    """The sentence for a host that belongs to somebody else, for readers in a namespace."""
    if not owner.uid:
        return f"host {place} is no longer marked as this Machine's; it will be claimed again"
    if owner.machine.partition("/")[0] == namespace:
        whose = f"Machine {owner.machine} of Cluster {owner.cluster}; delete that Machine first"
    else:
        # What others call their objects is nobody else's business.
        whose = "a Machine of another namespace or of another meta cluster; have that one deleted"
    return (
        f"host {place} serves {whose}, or use another host (if that Machine is gone with its meta "
        "cluster, remove /var/lib/kok/owner on the host)"
    )


def _said(output: str, word: str) -> str:
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == word:
            return rest
    return ""
