"""Machine: one host serving as a node of one business cluster."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from kok.api.fields import (
    Address,
    ArtifactBase,
    Duration,
    FreeForm,
    HostKey,
    Labels,
    MoreAddresses,
    Name,
    SoftwareVersion,
    Taint,
    immutable,
    rule,
    rules,
    says,
)
from kok.api.machine.access import SSHAccess, behind_bastion
from kok.api.machine.adoption import Adoption, OnRemove, says_what_becomes
from kok.api.machine.component import Change
from kok.api.machine.remediation import Drift, Remediation, RemediationStatus
from kok.api.machine.rollout import MachineRollout
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, Status, kok_kind
from kok.api.operation import Operation

AccessHash = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{16}$",
        max_length=16,
        json_schema_extra=says("leave it out: KubeNodes write it, 16 hexadecimal digits"),
    ),
]


class MachineComponent(ApiModel):
    """One Component that the machine is to have."""

    name: Name = Field(max_length=63)
    """Name of the software (`spec.name` of the Component)."""
    version: SoftwareVersion
    """Its version; the Component object is called `<name>-<version>`."""
    params: FreeForm = Field(default_factory=dict)
    """Parameters for its scripts and files, checked against its schema."""


class MachineSpec(ApiModel):
    """Which host, which cluster, which software."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec: port and hostKey cannot both be changed at once, since that is another host; "
                "delete the Machine and create another, or, if it is the same host, change one "
                "after the other",
                "self.port == oldSelf.port || self.hostKey == oldSelf.hostKey || "
                "self.hostKey == '' || oldSelf.hostKey == ''",
            ),
            rule(
                "spec: ssh.jump.address and hostKey cannot both be changed at once, since that is "
                "another host; delete the Machine and create another, or, if it is the same host, "
                "change one after the other",
                # Optional values would be compared at a cost that the API server does not allow.
                "(has(self.ssh.jump) ? self.ssh.jump.address : '') == "
                "(has(oldSelf.ssh.jump) ? oldSelf.ssh.jump.address : '') || "
                "self.hostKey == oldSelf.hostKey || self.hostKey == '' || oldSelf.hostKey == ''",
            ),
            behind_bastion(),
            says_what_becomes(),
        )
    )

    cluster: str = Field(
        max_length=63,
        min_length=1,
        json_schema_extra=rules(immutable("spec.cluster", "delete the Machine and create another")),
    )
    """Cluster in the same namespace."""
    node: Name = Field(
        max_length=63,
        json_schema_extra=rules(immutable("spec.node", "delete the Machine and create another")),
    )
    """Name of the node in the business cluster."""
    address: Address = Field(
        json_schema_extra=rules(immutable("spec.address", "delete the Machine and create another")),
    )
    """Name or address of the host."""
    addresses: MoreAddresses = Field(default_factory=list)
    """More addresses of the host; only these and `address` may stand in the node's certificate."""
    port: int = Field(default=22, ge=1, le=65535)
    """SSH port."""
    ssh: SSHAccess
    """How to log in."""
    host_key: HostKey = ""
    """Fingerprint of the SSH host key (`SHA256:...`); recorded at first use if empty."""
    artifacts: ArtifactBase = Field(default_factory=ArtifactBase)
    """Where software is fetched from."""
    components: list[MachineComponent] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """The software; installed in the order of dependencies."""
    labels: Labels = Field(default_factory=dict)
    """Labels of the node."""
    taints: list[Taint] = Field(default_factory=list, max_length=32)
    """Taints of the node."""
    access_hash: AccessHash | None = None
    """Hash of the address and the CA by which the node reaches its cluster. KubeNodes write it, so
    that their nodes turn to new ones in stages; without it one node turns to them after the other."""
    drain_timeout: Duration = "5m"
    """How long a drain may take. A node that leaves then loses its pods without regard to disruption
    budgets; one that is to be changed goes on waiting, and the conditions say for what."""
    rollout: MachineRollout = Field(default_factory=MachineRollout)
    """What rollouts of its KubeNode ask of it."""
    remediation: Remediation = Field(default_factory=Remediation)
    """What is done about it where it drifts from its spec, or where its services fail."""
    adopt: bool = False
    """Whether a host that is this node already, joined by kubeadm for example, is taken over as it is."""
    on_remove: OnRemove | None = None
    """What becomes of the host in the end: `CleanUp`, the default, drains the node and makes the host
    bare; `Release` leaves it the node that it is."""
    paused: bool = False
    """Stops all changes by the operator; the status is still kept."""


