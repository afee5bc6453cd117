"""How changes of software go out over the nodes of a KubeNode, and how far they are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from kok.api.fields import Duration, ObjectName
from kok.api.meta import ApiModel
from kok.api.shares import Share, number_or_share

NodeShare = Annotated[
    Annotated[int, Field(ge=1, le=1000)] | Share, number_or_share(1, 1000, such_as=2)
]
"""A number of nodes, or a share of them."""

OnDrainTimeout = Literal["Stop", "Skip", "Force"]
OnFailure = Literal["Stop", "Rollback"]


class Rollout(ApiModel):
    """How changes of software reach the nodes."""

    canary: int = Field(default=1, ge=0, le=1000)
    """Nodes of the first batch; 0: it is as large as the others."""
    batch: NodeShare | None = None
    """Nodes of each further batch; as many as `maxUnavailable` if absent. A batch is begun when all
    nodes of the one before are through."""
    max_unavailable: NodeShare = 1
    """Nodes that may be out of service at a time for whatever reason: being changed, not proven,
    failed, not Ready, or not heard of. If more are, no node that serves is changed."""
    pause: Duration = "0s"
    """How long to wait between two batches."""
    drain_timeout: Duration | None = None
    """How long the drain before a change may take; `spec.drainTimeout` if absent."""
    on_drain_timeout: OnDrainTimeout = "Stop"
    """What then: `Stop` goes on waiting, and no further node is begun; `Skip` leaves that node as it
    is and goes on with others; `Force` deletes the pods without regard to disruption budgets."""
    soak: Duration = "0s"
    """How long a changed node has to serve until it counts as through."""
    deadline: Duration = "10m"
    """How long a node may take for a change, its drain and `soak` left out, before it has failed. One
    whose services or jobs fail has failed sooner."""
    on_failure: OnFailure = "Stop"
    """What happens to a node that has failed: `Stop` leaves it as it is, tries on, and begins no
    further batch; `Rollback` ends the rollout and puts that node back to what it last ran well with.
    The same is not tried again until the spec changes."""
    paused: bool = False
    """Begins no further node; those under way are brought to their end."""
    abort: str = Field(default="", max_length=63)
    """`status.rollout.id` of a rollout that is to end: nodes under way go back, the others stay as
    they are."""
    retry: str = Field(default="", max_length=63)
    """Another value tries anew what has failed, was skipped or was aborted."""


NodeState = Literal[
    "Draining", "Changing", "Soaking", "Failed", "Skipped", "RollingBack", "RolledBack"
]
RolloutPhase = Literal["RollingOut", "Paused", "RollingBack", "RolledBack", "Aborted", "Done"]


class RolloutNode(ApiModel):
    """One node that a rollout has begun, and that is not through."""

    machine: ObjectName
    """Name of its Machine."""
    state: NodeState
    """What becomes of it."""
    since: datetime
    """When it came to that; the time of a drain does not count for the change after it."""
    failing: datetime | None = None
    """Since when something fails that will not mend itself."""
    why: str = Field(default="", max_length=1024)
    """What has failed, as a sentence."""


class RolloutStatus(ApiModel):
    """The newest rollout; written before any node is changed for it."""

    id: str = Field(max_length=63)
    """Hash of the software that the nodes are to have; another one is another rollout."""
    phase: RolloutPhase = "RollingOut"
    """How it stands."""
    since: datetime
    """When it began."""
    ended_at: datetime | None = None
    """When it had come to its end."""
    batch: int = 0
    """Number of the batch, from 1 on."""
    members: list[ObjectName] = Field(default_factory=list, max_length=1000)
    """Machines of that batch."""
    next: list[ObjectName] = Field(default_factory=list, max_length=1000)
    """Machines of the batch after it, which fetch meanwhile what they will need."""
    batch_ended: datetime | None = None
    """When all nodes of the batch were through; `pause` counts from then."""
    total: int = 0
    """Nodes that there are, but for those that have never served."""
    updated: int = 0
    """Nodes that are through."""
    nodes: list[RolloutNode] = Field(
        default_factory=list,
        max_length=1000,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["machine"],
        },
    )
    """Nodes that were begun and are not through."""
    message: str = Field(default="", max_length=2048)
    """What is done, and what is waited for, as a sentence."""

    def node(self, machine: str) -> RolloutNode | None:
        """What is known of a Machine."""
        return next((n for n in self.nodes if n.machine == machine), None)


class MachineRollout(ApiModel):
    """What a Machine has to know of the rollouts of its KubeNode."""

    drain_timeout: Duration | None = None
    """How long the drain before a change may take; `spec.drainTimeout` if absent."""
    on_drain_timeout: Literal["Stop", "Force"] = "Stop"
    """Whether pods are deleted then without regard to disruption budgets."""
    soak: Duration = "0s"
    """How long it has to serve with what is new until that counts as good."""
