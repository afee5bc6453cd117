"""What the operator remembers of each host between passes, and the one thing it does there now.

A pass must be short: it holds a place that other objects wait for. Whatever asks a host therefore
runs apart, and its end wakes the Machine. All of the memory can be lost and is found out again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from kok.api.machine.machine import HostPlace
from kok.kube.errors import KubeError, without_traceback
from kok.operators.machine import metrics
from kok.operators.machine.remote.jobs import JobResult
from kok.operators.machine.remote.ssh import HostError, HostFloods, HostHeld, ScriptFailed
from kok.operators.machine.remote.survey import Identity, Survey
from kok.operators.machine.remote.watching import Watched
from kok.runtime.metrics import reason_of

_log = structlog.stdlib.get_logger("kok.machine")

NEVER = float("-inf")
RESULTS = 256
"""Ends of jobs that are remembered of one host: every attempt is a job of its own."""
CALM = 600.0
"""Seconds without a loss after which a connection counts as steady."""
BURST = 20
"""Operations that may begin without a pause. From nothing to a node it takes about ten."""
EVERY = 3.0
"""Seconds for each of those beyond, less than any pause that is meant."""

LEAST = timedelta(minutes=1)
"""For which an operator itself drains a node, and tries to clean up a host, before it gives up: the
time in which it was away, or in which the Machine was paused, is none in which anything was tried."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a host is left alone after errors: each time twice as long. Seconds."""

    first: float = 2.0
    longest: float = 60.0

    def after(self, times: int) -> float:
        """The pause after something has happened so many times."""
        return min(self.longest, self.first * 2.0 ** min(times - 1, 10))


@dataclass(slots=True)
class HostMemory:
    """What was last seen of a host. Times are monotonic seconds."""

    shown_key: str = ""
    """Fingerprint of the key that it showed when none was expected yet."""
    survey: Survey | None = None
    place: HostPlace | None = None
    """Where that was seen, and by which key."""
    reached: str = ""
    """The address at which it was found, by whatever name it is known."""
    surveyed: float = NEVER
    asked: str = ""
    """Hash of the questions that the survey answers."""
    neighbours: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`hostname` and `machineID` of the cluster's other Machines, as last seen."""
    identity: Identity | None = None
    """Of the kubelet, as last seen."""
    identified: float = NEVER
    """When it was asked for that; what is older than a change is of the kubelet before."""
    jobs: dict[str, JobResult] = field(default_factory=dict)
    watched: Watched | None = None
    """What is told of its services; None: nobody watches."""
    joined: float | None = None
    """When the kubelet was started to join."""
    finished: float = NEVER
    """When it was last looked whether the kubelet has credentials of its own."""
    unfinished: int = 0
    """How often its bootstrap token was still there after it was to be removed."""
    reclaimed: float = NEVER
    """When something was last taken away that an earlier Machine had left."""
    token_gone: str = ""
    """ID of the bootstrap token that was taken back."""
    emptied: tuple[str, str] = ("", "")
    """Which drain before a change came to its end, and how: `EMPTY` or `DEAD`."""
    drained: bool = False
    """Whether the node needs no draining any more."""
    changed: float = NEVER
    """When the kubelet was last changed: begun at first, and then through."""
    stood: str | None = None
    """`heard` of its Node as the API server had it when that was through; None: not read."""
    prefetched: str = ""
    """Components whose files were fetched beforehand, or were tried to, as they were named."""
    draining: str = ""
    """What the drain waits for."""
    drain_seen: datetime | None = None
    """Since when this process has been draining the node."""
    clean_seen: datetime | None = None
    """Since when it has been cleaning up the host."""
    forced: bool = False
    """Whether pods were deleted in spite of their disruption budgets."""
    removals: int = 1
    """Number of the attempt to clean up."""
    cleaned: bool = False
    """Whether nothing of this Machine is left on the host."""
    reported: bool = False
    """Whether the Host object was told so."""
    abandoned: bool = False
    """Whether the host was given up uncleaned."""
    forgotten: bool = False
    """Whether nothing of the Machine is left in its cluster, or nothing more can be done there."""
    error: HostError | KubeError | None = None
    """Why what was tried last did not go through."""
    failures: int = 0
    retry: float = 0.0
    losses: int = 0
    """How often the connection ended by itself, without `CALM` in between."""
    last_loss: float = NEVER
    flooded: bool = False
    """Whether it ended the last time because the host sent without being asked."""

    def snapshot(self) -> HostMemory:
        """As it is now, whatever is found out later."""
        return replace(self, jobs=dict(self.jobs))

    def lost(self, error: HostError, now: float) -> None:
        """The connection ended by itself: the host is looked at again, but not again and again."""
        self.surveyed = NEVER
        self.losses = self.losses + 1 if now - self.last_loss < CALM else 1
        self.last_loss = now
        self.flooded = isinstance(error, HostFloods)
        if self.flooded:
            # Nothing was asked of it, so nobody else tells.
            self.error = without_traceback(error)

    def heard_of(self, job: str, result: JobResult) -> None:
        """Takes note of how a job is; the oldest are forgotten where there are many."""
        self.jobs.pop(job, None)
        self.jobs[job] = result
        while len(self.jobs) > RESULTS:
            del self.jobs[next(iter(self.jobs))]


