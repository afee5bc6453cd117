"""How a Cluster is upgraded, and what its status tells of that."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from kok.api.fields import Duration, KubernetesVersion, rules
from kok.api.meta import ApiModel
from kok.api.versionrules import kubernetes_version

FINDINGS_MOST = 64
"""Findings that a status holds; the rest is counted."""

Step = Literal[
    "Preflight",
    "Backup",
    "Etcd",
    "AddonsBefore",
    "APIServer",
    "Controllers",
    "Addons",
    "Nodes",
    "BackedOut",
]


class UpgradePolicy(ApiModel):
    """How the control plane goes from one version to another."""

    chained: bool = False
    """Lets `spec.version` be more than one minor away: each minor in between is upgraded to by itself,
    at its newest patch level that this release knows."""
    preflight: KubernetesVersion | None = Field(
        default=None, json_schema_extra=rules(*kubernetes_version("spec.upgrade.preflight"))
    )
    """A version that is only checked: `status.preflight` then tells what stands in the way of an
    upgrade to it, and nothing is changed."""
    on_failure: Literal["Halt", "BackOut"] = "Halt"
    """What happens once a step has made no progress for `progressDeadline`: it stays as it is, or the
    control plane goes back to the version that it came from, as long as that can be done."""
    progress_deadline: Duration = "10m"
    """How long a step may take without any progress."""
    fleet: Literal["Allow", "Forbid"] = "Allow"
    """Whether a FleetUpgrade may raise this Cluster's version."""


class UpgradeFinding(ApiModel):
    """Something that speaks against an upgrade."""

    check: str = Field(max_length=63)
    """What was looked at, as one word, such as `NodeSkew`."""
    severity: Literal["Error", "Warning"]
    """An error keeps the upgrade from being begun until it is mended or consented to."""
    object: str = Field(default="", max_length=320)
    """What it is about."""
    message: str = Field(max_length=1024)
    """What was found and what to do, as a sentence."""
    consented: bool = False
    """Whether the annotation `kok.dev/upgrade-consent` names it."""

    @property
    def blocks(self) -> bool:
        """Whether the upgrade is not begun because of it."""
        return self.severity == "Error" and not self.consented


class PreflightStatus(ApiModel):
    """What an upgrade to a version would meet; found out without changing anything."""

    version: str = Field(max_length=32)
    """The version that was checked."""
    at: datetime
    """When."""
    asked: str = Field(default="", max_length=253)
    """Value of the annotation `kok.dev/preflight` that it answers."""
    passed: bool
    """Whether nothing stands in the way."""
    findings: list[UpgradeFinding] = Field(default_factory=list, max_length=FINDINGS_MOST)
    """What was found."""


class UpgradeStatus(ApiModel):
    """An upgrade that is under way; recorded before anything is done for it, absent at rest."""

    from_: str = Field(alias="from", max_length=32)
    """The version that all of the control plane ran when it began."""
    to: str = Field(max_length=32)
    """The version that it is to have in the end."""
    hop: str = Field(max_length=32)
    """The version that it goes to now: `to`, or the minor that is next on the way there."""
    hop_from: str = Field(max_length=32)
    """The version that all of the control plane ran before that."""
    step: Step
    """What is done or waited for now."""
    since: datetime
    """When the upgrade began."""
    moved_at: datetime
    """When there was last any progress."""
    progress: int = 0
    """Counts what is done within the step; more of it is progress."""
    waiting_for: str = Field(default="", max_length=1024)
    """What the step waits for, as a sentence."""
    findings: list[UpgradeFinding] | None = Field(default=None, max_length=FINDINGS_MOST)
    """What the preflight found; absent before it ended."""
    blocked_by: list[str] = Field(default_factory=list, max_length=FINDINGS_MOST)
    """What keeps the upgrade from being begun, as sentences."""
    backup: str | None = Field(default=None, max_length=253)
    """The EtcdBackup that is made first."""
    backing_out: bool = False
    """Whether it goes back to where it came from."""
    retried: str = Field(default="", max_length=253)
    """Value of the annotation `kok.dev/upgrade-retry` when it began."""


class LastUpgrade(ApiModel):
    """How the latest upgrade ended."""

    from_: str = Field(alias="from", max_length=32)
    """The version before."""
    to: str = Field(max_length=32)
    """The version that was asked for."""
    since: datetime
    """When it began."""
    ended: datetime
    """When all of the control plane was through."""
    result: Literal["Done", "BackedOut"]
    """What became of it."""


class Raised(ApiModel):
    """A version to which a FleetUpgrade raised the Cluster, whose spec stays as it is."""

    to: str = Field(max_length=32)
    """The version."""
    by: str = Field(max_length=320)
    """The FleetUpgrade, as `namespace/name`."""
    at: datetime
    """When."""
    nodes: Literal["Follow", "Separate", "Never"] = "Follow"
    """What the FleetUpgrade wants of the Cluster's nodes: that they follow the control plane as their
    KubeNodes say, that they wait for a FleetUpgrade or KubeNode that names their version, or that they
    are left as they are. What is not `Follow` is kept in `status.nodesHeld`."""


class NodesHeld(ApiModel):
    """That nodes do not follow the control plane to a version, as the FleetUpgrade wants that raised it."""

    to: str = Field(max_length=32)
    """The version; as soon as the Cluster is to have another one, its nodes follow again."""
    by: str = Field(max_length=320)
    """The FleetUpgrade, as `namespace/name`."""
    nodes: Literal["Separate", "Never"]
    """Its `spec.nodes`."""
