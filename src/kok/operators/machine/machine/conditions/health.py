"""What is said of faults and drift of a host that has served, and of what is done about them. Pure."""

from __future__ import annotations

from datetime import datetime

from kok.api.machine.machine import MachineStatus
from kok.api.machine.remediation import Remediation, RemediationStatus
from kok.operators.machine import reasons
from kok.operators.machine.machine.conditions.types import DRIFTED, HEALTHY
from kok.operators.machine.machine.remediation import ladder
from kok.operators.machine.machine.view import MachineView
from kok.runtime.conditions import Verdict

_SHOWN = 3
_DONE = {
    "Restart": "its services were restarted",
    "Reinstall": "what fails was installed anew",
    "Reboot": "the host was rebooted",
    "Replace": "another host of the pool is to take its place",
}


def of_health(status: MachineStatus, view: MachineView) -> dict[str, Verdict | None]:
    """The conditions, by type; None: there is nothing to say. `status` holds what was recorded."""
    policy = view.machine.spec.remediation
    return {HEALTHY: _healthy(status.remediation, policy), DRIFTED: _drifted(status, policy, view)}


def _healthy(known: RemediationStatus | None, policy: Remediation) -> Verdict | None:
    if known is None:
        return None
    done = _done(known)
    if known.well is not None:
        text = f"well since {_at(known.well)}; before: {known.message}"
        return Verdict(True, reasons.RECOVERED, f"{text}{done}")
    if known.held and policy.mode == "Repair" and "maxUnhealthy" in known.held:
        return Verdict(False, reasons.REMEDIATION_HELD, f"{known.message}; {known.held}")
    if known.held:
        return Verdict(False, known.fault, f"{known.message}; nothing is done: {known.held}{done}")
    if ladder.spent(known) and known.rung != "Replace":
        text = f"{known.message}; all that may be tried was tried in vain, and is tried again later"
        return Verdict(False, reasons.REMEDIATION_SPENT, f"{text}{done}")
    return Verdict(False, known.fault, f"{known.message}{done}")


def _done(known: RemediationStatus) -> str:
    if not known.history:
        return ""
    newest = known.history[0]
    often = f", attempt {known.attempts}" if known.attempts > 1 else ""
    return f"; {_DONE[newest.rung]} ({_at(newest.at)}{often})"


def _drifted(status: MachineStatus, policy: Remediation, view: MachineView) -> Verdict | None:
    now = [d for d in status.drift if d.repaired is None]
    if now:
        told = "; ".join(f"{d.component}: {d.what} (since {_at(d.since)})" for d in now[:_SHOWN])
        more = f" and {len(now) - _SHOWN} more" if len(now) > _SHOWN else ""
        if policy.mode == "Repair" and not view.paused_by:
            return Verdict(True, reasons.DRIFT_REPAIRING, f"{told}{more}")
        why = "; spec.remediation.mode: Repair would put that right"
        if view.paused_by:
            why = f"; nothing is repaired while KubeNode {view.paused_by} is paused"
        return Verdict(True, reasons.DRIFT_FOUND, f"{told}{more}{why}")
    if not status.drift:
        return None
    last = status.drift[0]
    when = f"{_at(last.since)}, right since {_at(last.repaired or last.since)}"
    return Verdict(False, reasons.DRIFT_REPAIRED, f"{last.component}: {last.what} ({when})")


def _at(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
