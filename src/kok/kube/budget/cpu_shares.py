"""How much processor time of an operator each namespace of the meta cluster takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

NAMESPACE: Final[ContextVar[str]] = ContextVar("namespace", default="")
"""Whose work the current task does; empty for the operator's own."""
FREE: Final = 64 * 1024
"""Bytes of an answer that is not counted: there are no more of them than passes have requests."""
BYTE: Final = 1e-8
"""Seconds of a processor that it takes to decrypt and collect a byte, which no task of ours does."""
STRETCH: Final = 0.02
"""Seconds of work without a pause that are not counted: nobody has to wait long for their end. On a
slow machine what honest passes do may take a bit longer, of which no more than that bit counts."""
_TOLL: Final = 0.02
_MANY: Final = 10_000
"""Namespaces, with more of which it is looked what of them need not be known any more."""
_NAP: Final = 1.0
"""Seconds after which is looked again whether there are others meanwhile."""


@dataclass(slots=True)
class _Account:
    due: float = 0.0
    """When all that the namespace used would be paid."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Who rests is served in the order in which it came."""


class CpuShares:
    """Lets the objects of one namespace keep an operator from those of others no more than a bit.

    Whoever may write in a namespace decides on what is in its objects, and may have them read,
    compared and told of again and again by next to nothing. What keeps the event loop without a
    pause, and what large answers cost, goes to the namespace's account. One that has used up its
    burst rests before it is looked after again, as long as there are others that do not: so all
    namespaces of that kind have a share of the process together, each the same part of that, and
    nobody rests for nobody's sake.

    What is due is kept in a time of its own: it goes as fast as one of those that pay is served.
    """

    SHARE = 0.15
    """Of one processor, for all that have to pay together."""
    BURST = 1.0
    """Seconds of processor time that a namespace may use at once."""
    SMALL, SMALL_RATE = 0.05, 0.005
    """Seconds of processor time for connections to its servers that a namespace has for nothing, and
    how many of them come back in a second: no honest server makes more work, and small accounts
    would take their share from those of others."""
    RECENT = 5.0
    """Seconds for which a namespace counts as one that is looked after."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._now, self._at = 0.0, monotonic()
        self._accounts: dict[str, _Account] = {}
        self.held = 0
        """Bytes of events that are held back, see `kok.runtime.kopf.large_events`."""
        self._seen: dict[str, float] = {}
        """When something was last done for a namespace."""
        self._small: dict[str, float] = {}
        """When what a namespace had for nothing will all have come back."""

    def worked(self, namespace: str, seconds: float) -> None:
        """So long something of that namespace was done without a pause."""
        self._seen[namespace] = self._monotonic()
        if seconds > STRETCH:
            self.owe(namespace, seconds - STRETCH)

    def served(self, namespace: str, seconds: float) -> None:
        """So much processor time was used for connections to the servers of a namespace."""
        now = self._monotonic()
        back = max(now, self._small.get(namespace, now)) + seconds / self.SMALL_RATE
        beyond = back - now - self.SMALL / self.SMALL_RATE
        self._small[namespace] = back - max(0.0, beyond)
        if len(self._small) > _MANY:
            self._small = {name: at for name, at in self._small.items() if at > now}
        if beyond > 0:
            self.owe(namespace, beyond * self.SMALL_RATE)

    def owe(self, namespace: str, seconds: float) -> None:
        """So much processor time was used for a namespace."""
        self._advance()
        account = self._accounts.setdefault(namespace, _Account())
        account.due = max(self._now, account.due) + seconds

    def left(self, namespace: str) -> float:
        """After how many seconds a namespace that has to rest asks again; 0 if it has not."""
        account = self._accounts.get(namespace)
        if account is None:
            return 0.0
        share = self._advance()
        ahead = account.due - self._now - self.BURST
        return min(ahead / share, _NAP) if ahead > 0 and self._others() else 0.0

    async def rest(self, namespace: str) -> None:
        """Returns when something of that namespace may be done."""
        account = self._accounts.get(namespace)
        if account is None:
            return
        async with account.turn:
            while (left := self.left(namespace)) > 0:  # noqa: ASYNC110 - time is waited for
                await asyncio.sleep(left)
            if self._is_debtor(account):
                # Not all of its passes at once, before it is known what the first one costs.
                account.due += _TOLL

    def _is_debtor(self, account: _Account) -> bool:
        """One that was just served counts as well: it is the next to rest."""
        return account.due - self._now > self.BURST / 2

    def _others(self) -> bool:
        """Whether anybody is looked after who does not have to rest."""
        past = self._monotonic() - self.RECENT
        self._seen = {name: at for name, at in self._seen.items() if at > past}
        debtors = {name for name, one in self._accounts.items() if self._is_debtor(one)}
        return bool(self._seen.keys() - debtors)

    def _advance(self) -> float:
        """Lets what is due go on until now; the share of each namespace that has to pay."""
        share = self.SHARE / max(1, len(self._accounts))
        now = self._monotonic()
        self._now, self._at = self._now + (now - self._at) * share, now
        self._accounts = {name: one for name, one in self._accounts.items() if one.due > self._now}
        return share


_shares: WeakKeyDictionary[asyncio.AbstractEventLoop, CpuShares] = WeakKeyDictionary()


def shares_of(loop: asyncio.AbstractEventLoop) -> CpuShares:
    """Those of an event loop: who takes its time takes it from all that run in it."""
    found = _shares.get(loop)
    if found is None:
        found = _shares[loop] = CpuShares(loop.time)
    return found


def shares() -> CpuShares:
    """Those of the running event loop."""
    return shares_of(asyncio.get_running_loop())
