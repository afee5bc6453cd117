"""What a FleetUpgrade tells of itself, and how the table of its Clusters is stored.

An object may have 1.5 MiB and some 30,000 values, and each write sends all of it to etcd. So that
5,000 Clusters fit, those that share all but their names stand together: `plan` has what was planned, and
what is not raised with the reason; `clusters` has a line for each one that was begun. `table` makes one
line a Cluster of both, `store` the reverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from kok.api.meta import ApiModel, Status

CLUSTERS_MOST = 5000
"""Clusters of one FleetUpgrade."""
BYTES_MOST = 1_150_000
"""Bytes that the table may take."""
ENTRIES_MOST = 27_000
"""Values that the table may have."""
WHY_MOST = 512
NOT_READY_AFTER: Final = "NotReadyAfter"
"""Why a Cluster failed that has the version: the one such word by which it is told what becomes of it."""

State = Literal["Waiting", "Upgrading", "Done", "Failed", "Skipped"]


class FleetGroup(ApiModel):
    """Clusters that share all but their names, and for which nothing was begun."""

    wave: str = Field(default="", max_length=32)
    """The wave that they belong to; empty for those that are not to be upgraded."""
    from_: str = Field(default="", alias="from", max_length=32)
    """The version that they had when the plan was made."""
    to: str = Field(default="", max_length=32)
    """The version that they are to have; empty where there is none for them."""
    reason: str | None = Field(default=None, max_length=63)
    """Why they are skipped, as one word; absent for those that wait for their turn, or had it."""
    why: str | None = Field(default=None, max_length=WHY_MOST)
    """The same as a sentence, with what to do."""
    since: datetime | None = None
    """Since when they are skipped."""
    clusters: list[str] = Field(default_factory=list)
    """The Clusters, as `namespace/name`."""


class FleetCluster(ApiModel):
    """One Cluster for which something was begun; `plan` has its versions and its wave."""

    name: str = Field(max_length=320)
    """The Cluster, as `namespace/name`."""
    state: State
    """`Upgrading`, `Done` or `Failed`."""
    since: datetime
    """Since when."""
    reason: str | None = Field(default=None, max_length=63)
    """Why it failed, as one word."""
    why: str | None = Field(default=None, max_length=WHY_MOST)
    """The same as a sentence."""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One line of the table."""

    wave: str = ""
    from_: str = ""
    to: str = ""
    state: State = "Waiting"
    since: datetime | None = None
    reason: str = ""
    why: str = ""

    def turned(
        self, state: State, now: datetime | None, reason: str = "", why: str = ""
    ) -> FleetRow:
        """The same Cluster in another state."""
        since = now.replace(microsecond=0) if now is not None else None
        return replace(self, state=state, since=since, reason=reason, why=why[:WHY_MOST])


class FleetWaveStatus(ApiModel):
    """How far one wave is."""

    name: str = Field(max_length=32)
    """The wave."""
    clusters: int = 0
    """How many Clusters it has."""
    approved: datetime | None = None
    """When its approval was seen."""
    begun: datetime | None = None
    """When its first Cluster was raised."""
    done: datetime | None = None
    """When its last Cluster was through."""
    soaked: datetime | None = None
    """When it was through, with the time that it had to prove itself."""


class FleetCounts(ApiModel):
    """How many Clusters are in which state."""

    total: int = 0
    """Clusters that were selected at the start."""
    waiting: int = 0
    """Clusters whose turn is yet to come."""
    upgrading: int = 0
    """Clusters that are under way."""
    done: int = 0
    """Clusters that have the version."""
    failed: int = 0
    """Clusters whose upgrade hangs, was refused or was taken back."""
    skipped: int = 0
    """Clusters that are left as they are; `plan` says why."""


class FleetWindowStatus(ApiModel):
    """The window that was due last."""

    due: datetime
    """When it was to open."""
    opened: datetime
    """As of when it counts as open: as of then, or as of when it was found that nobody could look from then
    to its end, and it is caught up with."""
    cron: str = Field(default="", max_length=128)
    """The schedule by which it was due: by another one nothing was missed."""


class FleetReport(ApiModel):
    """What came of it."""

    result: Literal[
        "Completed",
        "CompletedWithFailures",
        "NothingUpgraded",
        "Aborted",
        "DryRun",
        "NothingSelected",
    ]
    """In one word."""
    began: datetime
    """When the plan was made."""
    ended: datetime
    """When the last Cluster was through."""
    summary: str = Field(max_length=1024)
    """The same in a sentence."""


class FleetDurations(ApiModel):
    """How long Clusters took from being raised until they were through, in seconds."""

    count: int = 0
    """Clusters that were through."""
    total: float = 0.0
    """Sum of what they took."""
    longest: float = 0.0
    """What the slowest took."""
    slowest: str = Field(default="", max_length=320)
    """The slowest, as `namespace/name`."""


