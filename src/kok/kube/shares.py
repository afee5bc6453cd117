"""How much processor time the objects of each namespace of the meta cluster may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

FREE: Final = 64 * 1024
"""Bytes of an answer that is not counted: there are no more of them than passes have requests."""
_LONGEST_NAP: Final = 1.0
"""Seconds after which is looked again whether others went on meanwhile."""


class Stopwatch:
    """The processor time of one piece of work that now and then lets others go on."""

    def __init__(self, cpu: Callable[[], float]) -> None:
        self._cpu = cpu
        self._since = cpu()
        self._before = 0.0

    async def pause(self) -> None:
        """Lets others go on, whose time does not count."""
        self._before = self.spent
        await asyncio.sleep(0)
        self._since = self._cpu()

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return self._before + self._cpu() - self._since


class Shares:
    """Weighs, cuts and parses what is stored in one namespace no more than others can bear.

    Whoever may write in a namespace decides on what is in its objects, and may have them read again
    and again by next to nothing. What that takes is measured, and a namespace that has used up its
    burst is read one request after the other, each after a rest. So all namespaces that have to
    wait have a share of the process together, and each has the same part of that; nobody waits
    beside them.

    What is due is kept in a time of its own: it goes as fast as one of those that wait is served.
    """

    BURST = 1.0
    """Seconds of processor time that a namespace may use at once."""

    def __init__(
        self,
        share: float | None,
        monotonic: Callable[[], float],
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        """`share`: of one processor, for all that wait together; None for no limit."""
        self._share = share
        self._monotonic = monotonic
        self._cpu = cpu
        self._now, self._at = 0.0, monotonic()
        self._accounts: dict[str, _Account] = {}

    @contextmanager
    def reading(self, namespace: str | None) -> Iterator[Stopwatch]:
        """Measures what is done with an answer, for a namespace; None for nobody's account."""
        watch = Stopwatch(self._cpu)
        try:
            yield watch
        finally:
            if namespace is not None and self._share is not None:
                self._advance()
                account = self._accounts.setdefault(namespace, _Account())
                account.due = max(self._now, account.due) + watch.spent

    @asynccontextmanager
    async def turn(self, namespace: str | None) -> AsyncIterator[None]:
        """Begins when something of that namespace may be asked for, and lasts as long as that."""
        account = self._accounts.get(namespace or "")
        self._advance()
        if account is None or not self._waits(account):
            yield
            return
        async with account.lock:
            while self._waits(account):
                share = self._advance()
                rest = (account.due - self._now - self.BURST) / share
                await asyncio.sleep(min(max(rest, 0.0), _LONGEST_NAP))
            yield

    def _waits(self, account: _Account) -> bool:
        return account.due - self._now > self.BURST

    def _advance(self) -> float:
        """Lets what is due go on until now; the share of each namespace that waits."""
        # One that was just served counts as well: it is the next to wait.
        debtors = sum(one.due - self._now > self.BURST / 2 for one in self._accounts.values())
        share = (self._share or 1.0) / max(1, debtors)
        now = self._monotonic()
        self._now, self._at = self._now + (now - self._at) * share, now
        self._accounts = {
            name: one
            for name, one in self._accounts.items()
            if one.due > self._now or one.lock.locked()
        }
        return share


@dataclass(slots=True)
class _Account:
    due: float = 0.0
    """When all that the namespace used would be paid."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
