"""FleetUpgrade: many Clusters are raised to a version, in waves, by one object."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from kok.api.cluster.fleetstatus import FleetUpgradeStatus
from kok.api.fields import (
    Cron,
    Duration,
    KubernetesVersion,
    Labels,
    Name,
    immutable,
    rule,
    rules,
    says,
)
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, kok_kind
from kok.api.shares import Share, number_or_share
from kok.api.versionrules import kubernetes_version

RECORDED = "the plan is recorded at the start; delete the FleetUpgrade and create another one"
CANARY, REST = "canary", "rest"
"""The waves where a spec has none."""


ClusterShare = Annotated[
    Annotated[int, Field(ge=1, le=9999)] | Share, number_or_share(1, 9999, such_as=10)
]
"""A number of Clusters, or a share of them."""

FleetMember = Annotated[
    str,
    Field(
        max_length=104,
        pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/)?[a-z]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra=says("write the name of a Cluster, or namespace and name as team-a/shop"),
    ),
]

NamespaceName = Annotated[
    str,
    Field(
        max_length=63,
        pattern=r"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$",
        json_schema_extra=says("write the name of a namespace, or * for all of them"),
    ),
]


class LabelRequirement(ApiModel):
    """One demand on a label, as in Kubernetes' selectors."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "operators In and NotIn need values, and Exists and DoesNotExist take none",
                "(self.operator in ['In', 'NotIn']) == (self.values.size() > 0)",
            )
        )
    )

    key: str = Field(
        min_length=1,
        max_length=316,
        json_schema_extra=rules(
            rule(
                "write a label such as tier or example.com/tier",
                "!format.qualifiedName().validate(self).hasValue()",
            )
        ),
    )
    """Name of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """What its value is to be."""
    values: list[Annotated[str, Field(max_length=63)]] = Field(default_factory=list, max_length=32)
    """The values of `In` and `NotIn`."""


class FleetSelector(ApiModel):
    """Clusters by their labels, all of them if nothing is demanded."""

    match_labels: Labels = Field(default_factory=dict)
    """Labels that a Cluster must carry."""
    match_expressions: list[LabelRequirement] = Field(default_factory=list, max_length=16)
    """Further demands; all must hold."""

    def takes(self, labels: dict[str, str]) -> bool:
        """Whether it selects what carries these labels."""
        return all(labels.get(k) == v for k, v in self.match_labels.items()) and all(
            _holds(one, labels) for one in self.match_expressions
        )


def _holds(one: LabelRequirement, labels: dict[str, str]) -> bool:
    if one.operator in {"Exists", "DoesNotExist"}:
        return (one.key in labels) == (one.operator == "Exists")
    among = one.key in labels and labels[one.key] in one.values
    return among == (one.operator == "In")


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


class FleetWave(ApiModel):
    """Clusters that are upgraded side by side, before those of the next wave."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.waves: write one of selector, percent and names, or none of them in the last "
                "wave, which then takes the rest",
                "[has(self.selector), has(self.percent), self.names.size() > 0]"
                ".filter(one, one).size() <= 1",
            )
        )
    )

    name: Name = Field(min_length=1, max_length=32)
    """Name of the wave, by which it is approved."""
    selector: FleetSelector | None = None
    """The wave takes Clusters with these labels of those that no wave before it has."""
    percent: int | None = Field(default=None, ge=1, le=100)
    """The wave takes this share of all Clusters that are to be upgraded, rounded up, of those that no
    wave before it has."""
    names: list[FleetMember] = Field(default_factory=list, max_length=128)
    """The wave takes these Clusters."""
    max_parallel: ClusterShare = 10
    """How many Clusters may be under way at the same time, as a number or as a share of the wave."""
    soak: Duration = "0s"
    """How long the Clusters of the wave have to prove themselves before the next one begins: one that
    is no longer `Ready` at the end counts as failed."""
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

    selector: FleetSelector = Field(json_schema_extra=rules(immutable("spec.selector", RECORDED)))
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
                rule(
                    "spec.waves: only the last wave may do without selector, percent and names: it "
                    "takes the rest",
                    "self.filter(w, !has(w.selector) && !has(w.percent) && w.names.size() == 0)"
                    ".all(w, w.name == self[self.size() - 1].name)",
                ),
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
