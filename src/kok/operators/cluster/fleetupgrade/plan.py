"""Which Clusters are raised, to which version, and in which wave. Pure.

A plan is made once, at the start, and recorded; what is tried again keeps its place in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kok import versions
from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.fleetstatus import BYTES_MOST, CLUSTERS_MOST, FleetRow, FleetWaveStatus
from kok.api.cluster.fleetupgrade import FleetTarget, FleetUpgradeSpec, FleetWave
from kok.api.cluster.staging import CANARY, REST
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade.aim import aim, aim_again
from kok.operators.cluster.fleetupgrade.progress import (
    arrived,
    asleep,
    is_gone,
    reaches,
    unproven,
    wanted,
)
from kok.operators.cluster.staging.assign import in_waves, wave_beside
from kok.versions.knowledge import Releases

Rows = Mapping[str, FleetRow]
LINE = 110
"""Bytes that a Cluster takes in the table beside its name, which stands there twice."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be recorded before anything is done."""

    rows: Rows
    waves: tuple[FleetWaveStatus, ...]
    beyond: int = 0
    """Clusters that did not fit."""


@dataclass(frozen=True, slots=True)
class Known:
    """All that a plan is made of, beside its spec."""

    clusters: Mapping[str, ClusterContract]
    """By `namespace/name`, wherever they may be selected."""
    claims: Mapping[str, str]
    """Clusters that another FleetUpgrade has that has not ended, and its `namespace/name`."""
    releases: Releases
    now: datetime


def waves_of(spec: FleetUpgradeSpec) -> Sequence[FleetWave]:
    """The waves in their order: those of the spec, or one Cluster first and then the others."""
    return spec.waves or (FleetWave(name=CANARY), FleetWave(name=REST))


def target_of(target: FleetTarget) -> str:
    """For people."""
    if target.version is not None:
        return target.version
    return target.fixes or "latest patch level"


def missing(spec: FleetUpgradeSpec, clusters: Mapping[str, ClusterContract]) -> list[str]:
    """What waves name and is not selected: with a misspelt canary the others would go first."""
    picked = [one for one in clusters.values() if spec.selector.takes(dict(one.labels))]
    there = {one.name for one in picked} | {one.key for one in picked}
    return [name for wave in spec.waves for name in wave.names if name not in there]


def make(spec: FleetUpgradeSpec, known: Known) -> Plan:
    """The plan of a FleetUpgrade that begins now."""
    picked = {
        key: one
        for key, one in sorted(known.clusters.items())
        if spec.selector.takes(dict(one.labels))
    }
    rows = {key: _planned(spec.target, one, known) for key, one in picked.items()}
    rows = _in_waves(spec, rows, picked, known.now)
    # Those that are to be upgraded first, if not all of them fit.
    by_use = sorted(rows, key=lambda key: (rows[key].state == "Skipped", key))
    room, kept = BYTES_MOST, set[str]()
    for key in by_use[:CLUSTERS_MOST]:
        room -= 2 * len(key) + LINE
        if room < 0:
            break
        kept.add(key)
    rows = {key: row for key, row in rows.items() if key in kept}
    waves = tuple(_wave(one.name, rows) for one in waves_of(spec))
    return Plan(rows, waves, beyond=len(picked) - len(rows))


def again(
    spec: FleetUpgradeSpec,
    rows: Rows,
    waves: Sequence[FleetWaveStatus],
    planned: datetime,
    known: Known,
) -> Plan:
    """The same plan, in which what failed or was skipped waits for its turn once more."""
    last = waves_of(spec)[-1].name
    found = {
        key: _again(row, spec.target, known.clusters.get(key), planned, known)
        for key, row in rows.items()
    }
    found = {
        key: replace(row, wave=row.wave or last) if row.state == "Waiting" else row
        for key, row in found.items()
    }
    waiting = {row.wave for row in found.values() if row.state == "Waiting"}
    anew = tuple(
        wave.model_copy(
            update={"done": None, "soaked": None, "clusters": _count(wave.name, found)}
            if wave.name in waiting
            else {}
        )
        for wave in waves
    )
    return Plan(found, anew)


def _again(
    row: FleetRow,
    target: FleetTarget,
    cluster: ClusterContract | None,
    planned: datetime,
    known: Known,
) -> FleetRow:
    if row.state not in {"Failed", "Skipped"} or not row.to:
        return row
    if cluster is None or is_gone(cluster, planned):
        # Else one that failed and was deleted would hold the others up for ever.
        gone = row.turned("Skipped", known.now, reasons.CLUSTER_GONE, "it was deleted meanwhile")
        return gone if row.state == "Failed" else row
    row, told = aim_again(row, target, cluster, known.releases)
    given_up = unproven(row, cluster) and cluster.forbids
    if told is None and row.wave and arrived(cluster, row.to) and not given_up:
        # One that failed is judged by the next pass, by more than the version that it has.
        return row if row.state == "Failed" else row.turned("Done", known.now)
    told = told or _claimed(cluster.key, known)
    told = told or refusal(cluster, row.to, mine=row.state == "Failed") or asleep(cluster, row.to)
    if told is None:
        return row.turned("Waiting", None)
    same = row.state == "Skipped" and row.reason == told[0]
    return row if same else row.turned("Skipped", known.now, *told)


