"""Whether an object is kept by a program that writes it as it stands in Git. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MARKS: Final = {
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
}
"""Labels and annotations of who writes objects as they stand in Git."""
MANAGERS: Final = {
    "argocd-controller": "Argo CD",
    "helm-controller": "Flux",
    "kustomize-controller": "Flux",
}
"""As whom they write, where their marks are configured to be others."""


def keeper(metadata: Mapping[str, Any]) -> str | None:
    """Who keeps the object with this metadata as it stands in Git, by name; None if nobody does."""
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    by_mark = next((MARKS[mark] for mark in sorted(MARKS) if mark in marks), None)
    writers = [_writer(one) for one in metadata.get("managedFields") or ()]
    return by_mark or next((MANAGERS[one] for one in writers if one in MANAGERS), None)


def _writer(entry: Mapping[str, Any]) -> str:
    """Who wrote part of the spec; nobody if it was the status."""
    fields = entry.get("fieldsV1") or {}
    return str(entry.get("manager") or "") if "f:spec" in fields else ""
