"""What a pass over a Machine sees, and its decision depends on, in one frozen picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.machine.component import Component
from kok.api.machine.machine import Machine, MachineComponentStatus, MachineStatus
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.operators.machine.component.sandboxed import Templates
from kok.operators.machine.node.cluster_connections import ConnectionState
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote.jobs import JobResult
from kok.operators.machine.remote.join import ClusterEndpoint
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.ssh import Credentials, Target, hostkey
from kok.operators.machine.remote.survey import Owner
from kok.runtime.conditions import Verdict

JOINED = "Joined"
"""Condition of a Machine: its kubelet is, or was, a member of the cluster."""
BOOTSTRAP_READY = "BootstrapReady"
"""Condition of a Cluster: nodes can join."""


@dataclass(frozen=True, slots=True)
class ObservedObjects:
    """The meta cluster and the business cluster, as far as they matter to one Machine."""

    cluster: Cluster | None = None
    secret: Manifest | None = field(default=None, repr=False)
    """That of the credentials, as it is."""
    jump: Manifest | None = field(default=None, repr=False)
    """That of the bastion, if there is one; it may be the same."""
    credentials: Credentials | None = None
    bastion: Target | None = None
    """How the bastion is logged in to, if there is one and that is known."""
    refusal: Verdict | None = None
    """Why there are no credentials, or why they must not be shown to the host."""
    hopeless: bool = False
    """Whether there will never be any: their namespace is going, and nothing can be made in it."""
    components: Mapping[str, Component] = field(default_factory=dict)
    """Those that the Machine names and that exist, by name of the software."""
    beyond: str = ""
    """The Component with which they were more than is held in memory; then there are none."""
    endpoint: ClusterEndpoint | None = None
    """How nodes reach the cluster, once that is known."""
    untrusted: str = ""
    """What is wrong with the Secret of the operator's identity, if it is there."""
    connection: ConnectionState | None = None
    """How the API of the business cluster was when `node` was looked up; None: it is not connected.
    What becomes of it later says nothing of a `node` that is None."""
    node: NodeView | None = None
    others: tuple[Machine, ...] | None = None
    """All other Machines of the namespace, or None if they were not asked for."""
    odd: tuple[Unreadable, ...] = ()
    """Those of which no more is known than that they are there."""
    left_behind: bool = False
    """Whether the host's owner is a Machine of this meta cluster that is gone."""
    installation: str = ""

    @property
    def cluster_gone(self) -> bool:
        """Whether there is no Cluster, or soon will be none."""
        return self.cluster is None or self.cluster.deleting

    @property
    def nodes_known(self) -> bool:
        """Whether a Node that was not found is none."""
        return self.connection is not None and self.connection.nodes_known

    @property
    def node_lost(self) -> bool:
        """Whether the Node is known not to be there."""
        return self.nodes_known and self.node is None

    @property
    def networks(self) -> tuple[str, ...]:
        """Ranges of the business cluster's pods and Services."""
        if self.cluster is None:
            return ()
        network = self.cluster.spec.network
        return (*network.pod_cidrs, *network.service_cidrs)

    @property
    def takes_nodes(self) -> bool:
        """Whether the business cluster can let nodes join."""
        return (
            self.cluster is not None
            and not self.cluster.deleting
            and self.endpoint is not None
            and self.connection is not None
            and self.cluster.status.is_true(BOOTSTRAP_READY)
        )


@dataclass(frozen=True, slots=True)
class MachineView:
    """All that a decision depends on."""

    machine: Machine
    status: MachineStatus
    """As recorded, with the ends of jobs that were told of since; nothing changes it."""
    objects: ObservedObjects
    memory: HostMemory
    """What was last seen of the host, as it was when the pass began."""
    doing: str
    """What goes on at the host at this moment."""
    wait: float
    """Seconds until the host may be tried again after an error."""
    now: datetime
    monotonic: float
    survey_every: float
    """Seconds for which what was seen of a host that is as wanted may be relied on."""
    recheck: float
    """Seconds after which one is looked at again that is not fit, or whose Node does not serve."""
    templates: Templates = field(default_factory=Templates)
    turn: bool = True
    """Whether a Machine that no KubeNode stages may turn to another address or CA of its cluster."""
    blocker: str = ""
    """The Machine of the same KubeNode for which a node is drained now, if one is."""
    paused_by: str = ""
    """The Machine's KubeNode, if that is paused: nothing is repaired then."""
    held: str = ""
    """Why nothing is to be done about any host of the Machine's KubeNode: too many are not well."""
    posted: str | None = None
    """When the kubelet last posted the status of its Node, as the API server itself has it; None: it
    was not asked."""
    ended: tuple[tuple[MachineComponentStatus, JobResult], ...] = ()
    """Jobs of which it is news that they have ended."""

    def after(self, memory: HostMemory, doing: str, wait: float) -> MachineView:
        """The same, with what the pass itself has changed since."""
        return replace(self, memory=memory, doing=doing, wait=wait)

    @property
    def mine(self) -> bool:
        """Whether the host is known to be this Machine's."""
        survey = self.memory.survey
        return survey is not None and survey.owner.uid == self.machine.metadata.uid

    @property
    def owner_mark(self) -> Owner:
        """What the host is told of whom it belongs to."""
        machine = self.machine
        return Owner(
            uid=machine.metadata.uid,
            machine=f"{machine.namespace}/{machine.name}",
            cluster=f"{machine.namespace}/{machine.spec.cluster}",
            installation=self.objects.installation,
        )


def expected_key(machine: Machine, status: MachineStatus) -> hostkey.Expected:
    """The host key that must be shown."""
    annotation = machine.metadata.annotations.get(names.ANNOTATION_TRUST_HOST_KEY)
    return hostkey.expected(
        annotation, machine.spec.host_key, status.host_key, status.host_key_since
    )
