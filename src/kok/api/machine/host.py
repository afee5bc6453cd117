"""Host: one host that KubeNodes may claim from a pool."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import ConfigDict, Field

from kok.api.fields import Address, HostKey, MoreAddresses, rule, rules
from kok.api.machine.access import SSHAccess, behind_bastion
from kok.api.machine.machine import Machine
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, Status, kok_kind

NAME_MAX = 22
"""A Machine is named after a KubeNode (40 characters at most), a dash and the Host."""


class HostSpec(ApiModel):
    """How the host is reached."""

    model_config = ConfigDict(json_schema_extra=rules(behind_bastion()))

    address: Address
    """Name or address."""
    addresses: MoreAddresses = Field(default_factory=list)
    """More addresses of the host; only these and `address` may stand in the node's certificate."""
    port: int = Field(default=22, ge=1, le=65535)
    """SSH port."""
    ssh: SSHAccess
    """How to log in."""
    host_key: HostKey = ""
    """Fingerprint of its SSH host key (`SHA256:...`); recorded at first use if empty."""


class HostUse(ApiModel):
    """Whose software is, or may be, on the host."""

    machine: str
    """Name of the Machine."""
    uid: str
    """Its UID, by which the host is marked."""
    cluster: str
    """Cluster of the Machine, in the same namespace."""
    address: str | None = None
    """Where the host was then; absent in what an earlier release wrote."""
    port: int | None = None
    """SSH port there."""
    jump: str | None = None
    """Bastion behind which it was, as `ADDRESS` or `ADDRESS port PORT`; empty: none. Absent in what an
    earlier release wrote."""
    host_key: str | None = None
    """Fingerprint of its key; absent in what an earlier release wrote."""

    @classmethod
    def of(cls, machine: Machine) -> HostUse:
        """What stands in the status of the Host of a Machine."""
        spec, place = machine.spec, machine.status.installed_on
        return cls(
            machine=machine.name,
            uid=machine.metadata.uid,
            cluster=spec.cluster,
            address=place.address if place is not None else spec.address,
            port=place.port if place is not None else spec.port,
            jump=place.jump if place is not None else spec.ssh.behind,
            host_key=place.host_key if place is not None else None,
        )


class HostStatus(Status):
    """Who uses the host."""

    machine: str | None = None
    """Machine in the same namespace that has claimed it."""
    used_by: HostUse | None = None
    """The last Machine that changed anything on the host; absent once the host is clean again."""
    host_key: str | None = None
    """Fingerprint recorded at first use."""


class AbandonedHost(ApiModel):
    """A host that its Machine left without cleaning it up."""

    namespace: str
    """Where the Machine was."""
    machine: str
    """Name of the Machine."""
    kubenode: str | None = None
    """KubeNode that the Machine was made for."""
    cluster: str
    """Cluster that the host was a node of."""
    address: str
    """Name or address of the host."""
    port: int = 22
    """SSH port."""
    jump: str | None = None
    """Bastion behind which it is, as `ADDRESS` or `ADDRESS port PORT`; empty: none. Absent in what an
    earlier release wrote."""
    since: datetime
    """When it was given up."""
    why: str = ""
    """What kept it from being cleaned up."""
    left: str = ""
    """What is left to do there."""


class Host(Resource):
    """One host of a pool."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"'metadata.name: ' + self.metadata.name + ' cannot be the name of a node; write "
                f"at most {NAME_MAX} lower-case letters, digits and dashes'",
                f"self.metadata.name.size() <= {NAME_MAX} && "
                "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
                expression=True,
            )
        )
    )

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("Host"),
        short_names=("kh",),
        columns=(
            Column("Address", ".spec.address"),
            Column("Machine", ".status.machine"),
            Column("Phase", ".status.phase"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: HostSpec
    status: HostStatus = Field(default_factory=HostStatus)
