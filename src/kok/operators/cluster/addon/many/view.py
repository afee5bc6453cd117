"""What is observed for an Addon for many Clusters, and what is decided: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kok.api.cluster.addonrollout import AddonContent
from kok.api.cluster.contract import ClusterContract, Said
from kok.api.cluster.fleetstatus import FleetRow, FleetWaveStatus
from kok.api.meta import Manifest
from kok.operators.cluster.staging.standing import Standing
from kok.runtime.controller.errors import Invalid


@dataclass(frozen=True, slots=True)
class Child:
    """The Addon of one Cluster."""

    name: str
    uid: str
    cluster: str
    digest: str
    """Of what it is, see `digest_of`."""
    deleting: bool = False
    paused: bool = False
    ready: Said | None = None
    """Its `Ready`; None as long as that tells of an earlier generation."""


@dataclass(frozen=True, slots=True)
class ManyView:
    """What was observed."""

    clusters: Mapping[str, ClusterContract] = field(default_factory=dict)
    """Those of the namespace, by name."""
    children: Mapping[str, Child] = field(default_factory=dict)
    """Addons that belong to this one, by name."""
    stale: frozenset[str] = frozenset()
    """Clusters that have changed since they were read."""


@dataclass(frozen=True, slots=True)
class ManyDecision:
    """What is to be done now."""

    standing: Standing
    stop: Invalid | None = None
    """Why nothing can be done."""
    rows: Mapping[str, FleetRow] | None = None
    """The table as it is now; None if nothing is to be recorded."""
    planned: bool = False
    """Whether it was planned anew: that is recorded, and nothing else is done."""
    revision: str = ""
    plan_of: str = ""
    waves: tuple[FleetWaveStatus, ...] = ()
    wave: str | None = None
    beyond: int = 0
    begun: tuple[str, ...] = ()
    """Clusters that are begun now."""
    intents: Mapping[str, Manifest] = field(default_factory=dict)
    """Specs of Addons that are to be made, or are not what they are to be, by Cluster."""
    removed: tuple[Child, ...] = ()
    """Those whose Clusters are gone or no longer selected."""
    released: tuple[Child, ...] = ()
    """The same, and they stay."""
    ended: datetime | None = None
    """When the last wave was through."""
    proven: AddonContent | None = None
    """What is to be recorded as proven, if that is new."""
    stopped: str = ""
    """Why no further Cluster gets it because of failures."""
    look: float | None = None
    """Seconds until something may change of which nobody tells."""
