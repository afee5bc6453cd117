"""What a pass over an Addon for many Clusters is to do. Pure: spec, record, view, and the time.

A Cluster gets another content only after its row says `Upgrading` of that revision; until then its Addon
is left as it is. While no rollout is under way Clusters that come get what all have at once.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from kok.api.cluster.addon import Addon
from kok.api.cluster.addonrollout import AddonRollout, AddonWave
from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.fleetstatus import FleetRow, FleetWaveStatus
from kok.api.fields import span
from kok.api.meta import Manifest
from kok.api.shares import resolved
from kok.operators.cluster import naming, reasons
from kok.operators.cluster.addon.many.content import Content, plan_of, problem, proven_by
from kok.operators.cluster.addon.many.plan import (
    Planner,
    child_of,
    idle,
    kept_asleep,
    recounted,
    retry_of,
    selected,
    staging_of,
    waves_of,
)
from kok.operators.cluster.addon.many.prospects import HOPELESS
from kok.operators.cluster.addon.many.view import Child, ManyDecision, ManyView
from kok.operators.cluster.staging.standing import NAMED, Standing, named
from kok.operators.cluster.staging.waves import Waves
from kok.runtime.controller.errors import Invalid

PAUSED = "spec.paused is true: no further Cluster gets anything; those under way go on"


def decide(addon: Addon, view: ManyView, now: datetime) -> ManyDecision:
    """What to do with an Addon for many Clusters."""
    if (deep := problem(addon.spec)) is not None:
        told = Standing("Pending", reasons.VALUES_INVALID, deep)
        return ManyDecision(told, stop=Invalid(reasons.VALUES_INVALID, deep))
    content, rollout = Content.of(addon.spec), addon.status.rollout
    made_of, asked = plan_of(addon.spec, content.revision), retry_of(addon)
    retry = rollout is not None and asked not in {"", rollout.retried}
    if rollout is not None and rollout.plan_of == made_of and not retry:
        return Step(addon, rollout, view, content, now).taken()
    if addon.spec.paused:
        return ManyDecision(Standing("Paused", reasons.FLEET_PAUSED, PAUSED))
    planner = Planner(addon, view, content, now)
    rows, waves = planner.anew(retry=retry)
    waiting = sum(row.state == "Waiting" for row in rows.values())
    return ManyDecision(
        Standing("Planned", reasons.PLANNING, f"{waiting} Clusters are to get {content.revision}"),
        rows=rows,
        planned=True,
        revision=content.revision,
        plan_of=made_of,
        waves=waves,
        beyond=planner.beyond,
    )


class Step(Waves[AddonWave]):
    """One pass over an Addon that has a plan."""

    def __init__(
        self, addon: Addon, rollout: AddonRollout, view: ManyView, content: Content, now: datetime
    ) -> None:
        self._planner = Planner(addon, view, content, now)
        rows = self._planner.now()
        super().__init__(waves_of(addon.spec), rows, recounted(rollout.waves, rows), now)
        self._addon, self._rollout, self._view = addon, rollout, view
        self._content, self._staging = content, staging_of(addon.spec)
        self._begun: list[str] = []

    def taken(self) -> ManyDecision:
        """What comes of it."""
        self._judge()
        wave, standing, ended = None, None, self._rollout.ended_at
        if ended is None:
            wave, standing = self._walk()
            if standing is None and (stopped := self._stopped()) is not None:
                standing = Standing("Stopped", reasons.FLEET_STOPPED, stopped)
            elif standing is None:
                ended = self._now.replace(microsecond=0)
        else:
            self._catch_up()
        removed, released = self._unwanted()
        fresh = ended is not None and self._rollout.ended_at is None
        return ManyDecision(
            standing or self._at_rest(),
            rows=self._rows,
            revision=self._content.revision,
            plan_of=self._rollout.plan_of,
            waves=tuple(self._waves.values()),
            wave=wave,
            beyond=self._planner.beyond,
            begun=tuple(self._begun),
            intents=self._intents(),
            removed=removed,
            released=released,
            ended=ended,
            proven=self._content.to_keep() if fresh else self._rollout.proven,
            stopped=(self._stopped() or "") if ended is None else "",
            look=self._look(),
        )

    # --- what became of those that were begun

    def _judge(self) -> None:
        patience = span(self._staging.progress_deadline)
        for key, row in self._rows.items():
            if row.state not in {"Upgrading", "Failed"} or key in self._view.stale:
                continue
            now = self._judged(key, row)
            if now.state == "Upgrading" and now.since is not None:
                end = now.since + patience
                if self._now > end:
                    now = now.turned("Failed", self._now, *self._late(key))
                else:
                    self._looks.append(end)
            self._rows[key] = now

    def _judged(self, key: str, row: FleetRow) -> FleetRow:
        cluster, child = self._view.clusters[key], child_of(self._addon, self._view, key)
        there = child is not None and self._is_there(cluster, child)
        said = child.ready if child is not None and there and not child.deleting else None
        if said is not None and said.holds:
            return row.turned("Done", self._now)
        if row.state == "Failed":
            return row
        if (told := idle(cluster, child)) is not None:
            return row.turned("Skipped", self._now, *told)
        if said is not None and said.reason in HOPELESS:
            return row.turned("Failed", self._now, said.reason, said.message)
        return row

    def _late(self, key: str) -> tuple[str, str]:
        cluster, child = self._view.clusters[key], child_of(self._addon, self._view, key)
        name = naming.addon_for(self._addon.name, key)
        if child is None:
            why = f"there is no Addon {name}"
        elif not self._is_there(cluster, child):
            why = f"Addon {name} is not what it is to be; take out what others wrote into its spec"
        elif child.ready is None:
            why = f"nobody has looked at Addon {name} since it was changed"
        else:
            why = f"{child.ready.reason}: {child.ready.message}"
        return reasons.NOT_READY_IN_TIME, why

    # --- waves

    def _held(self, spec: AddonWave, wave: FleetWaveStatus) -> Standing | None:
        del spec, wave
        under_way = self._count("Upgrading")
        if self._addon.spec.paused:
            return Standing("Paused", reasons.FLEET_PAUSED, PAUSED)
        if (stopped := self._stopped()) is not None:
            finish = f"; {under_way} under way go on" if under_way else ""
            return Standing("Stopped", reasons.FLEET_STOPPED, f"{stopped}{finish}")
        return None

    def _looked_at(self, key: str, row: FleetRow) -> FleetRow | None:
        if key in self._view.stale:
            return None
        told = idle(self._view.clusters[key], child_of(self._addon, self._view, key))
        return row if told is None else row.turned("Skipped", self._now, *told)

    def _begin(self, key: str, row: FleetRow) -> None:
        del row
        self._begun.append(key)
        self._looks.append(self._now + span(self._staging.progress_deadline))

    def _unready(self, key: str, row: FleetRow) -> str | None:
        del row
        cluster, child = self._view.clusters[key], child_of(self._addon, self._view, key)
        if idle(cluster, child) is not None:
            return None
        if child is None:
            return "its Addon is gone"
        if child.ready is None or child.ready.holds:
            return None
        return f"it is no longer Ready: {child.ready.reason}: {child.ready.message}"

    def _is_untold(self, key: str) -> bool:
        cluster, child = self._view.clusters[key], child_of(self._addon, self._view, key)
        if child is None or idle(cluster, child) is not None:
            return False
        # What others wrote into it is taken out by this pass; that it was Ready with that is nothing.
        return child.ready is None or (child.ready.holds and not self._is_there(cluster, child))

    def _is_there(self, cluster: ClusterContract, child: Child) -> bool:
        return child.digest == self._content.digest_for(cluster)

    def _stopped(self) -> str | None:
        failed, planned = self._failures()
        further = (
            "mend the spec, which begins with the first wave again, or what is in the way and set "
            "another value of the annotation kok.dev/retry"
        )
        if planned and failed >= resolved(self._staging.stop_after_failures, planned):
            limit = f"spec.rollout.stopAfterFailures is {self._staging.stop_after_failures}"
            return f"{failed} of {planned} failed ({self._failed()}), and {limit}: {further}"
        if (name := self._lost_wave()) is not None:
            return f"no Cluster of wave {name} got through ({self._failed()}): {further}"
        return None

    def _failed(self) -> str:
        return named([key for key, row in self._rows.items() if row.state == "Failed"])

    # --- while no rollout is under way

    def _catch_up(self) -> None:
        """Who came or woke meanwhile gets what all have, whatever became of others."""
        if self._addon.spec.paused:
            return
        for key, row in self._rows.items():
            if row.state != "Waiting":
                continue
            looked = self._looked_at(key, row)
            if looked is None:
                self._again = True
            elif looked.state == "Waiting":
                self._rows[key] = row.turned("Upgrading", self._now)
                self._begin(key, row)
            else:
                self._rows[key] = looked

    def _at_rest(self) -> Standing:
        under_way = [key for key, row in self._rows.items() if row.state == "Upgrading"]
        waiting = [key for key, row in self._rows.items() if row.state == "Waiting"]
        if under_way:
            text = f"{named(under_way)} came later and get it now"
            return Standing("Upgrading", reasons.WAVE_UNDER_WAY, text)
        if waiting and self._addon.spec.paused:
            return Standing("Paused", reasons.FLEET_PAUSED, PAUSED)
        if down := self._down():
            told = "; ".join(f"{key}: {why}" for key, why in list(down.items())[:NAMED])
            more = f"; and {len(down) - NAMED} more" if len(down) > NAMED else ""
            text = f"it is not Ready in {len(down)} of {len(self._rows)} Clusters: {told}{more}"
            return Standing("Pending", reasons.NOT_HEALTHY, text)
        if not self._rows:
            text = "spec.clusters takes no Cluster of this namespace yet"
            return Standing("Ready", reasons.NOTHING_SELECTED, text, ready=True)
        skipped = Counter(row.reason for row in self._rows.values() if row.state == "Skipped")
        beside = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
        text = f"{self._count('Done')} of {len(self._rows)} Clusters have it"
        text = f"{text}; skipped: {beside}" if beside else text
        return Standing("Ready", reasons.AS_WANTED, text, ready=True)

    def _down(self) -> dict[str, str]:
        """Clusters where it failed or is not Ready, and why."""
        found: dict[str, str] = {}
        for key, row in self._rows.items():
            if row.state == "Failed":
                found[key] = f"{row.reason}: {row.why}"
            elif row.state == "Done" and (why := self._unready(key, row)) is not None:
                found[key] = why
        return found

    # --- Addons of the Clusters

    def _intents(self) -> dict[str, Manifest]:
        """What is to be written; of those whose turn is yet to come only what is missing."""
        found: dict[str, Manifest] = {}
        proven = proven_by(self._rollout, self._content)
        for key, cluster in selected(self._addon.spec, self._view.clusters).items():
            row, child = self._rows.get(key), child_of(self._addon, self._view, key)
            wanted = self._content
            if row is None or row.state == "Skipped" or (child is not None and child.deleting):
                continue
            if row.state == "Waiting":
                if child is not None or proven is None or self._addon.spec.paused:
                    continue
                wanted = proven
            if child is None or child.digest != wanted.digest_for(cluster):
                found[key] = wanted.spec_for(cluster)
        return found

    def _unwanted(self) -> tuple[tuple[Child, ...], tuple[Child, ...]]:
        """Those that go, and those that stay without belonging to this Addon."""
        wanted = {
            naming.addon_for(self._addon.name, key)
            for key in selected(self._addon.spec, self._view.clusters)
            if key in self._rows
        }
        going, staying = [], []
        for name, child in self._view.children.items():
            if name in wanted or child.deleting:
                continue
            cluster = self._view.clusters.get(child.cluster)
            lives = cluster is not None and not cluster.deleting
            if lives and self._addon.spec.when_unselected == "Orphan":
                staying.append(child)
            elif kept_asleep(self._addon, self._view, child) is None:
                going.append(child)
        return tuple(going), tuple(staying)
