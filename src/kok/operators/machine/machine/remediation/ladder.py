"""What to do about a fault of a host: restart, reinstall, reboot, replace. Pure, and of no host.

A fault has to last before anything is tried. Each attempt has its patience, which doubles with every
further one of its kind; then the next rung follows. When all of it was tried in vain, nothing is done
for a while that doubles as well, and it begins anew.

What is begun is recorded first, with the ID of its job, which a host does once at most. So an operator
that was killed between the two goes on with that very attempt, and never makes another one of it. What
was tried is remembered for a while after the host is well: a fault that comes back goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kok.api.fields import span
from kok.api.machine.remediation import (
    HISTORY,
    Remediation,
    RemediationAttempt,
    RemediationJob,
    RemediationStatus,
    Rung,
)
from kok.operators.machine import reasons

RUNGS: Final[tuple[Rung, ...]] = ("Restart", "Reinstall", "Reboot", "Replace")
TRIES: Final[dict[Rung, int]] = {"Restart": 2, "Reinstall": 1, "Reboot": 1, "Replace": 1}
"""How often each is tried before the next one."""
CALM = timedelta(minutes=10)
"""For which a host has to be well until what was tried is forgotten."""
FAILED = timedelta(seconds=5)
"""After which more is tried where the job of an attempt failed; no patience brings that back."""
PATIENCE_MOST = timedelta(hours=1)
BACK_OFF, BACK_OFF_MOST = timedelta(minutes=10), timedelta(hours=6)
"""For which nothing is done after all was tried in vain; twice as long with each further time."""
HELD_AGAIN = 15.0
"""Seconds after which it is asked again whether the breaker holds."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a host."""

    kind: str
    """A reason of the condition `Healthy`."""
    message: str
    service: str = ""
    component: str = ""
    rungs: tuple[Rung, ...] = RUNGS
    """What may help."""
    settle: timedelta = timedelta()
    """For which it has to last before anything is tried."""

    @property
    def identity(self) -> tuple[str, str]:
        """The same for the same fault."""
        return self.kind, self.service


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision depends on."""

    uid: str
    """The Machine's."""
    policy: Remediation
    known: RemediationStatus | None
    """As recorded, with what became of the newest job."""
    fault: Fault | None
    now: datetime
    certain: bool = True
    """Whether no fault means that the host is well, and not that nothing is known of it."""
    reached: bool = True
    """Whether something can be done at the host."""
    pooled: bool = False
    """Whether another host can take its place."""
    busy: str = ""
    """Why nothing may be done about this host now, as a sentence."""
    paused: str = ""
    """Why nothing is to be begun at this host, for as long as people want that, as a sentence."""
    held: str = ""
    """Why nothing may be done about any host, as a sentence."""
    boot_id: str = ""
    """Of the host, as last seen."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do."""

    record: RemediationStatus | None = None
    """What is known by now, to be recorded whatever happens."""
    rung: Rung | None = None
    """What to do now, if anything."""
    taken: RemediationStatus | None = None
    """What is to be recorded before that."""
    after: float | None = None
    """Seconds until the next look; None: until something changes."""

    @property
    def begins(self) -> bool:
        """Whether it is another attempt, not one that goes on."""
        return self.rung is not None and self.taken != self.record


def decide(given: Situation) -> Remedy:
    """What to do now."""
    if given.policy.mode == "Off":
        return Remedy()
    if given.fault is None:
        return _well(given)
    record = _seen(given.known, given.fault, given.now)
    why = "spec.remediation.mode is Report" if given.policy.mode == "Report" else given.busy
    return Remedy(_held(record, why)) if why else _climb(record, given)


def _climb(record: RemediationStatus, given: Situation) -> Remedy:
    if outstanding(record) and given.reached:
        record = _held(record, "")
        return Remedy(record, record.rung, record)
    if given.paused:
        return Remedy(_held(record, given.paused))
    record = _held(_spent(record, given), "")
    rung = _next(record, given)
    wait = (_due(record, given, rung) - given.now).total_seconds()
    if wait > 0:
        return Remedy(record, after=wait)
    if rung is None:
        return Remedy(record)
    if given.held:
        return Remedy(_held(record, given.held), after=HELD_AGAIN)
    return Remedy(record, rung, _taken(record, rung, given))


def outstanding(known: RemediationStatus) -> bool:
    """Whether an attempt was begun of which it is not known how it ended."""
    return known.job is not None and bool(known.job.id) and known.job.exit is None


def active(known: RemediationStatus | None) -> bool:
    """Whether there is a fault now."""
    return known is not None and known.well is None


def given_up(known: RemediationStatus | None) -> bool:
    """Whether another host is to take the place of this one."""
    return known is not None and known.well is None and known.rung == "Replace"


def spent(known: RemediationStatus | None) -> bool:
    """Whether all was tried that can be at the host, and the fault is still there."""
    return (
        known is not None and known.well is None and (known.rung == "Replace" or known.rounds > 0)
    )


def _well(given: Situation) -> Remedy:
    known = given.known
    if known is None or not given.certain:
        return Remedy(known)
    well = known.well or given.now
    left = (well + CALM - given.now).total_seconds()
    if left <= 0 or known.attempts == 0:
        # What went by itself has nothing to be remembered of.
        return Remedy()
    return Remedy(known.model_copy(update={"well": well, "held": None}), after=left)


