"""The jobs by which a host is brought to work again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from kok.operators.machine.remote import shell
from kok.operators.machine.remote.jobs import JobPlan

REMEDY = "kok-remedy"
"""In the place of a component's name: what is done about a fault."""
RESTART, REBOOT = "restart", "reboot"
RESTART_TIMEOUT, REBOOT_TIMEOUT = 120.0, 60.0
"""Seconds; stopping a service that does not end takes systemd up to 90."""


def restart_job(uid: str, ident: str, services: Sequence[str], *, hung: bool) -> JobPlan:
    """Starts services anew, one after the other; those that are `hung` are killed first."""
    script = _script(uid, ident, {"KOK_HUNG": "yes" if hung else "no", "KOK_BOOT": ""})
    calls = "".join(shell.call("again", name) for name in services)
    return JobPlan(ident, REMEDY, RESTART, RESTART_TIMEOUT, f"{script}{calls}finish 0 Done ''\n")


def reboot_job(uid: str, ident: str, boot_id: str) -> JobPlan:
    """Reboots the host, unless it has been rebooted since it was looked at."""
    script = _script(uid, ident, {"KOK_HUNG": "no", "KOK_BOOT": boot_id})
    return JobPlan(ident, REMEDY, REBOOT, REBOOT_TIMEOUT, f"{script}reboot_host\n")


def _script(uid: str, ident: str, values: dict[str, str]) -> str:
    return shell.compose(
        {"KOK_JOB": ident, "KOK_COMPONENT": REMEDY, "KOK_UID": uid, **values},
        shell.library("run"),
        shell.library("remedy"),
        "owned\n",
    )
