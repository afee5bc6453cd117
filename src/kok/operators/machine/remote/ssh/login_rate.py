"""How often who was never let in may try to get into a host. Pure but for the clock of a `Visit`.

Hosts shut out an address from which logins fail too often (`PerSourcePenalties` of sshd, fail2ban),
and all tenants' logins come from the operator's. Anybody can write down the address of a host that
is somebody else's, in many spellings and in any number of Machines; so what counts is the address
that is connected to. Whoever was let in there before waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kok.kube.objects.addresses import address as range_of
from kok.operators.machine.remote.ssh.errors import HostHeld

PAUSE = 15.0
"""Seconds from one stranger at an address to the next, whoever they are: four in a minute. sshd takes
5 s of penalty for a login that failed, and shuts out from 15 s on."""
LONGEST = 150.0
"""Seconds between those of one namespace after some failures: four in the ten minutes in which
fail2ban counts five."""
FORGET = 600.0
"""Seconds after which failures count no longer."""
PLACES = 1024
"""Addresses that are remembered of one namespace."""

Place = tuple[str, int]
"""An IP address, written in one way, and a port."""


def place_of(address: str, port: int) -> Place:
    """What an address is remembered by; one of IPv4 that is written as IPv6 is the same."""
    found = range_of(address)
    return str(found.network_address) if found is not None else address, port


@dataclass(slots=True)
class _Tries:
    """Of one namespace at one place."""

    until: float
    """When it may try (again)."""
    failures: int = 0
    """Every try counts as one until it is known to be none."""
    booked: bool = False
    """Whether that time is kept for it."""


class Pacing:
    """Whose turn it is, by places. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._free: dict[Place, float] = {}
        """When the next stranger may come for whom no time is kept."""
        self._tries: dict[str, dict[Place, _Tries]] = {}
        self._swept = 0.0

    def turn(self, place: Place, namespace: str, now: float) -> float:
        """Seconds until the namespace may try; 0: now, and that is its turn."""
        self._sweep(now)
        mine = self._of(place, namespace, now)
        if now < mine.until:
            return mine.until - now
        free = self._free.get(place, now)
        kept = mine.booked and now < mine.until + PAUSE
        if now < free and not kept:
            # One time for each namespace, in the order in which they asked.
            mine.until, mine.booked = free, True
            self._free[place] = free + PAUSE
            return free - now
        self.failed(place, namespace, now)
        return 0.0

    def failed(self, place: Place, namespace: str, now: float) -> None:
        """A login was refused, or may be."""
        mine = self._of(place, namespace, now)
        mine.failures, mine.booked = mine.failures + 1, False
        mine.until = now + min(LONGEST, PAUSE * 2.0 ** min(mine.failures - 1, 10))
        self._free[place] = max(self._free.get(place, now), now + PAUSE)

    def unheard(self, place: Place, namespace: str, now: float) -> None:
        """The try did not get as far as the host."""
        mine = self._of(place, namespace, now)
        mine.failures, mine.until = max(mine.failures - 1, 0), now
        self._open(place, now)

    def let_in(self, place: Place, namespace: str, now: float) -> None:
        """The login went through: nothing failed."""
        self._tries.get(namespace, {}).pop(place, None)
        self._open(place, now)

    def _open(self, place: Place, now: float) -> None:
        # Unless others have their times already: these come first.
        if self._free.get(place, now) <= now + PAUSE:
            self._free.pop(place, None)

    def _of(self, place: Place, namespace: str, now: float) -> _Tries:
        tries = self._tries.setdefault(namespace, {})
        mine = tries.pop(place, None) or _Tries(now)
        tries[place] = mine
        if len(tries) > PLACES:
            # What is lost are long pauses; the short one is the place's.
            del tries[next(iter(tries))]
        return mine

    def _sweep(self, now: float) -> None:
        if now < self._swept + PAUSE:
            return
        self._swept = now
        self._free = {place: at for place, at in self._free.items() if at > now}
        for namespace, tries in list(self._tries.items()):
            kept = {place: one for place, one in tries.items() if now < one.until + FORGET}
            self._tries[namespace] = kept
            if not kept:
                del self._tries[namespace]


class Visit:
    """One try to get into a host, wherever its name leads to."""

    def __init__(
        self,
        pacing: Pacing,
        monotonic: Callable[[], float],
        namespace: str,
        known: Place | None = None,
    ) -> None:
        """`known` is where these credentials were let in the last time."""
        self._pacing = pacing
        self._monotonic = monotonic
        self._namespace = namespace
        self._known = known
        self.place: Place | None = None
        """Where it got to."""

    def begin(self, address: str, port: int) -> None:
        """To be called right before connecting. Raises `HostHeld` if it is not its turn."""
        place = place_of(address, port)
        if place not in {self.place, self._known}:
            wait = self._pacing.turn(place, self._namespace, self._monotonic())
            if wait > 0:
                raise HostHeld(_held(place, wait), wait)
        self.place = place

    def unheard(self) -> None:
        """No connection came about."""
        if self.place is not None and self.place != self._known:
            self._pacing.unheard(self.place, self._namespace, self._monotonic())
        self.place = None

    def refused(self) -> None:
        """The login was refused, also of who was let in before."""
        if self.place is not None and self.place == self._known:
            self._pacing.failed(self.place, self._namespace, self._monotonic())


def _held(place: Place, wait: float) -> str:
    return (
        f"the host at {place[0]} port {place[1]} is asked again in {wait:.0f} s: logins that fail "
        "there are spread over time, so that it does not shut this operator out, and who was not let "
        "in there yet takes turns; if user and Secret are right, there is nothing to do"
    )
