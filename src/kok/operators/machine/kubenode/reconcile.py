"""The reconciler of KubeNodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

import aiohttp

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.machine.component import Component
from kok.api.machine.host import Host
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine, MachineComponent
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube import kinds
from kok.kube.apply.serverside import ensure_all
from kok.kube.decoding.strip import unrecorded
from kok.kube.decoding.truncation import FREE_FORM, refuse
from kok.kube.errors import Conflict, InvalidObject, NotFound
from kok.kube.http import dial, inbound
from kok.kube.lists.tolerant import Listed, listed
from kok.kube.objects.machines import some
from kok.kube.objects.ownership import owned_by, owner_labels, refers_to
from kok.kube.objects.together import asking
from kok.operators.machine import reasons
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.kubenode import claims, conditions, decide, render, software
from kok.operators.machine.kubenode.components import SoftwareObjects
from kok.operators.machine.kubenode.render import NodeHostSource
from kok.operators.machine.machine.observe import OPERATOR, access_of, machine_identity
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.watches import ClusterChanges, all_of_namespace
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import DONE, Done, Key, Pass, Result, Wake
from kok.runtime.policy import Policies

CLUSTER, HOST = Cluster.info.kind, Host.info.kind
CHECKSUMS_AGAIN = 15.0
_STATUS: Final = ("observedGeneration", "firstReady", "phase", "removal")
_CONDITIONS: Final = frozenset({"Ready", "NodeReady", "UpToDate"})
"""What is looked at of the status of a Machine."""
MACHINE, COMPONENT, KUBENODE = Machine.info.kind, Component.info.kind, KubeNode.info.kind


@dataclass(frozen=True, slots=True)
class KubeNodeView:
    """What a pass sees."""

    cluster: Cluster | None
    machines: tuple[Machine, ...]
    """All of the namespace, with no more than whose hosts they are and what software they use."""
    mine: tuple[Machine, ...]
    """The KubeNode's own, by name."""
    own: Mapping[str, Manifest]
    """The same as they are."""
    components: Mapping[str, Manifest]
    """Metadata of all of the namespace."""
    odd: tuple[Unreadable, ...] = ()
    """Machines of the namespace that cannot be read."""
    access_hash: str = ""
    """Of the address and the CA by which nodes reach the cluster; empty while they are not known."""

    @property
    def odd_mine(self) -> list[Unreadable]:
        """Of the KubeNode's own Machines those that cannot be read."""
        return [odd for odd in self.odd if odd.name in self.own]


