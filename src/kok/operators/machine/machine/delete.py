"""A Machine goes: its removal is decided, recorded and done, step by step, as far as it may go."""

from __future__ import annotations

from datetime import timedelta

from kok.api.machine.machine import Machine
from kok.operators.machine.host.abandoned_hosts import Abandoned
from kok.operators.machine.machine.operations import release, removal
from kok.operators.machine.machine.operations.removal import RemovalView
from kok.operators.machine.machine.operations.removal_calls import RemovalContext
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.operators.machine.node.drain import DrainTimings
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.session import Session
from kok.operators.machine.settings import MachineSettings
from kok.runtime.controller.errors import Paused, Wait
from kok.runtime.controller.reconciler import Pass


class Removal:
    """One pass of the removal."""

    def __init__(
        self,
        p: Pass[Machine],
        view: MachineView,
        session: Session,
        client: HostClient | None,
        connection: ClusterConnection | None,
        *,
        settings: MachineSettings,
        abandoned: Abandoned,
        timings: DrainTimings | None = None,
    ) -> None:
        """`client` is None if there is no way to the host, `connection` if the view has none."""
        self._p = p
        self._view = view
        self._patience = timedelta(seconds=settings.removal_timeout)
        self._context = RemovalContext(
            p, view.objects, session, client, connection, abandoned, timings or DrainTimings()
        )
        self.waits_for: str | None = None
        """What the pass ended with, as a sentence, if it waits for something."""

    async def run(self) -> None:
        """Returns when nothing is left to do. Raises `Wait`, which says what is being done."""
        session, status = self._context.session, self._p.status
        if self._p.paused:
            # What it could have done meanwhile it has not tried.
            session.memory.drain_seen = session.memory.clean_seen = None
            raise Paused("removal")
        if session.doing not in ("", "drain", "clean", "release"):
            # An installation is of no use any more; its jobs are stopped by the clean-up.
            session.cancel()
        plan = release.plan if release.applies(self._p.obj, status) else removal.plan
        while (action := plan(self._look())) is not None:
            if status.operation != action.operation:
                status.operation = action.operation
                status.drain_since = status.drain_since or self._p.now
                await self._p.latch()
            try:
                if action.call is not None:
                    await action.call.run(self._context)
            except Wait as wait:
                self.waits_for = wait.message
                raise
            if action.after:
                self.waits_for = action.message
                raise Wait(action.reason, action.message, action.after)

    def _look(self) -> RemovalView:
        """What the next action depends on; the memory is what the last one has changed."""
        context, machine = self._context, self._p.obj
        timings, session = context.timings, context.session
        return RemovalView(
            machine=self._view.after(session.memory.snapshot(), session.doing, session.wait()),
            status=self._p.status.model_copy(deep=True),
            target=context.client.target if context.client is not None else None,
            listed=context.abandoned.holds(machine.namespace, machine.metadata.uid),
            patience=self._patience,
            forced=timedelta(seconds=timings.forced),
        )
