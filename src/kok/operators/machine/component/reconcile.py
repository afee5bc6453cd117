"""The reconciler of Components: they are checked, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kok.api.machine.component import Component
from kok.operators.machine import reasons
from kok.operators.machine.component import conditions
from kok.operators.machine.component.sandboxed import Checker
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import DONE, Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged
from kok.runtime.sandbox.process import Unfinished

CHECK_AGAIN = 30.0
"""Seconds after which a check is tried again that did not come to its end."""


@dataclass(frozen=True, slots=True)
class ComponentView:
    """What came of the check."""

    problem: str = ""
    """What is wrong with the templates or the schema, as a sentence."""
    unfinished: str = ""
    """Why that is not known."""


class ComponentReconciler(Staged[Component, ComponentView, ComponentView, None]):
    """Says of a Component whether its templates and its schema can be used."""

    model = Component
    wakes_on: Sequence[Wake] = ()

    def __init__(self, checker: Checker) -> None:
        self._checker = checker

    async def observe(self, p: Pass[Component]) -> ComponentView:
        """The check is all there is to look at."""
        try:
            return ComponentView(problem=await self._checker.problem(p.obj))
        except Unfinished as error:
            return ComponentView(unfinished=f"checking it {error}; it is tried again")

    def decide(self, p: Pass[Component], view: ComponentView) -> ComponentView:
        """There is nothing to decide."""
        del p
        return view

    def outcome(self, view: ComponentView, decision: ComponentView) -> None:
        """Nothing is done that could have one."""

    async def act(
        self, p: Pass[Component], view: ComponentView, decision: ComponentView, outcome: None
    ) -> float | None:
        """Nothing but to ask for another look where only its author, or time, can mend it."""
        del p, decision, outcome
        if view.unfinished:
            raise Wait(reasons.COMPONENT_INVALID, view.unfinished, CHECK_AGAIN)
        if view.problem:
            raise Invalid(reasons.COMPONENT_INVALID, view.problem)
        return None

    def conditions(
        self,
        p: Pass[Component],
        view: ComponentView,
        decision: ComponentView,
        outcome: None,
        ended: Exception | None,
    ) -> None:
        """Whether it can be used."""
        del decision, outcome, ended
        if not view.problem and not view.unfinished:
            conditions.report(p)

    async def finalize(self, p: Pass[Component]) -> Result | Done:
        """What is needed to remove the software lies on the hosts."""
        del p
        return DONE

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is kept."""