def _planned(target: FleetTarget, cluster: ClusterContract, known: Known) -> FleetRow:
    """A Cluster's row, without a wave."""
    row = FleetRow(from_=cluster.runs or cluster.version)
    to, told = aim(target, cluster, known.releases)
    if told is None:
        row = replace(row, to=to)
        told = _claimed(cluster.key, known) or refusal(cluster, to) or asleep(cluster, to)
    return row if told is None else row.turned("Skipped", known.now, *told)


def refusal(cluster: ClusterContract, to: str, *, mine: bool = False) -> tuple[str, str] | None:
    """Why a Cluster is not to be raised to a version, as word and sentence; None if it may be.

    `mine`: it was raised to it before, and is to be raised once more.
    """
    if cluster.deleting:
        return reasons.CLUSTER_GONE, "it is being deleted"
    if cluster.forbids:
        return reasons.OPTED_OUT, (
            f"its spec.upgrade.fleet is Forbid; set it to Allow, or write version {to} into its spec"
        )
    if reaches(cluster.version, to) or (not mine and reaches(wanted(cluster), to)):
        return reasons.ALREADY_THERE, _there(cluster, to)
    if (problem := _way(cluster, to)) is not None:
        return reasons.VERSION_UNREACHABLE, problem
    return None


HANGS = frozenset({reasons.UPGRADE_BLOCKED, reasons.UPGRADE_STUCK, reasons.UPGRADE_BACKED_OUT})


def _there(cluster: ClusterContract, to: str) -> str:
    """That a Cluster is to have a version already; and, where it does not run it, how far that is."""
    if reaches(cluster.runs, to):
        return f"it has {to} or a later version"
    if (idle := asleep(cluster, to)) is not None:
        return idle[1]
    by = f" by FleetUpgrade {cluster.raised_by}" if wanted(cluster) != cluster.version else ""
    text = f"it runs {cluster.runs or 'nothing yet'}, and is on its way to {wanted(cluster)}{by}"
    said = cluster.progressing
    hangs = said is not None and not said.holds and said.reason in HANGS
    return f"{text}, which does not go on: {said.message}" if said and hangs else text


def _way(cluster: ClusterContract, to: str) -> str | None:
    """What is in the way from what runs to a version."""
    try:
        aim = versions.kubernetes(to).version
        if not cluster.runs:
            # What never ran is made, not upgraded.
            return None
        runs = versions.parse(cluster.runs)
        problem = versions.check_upgrade(cluster.runs, to)
        if problem is None or aim.major != runs.major or aim.minor <= runs.minor + 1:
            return problem
        if not cluster.chained:
            return f"{problem}, or set its spec.upgrade.chained to true"
        now = cluster.runs
        while now != to:
            now = versions.next_step(now, to)
    except versions.UnknownVersion as error:
        return str(error)
    return None


def _claimed(key: str, known: Known) -> tuple[str, str] | None:
    other = known.claims.get(key)
    if other is None:
        return None
    return reasons.IN_ANOTHER_FLEET, (
        f"FleetUpgrade {other} has it, and has not ended; wait for that, or set its spec.abort to true, "
        "and then the annotation kok.dev/retry of this one"
    )


def _in_waves(
    spec: FleetUpgradeSpec,
    rows: Rows,
    clusters: Mapping[str, ClusterContract],
    now: datetime,
) -> dict[str, FleetRow]:
    """The rows with their waves; those that sleep have one, too, and take nobody's place in it."""
    found = dict(rows)
    waiting = [key for key, row in rows.items() if row.state == "Waiting"]
    waves = in_waves(spec.waves, waiting, clusters)
    for key in waiting:
        if key in waves:
            found[key] = replace(found[key], wave=waves[key])
            continue
        why = "no wave takes it; end spec.waves with one that has no selector, percent or names"
        found[key] = found[key].turned("Skipped", now, reasons.IN_NO_WAVE, why)
    for key in (key for key, row in rows.items() if row.reason in SLEEPING):
        found[key] = replace(found[key], wave=wave_beside(spec.waves, clusters[key]) or "")
    return found


SLEEPING = frozenset({reasons.CLUSTER_PAUSED, reasons.CLUSTER_ASLEEP})


def _wave(name: str, rows: Rows) -> FleetWaveStatus:
    return FleetWaveStatus(name=name, clusters=_count(name, rows))


def _count(name: str, rows: Rows) -> int:
    return sum(row.wave == name and row.state != "Skipped" for row in rows.values())