class GPUFacts(ApiModel):
    """The GPUs of a host, which are all alike, or told of by the first."""

    count: int
    """How many there are."""
    model: str | None = None
    """What nvidia-smi calls it; absent until there is a driver."""
    memory_mi: int | None = Field(default=None, alias="memoryMi")
    """Memory of one in MiB."""
    driver: str | None = None
    """Version of the driver."""


class HostFacts(ApiModel):
    """What was found out about the host."""

    hostname: str | None = None
    """Its own name."""
    machine_id: str | None = Field(default=None, alias="machineID")
    """Content of its /etc/machine-id."""
    os: str | None = None
    """Operating system for people."""
    arch: str | None = None
    """Architecture as Go names it."""
    kernel: str | None = None
    """Kernel release."""
    cpus: int | None = None
    """Processors."""
    memory_mi: int | None = Field(default=None, alias="memoryMi")
    """Memory in MiB."""
    cgroup: Literal["v1", "v2"] | None = None
    """Version of control groups."""
    boot_id: str | None = Field(default=None, alias="bootID")
    """Changes with every boot."""
    addresses: list[str] = Field(default_factory=list)
    """Its addresses, the one towards the cluster first."""
    gpu: GPUFacts | None = None
    """Its GPUs, of NVIDIA; absent if it has none."""


class Finding(ApiModel):
    """One thing that the preflight found."""

    check: str
    """What was looked at, in CamelCase."""
    level: Literal["Error", "Warning"]
    """Whether it keeps the host from becoming a node."""
    message: str
    """What was found and what to do about it."""


class Job(ApiModel):
    """One script run on the host, which goes on if the operator stops."""

    id: str
    """Hash of all that the script depends on; the same job is never started twice."""
    script: str
    """Which of the component's scripts."""
    attempt: int = 1
    """How often it was tried."""
    since: datetime
    """When it was started."""
    exit: int | None = None
    """Its exit code, once it has ended."""
    log: str | None = None
    """The last lines of its output."""


class MachineComponentStatus(ApiModel):
    """One component as last seen."""

    name: str
    """Name of the software."""
    desired: str | None = None
    """Version wanted; absent while it is being removed."""
    found: str | None = None
    """Version found on the host."""
    state: Literal["Waiting", "Installing", "Ready", "Drifted", "Adopted", "Removing", "Failed"] = (
        "Waiting"
    )
    """What happens to it."""
    config: str | None = None
    """Hash of the parameters and files that were last applied."""
    job: Job | None = None
    """The newest job."""
    message: str | None = None
    """What is wrong with it, if anything."""


class PlannedStep(ApiModel):
    """One thing that is to be done on the host and is not done yet."""

    component: str
    """Name of the software."""
    action: Literal["install", "upgrade", "restart", "remove"]
    """Which of its scripts is run: `restart` where only its files differ."""
    before: str | None = None
    """Version that is there; absent if none is."""
    after: str | None = None
    """Version that is to be there; absent if it goes."""
    needs: Change = "nothing"
    """What the node goes through for it."""


class NodeMarks(ApiModel):
    """Labels and taints that the operator set on the Node, so that it takes away only these."""

    labels: list[str] = Field(default_factory=list)
    """Names of labels."""
    taints: list[str] = Field(default_factory=list)
    """Taints as `key:effect`."""


class HostPlace(ApiModel):
    """Which host it is."""

    address: str
    """Name or address."""
    port: int = 22
    """SSH port."""
    jump: str | None = None
    """Bastion behind which it is, as `ADDRESS` or `ADDRESS port PORT`; empty: none. Absent in what an
    earlier release wrote."""
    host_key: str
    """Fingerprint of its SSH host key."""


class KubeletChange(ApiModel):
    """A change of the kubelet that has not proven yet that it works. Times are those that the Node
    tells, in the words of its API server: `lastHeartbeatTime` of the condition Ready."""

    job: str
    """ID of the job that changes it; `join` where it is let into its cluster anew."""
    before: str = ""
    """When it had last posted its status as the change was begun."""
    after: str | None = None
    """The same as the change was through; absent until then. A later one is of the changed kubelet."""


