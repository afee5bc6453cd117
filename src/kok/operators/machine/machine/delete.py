"""A Machine goes: drain, Node, host. In order, bounded, telling its step."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from kok.api.fields import span
from kok.api.machine.host import AbandonedHost, Host, HostUse
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_ABANDON_HOST, LABEL_HOST, LABEL_KUBENODE
from kok.kube import kinds
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.operators.machine import reasons
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.host.ssh_secrets import touched
from kok.operators.machine.machine.act import Hand
from kok.operators.machine.machine.conditions.status import report_way
from kok.operators.machine.machine.decide import MachineView
from kok.operators.machine.node.drain import FORCED_PATIENCE, Drain
from kok.operators.machine.node.tenants import Tenant
from kok.operators.machine.remote import host_identity, jobs
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.session import LEAST, Session
from kok.operators.machine.remote.survey import Owner
from kok.operators.machine.settings import MachineSettings
from kok.runtime.controller.errors import Paused, Wait
from kok.runtime.controller.reconciler import DONE, Done, Pass, Result

HOST = Host.info.kind
SOON = 5.0
UNSEEN_FOR = timedelta(seconds=30)
"""How long the business cluster's API is waited for while it does not answer at all."""
ENDING = timedelta(seconds=FORCED_PATIENCE)
"""How long after the time-out of a drain pods that were deleted against their budgets may take."""


