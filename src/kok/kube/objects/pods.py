"""Pods as operators look at them: whose they are, how they are, and nothing of what they were made of.

Whoever may make pods decides how large they are; where many are listed only this is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from kok.api.meta import Manifest
from kok.kube.objects.children import reference_to

STATUS: Final = (
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
    "message",
    "phase",
    "podIP",
    "reason",
    "startTime",
)
"""What is read of a pod's status, which the kubelet writes."""
ENTRIES: Final = 32
"""Of each list in it; a pod has one or two containers of ours, and what others put beside them."""
NOTE: Final = 1024
"""Characters of an annotation; those that KOK writes on pods are shorter."""


def pod_gist(
    labels: Collection[str], annotations: Collection[str]
) -> Callable[[Manifest], Manifest]:
    """For `keep` of a list of pods: with those labels and annotations, as far as they are there."""

    def gist(pod: Manifest) -> Manifest:
        meta, status = pod["metadata"], pod.get("status") or {}
        found = reference_to(pod, labels)
        theirs = meta.get("annotations") or {}
        notes = {key: str(theirs[key])[:NOTE] for key in annotations if key in theirs}
        created = meta.get("creationTimestamp")
        found["metadata"] |= {"annotations": notes, "creationTimestamp": created}
        node = (pod.get("spec") or {}).get("nodeName")
        found["spec"] = {} if node is None else {"nodeName": node}
        found["status"] = {key: _short(status[key]) for key in STATUS if key in status}
        return found

    return gist


def _short(value: object) -> object:
    return value[:ENTRIES] if isinstance(value, list) else value
