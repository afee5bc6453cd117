"""Who leads: one process at a time acts for an operator, by a Lease that it keeps renewing."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists, Conflict, KubeError
from kok.runtime.clock import Clock
from kok.runtime.controller.reconciler import Logger

HURRY = 0.25
"""Share of the usual pause after which a request that failed is tried again."""


class LeaseLost(Exception):
    """This process leads no longer and must not act any more."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A Lease as last seen to change, and when that was on our own monotonic clock.

    The clocks of other machines are not trusted: a leader is taken for dead when its Lease has
    not changed for its duration as we measure it.
    """

    holder: str
    renewed: str
    duration: float
    at: float


def observe(lease: Manifest, before: Observed | None, now: float) -> Observed:
    """What is known of a Lease after reading it at `now`."""
    spec = lease.get("spec") or {}
    holder = str(spec.get("holderIdentity") or "")
    renewed = str(spec.get("renewTime") or "")
    if before is not None and (before.holder, before.renewed) == (holder, renewed):
        return before
    return Observed(holder, renewed, float(spec.get("leaseDurationSeconds") or 0), now)


def decide(seen: Observed, me: str, now: float) -> Literal["renew", "take", "wait"]:
    """What to do about a Lease."""
    if seen.holder == me:
        return "renew"
    if not seen.holder or now - seen.at > seen.duration:
        return "take"
    return "wait"


def deadline(duration: float, renew: float) -> float:
    """Seconds after its last renewal at which a leader stops, before another may begin."""
    return max(duration - renew, duration * 2 / 3)


def patience(wanted: float, since: float, limit: float) -> float:
    """Seconds that a leader's next attempt or pause may take, `since` seconds after its renewal.

    Neither may outlast the deadline `limit`: a request that hangs would keep the leader from
    noticing that its time is over.
    """
    return max(0.0, min(wanted, limit - since))


def new_identity(given: str = "") -> str:
    """A name that no other process has, restarts of this one included."""
    return f"{given or socket.gethostname()}_{secrets.token_hex(4)}"


class Elector:
    """Holds one Lease; `run` ends by cancellation, which releases it, or by `LeaseLost`."""

    def __init__(
        self,
        kube: Kube,
        name: str,
        namespace: str,
        identity: str,
        *,
        clock: Clock,
        duration: float,
        renew: float,
        log: Logger,
        on_leading: Callable[[bool], None] = lambda _leads: None,
    ) -> None:
        """`duration` and `renew` are in seconds; `renew` should be a third or less of it."""
        self._kube = kube
        self._name = name
        self._namespace = namespace
        self._me = identity
        self._clock = clock
        self._duration = duration
        self._renew = renew
        self._log = log
        self._on_leading = on_leading
        self._seen: Observed | None = None
        self.leading = asyncio.Event()
        self.settled = asyncio.Event()
        """Set once it is known who leads, be it another one."""

    async def run(self) -> None:
        """Waits for the Lease, then keeps it. Sets `leading` when it is ours."""
        never = asyncio.Event()
        last = 0.0
        while True:
            begun = self._clock.monotonic()
            held = await self._to_the_end(self._attempt(self._patience(self._renew, last, begun)))
            now = self._clock.monotonic()
            if held:
                last = begun
                if not self.leading.is_set():
                    self._log.info("leading", lease=self._name, identity=self._me)
                    self.leading.set()
                    self._on_leading(True)
            elif self.leading.is_set() and (held is False or now - last >= self._deadline):
                self._on_leading(False)
                raise LeaseLost(f"the Lease {self._namespace}/{self._name} is lost")
            if held is not None:
                self.settled.set()
            pause = self._renew if held is not None else self._renew * HURRY
            await self._clock.wait(never, self._patience(pause, last, now))

    @property
    def _deadline(self) -> float:
        """A leader that could not renew for so long stops before another may begin."""
        return deadline(self._duration, self._renew)

    def _patience(self, wanted: float, last: float, now: float) -> float:
        if not self.leading.is_set():
            return wanted
        return patience(wanted, now - last, self._deadline)

    async def release(self) -> None:
        """Gives the Lease back, so that a successor need not wait for it to run out."""
        if not self.leading.is_set():
            return
        self.leading.clear()
        self._on_leading(False)
        try:
            async with asyncio.timeout(self._renew):
                lease = await self._kube.get(kinds.LEASE, self._name, self._namespace)
                if (
                    lease is not None
                    and (lease.get("spec") or {}).get("holderIdentity") == self._me
                ):
                    await self._put(lease, holder="", duration=1)
        except (KubeError, TimeoutError) as error:
            why = str(error) or f"no answer within {self._renew:.1f} s"
            self._log.warning("the Lease runs out by itself", lease=self._name, error=why)

    async def _to_the_end(self, attempt: Coroutine[Any, Any, bool | None]) -> bool | None:
        """What comes of an attempt, also of one in the middle of which we are cancelled.

        It may have taken the Lease, which then has to be released, and would collide with that.
        """
        asking = asyncio.ensure_future(attempt)
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if await asking:
                self.leading.set()
            raise

    async def _attempt(self, limit: float) -> bool | None:
        """Whether we hold the Lease; None if the API server could not be asked within `limit`."""
        try:
            async with asyncio.timeout(limit):
                return await self._acquire()
        except (Conflict, AlreadyExists):
            # Somebody was faster; or our own write went through unseen, which the next try shows.
            return None
        except (KubeError, TimeoutError) as error:
            why = str(error) or f"no answer within {limit:.1f} s"
            self._log.warning("cannot renew the Lease", lease=self._name, error=why)
            return None

    async def _acquire(self) -> bool:
        lease = await self._kube.get(kinds.LEASE, self._name, self._namespace)
        if lease is None:
            await self._create()
            return True
        now = self._clock.monotonic()
        self._seen = observe(lease, self._seen, now)
        what = decide(self._seen, self._me, now)
        if what == "wait" or (what == "take" and self.leading.is_set()):
            # A leader whose Lease another one took may not take it back: it has stopped leading.
            return False
        await self._put(lease, holder=self._me, duration=self._duration)
        return True

    async def _create(self) -> None:
        spec = self._spec({}, self._me, self._duration)
        metadata = {"name": self._name, "namespace": self._namespace}
        kind = kinds.LEASE
        manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        await self._kube.create({**manifest, "spec": spec})

    async def _put(self, lease: Manifest, *, holder: str, duration: float) -> None:
        spec = self._spec(lease.get("spec") or {}, holder, duration)
        written = await self._kube.replace({**lease, "spec": spec})
        self._seen = observe(written, self._seen, self._clock.monotonic())

    def _spec(self, old: dict[str, Any], holder: str, duration: float) -> dict[str, Any]:
        now = self._clock.now().astimezone(UTC)
        changed = (old.get("holderIdentity") or "") != holder
        spec = {
            **old,
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(duration)),
            "renewTime": _micro(now),
        }
        if changed and holder:
            spec["acquireTime"] = _micro(now)
            spec["leaseTransitions"] = int(old.get("leaseTransitions") or 0) + 1
        return spec


def _micro(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
