"""What the removal of a Machine does: in its cluster, at its host, and for those who are told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from kok.api.machine.host import AbandonedHost, Host, HostUse
from kok.api.machine.machine import Machine, MachineStatus
from kok.api.meta import Manifest
from kok.api.names import LABEL_HOST, LABEL_KUBENODE
from kok.kube import kinds
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.operators.machine import reasons
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.machine.view import ObservedObjects
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.operators.machine.node.drain import Drain, DrainTimings
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.session import HostMemory, Session
from kok.operators.machine.remote.survey import Owner
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass

HOST = Host.info.kind
API_AGAIN = 2.0
"""Seconds after which an API that is away is asked again."""


@dataclass(frozen=True, slots=True)
class RemovalContext:
    """All that the calls work with."""

    p: Pass[Machine]
    objects: ObservedObjects
    session: Session
    client: HostClient | None
    connection: ClusterConnection | None
    """To the business cluster, as it is by now; `objects` has how it was."""
    abandoned: Abandoned
    timings: DrainTimings

    @property
    def memory(self) -> HostMemory:
        """What is remembered of the host, as it is now."""
        return self.session.memory


# --- the business cluster


def may_have_node(status: MachineStatus) -> bool:
    """Whether there may be a Node: one is made as soon as the kubelet has a token to join with."""
    return status.is_true("Joined") or status.token_id is not None


@dataclass(frozen=True, slots=True)
class DrainNode:
    """Moves the pods away, apart from the pass; then the Node is deleted."""

    start: bool
    """Whether to begin; otherwise it is under way, or has to wait."""
    deadline: datetime

    async def run(self, context: RemovalContext) -> None:
        """Begins it."""
        p, memory = context.p, context.memory
        connection, node = context.connection, context.objects.node
        memory.drain_seen = memory.drain_seen or p.now
        if not self.start or connection is None or node is None:
            return

        def told(text: str) -> None:
            if text != memory.draining:
                memory.draining = text
                p.wake()

        drain = Drain(
            kube=connection.kube,
            clock=p.clock,
            node=node.name,
            alive=_alive(connection, node.name),
            deadline=self.deadline,
            told=told,
            timings=context.timings,
        )
        context.session.start("drain", _drained(drain, memory, node.uid), p.wake)


def _alive(connection: ClusterConnection, name: str) -> Callable[[], bool]:
    def alive() -> bool:
        node = connection.nodes.get(name)
        return node is not None and node.ready is True

    return alive


async def _drained(drain: Drain, memory: HostMemory, uid: str) -> None:
    await drain.run()
    memory.forced = drain.forced
    memory.drained = True
    # Another Node of that name by now would not be this Machine's; one that could not be deleted
    # now is tried again after the host was cleaned, and nothing is drained twice.
    with suppress(KubeError):
        await drain.kube.delete(kinds.NODE, drain.node, uid=uid)


@dataclass(frozen=True, slots=True)
class EndDrain:
    """Stops a drain whose time is over."""

    async def run(self, context: RemovalContext) -> None:
        """Does it."""
        context.session.cancel()
        context.memory.drained = True


@dataclass(frozen=True, slots=True)
class TellOfForce:
    """Tells that disruption budgets did not count in the end."""

    async def run(self, context: RemovalContext) -> None:
        """Does it."""
        spec = context.p.obj.spec
        context.p.event(
            reasons.DRAIN_FORCED,
            f"pods of node {spec.node} were deleted in spite of their disruption budgets, since no "
            f"other node could take them or draining took longer than {spec.drain_timeout}",
            warning=True,
        )


@dataclass(frozen=True, slots=True)
class LeaveCluster:
    """Deletes the Node, and the bootstrap token if there still is one."""

    patience: str | None
    """What is waited for, should the API not answer; None: it had its time."""

    async def run(self, context: RemovalContext) -> None:
        """Does it. Raises `Wait` as long as the API may still answer."""
        await self._delete_node(context)
        await take_token_back(context)
        context.memory.forgotten = True

    async def _delete_node(self, context: RemovalContext) -> None:
        p, objects = context.p, context.objects
        name, cluster = p.obj.spec.node, p.obj.spec.cluster
        if objects.cluster_gone or not may_have_node(p.status):
            return
        connection = context.connection
        why = "does not answer"
        try:
            if connection is not None and objects.nodes_known:
                if objects.node is not None:
                    await connection.kube.delete(kinds.NODE, name, uid=objects.node.uid)
                return
        except Conflict:
            return  # Another Node of that name, which is not this Machine's.
        except KubeError as error:
            p.log.info("node not deleted", node=name, error=error.message)
            why = error.told
        if self.patience is not None:
            raise Wait(reasons.REMOVING, self.patience, API_AGAIN)
        p.event(
            reasons.NODE_LEFT_BEHIND,
            f"Node {name} may be left in Cluster {cluster}, whose API {why[:400]};"
            " delete it with kubectl delete node",
            warning=True,
        )


async def take_token_back(context: RemovalContext) -> None:
    """Deletes the bootstrap token, if there still is one."""
    token, connection = context.p.status.token_id, context.connection
    if token is None or connection is None or connection.answers is False:
        return  # It ends by itself within minutes.
    try:
        await connection.kube.delete(kinds.SECRET, f"bootstrap-token-{token}", "kube-system")
    except KubeError as error:
        context.p.log.info("token not deleted", error=error.message)


# --- the host


@dataclass(frozen=True, slots=True)
class BeginClean:
    """Notes since when the host is being cleaned up; its time counts from then."""

    async def run(self, context: RemovalContext) -> None:
        """Does it."""
        status, memory, now = context.p.status, context.memory, context.p.now
        memory.clean_seen = memory.clean_seen or now
        if status.clean_since is None:
            status.clean_since = now
            await context.p.latch()


@dataclass(frozen=True, slots=True)
class CleanHost:
    """Takes everything away from the host, apart from the pass."""

    owner: Owner
    marked: bool
    """Whether the host has to bear the mark of the owner."""

    async def run(self, context: RemovalContext) -> None:
        """Begins it."""
        if context.client is not None:
            work = context.client.clean(self.owner, marked=self.marked)
            context.session.start("clean", work, context.p.wake)


@dataclass(frozen=True, slots=True)
class ReportClean:
    """The Host, where the Machine has one, may be claimed again."""

    async def run(self, context: RemovalContext) -> None:
        """Does it."""
        machine = context.p.obj
        live = await _host(context.p)
        if live is not None:
            used = (live.get("status") or {}).get("usedBy") or {}
            if used.get("uid") == machine.metadata.uid:
                await _write_use(context.p, live, None)
        context.memory.cleaned = context.memory.reported = True


@dataclass(frozen=True, slots=True)
class Abandon:
    """Gives the host up uncleaned: it is listed, its Host is Dirty, and people are told."""

    why: str
    left: str
    """What is left to do there."""

    async def run(self, context: RemovalContext) -> None:
        """Does it."""
        p, machine = context.p, context.p.obj
        context.session.cancel()
        live = await _host(p)
        if live is not None:
            await _write_use(p, live, HostUse.of(machine))
        was = p.status.installed_on
        entry = AbandonedHost(
            namespace=machine.namespace,
            machine=machine.name,
            kubenode=machine.metadata.labels.get(LABEL_KUBENODE),
            cluster=machine.spec.cluster,
            address=was.address if was is not None else machine.spec.address,
            port=was.port if was is not None else machine.spec.port,
            jump=machine.spec.ssh.behind if was is None or was.jump is None else was.jump,
            since=p.now,
            why=self.why,
            left=self.left,
        )
        await context.abandoned.add(p.kube, machine.metadata.uid, entry)
        p.log.warning("host abandoned", address=entry.address, why=self.why, left=entry.left)
        p.event(
            reasons.HOST_ABANDONED,
            f"host {entry.address} was not cleaned up ({self.why}); left to do there: "
            f"{self.left} (the operator does it by itself once the host is reached again, as a "
            "Host of the pool or by another Machine; kok doctor lists it until then)",
            warning=True,
        )
        context.memory.abandoned = True


async def _host(p: Pass[Machine]) -> Manifest | None:
    """The Host that the Machine was made for, as it is."""
    name = p.obj.metadata.labels.get(LABEL_HOST)
    return await p.kube.get(HOST, name, p.obj.namespace) if name else None


async def _write_use(p: Pass[Machine], host: Manifest, use: HostUse | None) -> None:
    """Of a Host as it is: whether all of it can be read does not matter here."""
    meta = host["metadata"]
    patch = {
        "metadata": {"resourceVersion": meta["resourceVersion"]},
        "status": {"usedBy": use.manifest() if use is not None else None},
    }
    with suppress(NotFound):
        await p.kube.patch(HOST, meta["name"], meta["namespace"], patch, subresource="status")
