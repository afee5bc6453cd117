"""One pass over an Addon for many Clusters: observe, decide, record, write what is due, report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.operators.cluster import naming, reasons
from kok.operators.cluster.addon.many import conditions as conditions_
from kok.operators.cluster.addon.many import decide as decide_
from kok.operators.cluster.addon.many import delete as delete_
from kok.operators.cluster.addon.many import observe as observe_
from kok.operators.cluster.addon.many.acting import Acting
from kok.operators.cluster.addon.many.awaited import AwaitedNames
from kok.operators.cluster.addon.many.conditions import ManyOutcome
from kok.operators.cluster.addon.many.plan import AGAIN
from kok.operators.cluster.addon.many.view import ManyDecision, ManyView
from kok.operators.cluster.staging.followed import FollowedClusters
from kok.operators.cluster.staging.standing import AT_ONCE
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged

ROWS_PER_SECOND = 1000.0
"""Each pass may write the whole table, and each of many Clusters asks for a pass: how many rows are
written in a second at most."""


class ManyAddonsReconciler(Staged[Addon, ManyView, ManyDecision, ManyOutcome]):
    """Keeps Addons with `spec.clusters`."""

    model = Addon
    tells_early = True

    def __init__(self) -> None:
        self._followed = FollowedClusters()
        self._awaited = AwaitedNames()
        self.wakes_on: Sequence[Wake] = (
            Wake(Cluster.info.kind, key=self._followed.changed),
            Wake(Addon.info.kind),
            Wake(Addon.info.kind, key=self._awaited.of_addon),
        )

    async def observe(self, p: Pass[Addon]) -> ManyView:
        """Clusters, and their Addons."""
        return await observe_.observe(p.kube, p.obj, self._followed, p.clock)

    def decide(self, p: Pass[Addon], view: ManyView) -> ManyDecision:
        """What became of those under way, and who is next."""
        return decide_.decide(p.obj, view, p.now)

    def record(self, p: Pass[Addon], view: ManyView, decision: ManyDecision) -> bool:
        """The rows; those that are begun before anything is written for them."""
        del view
        before = p.obj.status.rollout
        known = {wave.name for wave in before.waves if wave.begun} if before is not None else set()
        conditions_.note(p.status, p.obj, decision, p.now)
        for wave in decision.waves:
            if wave.begun is not None and wave.name not in known:
                p.event(reasons.WAVE_BEGUN, f"wave {wave.name} of {wave.clusters} Clusters begins")
        return decision.planned or bool(decision.begun)

    def outcome(self, view: ManyView, decision: ManyDecision) -> ManyOutcome:
        """Nothing is known before anything was done."""
        del view, decision
        return ManyOutcome()

    async def act(
        self, p: Pass[Addon], view: ManyView, decision: ManyDecision, outcome: ManyOutcome
    ) -> float | None:
        """Writes the Addons whose turn it is, and removes those that are not wanted."""
        del view
        if decision.stop is not None:
            raise decision.stop
        if decision.planned:
            return AT_ONCE
        # Before they are asked for: what changes from here on is not missed.
        self._wait_for(p, decision.intents)
        acting = Acting(p.kube, p.obj, outcome.refused)
        await acting.run(decision)
        self._wait_for(p, outcome.refused)
        if set(outcome.refused) & set(decision.begun):
            # It is somebody else's turn, or enough have failed.
            return AT_ONCE
        coming = (acting.after, decision.look, self._follow_idle(p, decision))
        return min((one for one in coming if one is not None), default=None)

    async def look(
        self, p: Pass[Addon], view: ManyView, decision: ManyDecision, outcome: ManyOutcome
    ) -> float | None:
        """Clusters are followed while it is paused, too."""
        del view, outcome
        return self._follow_idle(p, decision)

    def _wait_for(self, p: Pass[Addon], clusters: Iterable[str]) -> None:
        """From now on any change of what has the names of these Clusters' Addons wakes this one."""
        names = (naming.addon_for(p.obj.name, one) for one in clusters)
        self._awaited.wait((p.obj.namespace, p.obj.name), names)

    def _follow_idle(self, p: Pass[Addon], decision: ManyDecision) -> float | None:
        """From now on any change of a Cluster that is skipped for the moment wakes this one."""
        where, rows = p.obj.namespace, decision.rows or {}
        idle = [f"{where}/{name}" for name, row in rows.items() if row.reason in AGAIN]
        return AT_ONCE if self._followed.raised((where, p.obj.name), idle) else None

    def conditions(
        self,
        p: Pass[Addon],
        view: ManyView,
        decision: ManyDecision,
        outcome: ManyOutcome,
        ended: Exception | None,
    ) -> None:
        """All that people see; the rows were recorded before."""
        del view
        conditions_.report(p.status, p.obj, decision, outcome, ended=ended, now=p.now)

    def rest(
        self, p: Pass[Addon], view: ManyView, decision: ManyDecision, outcome: ManyOutcome
    ) -> float | None:
        """Where something changes of which nobody tells."""
        del view, outcome
        look = decision.look
        return look if look is not None and look < p.settings.resync else None

    def quiet(self, p: Pass[Addon], view: ManyView, decision: ManyDecision) -> float:
        """The more Clusters there are, the more changes are one pass."""
        del p, view
        return len(decision.rows or ()) / ROWS_PER_SECOND

    async def finalize(self, p: Pass[Addon]) -> Result | Done:
        """The Addons that it made go, and take what they applied along."""
        return await delete_.step(p)

    def forget(self, key: Key, uid: str) -> None:
        """It is woken for nothing any more."""
        del uid
        self._followed.forget(key)
        self._awaited.forget(key)
