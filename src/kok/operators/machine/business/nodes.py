"""What matters of a Node, and how it is to be changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kok.api.fields import Taint
from kok.api.machine import NodeMarks
from kok.api.meta import Manifest


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
    heard: str = ""
    """When its kubelet last posted its status, as the kubelet says it."""


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
        heard=str(ready.get("lastHeartbeatTime") or ""),
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
    )


def marks(labels: Mapping[str, str], taints: Sequence[Taint]) -> NodeMarks | None:
    """What is to be remembered of labels and taints that are set; None for none at all."""
    if not labels and not taints:
        return None
    return NodeMarks(labels=sorted(labels), taints=sorted({_id(t.key, t.effect) for t in taints}))


def union(one: NodeMarks | None, other: NodeMarks | None) -> NodeMarks | None:
    """The marks of both."""
    found = [m for m in (one, other) if m is not None]
    if not found:
        return None
    return NodeMarks(
        labels=sorted({key for m in found for key in m.labels}),
        taints=sorted({taint for m in found for taint in m.taints}),
    )


def patch(
    node: NodeView, labels: Mapping[str, str], taints: Sequence[Taint], before: NodeMarks | None
) -> Manifest | None:
    """The merge patch that gives a Node these labels and taints, or None if it has them.

    What we set `before` and no longer want goes; what others set stays. The Node itself is not
    asked what we set: its kubelet may write there, and could have us take away what it may not.
    """
    old = before or NodeMarks()
    wanted = [(t.key, t.value, t.effect) for t in taints]
    ours = {*old.taints, *(_id(key, effect) for key, _, effect in wanted)}
    kept = [t for t in node.taints if _id(t[0], t[2]) not in ours]
    change: dict[str, Any] = {k: v for k, v in labels.items() if node.labels.get(k) != v}
    change |= {k: None for k in old.labels if k not in labels and k in node.labels}
    metadata: dict[str, Any] = {"labels": change} if change else {}
    out: dict[str, Any] = {}
    if sorted(node.taints) != sorted([*kept, *wanted]):
        # The order of taints means nothing, and the list is replaced as a whole.
        out["spec"] = {"taints": [_taint(*t) for t in [*kept, *wanted]]}
    if not metadata and not out:
        return None
    # Others change taints, too: a list made from an old one must not overwrite theirs.
    return {"metadata": {**metadata, "uid": node.uid, "resourceVersion": node.version}, **out}


def _id(key: str, effect: str) -> str:
    return f"{key}:{effect}"


def _taint(key: str, value: str, effect: str) -> dict[str, str]:
    return {"key": key, "effect": effect, **({"value": value} if value else {})}
