"""How the workloads of an addon are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.operators.cluster.judgement import Judgement

WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload: pods that are ready at the newest template, and pods that are wanted."""

    name: str
    ready: int
    desired: int

    @property
    def up(self) -> bool:
        """Whether nothing is missing."""
        return self.ready >= self.desired


def workloads(lives: Iterable[Manifest]) -> list[Workload]:
    """The workloads among an addon's objects."""
    return [found for live in lives if (found := workload_of(live)) is not None]


def workload_of(live: Manifest) -> Workload | None:
    """The workload that an object is, or None."""
    if live.get("kind") not in WORKLOADS:
        return None
    status: dict[str, Any] = live.get("status") or {}
    meta, spec = live["metadata"], live.get("spec") or {}
    seen = int(status.get("observedGeneration", 0)) >= int(meta.get("generation", 0))
    if live["kind"] == "DaemonSet":
        desired = int(status.get("desiredNumberScheduled", 0))
        ready, updated = status.get("numberReady", 0), status.get("updatedNumberScheduled", 0)
    else:
        desired = int(spec.get("replicas", 1))
        ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    current = min(int(ready), int(updated)) if seen else 0
    # A DaemonSet that nobody has looked at yet wants an unknown number of pods.
    wanted = desired if seen else max(desired, 1)
    return Workload(f"{live['kind']} {meta['name']}", current, wanted)


def counts(found: Sequence[Workload]) -> str | None:
    """Ready and wanted pods of all, for people; None without workloads."""
    if not found:
        return None
    return f"{sum(w.ready for w in found)}/{sum(w.desired for w in found)}"


def judge(found: Sequence[Workload], *, has_nodes: bool, complaint: str = "") -> Judgement:
    """Whether the workloads are up, or cannot be because the business cluster has no node.

    `complaint` is what their pods say, see `kok.operators.cluster.addons.crashes`.
    """
    down = [w for w in found if not w.up]
    if not down:
        return Judgement(True, reasons.AS_WANTED, "applied and healthy")
    listed = ", ".join(f"{w.name} {w.ready}/{w.desired}" for w in down)
    if not has_nodes:
        return Judgement(
            True,
            reasons.WAITING_FOR_NODES,
            f"applied; pods wait for the first node of the cluster: {listed}",
        )
    text = f"applied, but not all pods are ready: {listed}"
    return Judgement(False, reasons.NOT_HEALTHY, f"{text}; {complaint}" if complaint else text)
