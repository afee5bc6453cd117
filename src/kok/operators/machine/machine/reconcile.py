"""The reconciler of Machines: hosts become nodes, and hosts again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kok.api.machine.machine import Machine
from kok.kube.errors import KubeError
from kok.operators.machine import metrics, reasons
from kok.operators.machine.component.sandboxed import Renderer
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.host.ssh_secrets import Keeper
from kok.operators.machine.machine import decide, joining, kubelet_change, last_good, record
from kok.operators.machine.machine.conditions.report import Outcome, report, report_removal
from kok.operators.machine.machine.conditions.types import (
    READY,
    UP_TO_DATE,
)
from kok.operators.machine.machine.conditions.verdicts import joined
from kok.operators.machine.machine.decide import Decision
from kok.operators.machine.machine.delete import Removal
from kok.operators.machine.machine.install_plan import take_results
from kok.operators.machine.machine.observe import (
    CLUSTER,
    COMPONENT,
    Observer,
    neighbours,
    rival,
)
from kok.operators.machine.machine.operations import update
from kok.operators.machine.machine.operations.host_steps import StepContext
from kok.operators.machine.machine.operations.node_upkeep import look_after
from kok.operators.machine.machine.operations.update_calls import EVICT, record_operation
from kok.operators.machine.machine.operations.update_turns import UpdateTurns, side_by_side
from kok.operators.machine.machine.remediation import supervision
from kok.operators.machine.machine.remediation.supervision import Supervision
from kok.operators.machine.machine.surveying import EVER_READY, LISTEN_FOR
from kok.operators.machine.machine.view import MachineView, ObservedObjects, expected_key
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.access_rollout import AccessRollout
from kok.operators.machine.node.certificates import Approver
from kok.operators.machine.node.cluster_connections import (
    ClusterConnection,
    ClusterConnections,
    read_node,
)
from kok.operators.machine.remote.host_credentials import HostCredentials
from kok.operators.machine.remote.hosts import HostClient, Hosts
from kok.operators.machine.remote.session import Backoff, Session, Sessions
from kok.operators.machine.remote.ssh import Connections, Target, Timeouts
from kok.operators.machine.remote.ssh.address_ranges import Bounds
from kok.operators.machine.settings import MachineSettings
from kok.operators.machine.watches import KUBENODE, ClusterChanges, Pauses, all_of_namespace
from kok.runtime.clock import Clock, SystemClock
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE, Done, Key, Pass, Result, Wake
from kok.runtime.controller.staged import Staged
from kok.runtime.sandbox.pool import SandboxPool
from kok.workload.availability import AvailabilityTimings

PROOF_AGAIN, PROOF_LATER = 1.0, 10.0
"""Seconds after which it is looked again whether a changed kubelet was heard of, at first and later."""


class MachineReconciler(Staged[Machine, MachineView, Decision, Outcome]):
    """Makes hosts nodes, and hosts again."""

    model = Machine

    def __init__(
        self,
        settings: MachineSettings,
        sandboxes: SandboxPool,
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
        backoff = Backoff(settings.host_backoff_min, settings.host_backoff_max)
        bounds = Bounds(settings.allowed_ssh_ranges, settings.forbidden_ranges)
        self.hosts = Hosts(
            Connections(timeouts, self.clock.monotonic, bounds),
            Sessions(self.clock.monotonic, backoff),
            HostCredentials(settings, sandboxes),
        )
        self.supervision = Supervision(lists)
        self.rollout = AccessRollout(self.clock.monotonic)
        self.update_turns = UpdateTurns(lists, side_by_side)
        self.clusters = ClusterConnections(
            settings.business_timeout,
            AvailabilityTimings(
                silence=settings.business_silence,
                ask_min=settings.business_ask_min,
                ask_max=settings.business_ask_max,
            ),
        )
        self.lists = lists
        self.observer = Observer(
            self.clusters,
            self.lists,
            self.hosts,
            inside=settings.internal(),
            first_use=settings.trust_on_first_use,
            closed=settings.forbidden_ranges,
        )
        self.approver = Approver(self.lists, self.clock.monotonic)
        self.renderer = Renderer(sandboxes)
        self.phases = metrics.Phases()
        self.abandoned = abandoned or Abandoned()
        self.keeper = Keeper(self.lists.now)
        self.pauses = Pauses()
        self.wakes_on: Sequence[Wake] = (
            Wake(CLUSTER, key=ClusterChanges(), whole=True),
            Wake(KUBENODE, key=self.pauses, whole=True),
            Wake(COMPONENT, key=all_of_namespace),
        )

    async def close(self) -> None:
        """Ends everything that goes on; what runs on hosts goes on."""
        self.supervision.close()
        self.hosts.close()
        await self.clusters.close()

    # --- the stages of a pass

    async def observe(self, p: Pass[Machine]) -> MachineView:
        """The objects, and what is remembered of the host. Raises `KubeError`."""
        session = self.hosts.sessions.of(p.obj.metadata.uid)
        objects = await self._objects(p, session)
        while True:
            # What a decision needs of Components that users wrote: rendering them takes its time.
            survey = session.memory.survey
            templates = await self.renderer.templates(p.obj, objects.components, survey)
            if session.memory.survey is survey:
                break
        view = replace(self._view(p, session, objects), templates=templates)
        view = replace(view, paused_by=await self.pauses.of(p.kube, p.obj))
        if not p.paused and (update.may_begin(view) or decide.drains(view)):
            view = replace(view, blocker=await self.update_turns.ask(p.kube, p.obj))
        view = await self._posted(p, self._in_turn(view))
        # Last of all: whether it has to be asked depends on everything else.
        return replace(view, held=await self.supervision.held(p, view))

    def decide(self, p: Pass[Machine], view: MachineView) -> Decision:
        """What to do next at the host."""
        del p
        return decide.decide(view)

    def outcome(self, view: MachineView, decision: Decision) -> Outcome:
        """Nothing so far."""
        del view, decision
        return Outcome()

    def record(self, p: Pass[Machine], view: MachineView, decision: Decision) -> bool:
        """What was found out, and what the next step must be found by; the latter is latched."""
        supervision.tell(p, view)
        record.facts(p.status, view, decision)
        if p.paused:
            return False
        memory, now = self.hosts.sessions.of(p.obj.metadata.uid).memory, decision.operation
        drained = now is not None and now.step == update.CHANGING
        began = record_operation(p, memory, now, drained=drained)
        if decision.step.call is None:
            return began
        if decision.step.turns and view.status.is_true(READY):
            self.rollout.take((p.obj.namespace, p.obj.spec.cluster), p.obj.metadata.uid)
        return decision.step.call.record(self._context(p, view)) or began

    async def act(
        self, p: Pass[Machine], view: MachineView, decision: Decision, outcome: Outcome
    ) -> float | None:
        """Looks after Secret and Node, and begins the step at the host."""
        client = self._client(p, view.objects, self.hosts.sessions.of(p.obj.metadata.uid))
        self.supervision.watch(view, client, decision.ours, seen=decision.seen)
        kept = await self.keeper.keep(p, view.objects.secret, view.objects.jump)
        if decision.seen and view.mine and (place := view.memory.place) is not None:
            # What an earlier Machine of this namespace left there was taken away before that.
            for uid in self.abandoned.at(p.obj.namespace, place):
                await self.abandoned.cleaned(p.kube, p.obj.namespace, uid)
        connection = self._connection(p, view.objects)
        known, told = joined(view, decision).holds is True, outcome.of_node
        again = await look_after(p, view, connection, self.approver, told, joined=known)
        step = decision.step
        if step.refusal is not None:
            raise Wait(step.refusal.reason, step.refusal.message, step.after or 0.0)
        for call in (step.action.call if step.action is not None else None, step.call):
            if call is not None:
                await call.run(self._context(p, view))
        soaks = last_good.due(p.status, p.obj, p.now)
        waits = (step.after, again, kept, soaks, self._until_proof(p, view))
        return min((seconds for seconds in waits if seconds is not None), default=None)

    async def look(
        self, p: Pass[Machine], view: MachineView, decision: Decision, outcome: Outcome
    ) -> float | None:
        """While it is paused no pods are moved away."""
        del view, decision, outcome
        session = self.hosts.sessions.of(p.obj.metadata.uid)
        if session.doing == EVICT:
            session.cancel()
        return None

    def conditions(
        self,
        p: Pass[Machine],
        view: MachineView,
        decision: Decision,
        outcome: Outcome,
        ended: Exception | None,
    ) -> None:
        """How the Machine is; then metrics and others that wait for it know as well."""
        del ended
        report(p.status, view, decision, outcome)
        machine, uid = p.obj, p.obj.metadata.uid
        self.phases.put(uid, p.status.phase)
        told = p.status.condition(UP_TO_DATE)
        blocked = told is not None and told.reason == reasons.DRAIN_BLOCKED
        metrics.show_drain(machine.namespace, machine.name, blocked=blocked)
        supervision.tell_of_recovery(p)
        created = machine.metadata.creation_timestamp
        if p.status.phase == "Ready" and machine.status.phase not in EVER_READY and created:
            metrics.JOIN_SECONDS.observe((p.now - created).total_seconds())
        if decision.operation is None:
            self.update_turns.over(uid)
        proven = p.status.kubelet_change is None
        if not joining.turning(view) and p.status.is_true(READY) and proven:
            # It serves, and has proven that: it keeps no other one waiting.
            self.rollout.over((p.obj.namespace, p.obj.spec.cluster), uid)

    def rest(
        self, p: Pass[Machine], view: MachineView, decision: Decision, outcome: Outcome
    ) -> float | None:
        """While it is paused nothing is begun, and what was in its way is looked at again."""
        del view, outcome
        return decision.step.after if p.paused and decision.step.call is None else None

    async def finalize(self, p: Pass[Machine]) -> Result | Done:
        """The node is drained and leaves its cluster; then the host is cleaned up."""
        session = self.hosts.sessions.of(p.obj.metadata.uid)
        objects = await self._objects(p, session)
        view = self._view(p, session, objects)
        supervision.tell(p, view)
        p.status.components = [c.model_copy(deep=True) for c in view.status.components]
        client = self._client(p, objects, session)
        removal = Removal(
            p,
            view,
            session,
            client,
            self._connection(p, objects),
            settings=self.settings,
            abandoned=self.abandoned,
        )
        # From here on what cannot leave in time is left behind.
        self.supervision.end((p.obj.namespace, p.obj.name), p.obj.metadata.uid)
        try:
            await removal.run()
        finally:
            if not p.paused:
                report_removal(p.status, view, removal.waits_for)
        await self.keeper.leave(p, objects.secret, objects.jump)
        return DONE

    def forget(self, key: Key, uid: str) -> None:
        """What goes on at its host is ended, and nobody is told of its node any more."""
        self.supervision.end(key, uid)
        self.hosts.forget(uid)
        self.clusters.leave(key[0], uid)
        self.rollout.leave(key[0], uid)
        self.update_turns.over(uid)
        self.approver.forget(uid)
        self.phases.put(uid, None)

    # --- observing

    async def _objects(self, p: Pass[Machine], session: Session) -> ObservedObjects:
        machine, memory = p.obj, session.memory
        survey, uid = memory.survey, machine.metadata.uid
        owned = survey is not None and survey.owner.uid == uid
        objects = await self.observer.observe(
            p.kube,
            machine,
            others=not owned,
            # Whoever has marked the host as its own by then must be known.
            since=memory.surveyed,
            wake=p.wake,
            owner=survey.owner if survey is not None and not owned else None,
            watched=p.settings.namespaces,
        )
        if objects.others is not None:
            memory.neighbours = neighbours(machine, objects)
            if rival(machine, objects.others, objects.odd) is not None:
                # The Node of that name is the other Machine's.
                objects = replace(objects, node=None)
        target = self._target(p, objects)
        if target is not None:
            session.aim(target)
        return objects

    def _view(self, p: Pass[Machine], session: Session, objects: ObservedObjects) -> MachineView:
        status = p.status.model_copy(deep=True)
        ended = take_results(status.components, session.memory.jobs)
        return MachineView(
            machine=p.obj,
            status=status,
            objects=objects,
            memory=session.memory.snapshot(),
            doing=session.doing,
            wait=session.wait(),
            now=p.now,
            monotonic=self.clock.monotonic(),
            survey_every=self.settings.survey_every,
            recheck=self.settings.host_recheck,
            ended=tuple(ended),
        )

    def _in_turn(self, view: MachineView) -> MachineView:
        """Whether it may turn to another address or CA; one that does not serve waits for nobody."""
        cluster = (view.machine.namespace, view.machine.spec.cluster)
        uid = view.machine.metadata.uid
        if kubelet_change.turned(view):
            # Before the operator was restarted, it may be.
            self.rollout.keep(cluster, uid)
        if joining.turning(view) and view.status.is_true(READY):
            return replace(view, turn=self.rollout.free(cluster, uid))
        return view

    async def _posted(self, p: Pass[Machine], view: MachineView) -> MachineView:
        """What the API server has of the Node, where that has to prove a changed kubelet."""
        connection = self._connection(p, view.objects)
        if view.status.kubelet_change is None or connection is None:
            return view
        through = decide.kubelet_started(view, decide.decide(view))
        if not kubelet_change.undecided(view, through=through):
            return view
        try:
            node = await read_node(connection.kube, p.obj.spec.node)
        except KubeError as error:
            p.log.info("node not read", node=p.obj.spec.node, error=error.message)
            return view
        return replace(view, posted=node.heard if node is not None else "")

    def _target(self, p: Pass[Machine], objects: ObservedObjects) -> Target | None:
        spec, machine = p.obj.spec, p.obj
        want = expected_key(machine, p.status)
        if objects.credentials is None or want.fingerprint is None:
            # A Secret that went before its Machine, with the namespace for example.
            known = self.hosts.connections.target_of(machine.metadata.uid)
            return known if machine.deleting else None
        return Target(
            address=spec.address,
            port=spec.port,
            user=spec.ssh.user,
            secret=f"{machine.namespace}/{spec.ssh.secret}",
            credentials=objects.credentials,
            expected=want,
            jump=objects.bastion,
        )

    # --- acting

    def _client(
        self, p: Pass[Machine], objects: ObservedObjects, session: Session
    ) -> HostClient | None:
        target = self._target(p, objects)
        if target is None:
            return None
        uid, connections = p.obj.metadata.uid, self.hosts.connections
        return HostClient(connections, self.clock, uid, target, session.memory, p.wake)

    def _context(self, p: Pass[Machine], view: MachineView) -> StepContext:
        session = self.hosts.sessions.of(p.obj.metadata.uid)
        client = self._client(p, view.objects, session)
        connection = self._connection(p, view.objects)
        return StepContext(p, view, session, self.hosts.connections, client, connection)

    def _connection(self, p: Pass[Machine], objects: ObservedObjects) -> ClusterConnection | None:
        """The connection as it is by now, to ask something; what is decided goes by how it was."""
        if objects.connection is None:
            return None
        return self.clusters.get((p.obj.namespace, p.obj.spec.cluster))

    def _until_proof(self, p: Pass[Machine], view: MachineView) -> float | None:
        """Seconds until it is looked whether a changed kubelet was heard of, if one was changed."""
        if p.status.kubelet_change is None:
            return None
        memory = self.hosts.sessions.of(p.obj.metadata.uid).memory
        lately = view.monotonic - memory.changed < LISTEN_FOR
        return PROOF_AGAIN if lately else PROOF_LATER
