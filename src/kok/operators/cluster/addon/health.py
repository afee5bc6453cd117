"""How the workloads of an addon are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.runtime.conditions import Verdict

WORKLOADS = ("Deployment", "DaemonSet", "StatefulSet")
NAMED = 5
"""Workloads that a sentence names."""
SELECTOR = 2048
"""Characters of a selector that is worked with."""
MOST = 2**31
"""Pods are counted to there, whatever a server says."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload: pods that are ready at the newest template, and pods that are wanted."""

    name: str
    ready: int
    desired: int
    namespace: str = ""
    selector: str = ""
    """Of its pods, in Kubernetes' notation; nothing if there is none."""

    @property
    def up(self) -> bool:
        """Whether nothing is missing."""
        return self.ready >= self.desired


def workloads(lives: Iterable[Manifest]) -> list[Workload]:
    """The workloads among an addon's objects."""
    return [found for live in lives if (found := workload_of(live)) is not None]


def workload_of(live: Manifest) -> Workload | None:
    """The workload that an object is, or None. One that tells no numbers is not up."""
    kind, meta = live.get("kind"), mapping(live.get("metadata"))
    if kind not in WORKLOADS:
        return None
    spec, status = mapping(live.get("spec")), mapping(live.get("status"))
    numbers = _numbers(spec, status, of_nodes=kind == "DaemonSet")
    seen = (_number(status, "observedGeneration"), _number(meta, "generation"))
    desired, current = 1, 0
    if numbers is not None and None not in seen:
        looked_at = (seen[0] or 0) >= (seen[1] or 0)
        current = min(numbers[1:]) if looked_at else 0
        # A DaemonSet that nobody has looked at yet wants an unknown number of pods.
        desired = numbers[0] if looked_at else max(numbers[0], 1)
    name, namespace = (str(meta.get(key) or "") for key in ("name", "namespace"))
    return Workload(f"{kind} {name}", current, desired, namespace, selector_of(spec))


def _numbers(
    spec: Mapping[str, Any], status: Mapping[str, Any], *, of_nodes: bool
) -> tuple[int, int, int] | None:
    """Pods that are wanted, ready, and of the newest template; None if one is no number."""
    if of_nodes:
        keys = ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
        found = [_number(status, key) for key in keys]
    else:
        found = [
            _number(spec, "replicas", 1),
            _number(status, "readyReplicas"),
            _number(status, "updatedReplicas"),
        ]
    desired, ready, updated = found
    if desired is None or ready is None or updated is None:
        return None
    return min(desired, MOST), min(ready, MOST), min(updated, MOST)


def _number(found: Mapping[str, Any], key: str, missing: int = 0) -> int | None:
    value = found.get(key, missing)
    return value if isinstance(value, int) and value >= 0 else None


def selector_of(spec: Mapping[str, Any]) -> str:
    """The selector of a workload's pods; nothing if there is none that can be worked with."""
    chosen = mapping(spec.get("selector"))
    terms = [f"{key}={value}" for key, value in sorted(mapping(chosen.get("matchLabels")).items())]
    text = ",".join([*terms, *filter(None, map(_term, mappings(chosen.get("matchExpressions"))))])
    return text if len(text) <= SELECTOR else ""


def _term(expression: Mapping[str, Any]) -> str:
    key, values = expression.get("key"), expression.get("values")
    among = ",".join(map(str, values)) if isinstance(values, list) else ""
    return {
        "In": f"{key} in ({among})",
        "NotIn": f"{key} notin ({among})",
        "Exists": f"{key}",
        "DoesNotExist": f"!{key}",
    }.get(str(expression.get("operator")), "")


def mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is a mapping; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The mappings among the items of a list; none of anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def counts(found: Sequence[Workload]) -> str | None:
    """Ready and wanted pods of all, for people; None without workloads."""
    if not found:
        return None
    return f"{sum(w.ready for w in found)}/{sum(w.desired for w in found)}"


def judge(found: Sequence[Workload], *, has_nodes: bool, pod_error: str = "") -> Verdict:
    """Whether the workloads are up, or cannot be because the business cluster has no node.

    `complaint` is what their pods say, see `kok.operators.cluster.addon.crashes`.
    """
    down = [w for w in found if not w.up]
    if not down:
        return Verdict(True, reasons.AS_WANTED, "applied and healthy")
    listed = ", ".join(f"{w.name} {w.ready}/{w.desired}" for w in down[:NAMED])
    listed += f" and {len(down) - NAMED} more" if len(down) > NAMED else ""
    if not has_nodes:
        return Verdict(
            True,
            reasons.WAITING_FOR_NODES,
            f"applied; pods wait for the first node of the cluster: {listed}",
        )
    text = f"applied, but not all pods are ready: {listed}"
    return Verdict(False, reasons.NOT_HEALTHY, f"{text}; {pod_error}" if pod_error else text)
