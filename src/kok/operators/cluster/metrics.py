"""Prometheus metrics of the cluster operator.

Labels are bounded: objects, and words of ours. Of a FleetUpgrade there are at most nine series, and only
while it has Clusters to itself or has left some behind that failed: there are never many more of them
than Clusters. One that is refused has a single one.
"""

from __future__ import annotations

from datetime import datetime

from prometheus_client import Gauge

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.fleetstatus import FleetUpgradeStatus
from kok.operators.cluster import reasons
from kok.versions import UnknownVersion, parse
from kok.versions.knowledge import SEVERITIES, Releases

_CLUSTER = ("namespace", "name")
READY = Gauge("kok_cluster_ready", "Whether the condition Ready holds.", _CLUSTER)
UPGRADE_START = Gauge(
    "kok_cluster_upgrade_start_timestamp_seconds",
    "When the upgrade that is under way began.",
    _CLUSTER,
)
UPGRADE_HANGS = Gauge(
    "kok_cluster_upgrade_hangs",
    "Whether an upgrade is blocked, makes no progress, or was taken back, by that.",
    [*_CLUSTER, "reason"],
)
OUTDATED = Gauge("kok_cluster_outdated", "Whether a later patch level is out.", _CLUSTER)
VULNERABILITIES = Gauge(
    "kok_cluster_vulnerabilities",
    "CVEs that are known of the version that runs.",
    [*_CLUSTER, "severity"],
)
FLEET_CLUSTERS = Gauge(
    "kok_fleet_upgrade_clusters",
    "Clusters of a FleetUpgrade, by their state: waiting, upgrading, done, failed or skipped.",
    [*_CLUSTER, "state"],
)
FLEET_PHASE = Gauge(
    "kok_fleet_upgrade_phase",
    "1 for the phase that a FleetUpgrade is in.",
    [*_CLUSTER, "phase"],
)
FLEET_STOPPED = Gauge(
    "kok_fleet_upgrade_stopped",
    "Whether a FleetUpgrade raises no further Cluster because of failures.",
    _CLUSTER,
)
FLEET_MOVED = Gauge(
    "kok_fleet_upgrade_moved_timestamp_seconds",
    "When a Cluster or a wave of a FleetUpgrade last got any further; absent once it has ended.",
    _CLUSTER,
)
FLEET_REFUSED = Gauge(
    "kok_fleet_upgrade_refused",
    "1 for the reason why a FleetUpgrade cannot begin or go on before somebody mends what it asks for.",
    [*_CLUSTER, "reason"],
)
RELEASES_UNUSABLE = Gauge(
    "kok_releases_unusable",
    "Whether new knowledge of releases cannot be used, by where it stands: configmap, or url.",
    ["source"],
)
RELEASES_ISSUED = Gauge(
    "kok_releases_issued_timestamp_seconds",
    "When the knowledge of releases that is in use was issued; 0 if it is no more than this release of "
    "KOK knows by itself.",
)
_HANGS = (reasons.UPGRADE_BLOCKED, reasons.UPGRADE_STUCK, reasons.UPGRADE_BACKED_OUT)
_ALL = (READY, UPGRADE_START, UPGRADE_HANGS, OUTDATED, VULNERABILITIES)
_OF_FLEET = (FLEET_CLUSTERS, FLEET_PHASE, FLEET_STOPPED, FLEET_MOVED, FLEET_REFUSED)


def show(cluster: Cluster, releases: Releases) -> None:
    """Sets all gauges of a Cluster from its status."""
    at, status = (cluster.namespace, cluster.name), cluster.status
    forget(*at)
    if not cluster.spec.hibernate:
        READY.labels(*at).set(status.is_true(reasons.READY))
    progressing = status.condition(reasons.PROGRESSING)
    if status.upgrade is not None:
        UPGRADE_START.labels(*at).set(status.upgrade.since.timestamp())
        for reason in _HANGS:
            hangs = progressing is not None and progressing.reason == reason
            UPGRADE_HANGS.labels(*at, reason).set(hangs)
    if status.version is None:
        return
    OUTDATED.labels(*at).set(status.is_true(reasons.OUTDATED))
    try:
        found = releases.vulnerabilities(parse(status.version))
    except UnknownVersion:
        return
    if releases.document is not None:
        for severity in SEVERITIES:
            count = sum(one.severity == severity for one in found)
            VULNERABILITIES.labels(*at, severity).set(count)


def forget(namespace: str, name: str) -> None:
    """Removes all that is shown of one Cluster."""
    for gauge in _ALL:
        gauge.remove_by_labels({"namespace": namespace, "name": name})


def show_fleet(
    namespace: str, name: str, status: FleetUpgradeStatus, refused: str | None = None
) -> None:
    """Sets all gauges of a FleetUpgrade; of one that has ended well, or has no plan, there are none.

    `refused`: the reason why it cannot begin or go on before somebody mends what it asks for.
    """
    at = (namespace, name)
    forget_fleet(*at)
    if refused is not None:
        FLEET_REFUSED.labels(*at, refused).set(1)
    report, ended = status.report, status.ended_at is not None
    if status.started_at is None or (
        ended and (report is None or not _left_failures(report.result))
    ):
        return
    for state in ("waiting", "upgrading", "done", "failed", "skipped"):
        FLEET_CLUSTERS.labels(*at, state).set(getattr(status.counts, state))
    FLEET_PHASE.labels(*at, status.phase or "").set(1)
    FLEET_STOPPED.labels(*at).set(status.is_true(reasons.STOPPED))
    if not ended:
        FLEET_MOVED.labels(*at).set(_moved(status, status.started_at).timestamp())


def forget_fleet(namespace: str, name: str) -> None:
    """Removes all that is shown of one FleetUpgrade."""
    for gauge in _OF_FLEET:
        gauge.remove_by_labels({"namespace": namespace, "name": name})


def _left_failures(result: str) -> bool:
    return result == "CompletedWithFailures"


def _moved(status: FleetUpgradeStatus, started: datetime) -> datetime:
    of_waves = (
        moment for one in status.waves for moment in (one.approved, one.begun, one.done, one.soaked)
    )
    known = [moment for moment in of_waves if moment is not None]
    return max([started, *known, *(line.since for line in status.clusters)])
