"""Which Clusters get an Addon, and in which wave a change of it reaches them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from kok.api.cluster.addon import Addon, AddonSpec
from kok.api.cluster.addonrollout import AddonStaging, AddonWave
from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.fleetstatus import FleetRow, FleetWaveStatus
from kok.api.cluster.staging import CANARY, REST
from kok.api.names import ANNOTATION_RETRY
from kok.operators.cluster import naming, reasons
from kok.operators.cluster.addon.many.content import Content, proven_by
from kok.operators.cluster.addon.many.view import Child, ManyView
from kok.operators.cluster.staging.assign import in_waves, wave_beside

MOST = 1000
"""Clusters of one Addon."""
AGAIN = frozenset(
    {
        reasons.CLUSTER_PAUSED,
        reasons.CLUSTER_ASLEEP,
        reasons.WAITING_FOR_CLUSTER,
        reasons.IN_NO_WAVE,
    }
)
"""Skipped for these a Cluster gets its turn as soon as they no longer hold."""
Told = tuple[str, str]
"""A word and a sentence."""


def staging_of(spec: AddonSpec) -> AddonStaging:
    """How a change is staged."""
    return spec.rollout or AddonStaging()


def waves_of(spec: AddonSpec) -> Sequence[AddonWave]:
    """The waves in their order: those of the spec, or one Cluster first and then the others."""
    return staging_of(spec).waves or (AddonWave(name=CANARY), AddonWave(name=REST))


def retry_of(addon: Addon) -> str:
    """The value of the annotation that asks for another try of what failed."""
    return addon.metadata.annotations.get(ANNOTATION_RETRY, "")[:253]


def child_of(addon: Addon, view: ManyView, cluster: str) -> Child | None:
    """The Addon of a Cluster."""
    return view.children.get(naming.addon_for(addon.name, cluster))


def selected(
    spec: AddonSpec, clusters: Mapping[str, ClusterContract]
) -> dict[str, ClusterContract]:
    """The Clusters that are to have it, in the order of their names."""
    chosen = spec.clusters
    return {
        name: one
        for name, one in sorted(clusters.items())
        if chosen is not None and not one.deleting and chosen.takes(dict(one.labels))
    }


def idle(cluster: ClusterContract, child: Child | None) -> Told | None:
    """Why a Cluster cannot get anything now; None if it can."""
    if cluster.paused:
        text = "it is paused, and gets the addon when its spec.paused is false again"
        return reasons.CLUSTER_PAUSED, text
    if cluster.hibernates or (cluster.wakes and cluster.runs):
        return reasons.CLUSTER_ASLEEP, "it is hibernated, and gets the addon when it wakes"
    if not cluster.runs:
        text = "it is being made, and gets the addon as soon as it runs"
        return reasons.WAITING_FOR_CLUSTER, text
    if child is not None and child.paused:
        text = f"its Addon {child.name} is paused; set spec.paused of that to false"
        return reasons.CLUSTER_PAUSED, text
    return None


class Planner:
    """Rows of Clusters for one revision."""

    def __init__(self, addon: Addon, view: ManyView, content: Content, now: datetime) -> None:
        self._addon, self._view, self._content, self._now = addon, view, content, now
        self._selected = selected(addon.spec, view.clusters)
        self._waves = staging_of(addon.spec).waves
        rollout = addon.status.rollout
        self._before = rollout.table() if rollout is not None else {}
        self._proven = proven_by(rollout, content)
        self.beyond = 0
        """Clusters that did not fit."""

    def anew(self, *, retry: bool) -> tuple[dict[str, FleetRow], tuple[FleetWaveStatus, ...]]:
        """The plan of a revision, or the same one again: what was begun for it stays as it is.

        With `retry` what failed waits for its turn once more.
        """
        rows = {key: self._row(key, one, retry=retry) for key, one in self._chosen().items()}
        waiting = [key for key, row in rows.items() if row.state == "Waiting"]
        waves = in_waves(self._waves, waiting, self._selected)
        for key, row in rows.items():
            if row.state == "Waiting":
                rows[key] = self._placed(row, waves.get(key))
            elif row.state != "Done":
                rows[key] = replace(row, wave=wave_beside(self._waves, self._selected[key]) or "")
        rows |= self._leaving()
        names = [one.name for one in waves_of(self._addon.spec)]
        return rows, tuple(
            FleetWaveStatus(name=name, clusters=_count(name, rows)) for name in names
        )

    def now(self) -> dict[str, FleetRow]:
        """The rows as recorded, with Clusters that came, and without those that are to go."""
        rows: dict[str, FleetRow] = {}
        for key, one in self._chosen().items():
            row = self._before.get(key)
            if row is None or row.reason in AGAIN:
                fresh = self._fresh(key, one)
                same = row is not None and (row.state, row.reason) == (fresh.state, fresh.reason)
                row = row if row is not None and same else fresh
            rows[key] = row
        return rows | self._leaving()

    def _chosen(self) -> dict[str, ClusterContract]:
        """Those selected, as many as fit; who has it keeps it."""
        order = sorted(self._selected, key=lambda key: (key not in self._before, key))
        self.beyond = max(0, len(order) - MOST)
        return {key: self._selected[key] for key in sorted(order[:MOST])}

    def _row(self, key: str, cluster: ClusterContract, *, retry: bool) -> FleetRow:
        """Without a wave where it waits."""
        row, revision = self._before.get(key), self._content.revision
        if row is not None and row.to == revision and row.state in {"Upgrading", "Done", "Failed"}:
            if row.state != "Failed" or not retry:
                return row
            return row.turned("Waiting", None)
        child = child_of(self._addon, self._view, key)
        found = FleetRow(from_=self._has(row), to=revision)
        told = child is not None and child.ready is not None
        if told and self._is_there(cluster, child) and self._is_proven(cluster):
            return found.turned("Done", self._now)
        why = idle(cluster, child)
        return found if why is None else found.turned("Skipped", self._now, *why)

    def _fresh(self, key: str, cluster: ClusterContract) -> FleetRow:
        """That of a Cluster that came, woke, or was in no wave."""
        child, row = child_of(self._addon, self._view, key), self._before.get(key)
        fresh = FleetRow(from_=self._has(row), to=self._content.revision)
        if (told := idle(cluster, child)) is not None:
            fresh = fresh.turned("Skipped", self._now, *told)
        elif self._is_there(cluster, child) and child and child.ready and child.ready.holds:
            return fresh.turned("Done", self._now)
        return self._placed(fresh, wave_beside(self._waves, cluster))

    def _placed(self, row: FleetRow, wave: str | None) -> FleetRow:
        if wave is not None:
            return replace(row, wave=wave)
        if row.state == "Skipped":
            return row
        why = "no wave takes it; end spec.rollout.waves with one that has no selector, percent or names"
        return row.turned("Skipped", self._now, reasons.IN_NO_WAVE, why)

    def _has(self, row: FleetRow | None) -> str:
        """The revision that a Cluster got last, as far as that is known."""
        if row is None:
            return ""
        return row.to if row.state in {"Upgrading", "Done", "Failed"} else row.from_

    def _is_there(self, cluster: ClusterContract, child: Child | None) -> bool:
        return child is not None and child.digest == self._content.digest_for(cluster)

    def _is_proven(self, cluster: ClusterContract) -> bool:
        """Whether a rollout went through with what the Cluster is to have.

        Otherwise another revision with the same for this Cluster takes nobody's word for it: a canary
        that failed, or has not proven itself yet, has its turn again.
        """
        wanted = self._content.digest_for(cluster)
        return self._proven is not None and self._proven.digest_for(cluster) == wanted

    def _leaving(self) -> dict[str, FleetRow]:
        """Clusters that are no longer selected, and keep it only because they do not run."""
        found: dict[str, FleetRow] = {}
        for child in self._view.children.values():
            if (told := kept_asleep(self._addon, self._view, child)) is None:
                continue
            row = self._before.get(child.cluster) or FleetRow()
            if (row.state, row.reason) != ("Skipped", reasons.UNSELECTED):
                row = row.turned("Skipped", self._now, *told)
            found[child.cluster] = replace(row, wave="")
        return found


def kept_asleep(addon: Addon, view: ManyView, child: Child) -> Told | None:
    """Why an Addon of a Cluster that is not selected is not removed yet; None if it is, or is wanted."""
    cluster = view.clusters.get(child.cluster)
    if cluster is None or cluster.deleting or addon.spec.when_unselected == "Orphan":
        return None
    if child.cluster in selected(addon.spec, {cluster.name: cluster}):
        return None
    if not (cluster.paused or cluster.hibernates or cluster.wakes):
        return None
    text = "it is no longer selected, and does not run: the addon is removed from it when it does"
    return reasons.UNSELECTED, text


def _count(name: str, rows: Mapping[str, FleetRow]) -> int:
    return sum(row.wave == name and row.state != "Skipped" for row in rows.values())


def recounted(
    waves: Sequence[FleetWaveStatus], rows: Mapping[str, FleetRow]
) -> list[FleetWaveStatus]:
    """The waves with as many Clusters as there are now."""
    return [one.model_copy(update={"clusters": _count(one.name, rows)}) for one in waves]
