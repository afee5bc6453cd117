"""The changes that operations on members consist of, as values."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from kok.etcdclient.model import EtcdError, Trouble
from kok.kube import kinds
from kok.kube.errors import NotFound
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.operations.action import Context


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Makes a new member known to etcd; it gets no vote yet."""

    at: str
    """Client address of the member to ask."""
    member: str
    peer_url: str

    async def run(self, context: Context) -> None:
        """See `Call`."""
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
        """See `Call`."""
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
        """See `Call`."""
        await context.client.move_leader(self.at, self.id)
        context.p.event(reasons.LEADER_MOVED, f"{self.member} leads now")


@dataclass(frozen=True, slots=True)
class Remove:
    """Takes a member out of etcd's list, for good."""

    at: str
    member: str
    id: str

    async def run(self, context: Context) -> None:
        """See `Call`."""
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
        """See `Call`."""
        notes = {naming.ANNOTATION_NUDGED: context.p.now.isoformat(timespec="seconds")}
        patch = {"metadata": {"uid": self.uid, "annotations": notes}}
        with suppress(NotFound):
            await context.p.kube.patch(kinds.POD, self.pod, context.obj.namespace, patch)
