"""Prometheus metrics of the machine operator."""

from __future__ import annotations

import contextlib
from collections import Counter as Counted
from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

JOB_SECONDS = Histogram(
    "kok_machine_job_seconds",
    "Duration of jobs on hosts, as the operator saw them, by component.",
    ["component", "action"],
    buckets=(0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640),
)
JOBS_FAILED = Counter("kok_machine_jobs_failed", "Failed jobs.", ["component", "reason"])
HOST_ERRORS = Counter("kok_machine_host_errors", "Operations on hosts that failed.", ["reason"])
JOIN_SECONDS = Histogram(
    "kok_machine_join_seconds",
    "From the creation of a Machine until its Node was Ready for the first time.",
    buckets=(5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 300, 600, 1800),
)
ABANDONED = Gauge(
    "kok_machine_abandoned_hosts",
    "Hosts that were left with software and keys of a node on them: see kok doctor.",
)
ROLLOUT_STATES = (
    "Waiting",
    "Draining",
    "Changing",
    "Soaking",
    "Failed",
    "Skipped",
    "RollingBack",
    "RolledBack",
    "Updated",
)
ROLLOUT = Gauge(
    "kok_kubenode_rollout_nodes",
    "Nodes of a KubeNode by what its newest rollout of software has come to with them.",
    ["namespace", "name", "state"],
)
ROLLOUTS_ENDED = Counter(
    "kok_kubenode_rollouts_ended", "Rollouts of software that came to an end.", ["phase"]
)
MACHINES = Gauge("kok_machines", "Machines by phase.", ["phase"])
DRAIN_BLOCKED = Gauge(
    "kok_machine_drain_blocked",
    "1 for a Machine whose node cannot be drained in time for a change; absent for all others.",
    ["namespace", "name"],
)
REMEDIES = Counter("kok_machine_remedies", "What was tried of hosts that were not well.", ["rung"])
RECOVERY_SECONDS = Histogram(
    "kok_machine_recovery_seconds",
    "From when a fault of a host was seen until the host was well again.",
    ["fault"],
    buckets=(2, 5, 10, 15, 30, 45, 60, 120, 300, 600, 1800, 3600),
)
REMEDIATION_SPENT = Gauge(
    "kok_machine_remediation_spent",
    "1 for a Machine that fails although all was tried of its host; absent for all others.",
    ["namespace", "name"],
)
REMEDIATION_HELD = Gauge(
    "kok_kubenode_remediation_held",
    "1 for a KubeNode with so many unhealthy nodes that nothing is done about any; absent for others.",
    ["namespace", "name"],
)


def _show(gauge: Gauge, namespace: str, name: str, *, shown: bool) -> None:
    if shown:
        gauge.labels(namespace, name).set(1)
    else:
        gauge.remove_by_labels({"namespace": namespace, "name": name})


def show_spent(namespace: str, name: str, *, spent: bool) -> None:
    """Sets, or removes, what is shown of a Machine of which all was tried."""
    _show(REMEDIATION_SPENT, namespace, name, shown=spent)


def show_held(namespace: str, name: str, *, held: bool) -> None:
    """Sets, or removes, what is shown of a KubeNode whose nodes are left alone."""
    _show(REMEDIATION_HELD, namespace, name, shown=held)


def show_drain(namespace: str, name: str, *, blocked: bool) -> None:
    """Sets, or removes, what is shown of a drain."""
    _show(DRAIN_BLOCKED, namespace, name, shown=blocked)


def show_rollout(namespace: str, name: str, nodes: Mapping[str, int]) -> None:
    """Sets what is shown of a KubeNode's newest rollout: how many nodes are in which state."""
    for state in ROLLOUT_STATES:
        if state in nodes:
            ROLLOUT.labels(namespace, name, state).set(nodes[state])
        else:
            with contextlib.suppress(KeyError):
                ROLLOUT.remove(namespace, name, state)


class Phases:
    """Counts Machines by phase without asking the API."""

    def __init__(self) -> None:
        self._phases: dict[str, str] = {}
        self._counts: Counted[str] = Counted()

    def put(self, uid: str, phase: str | None) -> None:
        """A Machine is in a phase; None: it is gone."""
        old = self._phases.pop(uid, None)
        if phase is not None:
            self._phases[uid] = phase
        self._counts.subtract([old] if old is not None else [])
        self._counts.update([phase] if phase is not None else [])
        for name in {old, phase} - {None}:
            MACHINES.labels(str(name)).set(self._counts[str(name)])
