"""KubeNode: a set of like nodes of one business cluster."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from kok.api.fields import (
    URL,
    Address,
    ArtifactSource,
    Duration,
    FreeForm,
    HostKey,
    KubernetesVersion,
    Labels,
    MoreAddresses,
    Name,
    SoftwareVersion,
    Taint,
    immutable,
    rule,
    rules,
)
from kok.api.machine.access import SSHAccess
from kok.api.machine.adoption import OnRemove, says_what_becomes
from kok.api.machine.host import AbandonedHost
from kok.api.machine.machine import MachineComponent
from kok.api.machine.remediation import Remediation
from kok.api.machine.rollout import Rollout, RolloutStatus
from kok.api.meta import (
    ApiModel,
    Column,
    KindInfo,
    ObjectMeta,
    Resource,
    Scale,
    Status,
    kok_kind,
)
from kok.api.versionrules import kubernetes_version

NAME_MAX = 40


class NodeHost(ApiModel):
    """One host by name and address."""

    name: Name = Field(max_length=22)
    """Name of the node."""
    address: Address
    """Name or address of the host."""
    addresses: MoreAddresses = Field(default_factory=list)
    """More addresses of the host; only these and `address` may stand in the node's certificate."""
    port: int = Field(default=22, ge=1, le=65535)
    """SSH port."""
    host_key: HostKey = ""
    """Fingerprint of the SSH host key (`SHA256:...`); recorded at first use if empty."""


class Pool(ApiModel):
    """Which Host objects may be claimed."""

    match_labels: Labels = Field(default_factory=dict)
    """Labels that a Host must carry; any Host of the namespace if empty."""


class Runtime(ApiModel):
    """The container runtime."""

    type: Literal["containerd", "docker"] = "containerd"
    """Which one; `docker` brings cri-dockerd along. Nodes that have the other one are drained and
    changed one after the other."""
    version: SoftwareVersion | None = None
    """Its version; the one that belongs to the Kubernetes version if absent."""


class NvidiaDriver(ApiModel):
    """NVIDIA's driver, by the installer that NVIDIA publishes."""

    version: SoftwareVersion
    """Its version, such as 595.91.07."""
    kernel_modules: Literal["open", "proprietary"] = "open"
    """Which of NVIDIA's kernel modules; GPUs before Turing need the proprietary ones."""
    kernel_headers: Literal["Install", "Require"] = "Install"
    """Whether packages of the distribution by which kernel modules are built are installed where they
    are missing, or have to be there."""


class NvidiaToolkit(ApiModel):
    """NVIDIA's container toolkit."""

    version: SoftwareVersion | None = None
    """Its version, 1.18.0 or later; the one that this release knows if absent."""
    default_runtime: bool = True
    """Whether pods get NVIDIA's runtime that ask for no RuntimeClass. Others have to name `nvidia`."""


class Nvidia(ApiModel):
    """What hosts with NVIDIA's GPUs get; on hosts without one nothing of it is installed."""

    driver: NvidiaDriver | None = None
    """The driver; that of the host's own image or packages if absent."""
    toolkit: NvidiaToolkit = Field(default_factory=NvidiaToolkit)
    """What puts GPUs into containers."""


class RegistryMirrors(ApiModel):
    """Where nodes pull images from."""

    mirrors: dict[str, Annotated[list[URL], Field(max_length=8)]] = Field(
        default_factory=dict, max_length=32
    )
    """Mirror addresses by registry host; `*` stands for every registry."""


class PlannedChange(ApiModel):
    """One piece of software of which Machines have yet to get what the spec says."""

    component: str
    """Name of the software."""
    before: str | None = None
    """Version that they have now; absent if they are without it."""
    after: str | None = None
    """Version that they are to have; absent if it goes. The same as before where only parameters
    change."""
    machines: int
    """How many Machines."""
    names: list[str] = Field(default_factory=list, max_length=8)
    """The first of them."""


