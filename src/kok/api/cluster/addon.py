"""Addon: manifests that KOK renders for a business cluster and keeps applied there."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field

from kok.api.cluster.addonsource import AddonSource, ResolvedSource, ValuesFrom, VersionRange
from kok.api.fields import FreeForm, ObjectName, immutable, rule, rules
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, Status, kok_kind


class AddonSpec(ApiModel):
    """What is to be applied, and where."""

    cluster: str = Field(
        max_length=63,
        min_length=1,
        json_schema_extra=rules(
            immutable("spec.cluster", "delete the Addon and create one for the other Cluster")
        ),
    )
    """Cluster in the same namespace."""
    source: AddonSource
    """The templates."""
    values: FreeForm = Field(default_factory=dict)
    """Values for the templates, over their defaults; templates see them as `values`."""
    values_from: list[ValuesFrom] = Field(default_factory=list, max_length=16)
    """More values, each over the ones before it; `values` goes over them all."""
    kubernetes: VersionRange | None = None
    """Versions of Kubernetes that it is for, such as `>=1.34 <1.37`; on a Cluster of another version
    nothing is changed."""
    depends_on: list[ObjectName] = Field(default_factory=list, max_length=16)
    """Addon objects of the same namespace that must be Ready before this one is applied."""
    paused: bool = False
    """Stops all changes by the operator; the status is still kept."""


class AppliedObject(ApiModel):
    """One object in the business cluster that belongs to the addon."""

    group: str = ""
    """API group; empty for the core group."""
    version: str
    """API version."""
    kind: str
    """Kind."""
    plural: str
    """Name of the resource in the API's paths."""
    namespace: str = ""
    """Namespace; empty for kinds without."""
    name: str
    """Name."""


class AddonStatus(Status):
    """What is applied."""

    version: str | None = None
    """Version of what is applied: of a built-in addon, a chart, or the tag of an artifact."""
    source: ResolvedSource | None = None
    """What the chart or artifact was found to be."""
    kubernetes_version: str | None = Field(default=None, max_length=32)
    """Version of Kubernetes that what is applied was rendered for."""
    objects: int = 0
    """Number of objects applied."""
    workloads: str | None = None
    """Ready and all pods of the addon's workloads, for people."""
    inventory: list[AppliedObject] = Field(default_factory=list)
    """Objects that were applied, recorded before that, so that none is left behind."""


class Addon(Resource):
    """One bundle of manifests, kept applied in a business cluster."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "metadata.name is longer than 63 characters; write a shorter one",
                "self.metadata.name.size() <= 63",
            )
        )
    )

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("Addon"),
        short_names=("kad",),
        columns=(
            Column("Cluster", ".spec.cluster"),
            Column("Version", ".status.version"),
            Column("Workloads", ".status.workloads"),
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: AddonSpec
    status: AddonStatus = Field(default_factory=AddonStatus)
