"""What matters of a Node, and how it is to be changed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kok.api.fields import Taint
from kok.api.meta import Manifest

ANNOTATION_SET = "kok.dev/set"
"""On a Node: which labels and taints the operator set, so that it takes away only these."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """One Node of a business cluster."""

    name: str
    uid: str
    version: str
    """Resource version."""
    ready: bool | None
    """None: Unknown, or not said yet."""
    message: str
    kubelet: str
    runtime: str
    machine_id: str
    unschedulable: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[tuple[str, str, str], ...] = ()
    """Key, value, effect."""
    set_by_us: str = ""


def view(node: Manifest) -> NodeView:
    """A Node without the bulk of it."""
    meta, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    info = status.get("nodeInfo") or {}
    conditions: Iterable[Mapping[str, Any]] = status.get("conditions") or ()
    nothing: Mapping[str, Any] = {}
    ready = next((c for c in conditions if c.get("type") == "Ready"), nothing)
    return NodeView(
        name=meta["name"],
        uid=meta["uid"],
        version=meta["resourceVersion"],
        ready={"True": True, "False": False}.get(ready.get("status", "")),
        message=str(ready.get("message") or ""),
        kubelet=str(info.get("kubeletVersion", "")).removeprefix("v"),
        runtime=str(info.get("containerRuntimeVersion", "")),
        machine_id=str(info.get("machineID", "")),
        unschedulable=bool(spec.get("unschedulable")),
        labels=dict(meta.get("labels") or {}),
        taints=tuple(
            (t["key"], t.get("value") or "", t["effect"]) for t in spec.get("taints") or ()
        ),
        set_by_us=str((meta.get("annotations") or {}).get(ANNOTATION_SET, "")),
    )


def gist(node: NodeView) -> object:
    """What has to change for anybody to care: heartbeats do not."""
    return (
        node.uid,
        node.ready,
        node.message,
        node.kubelet,
        node.unschedulable,
        tuple(sorted(node.labels.items())),
        node.taints,
        node.set_by_us,
    )


def patch(node: NodeView, labels: Mapping[str, str], taints: Sequence[Taint]) -> Manifest | None:
    """The merge patch that gives a Node these labels and taints, or None if it has them.

    What we set before and no longer want goes; what others set stays.
    """
    before = _before(node.set_by_us)
    wanted = [(t.key, t.value, t.effect) for t in taints]
    keys = {(key, effect) for key, _, effect in wanted}
    kept = [
        t for t in node.taints if (t[0], t[2]) not in keys and (t[0], t[2]) not in before.taints
    ]
    note = json.dumps(
        {
            "labels": sorted(labels),
            "taints": sorted([key, effect] for key, _, effect in wanted),
        },
        separators=(",", ":"),
    )
    change: dict[str, Any] = {k: v for k, v in labels.items() if node.labels.get(k) != v}
    change |= {k: None for k in before.labels if k not in labels and k in node.labels}
    metadata: dict[str, Any] = {"labels": change} if change else {}
    if node.set_by_us != note and (labels or taints or node.set_by_us):
        metadata["annotations"] = {ANNOTATION_SET: note}
    out: dict[str, Any] = {}
    if sorted(node.taints) != sorted([*kept, *wanted]):
        # The order of taints means nothing, and the list is replaced as a whole.
        out["spec"] = {"taints": [_taint(*t) for t in [*kept, *wanted]]}
    if not metadata and not out:
        return None
    # Others change taints, too: a list made from an old one must not overwrite theirs.
    return {"metadata": {**metadata, "uid": node.uid, "resourceVersion": node.version}, **out}


@dataclass(frozen=True, slots=True)
class _Before:
    labels: frozenset[str] = frozenset()
    taints: frozenset[tuple[str, str]] = frozenset()


def _before(note: str) -> _Before:
    try:
        parsed = json.loads(note or "{}")
        return _Before(
            frozenset(str(key) for key in parsed.get("labels", ())),
            frozenset((str(key), str(effect)) for key, effect in parsed.get("taints", ())),
        )
    except (ValueError, AttributeError, TypeError):
        return _Before()  # Somebody wrote something else there.


def _taint(key: str, value: str, effect: str) -> dict[str, str]:
    return {"key": key, "effect": effect, **({"value": value} if value else {})}
