"""An Addon for many Clusters: which content each of them gets, in which order, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from kok.api.cluster.fleetstatus import (
    FleetCluster,
    FleetCounts,
    FleetGroup,
    FleetRow,
    FleetWaveStatus,
    counted,
    rows_of,
    stored,
)
from kok.api.cluster.staging import (
    ClusterName,
    ClusterSelector,
    ClusterShare,
    Wave,
    one_of_each,
    waves_in_order,
)
from kok.api.fields import Duration, FreeForm, rule, rules
from kok.api.meta import ApiModel


class AddonOverride(ApiModel):
    """Values for some of the Clusters."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.overrides: write exactly one of clusters (a selector) and names",
                "has(self.clusters) != (self.names.size() > 0)",
            )
        )
    )

    clusters: ClusterSelector | None = None
    """The Clusters that they are for, by their labels."""
    names: list[ClusterName] = Field(default_factory=list, max_length=128)
    """The Clusters that they are for, by their names."""
    values: FreeForm
    """Values over `spec.values` and over those of entries before this one; maps are merged, and null
    takes a value out."""


class AddonWave(Wave):
    """Clusters that get an addon side by side, before those of the next wave."""

    model_config = ConfigDict(json_schema_extra=rules(one_of_each("spec.rollout.waves")))

    names: list[ClusterName] = Field(default_factory=list, max_length=128)
    """The wave takes these Clusters."""
    soak: Duration = "0s"
    """How long the Clusters of the wave have to prove themselves before the next one begins: one where
    the addon is no longer `Ready` at the end counts as failed."""


class AddonStaging(ApiModel):
    """In which order a change reaches the Clusters, and when it goes no further."""

    waves: list[AddonWave] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            **rules(waves_in_order("spec.rollout.waves")),
        },
    )
    """In which order; by default one Cluster first (`canary`) and then the others (`rest`)."""
    stop_after_failures: ClusterShare = 1
    """With so many failed Clusters, as a number or as a share of all that a change is to reach, no
    further one gets it. A wave of which none got through stops it, too."""
    progress_deadline: Duration = "10m"
    """How long a Cluster may take until the addon is `Ready` there; after that it counts as failed."""


class AddonContent(ApiModel):
    """What an Addon is for its Clusters."""

    revision: str = Field(max_length=32)
    """Hash of it."""
    spec: str = Field(max_length=300_000)
    """The part of the Addon's spec that its Clusters get, as JSON: a patch would lose its nulls."""


class AddonRollout(ApiModel):
    """How far the Clusters of an Addon are."""

    revision: str = Field(max_length=32)
    """Hash of what they are to have: source, values, overrides."""
    plan_of: str = Field(max_length=32)
    """Hash of what the plan was made of: the revision, and the waves."""
    retried: str = Field(default="", max_length=253)
    """Value of the annotation `kok.dev/retry` that was heeded last."""
    started_at: datetime
    """When the plan was made."""
    ended_at: datetime | None = None
    """When the last wave was through; Clusters that come after that get the revision at once."""
    wave: str | None = Field(default=None, max_length=32)
    """The wave that is under way."""
    summary: str | None = Field(default=None, max_length=32)
    """Clusters that have the revision and all that are to have it, for people."""
    counts: FleetCounts = Field(default_factory=FleetCounts)
    """How many Clusters are in which state."""
    waves: list[FleetWaveStatus] = Field(default_factory=list, max_length=32)
    """The waves in their order."""
    plan: list[FleetGroup] = Field(default_factory=list)
    """Which revision each Cluster goes from and to, in which wave; and those that are skipped, with the
    reason."""
    clusters: list[FleetCluster] = Field(default_factory=list)
    """A line for each Cluster that was begun; those that wait stand in `plan` alone."""
    beyond: int = 0
    """Clusters that are selected and did not fit into one Addon."""
    proven: AddonContent | None = None
    """What the last rollout that went through has brought: Clusters that come while another one is under
    way get it until their turn. Absent where it is too large to be kept."""

    def table(self) -> dict[str, FleetRow]:
        """One line for each Cluster, by its name, in alphabetical order."""
        return rows_of(self.plan, self.clusters)

    def store(self, rows: Mapping[str, FleetRow]) -> None:
        """Makes `plan`, `clusters` and all numbers say what these lines do."""
        self.plan, self.clusters = stored(rows)
        self.counts = counted(rows)
        self.summary = f"{self.counts.done}/{self.counts.total - self.counts.skipped}"


PARENTS_OWN = frozenset({"cluster", "clusters", "overrides", "rollout", "whenUnselected", "paused"})
"""Fields of a spec that say where an Addon goes, and not what it is."""


def shared_part(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a spec, as JSON, that each Cluster gets as they are."""
    return {key: value for key, value in spec.items() if key not in PARENTS_OWN}
