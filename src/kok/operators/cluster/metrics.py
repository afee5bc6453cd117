"""Prometheus metrics of the cluster operator."""

from __future__ import annotations

from prometheus_client import Gauge

from kok.api.cluster.cluster import Cluster
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
_HANGS = (reasons.UPGRADE_BLOCKED, reasons.UPGRADE_STUCK, reasons.UPGRADE_BACKED_OUT)
_ALL = (READY, UPGRADE_START, UPGRADE_HANGS, OUTDATED, VULNERABILITIES)


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
