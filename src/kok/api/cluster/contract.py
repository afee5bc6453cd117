"""What a FleetUpgrade reads of a Cluster, and nothing else: what the cluster operator keeps to.

Read from the object as it is stored, not by its model: there may be thousands, and one that does not
fit must not keep the others from being upgraded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from kok.api import conditions
from kok.api.fields import seconds
from kok.api.meta import Manifest

_NOT_AWAKE = frozenset({"Hibernate", "Wake"})
"""Operations of a Cluster that does not run; one that is to run and still goes to sleep wakes next."""
PATIENCE = 600.0
"""Seconds that a step may take without progress where a Cluster says nothing that can be read."""


@dataclass(frozen=True, slots=True)
class Said:
    """One condition, as far as anybody else is concerned."""

    holds: bool
    reason: str
    message: str
    since: datetime | None = None
    current: bool = True
    """Whether it tells of the spec as it is, and not of one before."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """`status.upgrade`: an upgrade that was begun and is not through."""

    to: str
    step: str
    moved_at: datetime | None
    """When there was last any progress."""
    waiting_for: str
    blocked_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """`status.lastUpgrade`."""

    to: str
    backed_out: bool
    ended: datetime | None
    since: datetime | None = None
    """When it began."""


@dataclass(frozen=True, slots=True)
class ClusterContract:
    """One Cluster as a fleet sees it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    created: datetime | None
    deleting: bool
    labels: Mapping[str, str]
    version: str
    """That of the spec."""
    runs: str
    """The version that all of the control plane has; empty before it ran."""
    raised: str = ""
    """What it was raised to; empty if it was not, or if the spec has caught up."""
    raised_by: str = ""
    raised_at: datetime | None = None
    chained: bool = False
    """`spec.upgrade.chained`."""
    forbids: bool = False
    """Whether `spec.upgrade.fleet` is `Forbid`."""
    patience: float = PATIENCE
    """`spec.upgrade.progressDeadline`, in seconds."""
    paused: bool = False
    hibernates: bool = False
    wakes: bool = False
    """Whether it is on its way back from hibernation."""
    upgrade: UnderWay | None = None
    last: Ended | None = None
    ready: Said | None = None
    progressing: Said | None = field(default=None)
    generation: int = 0

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @classmethod
    def of(cls, live: Manifest) -> Self:
        """What an object says; fields that do not fit say nothing."""
        meta, spec, status = _map(live, "metadata"), _map(live, "spec"), _map(live, "status")
        policy, raised = _map(spec, "upgrade"), _map(status, "raised")
        said = _conditions(status.get("conditions"), meta.get("generation"))
        return cls(
            namespace=_text(meta, "namespace"),
            name=_text(meta, "name"),
            uid=_text(meta, "uid"),
            resource_version=_text(meta, "resourceVersion"),
            created=_moment(meta, "creationTimestamp"),
            deleting=meta.get("deletionTimestamp") is not None,
            labels={str(k): str(v) for k, v in _map(meta, "labels").items()},
            version=_text(spec, "version"),
            runs=_text(status, "version"),
            raised=_text(raised, "to"),
            raised_by=_text(raised, "by"),
            raised_at=_moment(raised, "at"),
            chained=policy.get("chained") is True,
            forbids=policy.get("fleet") == "Forbid",
            patience=_seconds(_text(policy, "progressDeadline")),
            paused=spec.get("paused") is True,
            hibernates=spec.get("hibernate") is True,
            wakes=_text(_map(status, "operation"), "type") in _NOT_AWAKE,
            upgrade=_under_way(_map(status, "upgrade")),
            last=_ended(_map(status, "lastUpgrade")),
            ready=said.get(conditions.READY),
            progressing=said.get("Progressing"),
            generation=generation if isinstance(generation := meta.get("generation"), int) else 0,
        )


def _under_way(found: Mapping[str, Any]) -> UnderWay | None:
    if not found:
        return None
    listed = found.get("blockedBy")
    return UnderWay(
        to=_text(found, "to"),
        step=_text(found, "step"),
        moved_at=_moment(found, "movedAt"),
        waiting_for=_text(found, "waitingFor"),
        blocked_by=tuple(map(str, listed)) if isinstance(listed, list) else (),
    )


def _ended(found: Mapping[str, Any]) -> Ended | None:
    if not found:
        return None
    backed_out = found.get("result") == "BackedOut"
    return Ended(_text(found, "to"), backed_out, _moment(found, "ended"), _moment(found, "since"))


def _conditions(found: Any, generation: object) -> dict[str, Said]:
    listed = found if isinstance(found, list) else ()
    return {
        _text(one, "type"): Said(
            one.get("status") == "True",
            _text(one, "reason"),
            _text(one, "message"),
            _moment(one, "lastTransitionTime"),
            one.get("observedGeneration") == generation,
        )
        for one in listed
        if isinstance(one, dict)
    }


def _seconds(text: str) -> float:
    return seconds(text) or PATIENCE


def _moment(of: Mapping[str, Any], key: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(_text(of, key))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _map(of: Any, key: str) -> Mapping[str, Any]:
    found = of.get(key) if isinstance(of, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(of: Mapping[str, Any], key: str) -> str:
    found = of.get(key)
    return str(found) if found else ""