class KubeNodeReconciler:
    """Renders Components and one Machine for each host."""

    model = KubeNode
    wakes_on: Sequence[Wake]

    def __init__(
        self, policies: Policies, lists: MachineLists, abandoned: Abandoned | None = None
    ) -> None:
        self._lists = lists
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

    async def reconcile(self, p: Pass[KubeNode]) -> Result:
        """See `Reconciler`."""
        kubenode = p.obj
        view = await _observe(p, self._lists)
        conditions.count(p.status, kubenode, view.mine)
        left = self._abandoned.of(kubenode.namespace, kubenode.name)
        p.status.abandoned = left[: conditions.ABANDONED_MOST]
        if view.cluster is None or view.cluster.deleting:
            gone = "is being deleted" if view.cluster is not None else "does not exist"
            raise Wait(
                reasons.CLUSTER_MISSING if view.cluster is None else reasons.CLUSTER_DELETING,
                f"Cluster {kubenode.namespace}/{kubenode.spec.cluster} {gone}; create it, or "
                "delete this KubeNode",
                30.0,
            )
        for odd in view.odd_mine:
            # Without it another host would be taken in its place, or others be disturbed with it.
            raise odd
        version = software.kubernetes_version(kubenode, view.cluster)
        p.status.version = version
        _tell_of_addresses(p, view.cluster)
        wanted = software.software(kubenode, view.cluster, version, view.mine)
        objects = SoftwareObjects(p.kube, self._session(), kubenode, view.components)
        await objects.ensure(wanted)
        places, missing = await self._places(p, view)
        outdated = await self._machines(p, view, places, wanted)
        if not view.odd:
            # Nobody knows what software one has that cannot be read.
            await objects.release(_in_use(view, wanted))
        good, reason, message = conditions.sum_up(kubenode, view.mine, outdated, missing)
        self._conclude(p, view, places, (good, reason, message))
        # A corrected list of checksums comes without an event.
        watched = bool(kubenode.spec.artifacts.checksums) and not p.status.is_true("Ready")
        return Result(CHECKSUMS_AGAIN if watched else None)

    async def finalize(self, p: Pass[KubeNode]) -> Result | Done:
        """Its Machines go first, each by its own clean-up; the Components go with their owners."""
        view = await _observe(p, self._lists)
        conditions.count(p.status, p.obj, view.mine)
        await _send_away(p, view.mine)
        for odd in view.odd_mine:
            if not odd.deleting:
                with contextlib.suppress(NotFound, Conflict):  # it went since it was listed
                    await p.kube.delete(MACHINE, odd.name, odd.namespace, uid=odd.uid)
        left = [
            *(f"{m.name}: {m.status.removal or 'being removed'}" for m in view.mine),
            *(odd.message for odd in view.odd_mine),
        ]
        if left:
            told = "; ".join(left[:3])
            raise Wait(reasons.REMOVING, f"waiting for {len(left)} Machines: {told}", 10.0)
        return DONE

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is kept."""

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

    async def _places(
        self, p: Pass[KubeNode], view: KubeNodeView
    ) -> tuple[list[NodeHostSource], int]:
        """The hosts that are to have Machines, and how many are missing."""
        spec = p.obj.spec
        if spec.pool is None:
            if spec.ssh is None:
                return [], 0
            return [render.inline(host, spec.ssh) for host in spec.hosts], 0
        # One at a time in this process, and only one process leads: no host is claimed twice.
        async with self._claiming.setdefault(p.obj.namespace, asyncio.Lock()):
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
            claimed = claims.plan(p.obj, hosts, mine, taken)
            if list(claimed.held) != p.obj.status.claims:
                p.status.claims = list(claimed.held)
                await p.latch()
        return [render.pooled(hosts[name]) for name in claimed.serving], claimed.missing

    async def _machines(
        self,
        p: Pass[KubeNode],
        view: KubeNodeView,
        places: Sequence[NodeHostSource],
        wanted: Sequence[MachineComponent],
    ) -> list[str]:
        """Makes, changes and deletes Machines; names of those that wait for their turn."""
        intents = {
            m["metadata"]["name"]: m
            for m in (render.machine(p.obj, place, wanted, view.access_hash) for place in places)
        }
        await _send_away(p, [m for m in view.mine if m.name not in intents])
        foreign = [m.name for m in view.machines if m.name in intents and m.name not in view.own]
        if foreign:
            raise Invalid(
                reasons.MACHINES_NOT_READY,
                f"Machine {' and '.join(foreign)} is there already and is not this KubeNode's; "
                "delete it, or give the host another name",
            )
        now = decide.changeable(intents, view.own)
        try:
            await ensure_all(p.kube, now.values(), list(view.own.values()))
        except InvalidObject as error:
            raise Invalid(error.reason, error.message) from None
        return sorted(
            name
            for name, intent in intents.items()
            if name in view.own
            and decide.disturbs(intent, view.own[name])
            and decide.disturbs(intent, now[name])
        )

    def _conclude(
        self,
        p: Pass[KubeNode],
        view: KubeNodeView,
        places: Sequence[NodeHostSource],
        judged: tuple[bool, str, str],
    ) -> None:
        good, reason, message = judged
        fresh = {names.machine(p.obj.name, place.name) for place in places} - set(view.own)
        if fresh:
            good, reason = False, reasons.MACHINES_NOT_READY
            message = f"Machine {', '.join(sorted(fresh)[:3])} was just made"
        p.set_condition("Ready", good, reason, message)
        p.status.phase = "Ready" if good else "Progressing"


async def _observe(p: Pass[KubeNode], lists: MachineLists) -> KubeNodeView:
    namespace, kube = p.obj.namespace, p.kube
    name = p.obj.spec.cluster
    async with asking() as group:
        ask = group.create_task
        asked = ask(kube.get(CLUSTER, name, namespace, unread=FREE_FORM, keep=unrecorded))
        mine_ = ask(
            kube.list(
                MACHINE,
                namespace,
                labels=owner_labels(p.obj),
                keep=partial(_own, p.obj),
                unread=FREE_FORM,
            )
        )
        all_ = ask(lists.now(kube, namespace))
        there = ask(kube.list(COMPONENT, namespace, bare=True, keep=unrecorded))
        identity = ask(kube.get(kinds.SECRET, names.operator_secret(name, OPERATOR), namespace))
    found, everybody, components = asked.result(), all_.result(), there.result()
    own = [m for m in mine_.result() if m]
    own += await _unlabelled(p, everybody, {m["metadata"]["name"] for m in own})
    cluster = Cluster.parse(found) if found is not None else None
    access = access_of(cluster, machine_identity(identity.result(), cluster)[0])
    mine = listed(Machine, own)
    by_name = {m["metadata"]["name"]: m for m in own}
    return KubeNodeView(
        cluster=cluster,
        machines=everybody.objects,
        mine=tuple(sorted(mine.objects, key=lambda m: m.name)),
        odd=(*mine.odd, *(odd for odd in everybody.odd if odd.name not in by_name)),
        own=by_name,
        components={m["metadata"]["name"]: m for m in components},
        access_hash=access.digest if access is not None else "",
    )


async def _unlabelled(
    p: Pass[KubeNode], everybody: Listed[Machine], known: Collection[str]
) -> list[Manifest]:
    """Our own Machines of which somebody took the labels away: they are found by their owner."""
    mine = [
        *(m.name for m in everybody.objects if claims.owned(m, p.obj)),
        *(odd.name for odd in everybody.odd if owned_by(odd.manifest, p.obj)),
    ]
    kept: list[Manifest] = []
    for name in sorted(set(mine) - set(known)):
        own = partial(_own, p.obj)
        found = await p.kube.get(MACHINE, name, p.obj.namespace, unread=FREE_FORM, keep=own)
        kept += [found] if found else []
    return kept


async def _send_away(p: Pass[KubeNode], surplus: Iterable[Machine]) -> None:
    """Deletes Machines. How long they drain is what the KubeNode says now, also while they do."""

    async def one(machine: Machine) -> None:
        name, namespace, uid = machine.name, machine.namespace, machine.metadata.uid
        patience = p.obj.spec.drain_timeout
        with contextlib.suppress(NotFound, Conflict):  # it went since it was listed
            if machine.spec.drain_timeout != patience:
                patch = {"metadata": {"uid": uid}, "spec": {"drainTimeout": patience}}
                await p.kube.patch(MACHINE, name, namespace, patch)
            if not machine.deleting:
                await p.kube.delete(MACHINE, name, namespace, uid=uid)

    await asyncio.gather(*map(one, surplus))


def _own(kubenode: KubeNode, manifest: Manifest) -> Manifest:
    """A KubeNode's own Machine, as it is kept for as long as a pass may last; {} of another's.

    Without who wrote what, and what only the Machine's own passes need of its status.
    """
    if not owned_by(manifest, kubenode):
        return {}
    refuse(manifest)
    conditions = manifest.get("status") or {}
    told = [c for c in conditions.get("conditions") or () if c.get("type") in _CONDITIONS]
    return {
        **unrecorded(manifest),
        "status": {**some(conditions, _STATUS), "conditions": told},
    }


def _tell_of_addresses(p: Pass[KubeNode], cluster: Cluster) -> None:
    """The condition PodAddresses, only where there are fewer of them than usual."""
    there = cluster.status.nodes.total if cluster.status.nodes is not None else 0
    nodes = max(there, conditions.wanted(p.obj))
    text = software.pod_addresses(p.obj, cluster, nodes)
    if text:
        p.set_condition("PodAddresses", False, reasons.FEW_POD_ADDRESSES, text)
    else:
        p.status.drop_conditions(["PodAddresses"])


def _in_use(view: KubeNodeView, wanted: Sequence[MachineComponent]) -> list[str]:
    """Components that are wanted, or that any Machine of the namespace still has."""
    machines = (*view.machines, *view.mine)
    used = [*wanted, *(c for m in machines for c in m.spec.components)]
    return sorted({names.component(c.name, c.version) for c in used})


def _owners(manifest: Manifest) -> Iterable[Key]:
    """The KubeNodes that a Component was made for."""
    meta = manifest["metadata"]
    return [
        (str(meta.get("namespace", "")), str(reference["name"]))
        for reference in meta.get("ownerReferences") or ()
        if refers_to(reference, KUBENODE)
    ]