class KubeNodeSpec(ApiModel):
    """Which hosts, and what is to be on them."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec: write either hosts (a list of name and address) or replicas with a pool, "
                "not both",
                "!(has(self.hosts) && self.hosts.size() > 0 && has(self.pool))",
            ),
            rule(
                "spec.ssh is missing; write ssh: {user: ..., secret: ...} so that the hosts can "
                "be reached",
                "!has(self.hosts) || self.hosts.size() == 0 || has(self.ssh)",
            ),
            rule(
                "spec: replicas and pool go together; write how many hosts (replicas: 3) and of "
                "which (pool: {matchLabels: {...}}), or list the hosts by name",
                "has(self.replicas) == has(self.pool)",
            ),
            rule(
                "spec.hosts: behind a bastion (ssh.jump) write the hosts' IP addresses, such as "
                "10.0.0.21, since nobody can tell before it what a name leads to there",
                "!has(self.ssh) || !has(self.ssh.jump) || !has(self.hosts) || "
                "self.hosts.all(h, isIP(h.address))",
            ),
            says_what_becomes(),
            rule(
                "spec.onRemove: Release is for hosts that are listed, since nobody else could use a "
                "host of a pool that stays a node; write onRemove: CleanUp, or list the hosts by name",
                "!has(self.pool) || !has(self.onRemove) || self.onRemove != 'Release'",
            ),
        )
    )

    cluster: str = Field(
        max_length=63,
        min_length=1,
        json_schema_extra=rules(
            immutable("spec.cluster", "delete the KubeNode and create one for the other Cluster")
        ),
    )
    """Cluster in the same namespace."""
    hosts: list[NodeHost] = Field(
        default_factory=list,
        max_length=1000,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """The hosts by name."""
    replicas: int | None = Field(default=None, ge=0, le=1000)
    """Number of hosts to claim from the pool. If it goes down, hosts go whose nodes are not Ready, then
    those whose nodes have the fewest pods."""
    pool: Pool | None = None
    """Host objects that may be claimed."""
    ssh: SSHAccess | None = None
    """How to log in to `hosts`; Host objects bring their own."""
    version: KubernetesVersion | None = Field(
        default=None, json_schema_extra=rules(*kubernetes_version("spec.version"))
    )
    """Kubernetes version of the kubelets. If absent they follow `status.nodesVersion` of the Cluster,
    which changes once its control plane is through with an upgrade."""
    runtime: Runtime = Field(default_factory=Runtime)
    """The container runtime."""
    nvidia: Nvidia | None = None
    """Driver and container toolkit for hosts with GPUs of NVIDIA."""
    components: list[MachineComponent] = Field(
        default_factory=list,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Components of your own beside the built-in ones, or other versions of these."""
    artifacts: ArtifactSource = Field(default_factory=ArtifactSource)
    """Where software is fetched from."""
    registry: RegistryMirrors = Field(default_factory=RegistryMirrors)
    """Where images are pulled from."""
    kubelet: FreeForm = Field(default_factory=dict)
    """Fields of the KubeletConfiguration, over the operator's defaults."""
    labels: Labels = Field(default_factory=dict)
    """Labels of the nodes."""
    taints: list[Taint] = Field(default_factory=list, max_length=32)
    """Taints of the nodes."""
    drain_timeout: Duration = "5m"
    """How long a drain may take. A node that leaves then loses its pods without regard to disruption
    budgets; one that is to be changed goes on waiting, and the conditions say for what, unless
    `rollout.onDrainTimeout` says otherwise."""
    rollout: Rollout = Field(default_factory=Rollout)
    """How changes of software reach the nodes: one after the other by default."""
    remediation: Remediation = Field(default_factory=Remediation)
    """What is done about hosts that drift from the spec, or whose services fail."""
    adopt: bool = False
    """Whether hosts that are nodes of the Cluster already, joined by kubeadm for example, are taken over
    as they are: what differs there from the spec stays until the spec changes. Hosts that are none are
    made nodes. Taking it back brings the nodes to what the spec says, as a rollout."""
    on_remove: OnRemove | None = None
    """What becomes of hosts that leave: `CleanUp`, the default, drains their nodes and makes them bare;
    `Release` leaves them the nodes that they are."""
    paused: bool = False
    """Stops all changes by the operator; the status is still kept."""


class KubeNodeStatus(Status):
    """How far the set is."""

    replicas: int = 0
    """Machines that exist."""
    ready: int = 0
    """Machines that are Ready."""
    up_to_date: int = 0
    """Machines that have what the spec says."""
    unhealthy: int = 0
    """Machines on which something has failed that is remedied, or would be."""
    ready_summary: str | None = None
    """Ready and wanted machines, for people."""
    up_to_date_summary: str | None = None
    """Up-to-date and wanted machines, for people."""
    version: str | None = None
    """Kubernetes version that the machines are to have."""
    versions: dict[str, int] = Field(default_factory=dict, max_length=16)
    """How many nodes report a kubelet of each version; of too many versions the commonest are told."""
    plan: list[PlannedChange] = Field(default_factory=list, max_length=64)
    """What changes of the software have yet to be handed on to Machines, whose own plan says what
    becomes of that on their hosts; also while the KubeNode is paused."""
    selector: str | None = None
    """Label selector of the set's Machines, for `kubectl scale` and autoscalers."""
    rollout: RolloutStatus | None = None
    """The newest rollout of software, and how far it is; absent until there was one."""
    claims: list[str] = Field(default_factory=list)
    """Hosts of the pool that are claimed, recorded before their Machines are made."""
    abandoned: list[AbandonedHost] = Field(default_factory=list)
    """Hosts that Machines of this KubeNode left without cleaning them up, the newest first; at
    most 16 of them."""


class KubeNode(Resource):
    """A set of like nodes; renders Components and one Machine for each host."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"'metadata.name: ' + self.metadata.name + ' is too long; write at most "
                f"{NAME_MAX} lower-case letters, digits and dashes'",
                f"self.metadata.name.size() <= {NAME_MAX}",
                expression=True,
            )
        )
    )

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("KubeNode"),
        short_names=("kn",),
        columns=(
            Column("Cluster", ".spec.cluster"),
            Column("Ready", ".status.readySummary"),
            Column("Up-To-Date", ".status.upToDateSummary"),
            Column("Version", ".status.version"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
        scale=Scale(spec=".spec.replicas", status=".status.replicas", selector=".status.selector"),
    )

    metadata: ObjectMeta
    spec: KubeNodeSpec
    status: KubeNodeStatus = Field(default_factory=KubeNodeStatus)
