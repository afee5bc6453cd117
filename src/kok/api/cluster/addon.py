"""Addon: manifests that KOK renders for a business cluster and keeps applied there."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from kok import addons
from kok.api.cluster.addonrollout import AddonOverride, AddonRollout, AddonStaging
from kok.api.cluster.addonsource import AddonSource, ResolvedSource, ValuesFrom, VersionRange
from kok.api.cluster.staging import ClusterSelector
from kok.api.fields import FreeForm, ObjectName, immutable, rule, rules, says
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, Status, kok_kind

FieldPath = Annotated[
    str,
    Field(
        max_length=512,
        pattern=r"^(/([^~/]|~0|~1)*)+$",
        json_schema_extra=says(
            "write a JSON pointer such as /spec/replicas, with * for each entry of a list or map"
        ),
    ),
]


class IgnoredFields(ApiModel):
    """What somebody else decides on, of some of the addon's objects."""

    # What a server keeps of an object, such as its UID, would be applied with the rest.
    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.ignore.paths: what an object is cannot be left to others; below /metadata write "
                "/metadata/labels or /metadata/annotations, or one of them, and begin with no *",
                "self.paths.all(p, !p.matches('^/([*]|apiVersion|kind)(/|$)') && "
                "(!p.matches('^/metadata(/|$)') || p.matches('^/metadata/(labels|annotations)(/|$)')))",
            )
        )
    )

    kind: str = Field(min_length=1, max_length=63)
    """Kind of the objects, such as `Deployment`."""
    group: str | None = Field(default=None, max_length=253)
    """Their API group, empty for the core group; any group if absent."""
    name: str | None = Field(default=None, max_length=253)
    """Name of the object; all of the kind if absent."""
    namespace: str | None = Field(default=None, max_length=63)
    """Their namespace; any if absent."""
    paths: list[FieldPath] = Field(default_factory=list, max_length=32)
    """Fields by JSON pointers (RFC 6901), such as `/spec/replicas`; `*` stands for each entry of a list
    or map. Without any the object is created once and then left as it is."""


class AddonSpec(ApiModel):
    """What is to be applied, and where."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec: write exactly one of cluster (a name) and clusters (a selector)",
                "(self.cluster != '') != has(self.clusters)",
            ),
            rule(
                "spec.overrides, spec.rollout and spec.whenUnselected are for an Addon of many "
                "Clusters; leave them out, or write spec.clusters instead of spec.cluster",
                "has(self.clusters) || (self.overrides.size() == 0 && !has(self.rollout) && "
                "!has(self.whenUnselected))",
            ),
        )
    )

    cluster: str = Field(
        default="",
        max_length=63,
        json_schema_extra=rules(
            immutable("spec.cluster", "delete the Addon and create one for the other Cluster")
        ),
    )
    """Cluster in the same namespace."""
    clusters: ClusterSelector | None = None
    """Clusters of the same namespace, by their labels, instead of `cluster`: each of them gets an Addon
    of its own, named after this one and the Cluster. `{}` is all of them."""
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
    """Addon objects of the same namespace that must be Ready before this one is applied. Of one for many
    Clusters that is the one of the same Cluster."""
    ignore: list[IgnoredFields] = Field(default_factory=list, max_length=64)
    """Fields that are written when an object is created and never again: others change them on purpose.
    """
    upgrade: Literal["Before", "After"] | None = None
    """Whether it is rendered for a new version of Kubernetes before or after the control plane runs it;
    by default as the built-in addon says, and `After` for any other."""
    overrides: list[AddonOverride] = Field(default_factory=list, max_length=64)
    """With `clusters`: values for some of them."""
    rollout: AddonStaging | None = None
    """With `clusters`: in which order a change reaches them; one first and then the others if absent."""
    when_unselected: Literal["Remove", "Orphan"] | None = None
    """With `clusters`: what becomes of the Addon of a Cluster that is no longer selected. It is removed, or
    with `Orphan` left as an Addon of its own."""
    paused: bool = False
    """Stops all changes by the operator; the status is still kept."""

    @property
    def goes_before(self) -> bool:
        """Whether it is rendered for a new version before the control plane runs that."""
        if self.upgrade is not None:
            return self.upgrade == "Before"
        return self.source.builtin in addons.BEFORE


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
    wave: int = 0
    """In which wave it was applied; higher ones go first."""


class AddonStatus(Status):
    """What is applied."""

    version: str | None = None
    """Version of what is applied: of a built-in addon, a chart, or the tag of an artifact."""
    source: ResolvedSource | None = None
    """What the chart or artifact was found to be."""
    kubernetes_version: str | None = Field(default=None, max_length=32)
    """Version of Kubernetes that what is applied was rendered for."""
    revision: str | None = Field(default=None, max_length=64)
    """Hash of the objects as they were rendered when all of them were applied last."""
    objects: int = 0
    """Number of objects applied."""
    workloads: str | None = None
    """Ready and all pods of the addon's workloads, for people."""
    inventory: list[AppliedObject] = Field(default_factory=list)
    """Objects that were applied, recorded before that, so that none is left behind."""
    rollout: AddonRollout | None = None
    """With `spec.clusters`: how far these are."""


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
            Column("Clusters", ".status.rollout.summary"),
            Column("Wave", ".status.rollout.wave", wide=True),
            Column("Failed", ".status.rollout.counts.failed", "integer", wide=True),
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
