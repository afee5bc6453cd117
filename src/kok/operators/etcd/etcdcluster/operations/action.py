"""What is to be done next about the members, as a value, and what operations have in common."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdOperation
from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import EtcdError, Trouble
from kok.kube import kinds
from kok.kube.errors import NotFound
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.clocks import is_recent
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.runtime.controller.reconciler import Pass
from kok.runtime.operations import action as operations

AT_ONCE = 0.05
"""Seconds until the next pass where this one has changed what that one goes by."""
State = Literal["Joining", "Member", "Leaving", "Left"]


@dataclass(frozen=True, slots=True)
class Context:
    """What a call gets to work with."""

    p: Pass[EtcdCluster]
    obj: EtcdCluster
    observed: Observed
    client: EtcdClient


class Call(operations.Call[Context], Protocol):
    """One change to etcd or to a child. It may have been made before, with the answer lost."""

    async def run(self, context: Context) -> None:
        """Makes it. Raises `EtcdError` (the next pass looks again) or `KubeError`."""
        ...


@dataclass(frozen=True, slots=True)
class Action(operations.Action[EtcdOperation, Context]):
    """What to do now.

    `states` names only members whose state changes, and is recorded with the operation; a name that
    the status does not have is a new member's.
    """

    states: Mapping[str, State] = field(default_factory=dict)


Type = Literal["Grow", "Shrink", "Replace", "Migrate", "Roll", "FreeSpace", "Defragment", "Recover"]
REASONS: dict[str, str] = {
    "Grow": reasons.GROWING,
    "Shrink": reasons.SHRINKING,
    "Replace": reasons.REPLACING,
    "Migrate": reasons.MOVING,
    "Roll": reasons.ROLLING,
    "FreeSpace": reasons.NO_SPACE,
    "Defragment": reasons.DEFRAGMENTING,
    "Recover": reasons.RECOVERING,
}
DOUBLED = 6
"""So many times an operation is begun anew with growing delays; later once an hour."""


def begin(
    s: Assessment,
    type_: Type,
    reason: str,
    *,
    member: str | None = None,
    replaces: str | None = None,
) -> EtcdOperation:
    """A new operation, as of now."""
    now = s.now.replace(microsecond=0)
    return EtcdOperation(type=type_, member=member, replaces=replaces, since=now, reason=reason)


def at_step(operation: EtcdOperation, step: str, member: str | None = None) -> EtcdOperation:
    """The same operation at another step, and with the member that it goes on with."""
    update = {"step": step, "member": member or operation.member}
    return operation.model_copy(update=update)


def newcomers(s: Assessment, count: int) -> list[str]:
    """Names for so many new members."""
    return roles.fresh_names(s.obj, s.observed, count)


def backs_off(s: Assessment, operation: EtcdOperation) -> Action | None:
    """Waits where an operation has failed before; None if it may go on."""
    if not operation.attempts or not is_recent(operation.since, s.now, not_before(s, operation)):
        return None
    text = (
        f"the next member, {purpose(operation)}, is added after a while, since "
        f"{operation.attempts} before it did not come to life"
    )
    return Action(REASONS[operation.type], text, at_step(operation, "BackingOff"), after=5.0)


def not_before(s: Assessment, operation: EtcdOperation) -> timedelta:
    """How long after its beginning an operation may be begun anew."""
    tries = operation.attempts
    if tries <= DOUBLED:
        delay: timedelta = s.observed.tuning.begin_again_after * (2**tries - 1)
        return delay
    return timedelta(hours=tries - DOUBLED)


def purpose(operation: EtcdOperation) -> str:
    """Why something is done, to put behind what is done."""
    if operation.replaces is not None:
        return f"in place of {operation.replaces}, {operation.reason}"
    return operation.reason


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Makes a new member known to etcd; it gets no vote yet."""

    at: str
    """Client address of the member to ask."""
    member: str
    peer_url: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        try:
            made = await context.client.add_learner(self.at, self.peer_url)
        except EtcdError as error:
            if error.trouble is Trouble.EXISTS:
                return
            raise
        context.p.event(reasons.MEMBER_ADDED, f"{self.member} was added as learner {made.id}")


@dataclass(frozen=True, slots=True)
class Promote:
    """Gives a learner its vote."""

    at: str
    member: str
    id: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        try:
            await context.client.promote(self.at, self.id)
        except EtcdError as error:
            if error.trouble is Trouble.NOT_A_LEARNER:
                return
            raise
        context.p.event(reasons.MEMBER_PROMOTED, f"{self.member} has caught up and votes")


@dataclass(frozen=True, slots=True)
class MoveLeader:
    """Makes another member lead."""

    at: str
    """Address of the present leader."""
    member: str
    """The one that is to lead."""
    id: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        await context.client.move_leader(self.at, self.id)
        context.p.event(reasons.LEADER_MOVED, f"{self.member} leads now")


@dataclass(frozen=True, slots=True)
class Remove:
    """Takes a member out of etcd's list, for good."""

    at: str
    member: str
    id: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        try:
            await context.client.remove(self.at, self.id)
        except EtcdError as error:
            if error.trouble is Trouble.NOT_FOUND:
                return
            raise
        context.p.event(reasons.MEMBER_REMOVED, f"{self.member} ({self.id}) was removed")


@dataclass(frozen=True, slots=True)
class Nudge:
    """Makes the kubelet look at a pod again at once, by a change that means nothing else."""

    pod: str
    uid: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        notes = {naming.ANNOTATION_NUDGED: context.p.now.isoformat(timespec="seconds")}
        patch = {"metadata": {"uid": self.uid, "annotations": notes}}
        with suppress(NotFound):
            await context.p.kube.patch(kinds.POD, self.pod, context.obj.namespace, patch)
