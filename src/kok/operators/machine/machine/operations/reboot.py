"""The one boot of its host that a Component may ask for. Pure.

A script that finds that the host has to boot before its software works writes down why. That lies where
the boot itself takes it away, and is told by the next survey. The request is recorded, with the boot in
which it was made, before anything is done; a node that serves is drained; then the host is booted, which
does nothing there in any other boot than the recorded one. Whoever comes after a death at any line finds
either the same boot, and goes on, or another one, and is through.

For each Component and configuration there is one boot. A request that comes again after it is told, and
nothing is done about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from kok.api.machine.machine import HostReboot, MachineStatus
from kok.operators.machine import reasons
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.remote.survey import Survey
from kok.runtime.conditions import Verdict


def noted(
    before: Sequence[HostReboot], wanted: Mapping[str, Rendered], survey: Survey, now: datetime
) -> list[HostReboot]:
    """What is to be recorded of requests, by what was seen of the host."""
    known = {one.component: one for one in before if one.component in wanted}
    for name, one in known.items():
        if name not in survey.reboots:
            # It has booted, or somebody has taken the request back.
            known[name] = one.model_copy(update={"done": one.done or now, "in_vain": False})
    for name, why in survey.reboots.items():
        if name in wanted:
            new = HostReboot(
                component=name, config=wanted[name].config, boot=survey.boot, reason=why, since=now
            )
            known[name] = _asked(known.get(name), new)
    return [known[name] for name in sorted(known)]


def _asked(old: HostReboot | None, new: HostReboot) -> HostReboot:
    """What is recorded of a request that may have been recorded before."""
    if old is None or old.config != new.config:
        return new
    if old.boot == new.boot:
        return old
    change = {"reason": new.reason, "done": old.done or new.since, "in_vain": True}
    return old.model_copy(update=change)


def pending(status: MachineStatus) -> HostReboot | None:
    """The boot that is recorded and of which it is not known that it is over."""
    return next((one for one in status.reboots if one.done is None), None)


def disturbs(status: MachineStatus) -> HostReboot | None:
    """The same, of a host whose node may serve."""
    return pending(status) if status.first_ready is not None else None


def told(status: MachineStatus) -> Verdict | None:
    """What is said of requests, if there are any."""
    vain = next((one for one in status.reboots if one.in_vain), None)
    if vain is not None:
        return Verdict(
            False,
            reasons.REBOOT_IN_VAIN,
            f"the host was booted for {vain.component}, which asks for that again: {vain.reason}; "
            "put that right on the host and boot it",
        )
    one = pending(status)
    if one is None:
        return None
    return Verdict(False, reasons.REBOOTING, f"the host boots for {one.component}: {one.reason}")