class Session:
    """One host: its memory, and at most one operation under way."""

    def __init__(self, monotonic: Callable[[], float], backoff: Backoff | None = None) -> None:
        self.memory = HostMemory()
        self.target: object = None
        """What the operations so far were tried against; another one makes old errors void."""
        self._monotonic = monotonic
        self._backoff = backoff or Backoff()
        self._task: asyncio.Task[None] | None = None
        self._name = ""
        self._beside = False
        self._begun = NEVER
        """Later by `EVERY` for each operation; ahead of the time after too many."""

    @property
    def doing(self) -> str:
        """The operation under way that others wait for, or nothing."""
        return self._name if self._task is not None and not self._beside else ""

    def start(
        self,
        name: str,
        work: Coroutine[Any, Any, None],
        wake: Callable[[], None],
        *,
        beside: bool = False,
    ) -> None:
        """Begins an operation; `wake` is called when it has ended. One under way is ended first.

        What runs on the host goes on nevertheless. `beside`: nothing waits for this one.
        """
        self.cancel()
        self._beside = beside
        now = self._monotonic()
        self._begun = max(self._begun, now - BURST * EVERY) + EVERY
        self._name = name
        self._task = asyncio.create_task(self._run(name, work, wake), name=f"host: {name}")

    def cancel(self) -> None:
        """Ends the operation under way."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def aim(self, target: object) -> None:
        """Says where operations go; errors with another target count no longer."""
        if target != self.target:
            self.target = target
            self.memory.losses = 0
            self.succeeded()
            self.cancel()

    def succeeded(self) -> None:
        """What was tried went through."""
        memory = self.memory
        memory.error, memory.failures, memory.retry = None, 0, 0.0

    def wait(self) -> float:
        """Seconds until something may be tried again: after an error, or after very much.

        A host that says what it likes can make sense of any operation, again and again.
        """
        now = self._monotonic()
        return max(0.0, self.memory.retry - now, self._calm() - now, self._begun - now)

    def _calm(self) -> float:
        """When the host may be asked again after the last loss, however well all goes that is tried."""
        memory = self.memory
        # One that restarts is looked at at once.
        spared = memory.losses == 0 or (memory.losses == 1 and not memory.flooded)
        return NEVER if spared else memory.last_loss + self._backoff.after(memory.losses)

    async def _run(
        self, name: str, work: Coroutine[Any, Any, None], wake: Callable[[], None]
    ) -> None:
        me = asyncio.current_task()
        try:
            await work
        except (HostError, KubeError) as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a defect must not leave the Machine asleep
            _log.exception("operation failed", operation=name)
            self._failed(
                ScriptFailed(
                    f"unexpected {type(error).__name__} in step {name}; the operator's log tells more",
                    -1,
                )
            )
        else:
            self.succeeded()
        if self._task is me:
            self._task = None
        wake()

    def _failed(self, error: HostError | KubeError) -> None:
        memory = self.memory
        if isinstance(error, HostHeld):
            # What was tried last tells more than that nothing is tried now.
            memory.error = memory.error or without_traceback(error)
            memory.retry = self._monotonic() + error.after
            return
        memory.error = without_traceback(error)
        metrics.HOST_ERRORS.labels(reason_of(error, error.reason)).inc()
        # What is known of the host may no longer hold.
        memory.surveyed = NEVER
        memory.failures += 1
        memory.retry = self._monotonic() + self._backoff.after(memory.failures)


class Sessions:
    """The sessions by the UIDs of Machines, and of Hosts that are being cleaned up."""

    def __init__(self, monotonic: Callable[[], float], backoff: Backoff | None = None) -> None:
        self._monotonic = monotonic
        self._backoff = backoff
        self._known: dict[str, Session] = {}

    def of(self, uid: str) -> Session:
        """The session of a Machine, made if there is none."""
        return self._known.setdefault(uid, Session(self._monotonic, self._backoff))

    def end(self, uid: str) -> None:
        """The Machine is gone."""
        session = self._known.pop(uid, None)
        if session is not None:
            session.cancel()

    def close(self) -> None:
        """All of them end."""
        for uid in list(self._known):
            self.end(uid)
