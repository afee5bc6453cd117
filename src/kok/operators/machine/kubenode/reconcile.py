"""The reconciler of KubeNodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

import aiohttp

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.machine.component import Component
from kok.api.machine.host import Host
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine, MachineComponent
from kok.api.meta import Manifest
from kok.kube.apply.serverside import ensure_all
from kok.kube.concurrency import asking
from kok.kube.decoding.strip import unrecorded
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.errors import InvalidObject
from kok.kube.http import dial, inbound
from kok.kube.lists.tolerant import listed
from kok.kube.objects.ownership import refers_to
from kok.operators.machine import metrics, reasons
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.kubenode import (
    claims,
    conditions,
    decide,
    delete,
    occupancy,
    render,
)
from kok.operators.machine.kubenode.claims import Claims
from kok.operators.machine.kubenode.components import SoftwareObjects
from kok.operators.machine.kubenode.conditions import Outcome
from kok.operators.machine.kubenode.decide import KubeNodeDecision
from kok.operators.machine.kubenode.observe import KubeNodeView, observe
from kok.operators.machine.kubenode.occupancy import Connect
from kok.operators.machine.kubenode.render import NodeHostSource
from kok.operators.machine.kubenode.rollout.plan import Plan, plan
from kok.operators.machine.kubenode.rollout.report import told
from kok.operators.machine.kubenode.rollout.scene import RolloutView
from kok.operators.machine.kubenode.waiting import Lacking
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.watches import ClusterChanges, all_of_namespace
from kok.runtime.controller.errors import Invalid
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged
from kok.runtime.policy import Policies
from kok.workload.identity import Identity

CLUSTER, HOST = Cluster.info.kind, Host.info.kind
CHECKSUMS_AGAIN = 15.0
MACHINE, COMPONENT, KUBENODE = Machine.info.kind, Component.info.kind, KubeNode.info.kind


async def _nowhere(_cluster: Cluster | None, _identity: Identity | None) -> None:
    """No way into any business cluster."""


class KubeNodeReconciler(Staged[KubeNode, KubeNodeView, KubeNodeDecision, Outcome]):
    """Renders Components and one Machine for each host."""

    model = KubeNode
    wakes_on: Sequence[Wake]

    def __init__(
        self,
        policies: Policies,
        lists: MachineLists,
        abandoned: Abandoned | None = None,
        connect: Connect = _nowhere,
    ) -> None:
        """`connect` leads into business clusters, where the pods of nodes are counted."""
        self._lists = lists
        self._connect = connect
        self._lacking = Lacking()
        self._abandoned = abandoned or Abandoned()
        self.wakes_on = (
            Wake(MACHINE),
            Wake(CLUSTER, key=ClusterChanges(), whole=True),
            Wake(HOST, key=all_of_namespace),
            Wake(COMPONENT, key=_owners),
        )
        self._policies = policies
        self._http: aiohttp.ClientSession | None = None
        self._claiming: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def close(self) -> None:
        """Closes connections."""
        if self._http is not None:
            await self._http.close()

    async def observe(self, p: Pass[KubeNode]) -> KubeNodeView:
        """Cluster, Machines and Components of its namespace. Raises `KubeError`."""
        return await observe(p, self._lists)

    def decide(self, p: Pass[KubeNode], view: KubeNodeView) -> KubeNodeDecision:
        """Which software its Machines are to have."""
        return decide.decide(p.obj, view)

    def outcome(self, view: KubeNodeView, decision: KubeNodeDecision) -> Outcome:
        """Nothing so far."""
        del view, decision
        return Outcome()

    async def act(
        self,
        p: Pass[KubeNode],
        view: KubeNodeView,
        decision: KubeNodeDecision,
        outcome: Outcome,
    ) -> float | None:
        """Makes Components, claims hosts, and makes, changes and deletes Machines."""
        if decision.stop is not None:
            raise decision.stop
        for odd in view.odd_mine:
            raise odd
        objects = SoftwareObjects(p.kube, self._session(), p.obj, view.components)
        await objects.ensure(decision.software)
        hosts, outcome.missing = await self._hosts(p, view)
        after = await self._machines(p, view, hosts, decision, outcome)
        if not view.odd:
            # Nobody knows what software one has that cannot be read.
            await objects.release(_in_use(view, decision.software))
        made = {names.machine(p.obj.name, host.name) for host in hosts}
        outcome.fresh = sorted(made - set(view.own))
        outcome.through = True
        return after

    def conditions(
        self,
        p: Pass[KubeNode],
        view: KubeNodeView,
        decision: KubeNodeDecision,
        outcome: Outcome,
        ended: Exception | None,
    ) -> None:
        """How many Machines serve, and whether they are as wanted."""
        del ended
        left = self._abandoned.of(p.obj.namespace, p.obj.name)
        conditions.report(p, view.mine, left, decision, outcome)

    def rest(
        self,
        p: Pass[KubeNode],
        view: KubeNodeView,
        decision: KubeNodeDecision,
        outcome: Outcome,
    ) -> float | None:
        """A corrected list of checksums comes without an event."""
        del view, decision, outcome
        watched = bool(p.obj.spec.artifacts.checksums) and not p.status.is_true("Ready")
        return CHECKSUMS_AGAIN if watched else None

    async def finalize(self, p: Pass[KubeNode]) -> Result | Done:
        """Its Machines go first, each by its own clean-up."""
        view = await observe(p, self._lists)
        conditions.count(p.status, p.obj, view.mine)
        if delete.give_back(p, view):
            await p.latch()
            self._lacking.freed(p.obj.namespace)
        return await delete.remove(p, view)

    def forget(self, key: Key, uid: str) -> None:
        """It waits for no hosts any more, those that it had are free, and nothing is shown of it."""
        del uid
        metrics.show_held(*key, held=False)
        metrics.show_rollout(*key, {})
        self._lacking.put(key, None)
        self._lacking.freed(key[0])

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            # Where an administrator's network must not be asked on behalf of a tenant.
            factory = dial.socket_factory(self._policies.forbidden_ranges)
            connector = inbound.Connector(handshake=inbound.WEB, socket_factory=factory)
            self._http = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                # What is decompressed has no size that could be known before.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._http

    async def _hosts(
        self, p: Pass[KubeNode], view: KubeNodeView
    ) -> tuple[list[NodeHostSource], int]:
        """The hosts that are to have Machines, and how many are missing."""
        spec = p.obj.spec
        if spec.pool is None:
            if spec.ssh is None:
                return [], 0
            return [render.inline(host, spec.ssh) for host in spec.hosts], 0
        return await self._claim(p, view)

    async def _claim(
        self, p: Pass[KubeNode], view: KubeNodeView
    ) -> tuple[list[NodeHostSource], int]:
        """Takes hosts out of the pool, and gives back those whose Machines are gone."""
        # Before it is anybody's turn: a cluster that is slow must not keep KubeNodes of others waiting.
        compared = claims.to_be_compared(p.obj, view.mine)
        pods = await occupancy.of_nodes(self._connect, view.cluster, view.identity, compared)
        # Before the look: what is given up during it would be missed.
        self._lacking.put((p.obj.namespace, p.obj.name), p.wake)
        # One at a time in this process, and only one process leads: no host is claimed twice.
        async with self._claiming.setdefault(p.obj.namespace, asyncio.Lock()):
            claimed, hosts = await self._choose(p, view, pods)
        if not claimed.lacking:
            self._lacking.put((p.obj.namespace, p.obj.name), None)
        if set(p.obj.status.claims) - set(claimed.held):
            self._lacking.freed(p.obj.namespace)
        if leaves := claims.leaving(claimed, {m.spec.node: m for m in view.mine}, pods):
            p.event(reasons.SCALED_DOWN, leaves)
        return [render.pooled(hosts[name]) for name in claimed.serving], claimed.missing

    async def _choose(
        self, p: Pass[KubeNode], view: KubeNodeView, pods: Mapping[str, int]
    ) -> tuple[Claims, Mapping[str, Host]]:
        """What is claimed from now on, and the Hosts by name.

        A claim stands in the KubeNode's own status, but it is no fact of this pass that `record` could
        put there: it is an act upon what all KubeNodes of the namespace share. Which hosts are free is
        only known together with what the others have claimed, and holds only as long as none of them
        claims: to look, to choose and to write are one step, one KubeNode after the other. What has
        to be written before anything is done with it is: no Machine is made before that.
        """
        async with asking() as group:
            found = group.create_task(p.kube.list(HOST, p.obj.namespace, keep=unrecorded))
            others = group.create_task(
                p.kube.list(KUBENODE, p.obj.namespace, unread=FREE_FORM, keep=unrecorded)
            )
        there, kubenodes = listed(Host, found.result()), listed(KubeNode, others.result())
        mine = {m.spec.node: m for m in view.mine}
        for odd in there.odd:
            if odd.name in mine or odd.name in p.obj.status.claims:
                # Not gone: its Machine must not be taken away for that.
                raise odd
        hosts = {h.name: h for h in there.objects}
        taken = claims.taken_by_others(
            p.obj,
            kubenodes.objects,
            view.machines,
            hosts.values(),
            odd=(*kubenodes.odd, *view.odd),
        )
        claimed = claims.plan(p.obj, hosts, mine, taken, pods)
        if list(claimed.held) != p.obj.status.claims:
            p.status.claims = list(claimed.held)
            await p.latch()
        return claimed, hosts

    async def _machines(
        self,
        p: Pass[KubeNode],
        view: KubeNodeView,
        hosts: Sequence[NodeHostSource],
        decision: KubeNodeDecision,
        outcome: Outcome,
    ) -> float | None:
        """Makes, changes and deletes Machines; seconds until the next look."""
        intents = {
            m["metadata"]["name"]: m
            for m in (
                render.machine(p.obj, host, decision.software, view.access_hash) for host in hosts
            )
        }
        await delete.send_away(p, [m for m in view.mine if m.name not in intents])
        foreign = [m.name for m in view.machines if m.name in intents and m.name not in view.own]
        if foreign:
            raise Invalid(
                reasons.MACHINES_NOT_READY,
                f"Machine {' and '.join(foreign)} is there already and is not this KubeNode's; "
                "delete it, or give the host another name",
            )
        found = await self._planned(p, view, intents, decision)
        outcome.outdated = found.waiting
        if found.status != p.obj.status.rollout:
            for one in told(p.obj.status.rollout, found.status):
                p.event(one.reason, one.message, warning=one.warning)
            p.status.rollout = found.status
            # Whatever is begun is known to whoever comes after a death.
            await p.latch()
        outcome.planned = True
        try:
            await ensure_all(p.kube, found.machines.values(), list(view.own.values()))
        except InvalidObject as error:
            raise Invalid(error.reason, error.message) from None
        return found.after

    async def _planned(
        self,
        p: Pass[KubeNode],
        view: KubeNodeView,
        intents: Mapping[str, Manifest],
        decision: KubeNodeDecision,
    ) -> Plan:
        """What each Machine is to have now; where a batch is chosen, by how much is on the nodes."""
        spec, before = p.obj.spec, p.obj.status.rollout
        look = RolloutView(
            intents=intents,
            lives=view.own,
            policy=spec.rollout,
            drain_timeout=spec.drain_timeout,
            now=p.now,
            recorded=before,
            held=bool(decision.held),
        )
        found = plan(look)
        batch = found.status.batch if found.status is not None else 0
        another = found.status is not None and (before is None or before.id != found.status.id)
        chosen = another or (before is not None and before.batch != batch)
        if not (batch and chosen):
            return found
        nodes = {m.spec.node: m.name for m in view.mine}
        loads = await occupancy.loads(self._connect, view.cluster, view.identity, nodes)
        return plan(replace(look, loads=loads)) if loads else found


def _in_use(view: KubeNodeView, wanted: Sequence[MachineComponent]) -> list[str]:
    """Components that are wanted, that any Machine of the namespace still has, or may go back to."""
    machines = (*view.machines, *view.mine)
    good = [m.status.last_good for m in view.mine if m.status.last_good is not None]
    used = [*wanted, *(c for m in machines for c in m.spec.components)]
    used += [c for known in good for c in known.components]
    return sorted({names.component(c.name, c.version) for c in used})


def _owners(manifest: Manifest) -> Iterable[Key]:
    """The KubeNodes that a Component was made for."""
    meta = manifest["metadata"]
    return [
        (str(meta.get("namespace", "")), str(reference["name"]))
        for reference in meta.get("ownerReferences") or ()
        if refers_to(reference, KUBENODE)
    ]
