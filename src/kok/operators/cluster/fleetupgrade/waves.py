"""How a FleetUpgrade that has a plan goes on: what became of those begun, and who is next. Pure.

A Cluster is raised only after its row says `Upgrading`: whoever comes next finds it there, and raises it
if nobody has. No wave begins before all of the one before are through, had their time to prove themselves,
and approval where that is asked for.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Literal

from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.fleetstatus import FleetReport, FleetRow, FleetWaveStatus, FleetWindowStatus
from kok.api.cluster.fleetupgrade import FleetUpgrade, FleetWave
from kok.api.names import ANNOTATION_APPROVE
from kok.api.shares import resolved
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade.aim import aim_again
from kok.operators.cluster.fleetupgrade.decision import (
    NOTHING_SELECTED,
    FleetDecision,
    FleetView,
    Raise,
    standing_of,
)
from kok.operators.cluster.fleetupgrade.plan import refusal, waves_of
from kok.operators.cluster.fleetupgrade.progress import (
    asleep,
    deadline,
    is_gone,
    judge,
    reaches,
    unready,
    untold,
    wanted,
)
from kok.operators.cluster.fleetupgrade.window import window_of
from kok.operators.cluster.staging.standing import Standing, clock, length
from kok.operators.cluster.staging.waves import Waves
from kok.versions.knowledge import Releases

NOTHING_TO_DO = frozenset({reasons.ALREADY_THERE, reasons.NOT_CONCERNED, reasons.CLUSTER_GONE})
"""Skipped for these there was nothing to be upgraded."""
HELD = frozenset({reasons.FLEET_STOPPED, reasons.WAITING_FOR_APPROVAL})
"""While it waits for people, windows pass as they do while it is paused."""
ABORTED = "the FleetUpgrade was aborted before its turn"


def name_of(fleet: FleetUpgrade) -> str:
    """As `status.raised.by` of a Cluster names it."""
    return f"{fleet.namespace}/{fleet.name}"


class Step(Waves[FleetWave]):
    """One pass over a FleetUpgrade that has a plan and has not ended."""

    def __init__(
        self, fleet: FleetUpgrade, view: FleetView, releases: Releases, now: datetime
    ) -> None:
        super().__init__(waves_of(fleet.spec), fleet.status.table(), fleet.status.waves, now)
        self._releases = releases
        self._fleet, self._spec, self._view = fleet, fleet.spec, view
        self._planned = fleet.status.started_at or now
        self._raises: list[Raise] = []
        self._window = window_of(fleet, now, catches_up=not fleet.spec.paused)
        # Also while nothing waits for it: what was looked at is not caught up with.
        self._looks += [self._window.changes] if self._window.changes is not None else []

    def taken(self) -> FleetDecision:
        """What comes of it."""
        self._judge()
        self._abort()
        self._approve()
        self._raise_again()
        current, standing = self._walk()
        report = None
        if standing is None:
            report = self._report()
            standing = standing_of(report)
        return FleetDecision(
            standing,
            rows=self._rows,
            waves=tuple(self._waves.values()),
            wave=current,
            window=self._window_after(standing),
            raises=tuple(self._raises),
            stopped=(self._stopped() or "") if self._count("Waiting") else "",
            late=self._late(),
            took=self._took(),
            report=report,
            awaited=self._awaited() if report is None else (),
            look=self._look(),
        )

    def _awaited(self) -> tuple[str, ...]:
        failed = (key for key, row in self._rows.items() if row.state == "Failed")
        return (*failed, *self._untold)

    def _window_after(self, standing: Standing) -> FleetWindowStatus | None:
        """The window to be recorded: one that was missed while nobody could have been raised is over."""
        found, before = self._window.recorded, self._fleet.status.window
        anew = before is None or (found is not None and found.due != before.due)
        if found is None or not anew or standing.reason not in HELD:
            return found
        return found.model_copy(update={"opened": found.due})

    # --- what became of those that were begun

    def _judge(self) -> None:
        for key, row in self._rows.items():
            if row.state not in {"Upgrading", "Failed"} or key in self._view.stale:
                continue
            cluster = self._view.clusters.get(key)
            now = self._judged(row, cluster)
            self._rows[key] = now
            if now.state == "Upgrading" and cluster is not None:
                self._looks += [end for end in (deadline(now, cluster),) if end is not None]

    def _judged(self, row: FleetRow, cluster: ClusterContract | None) -> FleetRow:
        """One that was moved to a later minor goes on to what is wanted there."""
        if cluster is None or is_gone(cluster, self._planned):
            return judge(row, cluster, self._planned, self._now)
        row, told = aim_again(row, self._spec.target, cluster, self._releases)
        if told is None and row.state == "Upgrading" and not reaches(wanted(cluster), row.to):
            # Not raised yet, or its owner took that back: it is asked once more.
            told = refusal(cluster, row.to, mine=True)
        if told is not None and row.state == "Upgrading":
            return row.turned("Skipped", self._now, *told)
        return judge(row, cluster, self._planned, self._now) if told is None else row

    def _abort(self) -> None:
        if not self._spec.abort:
            return
        for key, row in self._rows.items():
            if row.state == "Waiting" or (row.state == "Upgrading" and self._is_below(key)):
                self._rows[key] = row.turned("Skipped", self._now, reasons.ABORTED, ABORTED)

    def _is_below(self, key: str) -> bool:
        """Whether a Cluster that is recorded as raised is not raised yet."""
        cluster = self._view.clusters.get(key)
        if cluster is None or key in self._view.stale:
            return False
        return not reaches(wanted(cluster), self._rows[key].to)

    def _raise_again(self) -> None:
        """What was recorded before the operator was killed, or is tried once more."""
        if self._spec.paused:
            return
        me = name_of(self._fleet)
        for key, row in self._rows.items():
            if row.state != "Upgrading" or row.since is None or key in self._view.stale:
                continue
            cluster = self._view.clusters[key]
            mine = cluster.raised == row.to and cluster.raised_by == me
            older = cluster.raised_at is None or cluster.raised_at < row.since
            if self._is_below(key) or (mine and older):
                self._raises.append(Raise(key, row.to, row.since))

    def _took(self) -> dict[str, float]:
        return {
            key: (self._now - before.since).total_seconds()
            for key, before in self._before.items()
            if before.state == "Upgrading" and before.since and self._rows[key].state == "Done"
        }

    # --- waves

    def _approve(self) -> None:
        told = self._fleet.metadata.annotations.get(ANNOTATION_APPROVE, "")
        for name in told.split(","):
            wave = self._waves.get(name.strip())
            if wave is not None and wave.approved is None:
                wave.approved = self._now.replace(microsecond=0)

    def _soaks(self) -> bool:
        return not self._spec.abort

    def _phase(self) -> str:
        return "Aborting" if self._spec.abort else "Upgrading"

    def _unready(self, key: str, row: FleetRow) -> str | None:
        return unready(row, self._view.clusters.get(key))

    def _is_untold(self, key: str) -> bool:
        return untold(self._rows[key], self._view.clusters.get(key))

    def _held(self, spec: FleetWave, wave: FleetWaveStatus) -> Standing | None:
        """Why no further Cluster is raised."""
        under_way = self._count("Upgrading")
        finish = f"; {under_way} under way finish" if under_way else ""
        if self._spec.paused:
            text = f"spec.paused is true: no further Cluster is raised{finish}"
            return Standing("Paused", reasons.FLEET_PAUSED, text)
        if (stopped := self._stopped()) is not None:
            return Standing("Stopped", reasons.FLEET_STOPPED, f"{stopped}{finish}")
        if spec.approval and wave.approved is None:
            where = f"fleetupgrade {self._fleet.name} -n {self._fleet.namespace}"
            text = (
                f"wave {spec.name} waits for approval: kubectl annotate {where} --overwrite "
                f"{ANNOTATION_APPROVE}={spec.name}"
            )
            return Standing("WaitingForApproval", reasons.WAITING_FOR_APPROVAL, text)
        window = self._window
        if window.problem is not None:
            text = f"spec.window.cron: {window.problem}; write one such as 0 22 * * *"
            return Standing("WaitingForWindow", reasons.WINDOW_INVALID, text)
        if not window.is_open:
            opens = clock(window.changes) if window.changes is not None else "never"
            text = f"no further Cluster is raised until the window opens at {opens}{finish}"
            return Standing("WaitingForWindow", reasons.WAITING_FOR_WINDOW, text)
        return None

    def _begin(self, key: str, row: FleetRow) -> None:
        self._raises.append(Raise(key, row.to, row.since or self._now))

    def _looked_at(self, key: str, row: FleetRow) -> FleetRow | None:
        if key in self._view.stale:
            return None
        cluster = self._view.clusters.get(key)
        if cluster is not None:
            row = aim_again(row, self._spec.target, cluster, self._releases)[0]
        told = self._unfit(row, cluster)
        return row if told is None else row.turned("Skipped", self._now, *told)

    def _unfit(self, row: FleetRow, cluster: ClusterContract | None) -> tuple[str, str] | None:
        """Why a Cluster whose turn it is cannot be raised after all, as word and sentence."""
        if cluster is None or is_gone(cluster, self._planned):
            return reasons.CLUSTER_GONE, "it was deleted meanwhile"
        me = name_of(self._fleet)
        mine = cluster.raised == row.to and cluster.raised_by == me
        if (none := aim_again(row, self._spec.target, cluster, self._releases)[1]) is not None:
            return none
        return refusal(cluster, row.to, mine=mine) or asleep(cluster, row.to)

    # --- what follows from all of it

    def _stopped(self) -> str | None:
        failed, planned = self._failures()
        most = resolved(self._spec.stop_after_failures, planned)
        further = "mend them and set another value of the annotation kok.dev/retry"
        if failed >= most:
            limit = f"spec.stopAfterFailures is {self._spec.stop_after_failures}"
            more = f"{further}, raise spec.stopAfterFailures, or set spec.abort"
            return f"{failed} of {planned} failed, and {limit}: {more}"
        if (name := self._lost_wave()) is not None:
            return (
                f"no Cluster of wave {name} got through: {further}, write spec.upgrade.fleet: "
                "Forbid into them and retry to go on without them, or set spec.abort"
            )
        return None

    def _late(self) -> tuple[str, ...]:
        if self._fleet.status.beyond:
            return ()
        return tuple(
            key
            for key, one in self._view.clusters.items()
            if key not in self._rows and self._spec.selector.takes(dict(one.labels))
        )

    def _report(self) -> FleetReport:
        done, failed = self._count("Done"), self._count("Failed")
        skipped = self._count("Skipped")
        began, ended = self._planned, self._now.replace(microsecond=0)
        text = f"{done} done, {failed} failed, {skipped} skipped in {length(ended - began)}"
        result: Literal[
            "Completed", "CompletedWithFailures", "NothingUpgraded", "Aborted", "NothingSelected"
        ]
        result = "Completed"
        if self._spec.abort:
            result = "Aborted"
        elif not self._rows:
            result, text = "NothingSelected", NOTHING_SELECTED
        elif failed:
            result = "CompletedWithFailures"
        elif not done and (left := self._left_behind()):
            result, text = "NothingUpgraded", f"no Cluster was upgraded: {left}"
        return FleetReport(result=result, began=began, ended=ended, summary=text)

    def _left_behind(self) -> str:
        """Clusters that do not have what they were to have, and why: how many for each reason."""
        why = Counter(
            row.reason
            for row in self._rows.values()
            if row.state == "Skipped" and row.reason not in NOTHING_TO_DO
        )
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
        return (
            f"{told}; mend that, and set another value of the annotation kok.dev/retry"
            if told
            else ""
        )