class FleetUpgradeStatus(Status):
    """What a FleetUpgrade has done and has yet to do."""

    target: str | None = Field(default=None, max_length=64)
    """What Clusters are raised to, for people."""
    started_at: datetime | None = None
    """When the plan was made; it does not change after that."""
    ended_at: datetime | None = None
    """When it was through."""
    wave: str | None = Field(default=None, max_length=32)
    """The wave that is under way."""
    summary: str | None = Field(default=None, max_length=32)
    """Clusters that are done and all that are to be upgraded, for people."""
    counts: FleetCounts = Field(default_factory=FleetCounts)
    """How many Clusters are in which state."""
    waves: list[FleetWaveStatus] = Field(default_factory=list, max_length=32)
    """The waves in their order."""
    plan: list[FleetGroup] = Field(default_factory=list)
    """What each Cluster goes from and to, in which wave; and those that are skipped, with the reason."""
    clusters: list[FleetCluster] = Field(default_factory=list)
    """A line for each Cluster that was begun; those that wait stand in `plan` alone."""
    late: int = 0
    """Clusters that were selected only after the plan was made: they are not upgraded."""
    beyond: int = 0
    """Clusters that were selected and did not fit into one FleetUpgrade."""
    window: FleetWindowStatus | None = None
    """The window that was due last, whether it could be used or not."""
    retried: str = Field(default="", max_length=253)
    """Value of the annotation `kok.dev/retry` that was heeded last."""
    took: FleetDurations | None = None
    """How long Clusters took."""
    report: FleetReport | None = None
    """What came of it, once it has ended."""

    def table(self) -> dict[str, FleetRow]:
        """One line for each Cluster, by `namespace/name`, in alphabetical order."""
        return rows_of(self.plan, self.clusters)

    def store(self, rows: Mapping[str, FleetRow]) -> None:
        """Makes `plan`, `clusters` and `counts` say what these lines do."""
        self.plan, self.clusters = stored(rows)
        self.counts = counted(rows)


def rows_of(plan: Iterable[FleetGroup], clusters: Iterable[FleetCluster]) -> dict[str, FleetRow]:
    """One line for each Cluster of a stored table, in alphabetical order."""
    rows: dict[str, FleetRow] = {}
    for group in plan:
        state: State = "Skipped" if group.reason else "Waiting"
        told = (group.since, group.reason or "", group.why or "")
        shared = FleetRow(group.wave, group.from_, group.to, state, *told)
        rows.update(dict.fromkeys(group.clusters, shared))
    for line in clusters:
        planned = rows.get(line.name, FleetRow())
        told = (line.since, line.reason or "", line.why or "")
        rows[line.name] = planned.turned(line.state, *told)
    return dict(sorted(rows.items()))


def stored(rows: Mapping[str, FleetRow]) -> tuple[list[FleetGroup], list[FleetCluster]]:
    """The lines as a table that can be stored: `plan` and `clusters`.

    What does not fit loses its sentences first: the words of their reasons stay. After that only
    `NOT_READY_AFTER` does, and if there is no room for that, none: whoever reads a line that has failed
    for no reason has to reckon with this one.
    """
    plan, clusters = _stored(rows)
    if not _fits(plan, clusters):
        brief = {
            key: replace(row, why="", since=None)
            if row.state == "Skipped"
            else replace(row, why=row.why[:80])
            for key, row in rows.items()
        }
        plan, clusters = _stored(brief)
    if not _fits(plan, clusters):
        for line in clusters:
            line.why = None
            line.reason = line.reason if line.reason == NOT_READY_AFTER else None
    if not _fits(plan, clusters):
        for line in clusters:
            line.reason = None
    return plan, clusters


def counted(rows: Mapping[str, FleetRow]) -> FleetCounts:
    """How many Clusters are in which state."""
    states = [row.state for row in rows.values()]
    return FleetCounts(
        total=len(states),
        waiting=states.count("Waiting"),
        upgrading=states.count("Upgrading"),
        done=states.count("Done"),
        failed=states.count("Failed"),
        skipped=states.count("Skipped"),
    )


def _stored(rows: Mapping[str, FleetRow]) -> tuple[list[FleetGroup], list[FleetCluster]]:
    groups: dict[FleetRow, FleetGroup] = {}
    lines: list[FleetCluster] = []
    for key, row in sorted(rows.items()):
        shared = row if row.state == "Skipped" else FleetRow(row.wave, row.from_, row.to)
        if shared not in groups:
            groups[shared] = _group(shared)
        groups[shared].clusters.append(key)
        if row.state in {"Upgrading", "Done", "Failed"} and row.since is not None:
            told = {"reason": row.reason or None, "why": row.why or None}
            lines.append(FleetCluster(name=key, state=row.state, since=row.since, **told))
    return list(groups.values()), lines


def _group(row: FleetRow) -> FleetGroup:
    told = {"reason": row.reason or None, "why": row.why or None, "since": row.since}
    return FleetGroup(wave=row.wave, from_=row.from_, to=row.to, **told)


def _fits(plan: Iterable[FleetGroup], clusters: Iterable[FleetCluster]) -> bool:
    """Whether it can be stored and read; reckoned from above, a line at a time."""
    size = entries = 0
    for group in plan:
        size += (
            200 + len((group.why or "").encode()) + sum(len(name) + 3 for name in group.clusters)
        )
        entries += 9 + len(group.clusters)
    for line in clusters:
        size += 90 + len(line.name) + len((line.why or "").encode()) + len(line.reason or "")
        entries += 4 + bool(line.reason) + bool(line.why)
    return size <= BYTES_MOST and entries <= ENTRIES_MOST
