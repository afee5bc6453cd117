"""One pass over a FleetUpgrade: observe, decide, record, raise what is to be raised, report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.fleetstatus import FleetReport
from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.operators.cluster import metrics, reasons
from kok.operators.cluster.fleetupgrade import conditions as conditions_
from kok.operators.cluster.fleetupgrade import decide as decide_
from kok.operators.cluster.fleetupgrade import observe as observe_
from kok.operators.cluster.fleetupgrade import plan as plan_
from kok.operators.cluster.fleetupgrade.conditions import FleetOutcome
from kok.operators.cluster.fleetupgrade.decision import (
    NOTHING_SELECTED,
    FleetDecision,
    FleetView,
    standing_of,
)
from kok.operators.cluster.fleetupgrade.raising import Raising
from kok.operators.cluster.staging.followed import FollowedClusters
from kok.operators.cluster.staging.standing import AT_ONCE, Standing
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.reconciler import DONE, Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged
from kok.versions.knowledge import Releases

ROWS_PER_SECOND = 1000.0
"""Each pass may write the whole table, and each of many Clusters asks for a pass: how many rows are
written in a second at most."""


class FleetUpgradeReconciler(Staged[FleetUpgrade, FleetView, FleetDecision, FleetOutcome]):
    """Keeps FleetUpgrades."""

    model = FleetUpgrade
    tells_early = True

    def __init__(self, releases: Callable[[], Releases], wakeups: Wakeups) -> None:
        """`releases`: what is known of them at a moment. `wakeups` is shared with that of Clusters."""
        self._releases = releases
        self._wakeups = wakeups
        self._followed = FollowedClusters()
        self._planning = asyncio.Lock()
        """One plan at a time: the next one sees what that has taken."""
        self.wakes_on: Sequence[Wake] = (Wake(Cluster.info.kind, key=self._followed.changed),)

    async def observe(self, p: Pass[FleetUpgrade]) -> FleetView:
        """The Clusters, as far as they matter now."""
        key = p.obj.namespace, p.obj.name
        if p.obj.status.started_at is None:
            self._wakeups.register_unplanned(key, p.wake)
        else:
            self._wakeups.forget_unplanned(key)
        return await observe_.observe(p.kube, p.obj, self._followed, p.clock, p.settings)

    def decide(self, p: Pass[FleetUpgrade], view: FleetView) -> FleetDecision:
        """What became of those under way, and who is next."""
        return decide_.decide(p.obj, view, self._releases(), p.now)

    def record(self, p: Pass[FleetUpgrade], view: FleetView, decision: FleetDecision) -> bool:
        """The rows; those that are to be raised before they are."""
        del view
        known = {wave.name for wave in p.status.waves if wave.begun is not None}
        conditions_.note(p.status, decision, p.now)
        for wave in decision.waves:
            if wave.begun is not None and wave.name not in known:
                p.event(reasons.WAVE_BEGUN, f"wave {wave.name} of {wave.clusters} Clusters begins")
        before = p.obj.status.table() if decision.raises else {}
        # Also where it is raised to another version than was recorded.
        return any(
            (before[one.key].state, before[one.key].to) != ("Upgrading", one.to)
            for one in decision.raises
        )

    def outcome(self, view: FleetView, decision: FleetDecision) -> FleetOutcome:
        """Nothing is known before anything was done."""
        del view, decision
        return FleetOutcome()

    async def act(
        self, p: Pass[FleetUpgrade], view: FleetView, decision: FleetDecision, outcome: FleetOutcome
    ) -> float | None:
        """Makes the plan, or raises those whose turn it is."""
        if decision.stop is not None:
            raise decision.stop
        if decision.planning is not None:
            async with self._planning:
                return await self._plan(p, view, decision, outcome)
        awaited = self._follow_awaited(p, decision)
        if not decision.raises:
            return _soonest(awaited, decision.look)
        raising = Raising(p.kube, p.obj, view.clusters, self._followed, self._wakeups, now=p.now)
        try:
            await raising.run(decision.raises)
        finally:
            outcome.refused = raising.refused
        if raising.refused:
            # It is somebody else's turn, or enough have failed.
            return AT_ONCE
        return _soonest(awaited, 1.0 if raising.again else decision.look)

    async def look(
        self, p: Pass[FleetUpgrade], view: FleetView, decision: FleetDecision, outcome: FleetOutcome
    ) -> float | None:
        """Clusters are followed while it is paused, too."""
        del view, outcome
        return self._follow_awaited(p, decision)

    def _follow_awaited(self, p: Pass[FleetUpgrade], decision: FleetDecision) -> float | None:
        """From now on any change of a Cluster that has just failed, or is waited for, wakes this one."""
        key = p.obj.namespace, p.obj.name
        return AT_ONCE if self._followed.raised(key, decision.awaited) else None

    def conditions(
        self,
        p: Pass[FleetUpgrade],
        view: FleetView,
        decision: FleetDecision,
        outcome: FleetOutcome,
        ended: Exception | None,
    ) -> None:
        """All that people see; the rows were recorded before."""
        del view
        conditions_.report(p.status, p.obj, decision, outcome, ended=ended, now=p.now)
        metrics.show_fleet(p.obj.namespace, p.obj.name, p.status, decision.refused)

    def rest(
        self,
        p: Pass[FleetUpgrade],
        view: FleetView,
        decision: FleetDecision,
        outcome: FleetOutcome,
    ) -> float | None:
        """Where something changes of which nobody tells."""
        del view, outcome
        look = decision.look
        return look if look is not None and look < p.settings.resync else None

    def quiet(self, p: Pass[FleetUpgrade], view: FleetView, decision: FleetDecision) -> float:
        """The more Clusters there are, the more changes are one pass."""
        del view, decision
        return float(p.status.counts.total / ROWS_PER_SECOND)

    async def finalize(self, p: Pass[FleetUpgrade]) -> Result | Done:
        """Nothing is taken back: what was raised stays raised."""
        del p
        return DONE

    def forget(self, key: Key, uid: str) -> None:
        """It is woken for nothing any more."""
        del uid
        self._followed.forget(key)
        self._wakeups.forget_unplanned(key)
        metrics.forget_fleet(*key)

    async def _plan(
        self, p: Pass[FleetUpgrade], view: FleetView, decision: FleetDecision, outcome: FleetOutcome
    ) -> float:
        """Chooses Clusters and records them; nothing is raised in this pass."""
        fleet, status = p.obj, p.status
        places = observe_.places_of(fleet, p.settings)
        claims = await observe_.claims(p.kube, fleet, places, p.settings)
        known = plan_.Known(view.clusters, claims, self._releases(), p.now)
        now = p.now.replace(microsecond=0)
        if decision.planning == "Retry":
            planned = fleet.status.started_at or now
            made = plan_.again(fleet.spec, status.table(), status.waves, planned, known)
        else:
            made = plan_.make(fleet.spec, known)
            status.started_at, status.beyond = now, made.beyond
        status.ended_at = status.report = None
        status.store(made.rows)
        status.waves = list(made.waves)
        status.retried = decide_.retry_of(fleet)
        counts = status.counts
        text = f"{counts.waiting} Clusters are to be upgraded, {counts.skipped} are skipped"
        if made.beyond:
            text += f", and {made.beyond} more did not fit: create another FleetUpgrade for them"
        if fleet.spec.dry_run:
            status.ended_at = now
            status.report = FleetReport(
                result="DryRun" if made.rows else "NothingSelected",
                began=now,
                ended=now,
                summary=text if made.rows else NOTHING_SELECTED,
            )
            outcome.standing = standing_of(status.report)
        else:
            outcome.standing = Standing("Planned", reasons.PLANNING, text)
        p.event(reasons.PLANNING, text)
        await p.latch()
        return AT_ONCE


def _soonest(*seconds: float | None) -> float | None:
    """The first of some looks; None if there is none."""
    return min((one for one in seconds if one is not None), default=None)
