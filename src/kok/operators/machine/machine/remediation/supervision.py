"""What a pass does for the remediation: has hosts watched, asks the breaker, and tells of what came."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from kok.api.machine.machine import Machine
from kok.operators.machine import metrics, reasons
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.remediation import breaker, faults, ladder
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.watching import Watching
from kok.runtime.controller.reconciler import Key, Pass


class Supervision:
    """The watches of one process, and what all its passes have in common."""

    def __init__(self, lists: MachineLists) -> None:
        self._lists = lists
        self._watching = Watching()

    def watch(
        self,
        view: MachineView,
        client: HostClient | None,
        wanted: Mapping[str, Rendered],
        *,
        seen: bool,
    ) -> None:
        """Has a host watched that bears software of this Machine, and no other one.

        `seen`: whether the host was compared with what is `wanted`.
        """
        if not seen:
            return
        machine = view.machine
        what = faults.watch(wanted, joined=view.status.first_ready is not None)
        if machine.spec.remediation.mode == "Off" or not view.mine or not what.services:
            self._watching.end(machine.metadata.uid)
        elif client is not None and view.memory.error is None:
            self._watching.keep(machine.metadata.uid, what.digest, partial(client.watch, what))

    async def held(self, p: Pass[Machine], view: MachineView) -> str:
        """Why nothing is to be done about any host of the Machine's KubeNode, where that matters now.

        `view`: all else that the decision goes by. Raises `KubeError`.
        """
        # What is to be tried was recorded as a fault some time before, also for others to count it.
        if p.paused or view.paused_by or not decide.attempts(view):
            return ""
        there = await self._lists.now(p.kube, p.obj.namespace)
        ours = breaker.group(p.obj)
        alike = [m for m in there.objects if breaker.group(m) == ours]
        return breaker.holds(p.obj.spec.remediation.max_unhealthy, alike)

    def end(self, key: Key, uid: str) -> None:
        """A Machine goes: its host is no longer watched, and nothing is shown of it any more."""
        self._watching.end(uid)
        metrics.show_spent(*key, spent=False)
        metrics.show_drain(*key, blocked=False)

    def close(self) -> None:
        """All watches end."""
        self._watching.close()


def tell(p: Pass[Machine], view: MachineView) -> None:
    """Events of what has ended, or happened, at the host since."""
    _of_jobs(p, view)
    _of_reboot(p, view)


def _of_reboot(p: Pass[Machine], view: MachineView) -> None:
    """An event for a host that runs since another boot."""
    before, survey = p.status.facts, view.memory.survey
    boot = survey.facts.get("bootID") if survey is not None else None
    if view.mine and before is not None and before.boot_id and boot and boot != before.boot_id:
        p.event(reasons.HOST_REBOOTED, f"host {p.obj.spec.address} was rebooted", warning=True)


def tell_of_recovery(p: Pass[Machine]) -> None:
    """Metrics of what failed, and no longer does."""
    before, now = p.obj.status.remediation, p.status.remediation
    metrics.show_spent(p.obj.namespace, p.obj.name, spent=ladder.spent(now))
    if ladder.active(before) and not ladder.active(now) and before is not None:
        seconds = (p.now - before.since).total_seconds()
        metrics.RECOVERY_SECONDS.labels(before.fault).observe(seconds)


def _of_jobs(p: Pass[Machine], view: MachineView) -> None:
    """An event for each job that has failed since."""
    for component, result in view.ended:
        if result.exit != 0:
            text = f"{component.name} {component.desired}: {result.message}"
            p.event(result.reason or reasons.JOB_FAILED, text, warning=True)
