"""The one way through a pass: observe, decide, record, act, and conditions last.

    observe      reads the world into one view, which nothing changes afterwards
    decide       pure: what is to be done now, and why
    record       puts into the status what must be there before anything is done
    act          does it: children, then at most one operation
    conditions   from view, decision and what came of it: their one author, always last

A pass may end behind any line. What `record` says must not be forgotten is written before `act`
begins; everything else is found out again by the next pass. Conditions are set also when acting
failed, and then by what was seen and decided, and how far it came.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar, Generic, TypeVar

from kok.api.meta import Resource
from kok.runtime.controller.errors import Paused, TimedOut
from kok.runtime.controller.reconciler import Pass, Result

R = TypeVar("R", bound=Resource)
V = TypeVar("V")
D = TypeVar("D")
O = TypeVar("O")  # noqa: E741 - the outcome, as V is the view and D the decision


class Staged(ABC, Generic[R, V, D, O]):
    """A reconciler whose passes go that way.

    A subclass is one kind's: `R` is its model, `V` the frozen view, `D` the decision, and `O` what
    acting finds out, which is filled in while it goes on, so that conditions know how far it came.
    """

    tells_early: ClassVar[bool] = False
    """Whether conditions are set also before each write in the middle of a pass: for a kind of which
    they are true then, too, as they follow from view and decision, or from what was found out so far.
    Nobody then sees what is under way beside conditions of before."""

    @abstractmethod
    async def observe(self, p: Pass[R]) -> V:
        """Reads all that the pass looks at. Raises `KubeError`; no condition changes by that."""

    @abstractmethod
    def decide(self, p: Pass[R], view: V) -> D:
        """What to do now. Pure: by the object, its recorded status, the view and `p.now` alone."""

    @abstractmethod
    def outcome(self, view: V, decision: D) -> O:
        """Where acting notes what it finds out; as it is before anything was done."""

    def record(self, p: Pass[R], view: V, decision: D) -> bool:
        """Puts facts into `p.status`; whether these must be written before anything is done."""
        del p, view, decision
        return False

    @abstractmethod
    async def act(self, p: Pass[R], view: V, decision: D, outcome: O) -> float | None:
        """Does what was decided; seconds until the next pass, None for the resync time.

        Not called while the object is paused. Raises `Wait` or `Invalid` for what only others can
        change, and whatever its requests raise.
        """

    async def look(self, p: Pass[R], view: V, decision: D, outcome: O) -> float | None:
        """In place of `act` while the object is paused: what is asked, and changes nothing.

        Seconds until the next pass, None for the resync time. Raises as `act` does.
        """
        del p, view, decision, outcome
        return None

    @abstractmethod
    def conditions(
        self, p: Pass[R], view: V, decision: D, outcome: O, ended: Exception | None
    ) -> None:
        """Sets conditions, phase and all that the status shows; the only one to do so.

        `ended` is what acting raised: the runtime tells of it in `Ready` unless this has judged
        `Ready` itself.
        """

    def rest(self, p: Pass[R], view: V, decision: D, outcome: O) -> float | None:
        """Seconds until the next pass where acting asked for none, as while it is paused."""
        del p, view, decision, outcome
        return None

    def quiet(self, p: Pass[R], view: V, decision: D) -> float:
        """Seconds after a pass for which changes of other objects lead to no other one.

        For a kind whose passes cost much and are woken by many.
        """
        del p, view, decision
        return 0.0

    async def _tell_and_write(
        self,
        p: Pass[R],
        view: V,
        decision: D,
        outcome: O,
        write: Callable[[], Awaitable[None]],
    ) -> None:
        self.conditions(p, view, decision, outcome, None)
        await write()

    async def reconcile(self, p: Pass[R]) -> Result:
        """One pass; for subclasses to leave as it is."""
        view = await self.observe(p)
        decision = self.decide(p, view)
        latched = self.record(p, view, decision)
        outcome = self.outcome(view, decision)
        if self.tells_early and p.latching is not None:
            p.latching = partial(self._tell_and_write, p, view, decision, outcome, p.latching)
        ended: Exception | None = None
        after: float | None = None
        try:
            if p.paused:
                after = await self.look(p, view, decision, outcome)
            else:
                if latched:
                    await p.latch()
                after = await self.act(p, view, decision, outcome)
        except asyncio.CancelledError:
            # The runtime has given the pass up, or it is going down.
            ended = TimedOut(p.settings.pass_timeout)
            raise
        except Exception as error:
            ended = None if isinstance(error, Paused) else error
            raise
        finally:
            self.conditions(p, view, decision, outcome, ended)
        after = after if after is not None else self.rest(p, view, decision, outcome)
        return Result(after, self.quiet(p, view, decision))
