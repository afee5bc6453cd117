"""One pass over a Cluster: observe, put in place what may be there now, ask, report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kok.api.cluster.cluster import Cluster
from kok.kube import kinds
from kok.operators.cluster import reasons
from kok.operators.cluster.businesscluster.connections import Connections
from kok.operators.cluster.cluster import decide as planning
from kok.operators.cluster.cluster.bootstrap import Bootstrapper
from kok.operators.cluster.cluster.caches import MACHINE, MachineAddressCache, MetaNodeCache
from kok.operators.cluster.cluster.conditions.report import report
from kok.operators.cluster.cluster.controlplane import ControlPlane
from kok.operators.cluster.cluster.delete import Deletion
from kok.operators.cluster.cluster.observe import CHILDREN, observe
from kok.operators.cluster.cluster.operations import hibernation
from kok.operators.cluster.naming import API_SERVER
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.errors import Paused, ReconcileStop, Wait
from kok.runtime.controller.reconciler import Done, Key, Pass, Result, Wake

MENDED = 10.0
"""Seconds until the next look at keys that are refused."""


class ClusterReconciler:
    """Keeps Clusters."""

    model = Cluster

    def __init__(
        self, settings: ClusterSettings, connections: Connections, wakeups: Wakeups
    ) -> None:
        """`connections` and `wakeups` are shared with the reconciler of Addons."""
        self._settings = settings
        self._connections = connections
        self._wakeups = wakeups
        self._nodes = MetaNodeCache()
        self._machines = MachineAddressCache()
        self.wakes_on: Sequence[Wake] = (
            *(Wake(kind) for kind in CHILDREN),
            Wake(kinds.NODE, key=self._nodes.changed, whole=True),
            Wake(MACHINE, key=self._machines.changed, whole=True),
        )

    async def reconcile(self, p: Pass[Cluster]) -> Result:
        """See `Reconciler`."""
        machines = self._machines if self._settings.isolates() else None
        view = await observe(p.kube, p.obj, self._nodes, p.clock, machines)
        steps = ControlPlane(p, view, self._settings)
        inside = Bootstrapper(p, self._settings, self._connections, self._wakeups)
        judged = False
        try:
            await self._act(steps, inside)
            judged = True
        except Wait as stop:
            steps.found.stopped = stop
            judged = True
            raise
        except ReconcileStop as stop:
            steps.found.stopped = None if isinstance(stop, Paused) else stop
            judged = isinstance(stop, Paused)
            raise
        finally:
            report(p.status, p.obj, steps.found, p.now, ready=judged)
        return Result(_next(p, steps))

    async def _act(self, steps: ControlPlane, inside: Bootstrapper) -> None:
        if not steps.p.paused:
            await steps.loosen_keys()
        steps.draw()
        if steps.p.paused:
            await inside.look(steps)
            return
        await steps.lay_foundation()
        steps.insist_on_keys()
        await steps.keep_keys()
        await steps.issue_credentials()
        await inside.look(steps)
        await steps.run_control_plane(inside.furnish(steps))
        await inside.confirm(steps)
        steps.complain()

    async def finalize(self, p: Pass[Cluster]) -> Result | Done:
        """See `Reconciler`."""
        return await Deletion(p).step()

    def forget(self, key: Key, uid: str) -> None:
        """Its connections are closed."""
        del uid
        self._connections.drop(key)
        self._machines.forget(key)


def _next(p: Pass[Cluster], steps: ControlPlane) -> float | None:
    """Seconds until the next pass, if it is to come before the resync."""
    due = planning.renewals(p.status.certificates, p.now)
    server = steps.view.running(p.obj.name, API_SERVER)
    reach = steps.found.reach
    if server is not None and server.ready and (reach is None or reach.outcome != "ok"):
        due.append(planning.next_ask(_ready_since(p, steps), p.now))
    due += [planning.next_look(pod, p.now) for pod in steps.view.pods]
    if steps.found.bootstrap is not None and not steps.found.bootstrap.done:
        # Nothing inside wakes us: what is watched there needs the rights that may be missing.
        due.append(MENDED)
    if steps.found.problems:
        # A Secret that somebody puts back carries no label by which its creation would wake us.
        due.append(MENDED)
    if hibernation.stopping(p.obj, steps.view):
        due.append(hibernation.LOOK)
    soonest = min(due, default=None)
    return soonest if soonest is not None and soonest < p.settings.resync else None


def _ready_since(p: Pass[Cluster], steps: ControlPlane) -> datetime:
    """Since when the API should answer and does not: the later of the two."""
    status = (steps.deployment(API_SERVER) or {}).get("status") or {}
    known = [
        datetime.fromisoformat(condition["lastTransitionTime"])
        for condition in status.get("conditions") or ()
        if condition["type"] == "Available" and condition["status"] == "True"
    ]
    reachable = p.status.condition(reasons.ENDPOINT_REACHABLE)
    if reachable is not None:
        known.append(reachable.last_transition_time)
    return max(known, default=p.now)