class Removal:
    """One pass of the clean-up."""

    def __init__(
        self,
        p: Pass[Machine],
        view: MachineView,
        session: Session,
        hand: Hand | None,
        settings: MachineSettings,
        *,
        abandoned: Abandoned,
    ) -> None:
        """`hand` is None if there is no way to the host."""
        self._p = p
        self._view = view
        self._session = session
        self._hand = hand
        self._abandoned = abandoned
        self._patience = timedelta(seconds=settings.removal_timeout)
        # Counted from the first pass and not from the deletion: an operator that was away, for
        # however long, has drained nothing yet and has not tried to clean up.
        began = p.status.drain_since or p.now
        given = span(p.obj.spec.drain_timeout)
        self._planned_until = began + given
        seen = view.memory.drain_seen or p.now
        self._drain_until = max(self._planned_until, seen + min(given, LEAST))
        self._unseen_until = began + UNSEEN_FOR

    @property
    def _let_go(self) -> datetime:
        """When the host is given up."""
        over = (self._p.status.clean_since or self._p.now) + self._patience
        if self._hand is None:
            return over
        seen = self._view.memory.clean_seen or self._p.now
        return max(over, seen + min(self._patience, LEAST))

    async def step(self) -> Result | Done:
        """`Wait` says what is being done; `DONE` that nothing is left to do."""
        if self._p.paused:
            # What it could have done meanwhile it has not tried.
            self._view.memory.drain_seen = self._view.memory.clean_seen = None
            raise Paused("removal")
        self._p.status.drain_since = self._p.status.drain_since or self._p.now
        report_way(self._p.status, self._view)
        if self._session.doing not in ("", "drain", "clean"):
            # An installation is of no use any more; its jobs are stopped by the clean-up.
            self._session.cancel()
        await self._leave_cluster()
        await self._clean_host()
        await self._forget_node()
        await self._take_token_back()
        return DONE

    # --- the business cluster

    async def _leave_cluster(self) -> None:
        view, memory = self._view, self._view.memory
        joined = self._p.status.is_true("Joined") or self._p.status.token_id is not None
        if memory.drained or not joined:
            return
        if view.objects.cluster_gone:
            memory.drained = True
            return
        tenant = view.objects.tenant
        if tenant is None or not tenant.known:
            self._wait_for_api(tenant)
            memory.drained = True
            return
        if view.objects.node is None:
            memory.drained = True
            return
        await self._drain(tenant)

    def _wait_for_api(self, tenant: Tenant | None) -> None:
        """An API that is away for a moment, as when it is rolled, must not cost the drain."""
        patience = UNSEEN_FOR.total_seconds()
        # An operator that was just started needs a moment, however old the deletion is.
        young = tenant is not None and (tenant.age < patience or 0 < tenant.silence < patience)
        in_time = self._p.now < self._planned_until + UNSEEN_FOR
        if (young and in_time) or self._p.now < self._unseen_until:
            self._wait(f"waiting for the API of Cluster {self._p.obj.spec.cluster}", 2.0)

    async def _drain(self, tenant: Tenant) -> None:
        node, memory = self._view.objects.node, self._view.memory
        if node is None:
            return
        memory.drain_seen = memory.drain_seen or self._p.now
        if not self._session.doing and self._session.wait() <= 0:
            drain = Drain(
                kube=tenant.kube,
                clock=self._p.clock,
                node=node.name,
                alive=lambda: _ready(tenant, node.name),
                deadline=self._drain_until,
                told=self._told,
            )
            self._session.start("drain", self._drained(drain, node.uid), self._p.wake)
        text = f": {memory.draining}" if memory.draining else ""
        if memory.error is not None:
            text += f" ({memory.error.message})"
        # A drain that is refused again and again has no pods to wait for any more.
        patience = timedelta() if memory.error is not None else ENDING
        if self._p.now >= self._drain_until + patience:
            # Whatever it hangs on: the time that it was given is over.
            self._session.cancel()
            memory.drained = True
            return
        self._wait(f"draining node {node.name}{text}", self._soon(self._drain_until + patience))

    async def _drained(self, drain: Drain, uid: str) -> None:
        memory = self._view.memory
        await drain.run()
        memory.forced = drain.forced
        memory.drained = True
        # Another Node of that name by now would not be this Machine's; one that could not be
        # deleted now is tried again after the host was cleaned, and nothing is drained twice.
        with suppress(KubeError):
            await drain.kube.delete(kinds.NODE, drain.node, uid=uid)

    def _told(self, text: str) -> None:
        if text != self._view.memory.draining:
            self._view.memory.draining = text
            self._p.wake()

    async def _forget_node(self) -> None:
        """The Node once more: a kubelet that was restarted meanwhile makes it anew."""
        objects, name = self._view.objects, self._p.obj.spec.node
        if self._view.memory.forced:
            self._p.event(
                reasons.DRAIN_FORCED,
                f"pods of node {name} were deleted in spite of their disruption budgets, since no "
                "other node could take them or draining took longer than "
                f"{self._p.obj.spec.drain_timeout}",
                warning=True,
            )
        if objects.cluster_gone or not self._p.status.is_true("Joined"):
            return
        tenant = objects.tenant
        why = "does not answer"
        try:
            if tenant is not None and tenant.known:
                if objects.node is not None:
                    await tenant.kube.delete(kinds.NODE, name, uid=objects.node.uid)
                return
        except Conflict:
            return  # Another Node of that name, which is not this Machine's.
        except KubeError as error:
            self._p.log.info("node not deleted", node=name, error=error.message)
            why = error.told
        self._wait_for_api(tenant)
        self._p.event(
            reasons.NODE_LEFT_BEHIND,
            f"Node {name} may be left in Cluster {self._p.obj.spec.cluster}, whose API {why[:400]};"
            " delete it with kubectl delete node",
            warning=True,
        )

    async def _take_token_back(self) -> None:
        token, tenant = self._p.status.token_id, self._view.objects.tenant
        if token is None or tenant is None or tenant.answers is False:
            return  # It ends by itself within minutes.
        try:
            await tenant.kube.delete(kinds.SECRET, f"bootstrap-token-{token}", "kube-system")
        except KubeError as error:
            self._p.log.info("token not deleted", error=error.message)

    # --- the host

    @property
    def _strange(self) -> bool:
        """Whether it may be another host than the one of the Machine, unless it bears its mark."""
        was = self._p.status.installed_on
        if was is None or self._hand is None:
            return False
        target = self._hand.target
        found = host_identity.compare(was, target.address, target.port, target.expected)
        return found is not host_identity.HostMatch.SAME

    async def _clean_host(self) -> None:
        memory, machine = self._view.memory, self._p.obj
        listed = self._abandoned.holds(machine.namespace, machine.metadata.uid)
        if not touched(self._p.status) or listed:
            return
        if not self._strange and isinstance(memory.error, HostTaken) and memory.error.owner.uid:
            # It belongs to somebody else by now, so nothing of ours is there any more.
            memory.cleaned = True
        if memory.cleaned:
            await self._report_clean()
            return
        self._p.status.clean_since = self._p.status.clean_since or self._p.now
        memory.clean_seen = memory.clean_seen or self._p.now
        annotation = machine.metadata.annotations.get(ANNOTATION_ABANDON_HOST)
        hopeless = self._view.objects.hopeless and self._hand is None
        if annotation == "true" or hopeless or self._p.now >= self._let_go:
            await self._abandon()
            return
        if self._hand is not None and not self._session.doing and self._session.wait() <= 0:
            owner = Owner(
                uid=machine.metadata.uid,
                machine=f"{machine.namespace}/{machine.name}",
                cluster=f"{machine.namespace}/{machine.spec.cluster}",
                installation=self._view.objects.installation,
            )
            work = self._hand.clean(owner, marked=self._strange)
            self._session.start("clean", work, self._p.wake)
        self._wait(f"cleaning up host {machine.spec.address}{self._obstacle()}")

    async def _report_clean(self) -> None:
        """The Host, where the Machine has one, may be claimed again."""
        name, machine = self._p.obj.metadata.labels.get(LABEL_HOST), self._p.obj
        if not name or self._view.memory.reported:
            return
        live = await self._p.kube.get(HOST, name, machine.namespace)
        if live is not None:
            used = (live.get("status") or {}).get("usedBy") or {}
            if used.get("uid") == machine.metadata.uid:
                await self._write_use(live, None)
        self._view.memory.reported = True

    async def _write_use(self, host: Manifest, use: HostUse | None) -> None:
        """Of a Host as it is: whether all of it can be read does not matter here."""
        meta = host["metadata"]
        patch = {
            "metadata": {"resourceVersion": meta["resourceVersion"]},
            "status": {"usedBy": use.manifest() if use is not None else None},
        }
        with suppress(NotFound):
            await self._p.kube.patch(
                HOST, meta["name"], meta["namespace"], patch, subresource="status"
            )

    def _obstacle(self) -> str:
        """Why the host is not clean yet, and what becomes of that."""
        memory, why = self._view.memory, self._why()
        if not why:
            job = memory.jobs.get(jobs.REMOVAL)
            return f": {job.step}" if job is not None and job.step else ""
        return (
            f": {why}; left to do there: {self._left()}; gives up at "
            f"{self._let_go:%H:%M:%S} UTC, or at once with the annotation "
            f"{ANNOTATION_ABANDON_HOST}=true"
        )

    def _why(self) -> str:
        """What keeps the host from being cleaned up."""
        error, refusal = self._view.memory.error, self._view.objects.refusal
        if self._hand is None:
            return refusal.message if refusal is not None else "there is no way to log in"
        was = self._p.status.installed_on
        if was is not None and self._strange and isinstance(error, HostTaken):
            target = self._hand.target
            return host_identity.uncleaned(was, target.port, target.expected)
        return error.message if error is not None else ""

    def _left(self) -> str:
        names = [c.name for c in self._p.status.components if c.job is not None or c.found]
        return f"stop pods, uninstall {', '.join(reversed(names))}, remove /var/lib/kok"

    async def _abandon(self) -> None:
        machine, uid = self._p.obj, self._p.obj.metadata.uid
        self._session.cancel()
        name = machine.metadata.labels.get(LABEL_HOST)
        live = await self._p.kube.get(HOST, name, machine.namespace) if name else None
        if live is not None:
            await self._write_use(live, HostUse.of(machine))
        told = machine.metadata.annotations.get(ANNOTATION_ABANDON_HOST) == "true"
        why = self._why() or (
            "the operator was told to let it go" if told else "it was not done in time"
        )
        was = self._p.status.installed_on
        entry = AbandonedHost(
            namespace=machine.namespace,
            machine=machine.name,
            kubenode=machine.metadata.labels.get(LABEL_KUBENODE),
            cluster=machine.spec.cluster,
            address=was.address if was is not None else machine.spec.address,
            port=was.port if was is not None else machine.spec.port,
            since=self._p.now,
            why=why,
            left=self._left(),
        )
        await self._abandoned.add(self._p.kube, uid, entry)
        self._p.log.warning("host abandoned", address=entry.address, why=why, left=entry.left)
        self._p.event(
            reasons.HOST_ABANDONED,
            f"host {entry.address} was not cleaned up ({why}); left to do there: "
            f"{self._left()} (the operator does it by itself once the host is reached again, as a "
            "Host of the pool or by another Machine; kok doctor lists it until then)",
            warning=True,
        )

    def _soon(self, until: datetime) -> float:
        """Seconds until the next look, which is not to be missed."""
        return max(0.1, min(SOON, (until - self._p.now).total_seconds()))

    def _wait(self, text: str, after: float = SOON) -> None:
        self._p.status.removal = text
        raise Wait(reasons.REMOVING, text, after)


def _ready(tenant: Tenant, name: str) -> bool:
    node = tenant.nodes.get(name)
    return node is not None and node.ready is True
