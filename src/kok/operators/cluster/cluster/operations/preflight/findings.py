"""Findings as the preflight makes them, and as a status holds them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.upgrade import FINDINGS_MOST, UpgradeFinding
from kok.api.names import ANNOTATION_UPGRADE_CONSENT

MORE = "More"
"""The check of the finding that stands for those that a status does not hold."""


def error(check: str, object_: str, message: str) -> UpgradeFinding:
    """What keeps an upgrade from being begun."""
    return _finding("Error", check, object_, message)


def warning(check: str, object_: str, message: str) -> UpgradeFinding:
    """What people should know."""
    return _finding("Warning", check, object_, message)


def _finding(
    severity: Literal["Error", "Warning"], check: str, object_: str, message: str
) -> UpgradeFinding:
    text = message if len(message) <= 1024 else f"{message[:1021]}..."
    return UpgradeFinding(check=check, severity=severity, object=object_[:320], message=text)


def in_order(cluster: Cluster, found: Iterable[UpgradeFinding]) -> list[UpgradeFinding]:
    """Errors first, those marked that the Cluster's annotation names, and as many as a status holds."""
    ordered = sorted(found, key=lambda f: (f.severity != "Error", f.check, f.object))
    marked = _consented(cluster, ordered)
    if len(marked) <= FINDINGS_MOST:
        return marked
    kept, cut = marked[: FINDINGS_MOST - 1], marked[FINDINGS_MOST - 1 :]
    text = f"{len(cut)} more findings, which are told once those above are mended"
    make = error if any(f.blocks for f in cut) else warning
    return [*kept, *_consented(cluster, [make(MORE, "", text)])]


def _consented(cluster: Cluster, findings: Iterable[UpgradeFinding]) -> list[UpgradeFinding]:
    text = cluster.metadata.annotations.get(ANNOTATION_UPGRADE_CONSENT, "")
    named = {word.strip() for word in text.split(",")}
    return [
        f.model_copy(update={"consented": bool({f.check, f"{f.check}/{f.object}"} & named)})
        for f in findings
    ]
