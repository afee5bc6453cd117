"""Jobs: what runs on a host apart from any SSH session, and how it ended. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from kok.operators.machine import reasons
from kok.operators.machine.remote import shell
from kok.operators.machine.remote.survey import Owner
from kok.runtime.redact import redact_text

REMOVAL = "kok-removal"
"""In the place of a component's name: the job that takes everything away."""
UNINSTALL = "uninstall"
REMOVAL_TIMEOUT = 300.0
PATIENCE = 60
"""Seconds after which a wait for jobs is begun anew, to see that the host still answers."""
_REASONS = frozenset(
    {
        reasons.CHECKSUM_MISMATCH,
        reasons.DEPENDENCY_FAILED,
        reasons.DOWNLOAD_FAILED,
        reasons.HOST_NOT_CLEAN,
        reasons.JOB_TIMED_OUT,
        reasons.NOT_AS_WANTED,
    }
)
"""What a failed job may give as its reason; a host may say anything."""
_MESSAGE, _LOG, _STEP = 4096, 2048, 256
"""Characters that are kept of what a host says of a job."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One job as it goes to the host."""

    id: str
    component: str
    action: str
    """install, upgrade or restart (after other files), or uninstall."""
    timeout: float
    script: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobResult:
    """What is known of a job. `exit` is None while it runs."""

    id: str
    exit: int | None = None
    reason: str = ""
    message: str = ""
    log: str = ""
    step: str = ""

    @property
    def ended(self) -> bool:
        """Whether it will not do anything any more."""
        return self.exit is not None


def job_id(uid: str, component: str, version: str, config: str, attempt: int) -> str:
    """The identity of a job: the same work of the same attempt is never done twice."""
    text = "\0".join((uid, component, version, config, str(attempt)))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def uninstall_job(uid: str, component: str, attempt: int) -> JobPlan:
    """The job that takes away a component that is no longer wanted."""
    ident = job_id(uid, component, "", "uninstall", attempt)
    script = shell.compose(
        {"KOK_JOB": ident, "KOK_COMPONENT": component, "KOK_UID": uid},
        shell.library("run"),
        shell.library("remains"),
        shell.library("remove"),
        "owned\n",
        'uninstall_only "$KOK/components/$KOK_COMPONENT"\n',
        "finish 0 Done ''\n",
    )
    return JobPlan(ident, component, UNINSTALL, REMOVAL_TIMEOUT, script)


def called_off_job(uid: str, component: str, ident: str, timeout: float) -> JobPlan:
    """Stands for a job that was begun for what is not wanted any more, to wait for its end. One that
    never came to run does nothing then."""
    script = shell.compose(
        {"KOK_JOB": ident, "KOK_COMPONENT": component, "KOK_UID": uid},
        shell.library("run"),
        f"finish 1 {reasons.JOB_FAILED} 'it was called off before it had begun'\n",
    )
    return JobPlan(ident, component, UNINSTALL, timeout, script)


def removal_job(uid: str, attempt: int) -> JobPlan:
    """The job that takes all components away again, with the scripts that lie on the host."""
    ident = job_id(uid, REMOVAL, "", "", attempt)
    script = shell.compose(
        {"KOK_JOB": ident, "KOK_COMPONENT": REMOVAL, "KOK_UID": uid},
        shell.library("run"),
        shell.library("remains"),
        shell.library("remove"),
        "owned\nstop_other_jobs\nuninstall_all\n",
        "finish 0 Done ''\n",
    )
    return JobPlan(ident, REMOVAL, UNINSTALL, REMOVAL_TIMEOUT, script)


def start_script(
    plans: Sequence[JobPlan], owner: Owner, *, patience: int = PATIENCE, marked: bool = False
) -> str:
    """Claims the host, starts jobs that never ran, and tells line by line how they end.

    `marked`: nothing is done on a host that the owner has not claimed already.
    """
    return shell.compose(
        {
            "KOK_UID": owner.uid,
            "KOK_OWNER": owner.text(),
            "KOK_WANTED": " ".join(plan.id for plan in plans),
            "KOK_PATIENCE": str(patience),
        },
        shell.library("start"),
        "owned\n" if marked else "",
        "claim\nsweep\n",
        *(
            shell.feed("job", p.id, p.component, str(ceil(p.timeout)), content=p.script)
            for p in plans
        ),
        "await_all\n",
    )


def parse_line(line: str) -> JobResult | None:
    """What one line of the start script tells, if it tells of a job.

    Scripts may print anything: what looks like a secret is masked here, once for all.
    """
    kind, *rest = line.split(" ")
    if kind == "ended" and len(rest) >= 2 and _is_code(rest[1]):
        reason, _, message = _told(_at(rest, 2)).partition("\n")
        log = _told(_at(rest, 3))[-_LOG:]
        code = int(rest[1])
        known = reason if code == 0 or reason in _REASONS else reasons.JOB_FAILED
        return JobResult(rest[0], code, known, message.strip()[:_MESSAGE], log)
    if kind == "lost" and rest:
        return JobResult(
            rest[0],
            -1,
            reasons.JOB_LOST,
            "the job ended without telling how; the host may have been restarted",
            _told(_at(rest, 1))[-_LOG:],
        )
    if kind == "running" and rest:
        return JobResult(rest[0], step=_told(_at(rest, 1)).strip()[:_STEP])
    return None


def _is_code(text: str) -> bool:
    digits = text.removeprefix("-")
    return len(digits) <= 9 and digits.isascii() and digits.isdigit()


def _told(encoded: str) -> str:
    return redact_text(shell.decoded(encoded))


def _at(parts: Sequence[str], index: int) -> str:
    return parts[index] if len(parts) > index else ""
