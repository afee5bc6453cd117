"""The reconciler of Machines: observe, decide, report, act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from kok.api.machine.machine import Machine
from kok.kube import kinds
from kok.kube.errors import Unreachable
from kok.operators.machine import metrics, reasons
from kok.operators.machine.component.sandboxed import Renderer
from kok.operators.machine.host import ssh_secrets
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.host.ssh_secrets import Keeper
from kok.operators.machine.machine import decide, kubelet_change, steps
from kok.operators.machine.machine.access_rollout import AccessRollout
from kok.operators.machine.machine.act import Hand, Introduction
from kok.operators.machine.machine.conditions.status import report
from kok.operators.machine.machine.conditions.verdicts import READY
from kok.operators.machine.machine.decide import (
    EVER_READY,
    Decision,
    MachineView,
    listening,
    unheard,
)
from kok.operators.machine.machine.delete import Removal
from kok.operators.machine.machine.install_plan import take_results
from kok.operators.machine.machine.observe import (
    CLUSTER,
    COMPONENT,
    ObservedObjects,
    Observer,
    expected_key,
    neighbours,
    rival,
)
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node import tend
from kok.operators.machine.node.tenants import Tenant, Tenants
from kok.operators.machine.remote import host_identity, host_paths
from kok.operators.machine.remote.host_credentials import HostCredentials
from kok.operators.machine.remote.join import Joining
from kok.operators.machine.remote.session import Session, Sessions
from kok.operators.machine.remote.ssh import Connections, Target, Timeouts
from kok.operators.machine.remote.ssh.address_ranges import Bounds
from kok.operators.machine.remote.survey import Owner
from kok.operators.machine.settings import MachineSettings
from kok.operators.machine.watches import ClusterChanges, all_of_namespace
from kok.runtime.clock import Clock, SystemClock
from kok.runtime.controller.errors import Paused, Wait
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake
from kok.runtime.sandbox.pool import Workshop
from kok.workload.csr import by_token

UNHEARD_AGAIN, UNHEARD_LATER = 1.0, 10.0
"""Seconds after which it is looked again whether a changed kubelet was heard of, at first and later."""


class MachineReconciler:
    """Makes hosts nodes, and hosts again."""

    model = Machine

    def __init__(
        self,
        settings: MachineSettings,
        workshop: Workshop,
        lists: MachineLists,
        clock: Clock | None = None,
        abandoned: Abandoned | None = None,
    ) -> None:
        """`clock` is that of the passes."""
        self.settings = settings
        self.clock = clock or SystemClock()
        timeouts = Timeouts(
            connect=settings.ssh_connect_timeout,
            login=settings.ssh_login_timeout,
            keepalive=settings.ssh_keepalive,
        )
        bounds = Bounds(settings.allowed_ssh_ranges, settings.forbidden_ranges)
        self.connections = Connections(timeouts, self.clock.monotonic, bounds)
        self.sessions = Sessions(self.clock.monotonic)
        self.rollout = AccessRollout(self.clock.monotonic)
        self.tenants = Tenants(settings.business_timeout)
        self.lists = lists
        self.observer = Observer(
            self.tenants,
            self.lists,
            HostCredentials(settings, workshop),
            inside=settings.internal(),
            first_use=settings.trust_on_first_use,
            closed=settings.forbidden_ranges,
        )
        self.meta = tend.MetaAddresses(self.clock.monotonic)
        self.renderer = Renderer(workshop)
        self.phases = metrics.Phases()
        self.abandoned = abandoned or Abandoned()
        self.keeper = Keeper(self.lists.now)
        self.wakes_on: Sequence[Wake] = (
            Wake(CLUSTER, key=ClusterChanges(), whole=True),
            Wake(COMPONENT, key=all_of_namespace),
        )

    async def close(self) -> None:
        """Ends everything that goes on; what runs on hosts goes on."""
        self.sessions.close()
        self.connections.close()
        await self.tenants.close()

    async def reconcile(self, p: Pass[Machine]) -> Result:
        """See `Reconciler`."""
        session = self.sessions.of(p.obj.metadata.uid)
        view = await self._with_templates(await self._look_around(p, session))
        view, decision = self._decide(p, view)
        await kubelet_change.prove(p, view, decision)
        report(p.status, view, decision)
        self._give_turn_on(p, view)
        self._account(p)
        kept = await self._keep(p, view)
        if decision.seen and decide.mine(view) and (place := view.memory.place) is not None:
            # It bears the mark, whatever its port and key are by now.
            p.status.installed_on = place
            # What an earlier Machine of this namespace left there was taken away before that.
            for uid in self.abandoned.at(p.obj.namespace, place.address, place.port):
                await self.abandoned.cleaned(p.kube, p.obj.namespace, uid)
        again = None if p.paused else await self._tend(p, view)
        if isinstance(decision.step, steps.Refuse):
            problem = decision.step.problem
            raise Wait(problem.reason, problem.message, decision.step.after)
        after = await self._act(p, view, decision, session)
        soon = UNHEARD_AGAIN if listening(view) else UNHEARD_LATER if unheard(view) else None
        waits = (after, again, kept, soon)
        return Result(min((t for t in waits if t is not None), default=None))

    def _decide(self, p: Pass[Machine], view: MachineView) -> tuple[MachineView, Decision]:
        """What to do next; one that does not serve waits for nobody's turn."""
        cluster, uid = (p.obj.namespace, p.obj.spec.cluster), p.obj.metadata.uid
        serves = decide.turning(view) and p.status.is_true(READY)
        if kubelet_change.turned(view):
            # Before the operator was restarted, it may be.
            self.rollout.keep(cluster, uid)
        if serves:
            view = replace(view, turn=self.rollout.free(cluster, uid))
        decision = decide.decide(view)
        if serves and isinstance(decision.step, steps.Join) and not p.paused:
            self.rollout.take(cluster, uid)
        return view, decision

    def _give_turn_on(self, p: Pass[Machine], view: MachineView) -> None:
        """One that serves, and has proven that, keeps no other one waiting."""
        if not decide.turning(view) and p.status.is_true(READY) and not unheard(view):
            self.rollout.over((p.obj.namespace, p.obj.spec.cluster), p.obj.metadata.uid)

    async def finalize(self, p: Pass[Machine]) -> Result | Done:
        """See `Reconciler`."""
        session = self.sessions.of(p.obj.metadata.uid)
        view = await self._look_around(p, session)
        hand = self._hand(p, view, session)
        result = await Removal(
            p, view, session, hand, self.settings, abandoned=self.abandoned
        ).step()
        if isinstance(result, Done):
            await self._let_secrets_go(p, view)
        return result

    def forget(self, key: Key, uid: str) -> None:
        """What goes on at its host is ended, and nobody is told of its node any more."""
        self.sessions.end(uid)
        self.connections.drop(uid)
        self.tenants.leave(key[0], uid)
        self.rollout.leave(key[0], uid)
        self.phases.put(uid, None)

    async def _keep(self, p: Pass[Machine], view: MachineView) -> float | None:
        """Holds the Secret that a clean-up will need, before anything is changed on the host.

        Seconds until it must be looked at again.
        """
        secret, before = view.objects.secret, p.status.ssh_secret
        if p.paused or secret is None or not ssh_secrets.touched(p.status):
            return None
        if before not in (None, p.obj.spec.ssh.secret):
            # Another one is used by now. Only once that is held the earlier one may go.
            await ssh_secrets.hold(p.kube, secret)
            p.status.ssh_secret = p.obj.spec.ssh.secret
            await p.latch()
            earlier = await p.kube.get(kinds.SECRET, before, p.obj.namespace)
            await self.keeper.let_go(p, earlier)
        elif ssh_secrets.going(secret):
            return await self.keeper.let_go(p, secret)
        elif not ssh_secrets.holds(secret):
            p.status.ssh_secret = p.obj.spec.ssh.secret
            await p.latch()
            await ssh_secrets.hold(p.kube, secret)
        return None

    async def _let_secrets_go(self, p: Pass[Machine], view: MachineView) -> None:
        """The Machine goes: the last one of those that need a Secret frees it."""
        await self.keeper.let_go(p, view.objects.secret, leaving=True)
        if p.status.ssh_secret not in (None, p.obj.spec.ssh.secret):
            earlier = await p.kube.get(kinds.SECRET, p.status.ssh_secret, p.obj.namespace)
            await self.keeper.let_go(p, earlier, leaving=True)

    async def _look_around(self, p: Pass[Machine], session: Session) -> MachineView:
        machine, memory = p.obj, session.memory
        owned = memory.survey is not None and memory.survey.owner.uid == machine.metadata.uid
        objects = await self.observer.observe(
            p.kube,
            machine,
            others=not owned,
            # Whoever has marked the host as its own by then must be known.
            since=memory.surveyed,
            owner=memory.survey.owner if memory.survey is not None and not owned else None,
            watched=p.settings.namespaces,
        )
        if objects.tenant is not None:
            objects.tenant.on_node(machine.spec.node, machine.metadata.uid, p.wake)
            if p.status.token_id is not None:
                self._follow_token(p, objects.tenant)
        if objects.others is not None:
            memory.neighbours = neighbours(machine, objects)
            if rival(machine, objects.others, objects.odd) is not None:
                # The Node of that name is the other Machine's.
                objects = replace(objects, node=None)
        for component, result in take_results(p.status.components, memory.jobs):
            if result.exit != 0:
                text = f"{component.name} {component.desired}: {result.message}"
                p.event(result.reason or reasons.JOB_FAILED, text, warning=True)
        target = self._target(p, objects)
        if target is not None:
            session.aim(target)
        return MachineView(
            machine=machine,
            status=p.status,
            objects=objects,
            memory=memory,
            doing=session.doing,
            wait=session.wait(),
            now=p.now,
            monotonic=self.clock.monotonic(),
            survey_every=self.settings.survey_every,
        )

    async def _with_templates(self, view: MachineView) -> MachineView:
        """What a decision needs of Components that users wrote: rendering them takes its time."""
        while True:
            survey = view.memory.survey
            found = await self.renderer.templates(view.machine, view.objects.components, survey)
            if view.memory.survey is survey:
                return replace(view, templates=found)

    def _target(self, p: Pass[Machine], objects: ObservedObjects) -> Target | None:
        spec, machine = p.obj.spec, p.obj
        want = expected_key(machine, p.status)
        if objects.credentials is None or want.fingerprint is None:
            # A Secret that went before its Machine, with the namespace for example.
            return self.connections.target_of(machine.metadata.uid) if machine.deleting else None
        return Target(
            address=spec.address,
            port=spec.port,
            user=spec.ssh.user,
            secret=f"{machine.namespace}/{spec.ssh.secret}",
            credentials=objects.credentials,
            expected=want,
        )

    def _hand(self, p: Pass[Machine], view: MachineView, session: Session) -> Hand | None:
        target = self._target(p, view.objects)
        if target is None:
            return None
        uid = p.obj.metadata.uid
        return Hand(self.connections, self.clock, uid, target, session.memory, p.wake)

    async def _tend(self, p: Pass[Machine], view: MachineView) -> float | None:
        """Looks after the Node, if it is this Machine's."""
        tenant, found = view.objects.tenant, view.objects.node
        joined = p.status.is_true("Joined") or (
            decide.mine(view) and view.memory.joined is not None
        )
        if tenant is None or tenant.answers is False or not joined:
            return None
        try:
            again = await self._approve(p, view, tenant)
            after = await tend.node(p, tenant, found) if found is not None else None
            return min((s for s in (again, after) if s is not None), default=None)
        except Unreachable:
            return None  # The tenant's next answer wakes the Machine.

    async def _approve(self, p: Pass[Machine], view: MachineView, tenant: Tenant) -> float | None:
        cluster, memory = view.objects.cluster, view.memory
        if cluster is None:
            return None
        return await tend.approve(
            p,
            tenant,
            cluster,
            memory.reached,
            self.meta,
            lists=self.lists,
            memory=memory.refusals,
        )

    async def _act(
        self, p: Pass[Machine], view: MachineView, decision: Decision, session: Session
    ) -> float | None:
        """Does the step; seconds until the next pass, or None."""
        step = decision.step
        if isinstance(step, steps.Idle):
            return step.after
        if p.paused:
            raise Paused(type(step).__name__)
        if isinstance(step, steps.Record):
            p.status.host_key, p.status.host_key_since = step.fingerprint, p.now
            await p.latch()
            return 0.0
        if isinstance(step, steps.Scan):
            session.start("scan", self._scan(p.obj, session), p.wake)
            return None
        hand = self._hand(p, view, session)
        if hand is not None:
            await self._on_host(p, view, decision, session, hand)
        return None

    async def _on_host(
        self, p: Pass[Machine], view: MachineView, decision: Decision, session: Session, hand: Hand
    ) -> None:
        step, owner = decision.step, owner_mark(p.obj, view.objects)
        if isinstance(step, steps.Install):
            place = host_identity.place_of(hand.target)
            if (text := host_identity.replaced(p.status.installed_on, place)) is not None:
                p.event(reasons.HOST_REPLACED, text, warning=True)
            p.status.installed_on = place
            # What is recorded now makes the removal look for what was begun, come what may.
            for job in step.plans:
                if job.component == host_paths.KUBELET:
                    kubelet_change.begin(view, job.id, self.clock.monotonic())
            await p.latch()
            work = partial(hand.install, step.plans, owner, decision.wanted)
            session.start("install", kubelet_change.noting(view, work), p.wake)
        elif isinstance(step, steps.Look):
            session.start("look", hand.look(step), p.wake)
        elif isinstance(step, steps.Reclaim):
            session.start("clean", hand.clean(step.owner), p.wake)
        elif isinstance(step, steps.Finish):
            tenant = view.objects.tenant
            kube = tenant.kube if tenant is not None else None
            session.start("finish", hand.finish(p.status.token_id, kube), p.wake)
        elif isinstance(step, steps.Join):
            await self._join(p, view, step, hand, session)

    async def _join(
        self, p: Pass[Machine], view: MachineView, step: steps.Join, hand: Hand, session: Session
    ) -> None:
        objects, machine = view.objects, p.obj
        if objects.access is None or objects.tenant is None:
            raise AssertionError("nobody joins a cluster that cannot take nodes")
        introduction = None
        if step.todo.token:
            name = f"{machine.namespace}/{machine.name}"
            introduction = Introduction(objects.tenant.kube, await tend.token_id(p), name)
            self._follow_token(p, objects.tenant)
        joining = Joining(
            machine.metadata.uid, step.todo, objects.access, tuple(machine.spec.taints)
        )
        kubelet_change.begin(view, kubelet_change.JOIN, self.clock.monotonic())
        await p.latch()
        work = partial(hand.join, joining, introduction)
        session.start("join", kubelet_change.noting(view, work), p.wake)

    def _follow_token(self, p: Pass[Machine], tenant: Tenant) -> None:
        """Who asks for a certificate with the Machine's token wakes it."""
        tenant.on_asker(by_token(p.status.token_id), p.obj.metadata.uid, p.wake)

    async def _scan(self, machine: Machine, session: Session) -> None:
        spec = machine.spec
        session.memory.shown_key = await self.connections.scan(spec.address, spec.port)

    def _account(self, p: Pass[Machine]) -> None:
        """Metrics, and what the status shows of the host key in use."""
        machine, status = p.obj, p.status
        self.phases.put(machine.metadata.uid, status.phase)
        created = machine.metadata.creation_timestamp
        if status.phase == "Ready" and machine.status.phase not in EVER_READY and created:
            metrics.JOIN_SECONDS.observe((p.now - created).total_seconds())
        want = expected_key(machine, status)
        memory = self.sessions.of(machine.metadata.uid).memory
        # A host that is refused is not in use.
        place = status.installed_on or memory.place
        seen = (
            memory.survey is not None and place is not None and place.host_key == want.fingerprint
        )
        if seen and want.fingerprint not in (None, status.host_key):
            status.host_key, status.host_key_since = want.fingerprint, p.now
        if status.token_id is not None and status.token_id == memory.token_gone:
            status.token_id = None


def owner_mark(machine: Machine, objects: ObservedObjects) -> Owner:
    """What the host is told of whom it belongs to."""
    return Owner(
        uid=machine.metadata.uid,
        machine=f"{machine.namespace}/{machine.name}",
        cluster=f"{machine.namespace}/{machine.spec.cluster}",
        installation=objects.installation,
    )