class GoodSoftware(ApiModel):
    """Software with which the node served, so that it can go back to that."""

    id: str = Field(max_length=63)
    """Hash of what follows."""
    since: datetime
    """When it was found to be good."""
    components: list[MachineComponent] = Field(default_factory=list, max_length=64)
    """As in the spec."""
    artifacts: ArtifactBase = Field(default_factory=ArtifactBase)
    """As in the spec."""
    adopt: bool = False
    """As in the spec."""


class HostReboot(ApiModel):
    """A boot of the host for which a Component asked, since its change needs one."""

    component: str
    """Name of the software."""
    config: str
    """Hash of its parameters and files: for each there is one boot."""
    boot: str
    """The boot in which it asked, and which is to end."""
    reason: str
    """What for, in the words of its script."""
    since: datetime
    """When that was seen."""
    done: datetime | None = None
    """When the host was seen to have booted; absent until then."""
    in_vain: bool = False
    """Whether it asks again although the host has booted for it: then nothing more is done."""


class MachineStatus(Status):
    """What the machine is."""

    host_key: str | None = None
    """Fingerprint of the host key in use."""
    host_key_since: datetime | None = None
    """When it was recorded."""
    installed_on: HostPlace | None = None
    """The host on which something was, or may have been, installed; it is the one that is cleaned up
    in the end. Another port is followed where the host shows the same key or bears the mark of the
    Machine."""
    facts: HostFacts | None = None
    """What was found out about the host."""
    preflight: list[Finding] = Field(default_factory=list)
    """What the preflight found, errors first."""
    components: list[MachineComponentStatus] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """The software."""
    plan: list[PlannedStep] = Field(default_factory=list, max_length=96)
    """What is to be done on the host and is not done yet, in its order; also while it waits for
    something, or while the Machine is paused."""
    runtime: str | None = None
    """Container runtime and version, for people."""
    kubelet: str | None = None
    """Version of the kubelet that the node reports."""
    first_ready: datetime | None = None
    """When it was Ready for the first time; from then on changes come in stages."""
    adopted: Adoption | None = None
    """How the host was found, if it was a node already; absent if it was made one."""
    token_id: str | None = None
    """ID of the bootstrap token in use while joining; recorded before it is made."""
    kubelet_change: KubeletChange | None = None
    """The change of the kubelet that has yet to prove itself; recorded before it is begun."""
    last_good: GoodSoftware | None = None
    """The newest software with which it was up to date and Ready, for as long as `rollout.soak` says;
    what fails after that goes back to it."""
    reboots: list[HostReboot] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["component"],
        },
    )
    """The newest boot for which each Component asked; recorded before the host is booted."""
    node_marks: NodeMarks | None = None
    """What the operator set on the Node; recorded before that."""
    ssh_secret: str | None = None
    """Secret that is kept, by a finalizer, until it is no longer needed to clean up the host."""
    jump_secret: str | None = None
    """The same of the bastion, where that has a Secret of its own."""
    operation: Operation | None = None
    """What takes more than one pass and is under way, with the step that it has come to: `Remove`,
    `Release`, or `Update`, a change for which the node is drained. Recorded before the step is begun."""
    removal: str | None = None
    """Step of the removal that is under way."""
    remediation: RemediationStatus | None = None
    """What is wrong with the host and what was done about it, recorded before it is done; absent once
    it has been well for a while."""
    drift: list[Drift] = Field(default_factory=list)
    """What on the host was found not to be as it was made, the newest first; at most 16 of them."""
    drain_since: datetime | None = None
    """When the operator began to remove the Machine; `drainTimeout` counts from then."""
    clean_since: datetime | None = None
    """When the operator began to clean up the host."""


class Machine(Resource):
    """One host serving as a node."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "metadata.name is longer than 63 characters; write a shorter one",
                "self.metadata.name.size() <= 63",
            )
        )
    )

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("Machine"),
        short_names=("km",),
        columns=(
            Column("Node", ".spec.node"),
            Column("Address", ".spec.address"),
            Column("Runtime", ".status.runtime"),
            Column("Kubelet", ".status.kubelet"),
            Column("Phase", ".status.phase"),
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: MachineSpec
    status: MachineStatus = Field(default_factory=MachineStatus)