def _seen(known: RemediationStatus | None, fault: Fault, now: datetime) -> RemediationStatus:
    told = {
        "fault": fault.kind,
        "service": fault.service or None,
        "component": fault.component or None,
        "message": fault.message[:1024],
    }
    if known is None:
        return RemediationStatus.model_validate({**told, "since": now})
    if known.well is None:
        # One leads to another: a host that does not come back from its reboot, for example.
        return known.model_copy(update={**told, **_anew(known, fault, now)})
    again: dict[str, object] = {**told, "since": now, "well": None}
    if (known.fault, known.service or "") != fault.identity:
        # What became of a job that was begun about the other one is of no use to this one.
        again = {**again, "rung": None, "tries": 0, "rounds": 0, "at": None, "job": None}
    return known.model_copy(update=again)


def _anew(known: RemediationStatus, fault: Fault, now: datetime) -> dict[str, object]:
    """What does not go on where one fault leads to another."""
    was, now_dead = (kind == reasons.HOST_DEAD for kind in (known.fault, fault.kind))
    if now_dead and not was and known.rung != "Reboot":
        # A host is given up for how long it does not answer, whatever was wrong with it before.
        return {"since": now}
    if was and not now_dead and known.rung == "Replace":
        # It answers again, and nobody has taken its place: what can be done at the host comes first.
        return {"since": now, "rung": None, "tries": 0, "at": None, "job": None}
    return {}


def _held(record: RemediationStatus, why: str) -> RemediationStatus:
    return record.model_copy(update={"held": why[:512] or None})


def _possible(given: Situation) -> Sequence[Rung]:
    """What may be tried of this host, from the mildest on."""
    rungs = given.fault.rungs if given.fault is not None else ()
    most = RUNGS.index(given.policy.up_to)
    return [
        rung
        for rung in RUNGS[: most + 1]
        if rung in rungs and (given.pooled if rung == "Replace" else given.reached)
    ]


def _next(record: RemediationStatus, given: Situation) -> Rung | None:
    possible = _possible(given)
    if record.rung is None:
        return possible[0] if possible else None
    if record.rung in possible and record.tries < TRIES[record.rung]:
        return record.rung
    higher = [rung for rung in possible if RUNGS.index(rung) > RUNGS.index(record.rung)]
    return higher[0] if higher else None


def _spent(record: RemediationStatus, given: Situation) -> RemediationStatus:
    """The same, or, where nothing is left to be tried, before the first rung of another round."""
    waits = record.rung is None or record.rung == "Replace" or _next(record, given) is not None
    if waits or not given.reached or given.now < _due(record, given):
        return record
    return record.model_copy(update={"rung": None, "tries": 0, "rounds": record.rounds + 1})


def _due(record: RemediationStatus, given: Situation, rung: Rung | None = None) -> datetime:
    """When more may be tried, or this very rung."""
    fault = given.fault
    settled = record.since + (fault.settle if fault is not None else timedelta())
    if rung == "Reboot":
        # Whatever fails after it: no host is rebooted again and again.
        boots = [one.at + BACK_OFF for one in record.history if one.rung == rung]
        settled = max([settled, *boots])
    if record.at is None:
        return settled
    if record.rung is None:
        pause: timedelta = min(BACK_OFF_MOST, BACK_OFF * 2 ** min(max(record.rounds - 1, 0), 10))
        return max(settled, record.at + pause)
    # A boot ends the job that has asked for it, whatever is then said of that.
    failed = record.job is not None and record.job.exit not in (None, 0) and record.rung != "Reboot"
    given_time = FAILED if failed and given.reached else patience(given.policy, record.rung)
    grown: timedelta = given_time * 2.0 ** min(max(record.tries - 1, 0), 10)
    return max(settled, record.at + min(PATIENCE_MOST, grown))


def patience(policy: Remediation, rung: Rung) -> timedelta:
    """How long a host may take to recover from an attempt."""
    given = policy.patience
    times = {
        "Restart": given.restart,
        "Reinstall": given.reinstall,
        "Reboot": given.reboot,
        "Replace": given.replace,
    }
    return span(times[rung])


def _taken(record: RemediationStatus, rung: Rung, given: Situation) -> RemediationStatus:
    now, attempts = given.now.replace(microsecond=0), record.attempts + 1
    made_of = "\0".join((given.uid, rung, record.since.isoformat(), given.now.isoformat()))
    ident = hashlib.sha256(f"{made_of}\0{attempts}".encode()).hexdigest()[:20]
    before = [one.model_copy() for one in record.history]
    if before and record.job is not None:
        before[0].exit = record.job.exit
    newest = RemediationAttempt(rung=rung, at=now, fault=record.fault)
    return record.model_copy(
        update={
            "rung": rung,
            "at": now,
            "tries": record.tries + 1 if record.rung == rung else 1,
            "attempts": attempts,
            "job": RemediationJob(id=ident) if rung != "Replace" else None,
            "boot_id": (given.boot_id or None) if rung == "Reboot" else None,
            "history": [newest, *before][:HISTORY],
        }
    )
