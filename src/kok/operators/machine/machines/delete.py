"""A Machine goes: drain, Node, host. In order, bounded, telling its step."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from kok.api.fields import span
from kok.api.machine import Machine
from kok.api.names import ANNOTATION_ABANDON_HOST
from kok.kube import kinds
from kok.kube.errors import Conflict, KubeError
from kok.operators.machine import reasons
from kok.operators.machine.business.drain import Drain
from kok.operators.machine.business.tenants import Tenant
from kok.operators.machine.host import jobs
from kok.operators.machine.host.agent import HostTaken
from kok.operators.machine.host.survey import Owner
from kok.operators.machine.machines.plan import Case
from kok.operators.machine.machines.status import report_way
from kok.operators.machine.machines.work import Hand
from kok.operators.machine.session import Session
from kok.operators.machine.settings import MachineSettings
from kok.runtime.errors import Paused, Wait
from kok.runtime.reconciler import DONE, Done, Pass, Result

SOON = 5.0
UNSEEN_FOR = timedelta(seconds=30)
"""How long the business cluster's API is waited for while it does not answer at all."""


class Removal:
    """One pass of the clean-up."""

    def __init__(
        self,
        p: Pass[Machine],
        case: Case,
        session: Session,
        hand: Hand | None,
        settings: MachineSettings,
    ) -> None:
        """`hand` is None if there is no way to the host."""
        self._p = p
        self._case = case
        self._session = session
        self._hand = hand
        began = p.obj.metadata.deletion_timestamp or p.now
        self._drain_until = began + span(p.obj.spec.drain_timeout)
        self._let_go = self._drain_until + timedelta(seconds=settings.removal_timeout)
        self._unseen_until = began + UNSEEN_FOR

    async def step(self) -> Result | Done:
        """`Wait` says what is being done; `DONE` that nothing is left to do."""
        if self._p.paused:
            raise Paused("removal")
        report_way(self._p.status, self._case)
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
        case, view = self._case, self._case.view
        joined = self._p.status.is_true("Joined") or self._p.status.token_id is not None
        if view.drained or not joined:
            return
        if case.world.cluster_gone:
            view.drained = True
            return
        tenant = case.world.tenant
        if tenant is None or not tenant.known:
            self._wait_for_api(tenant)
            view.drained = True
            return
        if case.world.node is None:
            view.drained = True
            return
        await self._drain(tenant)

    def _wait_for_api(self, tenant: Tenant | None) -> None:
        """An API that is away for a moment, as when it is rolled, must not cost the drain."""
        patience = UNSEEN_FOR.total_seconds()
        # An operator that was just started needs a moment, however old the deletion is.
        young = tenant is not None and (tenant.age < patience or 0 < tenant.silence < patience)
        in_time = self._p.now < self._drain_until + UNSEEN_FOR * 3
        if (young and in_time) or self._p.now < self._unseen_until:
            self._wait(f"waiting for the API of Cluster {self._p.obj.spec.cluster}", 2.0)

    async def _drain(self, tenant: Tenant) -> None:
        node, view = self._case.world.node, self._case.view
        if node is None:
            return
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
        text = f": {view.draining}" if view.draining else ""
        if view.error is not None:
            text += f" ({view.error.message})"
        if self._p.now > self._drain_until + UNSEEN_FOR * 3:
            # Whatever it hangs on: the host has to be cleaned up in time.
            view.drained = True
            return
        self._wait(f"draining node {node.name}{text}")

    async def _drained(self, drain: Drain, uid: str) -> None:
        view = self._case.view
        await drain.run()
        view.forced = drain.forced
        # Another Node of that name by now would not be this Machine's.
        with suppress(Conflict):
            await drain.kube.delete(kinds.NODE, drain.node, uid=uid)
        view.drained = True

    def _told(self, text: str) -> None:
        if text != self._case.view.draining:
            self._case.view.draining = text
            self._p.wake()

    async def _forget_node(self) -> None:
        """The Node once more: a kubelet that was restarted meanwhile makes it anew."""
        world, name = self._case.world, self._p.obj.spec.node
        if self._case.view.forced:
            self._p.event(
                reasons.DRAIN_FORCED,
                f"pods of node {name} were deleted in spite of their disruption budgets, since no "
                "other node could take them or draining took longer than "
                f"{self._p.obj.spec.drain_timeout}",
                warning=True,
            )
        if world.cluster_gone or not self._p.status.is_true("Joined"):
            return
        tenant = world.tenant
        why = "does not answer"
        try:
            if tenant is not None and tenant.known:
                if world.node is not None:
                    await tenant.kube.delete(kinds.NODE, name, uid=world.node.uid)
                return
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
        token, tenant = self._p.status.token_id, self._case.world.tenant
        if token is None or tenant is None or tenant.answers is False:
            return  # It ends by itself within minutes.
        try:
            await tenant.kube.delete(kinds.SECRET, f"bootstrap-token-{token}", "kube-system")
        except KubeError as error:
            self._p.log.info("token not deleted", error=error.message)

    # --- the host

    async def _clean_host(self) -> None:
        view, machine = self._case.view, self._p.obj
        touched = any(c.job is not None or c.config for c in self._p.status.components)
        if view.cleaned or not (touched or self._p.status.token_id is not None):
            return
        if isinstance(view.error, HostTaken) and view.error.owner.uid:
            # It belongs to somebody else by now, so nothing of ours is there any more.
            return
        annotation = machine.metadata.annotations.get(ANNOTATION_ABANDON_HOST)
        if annotation == "true" or self._p.now >= self._let_go:
            self._abandon()
            return
        if self._hand is not None and not self._session.doing and self._session.wait() <= 0:
            owner = Owner(
                uid=machine.metadata.uid,
                machine=f"{machine.namespace}/{machine.name}",
                cluster=f"{machine.namespace}/{machine.spec.cluster}",
                installation=self._case.world.installation,
            )
            self._session.start("clean", self._hand.clean(owner), self._p.wake)
        self._wait(f"cleaning up host {machine.spec.address}{self._obstacle()}")

    def _obstacle(self) -> str:
        """Why the host is not clean yet, and what becomes of that."""
        view, refusal = self._case.view, self._case.world.refusal
        why = view.error.message if view.error is not None else ""
        if self._hand is None:
            why = refusal.message if refusal is not None else "there is no way to log in"
        if not why:
            job = view.jobs.get(jobs.REMOVAL)
            return f": {job.step}" if job is not None and job.step else ""
        return (
            f": {why}; left to do there: {self._left()}; gives up at "
            f"{self._let_go:%H:%M:%S} UTC, or at once with the annotation "
            f"{ANNOTATION_ABANDON_HOST}=true"
        )

    def _left(self) -> str:
        names = [c.name for c in self._p.status.components if c.job is not None or c.found]
        return f"stop pods, uninstall {', '.join(reversed(names))}, remove /var/lib/kok"

    def _abandon(self) -> None:
        machine = self._p.obj
        self._session.cancel()
        self._p.event(
            reasons.HOST_ABANDONED,
            f"host {machine.spec.address} was not cleaned up; left to do there: {self._left()} "
            "(another Machine of the same meta cluster does it by itself when it gets the host)",
            warning=True,
        )

    def _wait(self, text: str, after: float = SOON) -> None:
        self._p.status.removal = text
        raise Wait(reasons.REMOVING, text, after)


def _ready(tenant: Tenant, name: str) -> bool:
    node = tenant.nodes.get(name)
    return node is not None and node.ready is True
