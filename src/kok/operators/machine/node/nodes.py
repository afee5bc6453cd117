"""What matters of a Node, and how it is to be changed. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from kok.api.fields import Taint
from kok.api.machine.machine import NodeMarks
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_CORDONED_BY
from kok.kube.errors import MESSAGE, cut

LABELS = 2**15
"""Characters of a Node's labels that are looked at; those of nodes with many features take 10 KiB."""
TAINTS = 2**15
"""The same of its taints."""
LABEL, SHORT, TIME = 512, 128, 32
"""Characters of a key or value, of versions and the like, and of a time."""
VERSION = 20
"""Digits of a resource version; each later one is a larger number."""


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
    closed: str = ""
    """Resource version at which it was first seen unschedulable of those since it was last not; empty
    if it is not now. As long as it stays the same nobody has let pods in."""
    cordoned_by: str = ""
    """Which Machine cordoned it, as `namespace/name`, if one did."""
    labels_json: str = "{}"
    """As text: very many labels of few characters would take thirty times as much as objects."""
    taints_json: str = "[]"
    system_uuid: str = ""
    heard: str = ""
    """When its kubelet last posted its status, as the kubelet says it."""
    whole: bool = True
    """Whether labels and taints are all that it has: others are not to be changed by half."""

    @property
    def registered(self) -> bool:
        """Whether its kubelet has told of it: it may be there before that comes up."""
        return bool(self.kubelet)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels; read anew each time."""
        found: dict[str, str] = json.loads(self.labels_json)
        return found

    @property
    def taints(self) -> tuple[tuple[str, str, str], ...]:
        """Key, value, effect; read anew each time."""
        return tuple((key, value, effect) for key, value, effect in json.loads(self.taints_json))

    @property
    def size(self) -> int:
        """Bytes that its texts take, but for those that `bare` leaves."""
        return sum(map(sys.getsizeof, (*self._told, self.labels_json, self.taints_json)))

    @property
    def _told(self) -> tuple[str, ...]:
        known = (self.kubelet, self.runtime, self.machine_id, self.system_uuid)
        return (self.message, *known, self.cordoned_by)

    def bare(self) -> Self:
        """Which Node it is and whether it is Ready, and nothing else."""
        return replace(
            self,
            message="",
            kubelet="",
            runtime="",
            machine_id="",
            system_uuid="",
            cordoned_by="",
            labels_json="{}",
            taints_json="[]",
            whole=False,
        )


def view(node: Manifest, before: NodeView | None = None) -> NodeView:
    """A Node without the bulk of it; everything in it is whatever its API server made up.

    `before`: how the Node of that name was last seen, if every change since was.
    """
    meta = node["metadata"]
    spec, status = _map(node.get("spec")), _map(node.get("status"))
    info = _map(status.get("nodeInfo"))
    ready = next((c for c in _dicts(status.get("conditions")) if c.get("type") == "Ready"), {})
    labels, all_labels = _labels(meta.get("labels") or {}, LABELS)
    taints, all_taints = _taints(spec.get("taints") or [])
    uid, version = str(meta.get("uid") or ""), str(meta.get("resourceVersion") or "")
    unschedulable = bool(spec.get("unschedulable"))
    same = before is not None and before.uid == uid and before.closed
    return NodeView(
        name=meta["name"],
        uid=uid,
        version=version,
        ready={"True": True, "False": False}.get(_text(ready.get("status"))),
        message=cut(_text(ready.get("message"))),
        kubelet=_text(info.get("kubeletVersion"), SHORT).removeprefix("v"),
        runtime=_text(info.get("containerRuntimeVersion"), SHORT),
        machine_id=_text(info.get("machineID"), SHORT),
        system_uuid=_text(info.get("systemUUID"), SHORT),
        unschedulable=unschedulable,
        closed=(same or version[:SHORT]) if unschedulable else "",
        cordoned_by=_text(_map(meta.get("annotations")).get(ANNOTATION_CORDONED_BY), LABEL),
        labels_json=json.dumps(labels),
        taints_json=json.dumps(taints),
        heard=_text(ready.get("lastHeartbeatTime"), TIME),
        whole=all_labels and all_taints,
    )


def is_newer(node: NodeView, meta: Mapping[str, Any]) -> bool:
    """Whether it is the Node of that metadata, and as it was later; not where that cannot be told."""
    versions = (node.version, _text(meta.get("resourceVersion"), VERSION + 1))
    if node.uid != str(meta.get("uid") or ""):
        return False
    if not all(v.isascii() and v.isdecimal() and len(v) <= VERSION for v in versions):
        return False
    known, other = map(int, versions)
    return known > other


def after_gap(node: NodeView) -> NodeView:
    """The same where changes may have gone unseen: somebody may have let pods in for a while, unless
    the Node has not changed at all."""
    return replace(node, closed=node.version[:SHORT]) if node.unschedulable else node


def _map(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _dicts(found: object) -> list[Mapping[str, Any]]:
    return [f for f in found if isinstance(f, dict)] if isinstance(found, list) else []


def _text(value: object, most: int = MESSAGE + 1) -> str:
    return value[:most] if isinstance(value, str) else ""


def _labels(labels: Mapping[str, str], room: int) -> tuple[dict[str, str], bool]:
    """As many as there is room for, in their order, and whether these are all."""
    kept: dict[str, str] = {}
    for key, value in labels.items():
        room -= len(key) + len(value)
        if room < 0:
            return kept, False
        kept[key] = value
    return kept, True


def _taints(found: object) -> tuple[list[tuple[str, str, str]], bool]:
    """Key, value and effect of as many as there is room for, and whether these are all."""
    listed, room = _dicts(found), TAINTS
    kept: list[tuple[str, str, str]] = []
    for taint in listed:
        key, value, effect = (taint.get(part) or "" for part in ("key", "value", "effect"))
        told = _text(key, LABEL), _text(value, LABEL), _text(effect, SHORT)
        room -= sum(map(len, told)) + 1
        if room < 0 or told != (key, value, effect):
            return kept, False
        kept.append(told)
    return kept, isinstance(found, list) and len(listed) == len(found)


def gist(node: NodeView) -> object:
    """What has to change for anybody to care: heartbeats do not."""
    return (
        node.uid,
        node.ready,
        node.message,
        node.kubelet,
        node.unschedulable,
        node.cordoned_by,
        tuple(sorted(node.labels.items())),
        node.taints,
        node.whole,
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
    old, now = before or NodeMarks(), node.labels
    wanted = [(t.key, t.value, t.effect) for t in taints]
    ours = {*old.taints, *(_id(key, effect) for key, _, effect in wanted)}
    kept = [t for t in node.taints if _id(t[0], t[2]) not in ours]
    change: dict[str, Any] = {k: v for k, v in labels.items() if now.get(k) != v}
    change |= {k: None for k in old.labels if k not in labels and k in now}
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
