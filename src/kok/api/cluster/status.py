"""What is seen of a Cluster."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from kok.api.cluster.upgrade import LastUpgrade, NodesHeld, PreflightStatus, Raised, UpgradeStatus
from kok.api.meta import ApiModel, Status
from kok.api.operation import Operation


class NodeCount(ApiModel):
    """How many nodes the cluster has."""

    ready: int = 0
    """Nodes that are Ready."""
    total: int = 0
    """All nodes."""
    versions: dict[str, int] = Field(default_factory=dict, max_length=16)
    """How many nodes have a kubelet of each version; of too many versions the commonest are told."""


class ComponentStatus(ApiModel):
    """One part of the control plane as last seen."""

    name: str
    """kube-apiserver, kube-controller-manager or kube-scheduler."""
    version: str | None = None
    """The version that is completely rolled out."""
    ready: int = 0
    """Pods that are ready."""
    desired: int = 0
    """Pods that are wanted."""


class CertificateStatus(ApiModel):
    """One certificate and its dates."""

    name: str
    """Secret that holds it."""
    not_after: datetime
    """When it ends."""
    renew_at: datetime
    """When it is renewed."""


class AddonSummary(ApiModel):
    """One addon of the cluster in brief."""

    name: str
    """Name of the addon."""
    version: str | None = None
    """Version that is applied."""
    healthy: bool = False
    """Whether its workloads are up, or wait only for nodes."""


class TunnelStatus(ApiModel):
    """That `spec.network.tunnel: Auto` has come to a tunnel, which stays."""

    since: datetime
    """When that was found out."""
    why: str = Field(max_length=512)
    """What API servers did not reach."""


class ProbesStatus(ApiModel):
    """Pods that try before an upgrade whether its pods will have room and images."""

    version: str = Field(max_length=32)
    """The version that they are of."""
    since: datetime
    """When they were begun with."""
    passed: list[str] = Field(default_factory=list, max_length=16)
    """Names of those that found all as it should be, and are gone."""


class ClusterStatus(Status):
    """What a business cluster is."""

    version: str | None = None
    """The version that all of the control plane runs."""
    nodes_version: str | None = Field(default=None, max_length=32)
    """The version that nodes follow: that of the control plane, once an upgrade is through with it, and
    unless `nodesHeld`."""
    lowest_version: str | None = Field(default=None, max_length=32)
    """`spec.version` may go back to the minor of this one, and not below: all API servers have been at
    it, and what they wrote an earlier minor may not be able to read."""
    raised: Raised | None = None
    """What a FleetUpgrade raised the version to; absent once `spec.version` has caught up, or once it was
    given up by `spec.upgrade.fleet: Forbid` where nothing has changed yet or all went back."""
    nodes_held: NodesHeld | None = None
    """That nodes do not follow, as the FleetUpgrade wants that raised the version; also once
    `spec.version` has caught up. Those of a KubeNode with `spec.version` go by that."""
    upgrade: UpgradeStatus | None = None
    """The upgrade that is under way."""
    last_upgrade: LastUpgrade | None = None
    """How the latest upgrade ended."""
    preflight: PreflightStatus | None = None
    """What an upgrade to `spec.upgrade.preflight`, or to what the annotation `kok.dev/preflight` asks
    for, would meet."""
    probes: ProbesStatus | None = None
    """Pods that an upgrade's preflight has made; there until all of them are gone."""
    tunnel: TunnelStatus | None = None
    """Why there is a tunnel, with `spec.network.tunnel: Auto`; absent as long as there is none."""
    endpoint: str | None = None
    """The API's public address, `https://host:port`."""
    kubeconfig_secret: str | None = None
    """Secret with the admin kubeconfig."""
    nodes: NodeCount | None = None
    """Nodes of the cluster."""
    node_summary: str | None = None
    """Ready and all nodes, for people."""
    components: list[ComponentStatus] = Field(default_factory=list)
    """The parts of the control plane."""
    certificates: list[CertificateStatus] = Field(default_factory=list)
    """The certificates and their dates."""
    ca_fingerprints: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each CA certificate and key in use by the name of its Secret; another one is
    refused until it is trusted."""
    addons: list[AddonSummary] = Field(default_factory=list)
    """The addons."""
    operation: Operation | None = None
    """What takes more than one step and is under way: `Hibernate` or `Wake`."""
