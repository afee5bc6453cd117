"""How the objects of an addon are, its workloads first of all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kok.api.meta import Manifest
from kok.kube.objects.kstatus import mapping, mappings, progress_of
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
    why: str = ""
    """Why nothing more comes of it by itself, if it says so."""

    @property
    def up(self) -> bool:
        """Whether nothing is missing."""
        return self.ready >= self.desired


@dataclass(frozen=True, slots=True)
class Lagging:
    """An object without pods of its own that is not yet, or no longer, what it should be."""

    name: str
    why: str
    failed: bool
    """Whether nothing more comes of it by itself."""
    up: bool = False


ObjectHealth = Workload | Lagging


def health_of(live: Manifest) -> ObjectHealth | None:
    """How an object is; None for one that is as it should be and of which nothing is counted."""
    progress = progress_of(live)
    workload = workload_of(live)
    if workload is not None:
        return replace(workload, why=progress.why) if progress.failed else workload
    if progress.current:
        return None
    name = str(mapping(live.get("metadata")).get("name") or "")
    return Lagging(f"{live.get('kind')} {name}", progress.why, progress.failed)


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
    updated += _left_as_they_are(spec, desired)
    return min(desired, MOST), min(ready, MOST), min(updated, MOST)


def _left_as_they_are(spec: Mapping[str, Any], desired: int) -> int:
    """Pods that the spec does not want to be of the newest template."""
    strategy = mapping(spec.get("updateStrategy"))
    if strategy.get("type") == "OnDelete":
        return desired
    return min(_number(mapping(strategy.get("rollingUpdate")), "partition") or 0, desired)


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


def counts(found: Sequence[ObjectHealth]) -> str | None:
    """Ready and wanted pods of all, for people; None without workloads."""
    these = [one for one in found if isinstance(one, Workload)]
    if not these:
        return None
    return f"{sum(w.ready for w in these)}/{sum(w.desired for w in these)}"


def missing(found: Sequence[ObjectHealth]) -> str:
    """What of all objects is not up, as a part of a sentence; nothing if all are."""
    down = [one for one in found if not one.up]
    listed = ", ".join(map(_told, down[:NAMED]))
    return listed + (f" and {len(down) - NAMED} more" if len(down) > NAMED else "")


def _told(one: ObjectHealth) -> str:
    if isinstance(one, Lagging):
        return f"{one.name}: {one.why}"
    return f"{one.name} {one.ready}/{one.desired}" + (f" ({one.why})" if one.why else "")


def judge(found: Sequence[ObjectHealth], *, has_nodes: bool, pod_error: str = "") -> Verdict:
    """Whether all objects are up, or cannot be because the business cluster has no node.

    `pod_error` is what pods of workloads say, see `kok.operators.cluster.addon.crashes`.
    """
    listed = missing(found)
    if not listed:
        return Verdict(True, reasons.AS_WANTED, "applied and healthy")
    hopeless = any(isinstance(one, Lagging) and one.failed for one in found)
    if not has_nodes and not hopeless:
        return Verdict(
            True,
            reasons.WAITING_FOR_NODES,
            f"applied; pods wait for the first node of the cluster: {listed}",
        )
    only_pods = all(isinstance(one, Workload) for one in found if not one.up)
    what = "not all pods are ready" if only_pods else "not all objects are as they should be"
    text = f"applied, but {what}: {listed}"
    return Verdict(False, reasons.NOT_HEALTHY, f"{text}; {pod_error}" if pod_error else text)
