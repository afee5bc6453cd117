"""FleetUpgrade: many Clusters are raised to a version, in waves, by one object."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from kok.api.cluster.fleetstatus import FleetUpgradeStatus
from kok.api.cluster.staging import (
    ClusterSelector,
    ClusterShare,
    Wave,
    one_of_each,
    waves_in_order,
)
from kok.api.fields import (
    Cron,
    Duration,
    KubernetesVersion,
    Name,
    immutable,
    rule,
    rules,
    says,
)
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, kok_kind
from kok.api.versionrules import kubernetes_version

RECORDED = "the plan is recorded at the start; delete the FleetUpgrade and create another one"

NamespaceName = Annotated[
    str,
    Field(
        max_length=63,
        pattern=r"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$",
        json_schema_extra=says("write the name of a namespace, or * for all of them"),
    ),
]


class FleetTarget(ApiModel):
    """What Clusters are raised to."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.target: write exactly one of version, latestPatch: true and fixes",
                "[has(self.version), self.latestPatch, has(self.fixes)].filter(one, one).size() == 1",
            )
        )
    )

    version: KubernetesVersion | None = Field(
        default=None, json_schema_extra=rules(*kubernetes_version("spec.target.version"))
    )
    """This version."""
    latest_patch: bool = False
    """The newest patch level that is known of the minor that each Cluster has."""
    fixes: (
        Annotated[
            str,
            Field(
                max_length=32,
                pattern=r"^CVE-[0-9]{4}-[0-9]{4,19}$",
                json_schema_extra=says("write a CVE such as CVE-2026-12345"),
            ),
        ]
        | None
    ) = None
    """The patch level that fixes this CVE in the minor that each Cluster has."""


class FleetWave(Wave):
    """Clusters that are upgraded side by side, before those of the next wave."""

    model_config = ConfigDict(json_schema_extra=rules(one_of_each("spec.waves")))

    name: Name = Field(min_length=1, max_length=32)
    """Name of the wave, by which it is approved."""
    percent: int | None = Field(default=None, ge=1, le=100)
    """The wave takes this share of all Clusters that are to be upgraded, rounded up, of those that no
    wave before it has."""
    approval: bool = False
    """Whether the wave begins only when the annotation `kok.dev/approve` names it."""


class FleetWindow(ApiModel):
    """When Clusters may be raised; those under way at its end finish."""

    cron: Cron = Field(min_length=1)
    """When the window opens, as five fields of cron in UTC."""
    duration: Duration
    """How long it stays open. One that nobody could look at is caught up with for as long."""


class FleetUpgradeSpec(ApiModel):
    """Which Clusters, to which version, and in which order."""

    selector: ClusterSelector = Field(json_schema_extra=rules(immutable("spec.selector", RECORDED)))
    """The Clusters; `{}` is all of them."""
    namespaces: list[NamespaceName] = Field(
        default_factory=list,
        max_length=256,
        json_schema_extra=rules(immutable("spec.namespaces", RECORDED)),
    )
    """Where Clusters are selected, `*` for everywhere; by default in the FleetUpgrade's own namespace.
    Only a FleetUpgrade in the namespace of the operators may name any."""
    target: FleetTarget = Field(json_schema_extra=rules(immutable("spec.target", RECORDED)))
    """What they are raised to."""
    waves: list[FleetWave] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            **rules(
                immutable("spec.waves", RECORDED),
                waves_in_order("spec.waves"),
            ),
        },
    )
    """In which order; by default one Cluster first (`canary`) and then the others (`rest`)."""
    stop_after_failures: ClusterShare = 1
    """With so many failed Clusters, as a number or as a share of all that are to be upgraded, no
    further one is raised. A wave of which none got through stops it, too."""
    window: FleetWindow | None = None
    """When Clusters may be raised; always if absent."""
    nodes: Literal["Follow", "Separate", "Never"] = Field(
        default="Follow", json_schema_extra=rules(immutable("spec.nodes", RECORDED))
    )
    """What becomes of nodes: they follow their control plane as their KubeNodes say, they wait for a
    FleetUpgrade or a KubeNode that names their version, or they are left as they are. Each Cluster
    has it in `status.raised.nodes`."""
    dry_run: bool = Field(
        default=False, json_schema_extra=rules(immutable("spec.dryRun", RECORDED))
    )
    """Makes the plan and shows it in the status, and raises nothing."""
    paused: bool = False
    """Raises no further Cluster until it is false again; those under way finish."""
    abort: bool = Field(
        default=False,
        json_schema_extra=rules(
            rule(
                "spec.abort cannot be taken back; create another FleetUpgrade for what is left",
                "self || !oldSelf",
            )
        ),
    )
    """Ends it: no further Cluster is raised, those under way finish, nothing goes down again."""


class FleetUpgrade(Resource):
    """Raises the version of many Clusters, in waves, and leaves their specs alone."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "metadata.name is longer than 63 characters; write a shorter one",
                "self.metadata.name.size() <= 63",
            )
        )
    )

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("FleetUpgrade"),
        short_names=("fu",),
        columns=(
            Column("Target", ".status.target"),
            Column("Phase", ".status.phase"),
            Column("Wave", ".status.wave"),
            Column("Done", ".status.summary"),
            Column("Failed", ".status.counts.failed", "integer"),
            Column("Skipped", ".status.counts.skipped", "integer"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", wide=True),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: FleetUpgradeSpec
    status: FleetUpgradeStatus = Field(default_factory=FleetUpgradeStatus)
