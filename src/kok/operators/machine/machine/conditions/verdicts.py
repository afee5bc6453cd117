"""The conditions of a Machine: pure judgements on what was seen and decided."""

from __future__ import annotations

from collections.abc import Mapping

from kok.api.machine.machine import MachineStatus
from kok.kube.errors import KubeError
from kok.operators.machine import reasons
from kok.operators.machine.machine.conditions.node import (
    failing,
    node_ready,
    unheard,
    waiting_for_cluster,
)
from kok.operators.machine.machine.conditions.types import (
    CHAIN,
    COMPONENTS,
    JOINED,
    NODE_READY,
    PREFLIGHT,
    REACHABLE,
    READY,
    UP_TO_DATE,
)
from kok.operators.machine.machine.decide import Decision
from kok.operators.machine.machine.operations import adopted, adoption, reboot, update
from kok.operators.machine.machine.surveying import EVER_READY
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import preflight
from kok.operators.machine.remote.commands import EndpointUnreachable, RemovalFailed
from kok.operators.machine.remote.ssh import (
    HostFloods,
    HostHeld,
    HostKeyChanged,
    HostSilent,
    HostUnreachable,
    LoginRefused,
    ScriptFailed,
    SudoRefused,
)
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reasons import ANSWER_TOO_LARGE

_NO_WAY = (HostUnreachable, HostSilent, HostFloods, HostKeyChanged, LoginRefused, SudoRefused)
FATAL = frozenset(
    {
        reasons.SECRET_MISSING,
        reasons.SECRET_INVALID,
        reasons.HOST_KEY_CHANGED,
        reasons.HOST_KEY_REQUIRED,
        reasons.LOGIN_REFUSED,
        reasons.SUDO_REFUSED,
        reasons.HOST_IN_USE,
        reasons.ANOTHER_HOST,
        reasons.NODE_NAME_TAKEN,
        reasons.ADOPTION_REFUSED,
        reasons.JOINED_ELSEWHERE,
    }
)
"""What makes a Machine not Ready even if its Node is: somebody has to look at it."""
OF_HOST = frozenset(
    {
        reasons.HOST_IN_USE,
        reasons.ANOTHER_HOST,
        reasons.NODE_NAME_TAKEN,
        reasons.PREFLIGHT_FAILED,
        *adoption.REFUSALS,
    }
)
OF_COMPONENTS = update.HOLDS | {
    reasons.COMPONENT_MISSING,
    reasons.COMPONENT_INVALID,
    reasons.SKEW,
}


def judge(
    status: MachineStatus,
    view: MachineView,
    decision: Decision,
    of_node: Mapping[str, Verdict | None],
) -> dict[str, Verdict]:
    """All conditions; `status` already holds what was recorded in this pass.

    `of_node` is what this pass found out of the Node's labels and taints, if it did.
    """
    found = {
        REACHABLE: reachable(view),
        PREFLIGHT: _preflight(view, decision),
        COMPONENTS: _installed(status, view, decision),
        JOINED: joined(view, decision),
        NODE_READY: node_ready(view, decision, of_node),
    }
    found[UP_TO_DATE] = _up_to_date(status, view, decision, found)
    found[READY] = _ready(decision, found)
    return found


def reachable(view: MachineView) -> Verdict:
    """Whether there is a way to the host."""
    error, refusal = view.memory.error, view.objects.refusal
    if isinstance(error, _NO_WAY):
        return Verdict(False, error.reason, error.message)
    if refusal is not None:
        return Verdict(False, refusal.reason, refusal.message)
    if view.memory.survey is not None:
        return Verdict(True, reasons.CONNECTED, "the host answers over SSH")
    if isinstance(error, ScriptFailed):
        # It lets us in, but not even a look at it goes through.
        return Verdict(False, error.reason, error.message)
    before = view.status.condition(REACHABLE)
    if before is not None and before.status == "True":
        return Verdict(True, before.reason, before.message)
    why = reasons.CONNECTING, "the host is being asked for the first time"
    if isinstance(error, HostHeld):
        why = error.reason, error.message
    return Verdict(None, *why)


def _preflight(view: MachineView, decision: Decision) -> Verdict:
    refused = decision.refused(OF_HOST)
    if refused is not None:
        return refused
    if view.memory.survey is None or not decision.seen:
        before = view.status.condition(PREFLIGHT)
        if before is not None and before.status == "True":
            return Verdict(True, before.reason, before.message)
        return Verdict(None, reasons.PREFLIGHT_PENDING, "the host has not been looked at yet")
    text = preflight.sentence(decision.findings)
    if not preflight.passed(decision.findings):
        return Verdict(False, reasons.PREFLIGHT_FAILED, text)
    return Verdict(True, reasons.PREFLIGHT_PASSED, text or "the host can be a node")


def _installed(status: MachineStatus, view: MachineView, decision: Decision) -> Verdict:
    refused = decision.refused(OF_COMPONENTS) or _of_another(view, decision)
    refused = refused or _around_change(view, decision)
    if refused is not None:
        return refused
    if not decision.seen or decision.adopting:
        return _not_compared(view, decision)
    failed = [c for c in status.components if c.state == "Failed"]
    roots = [c for c in failed if not (c.message or "").startswith(reasons.DEPENDENCY_FAILED)]
    if failed:
        worst = (roots or failed)[0]
        reason, _, text = (worst.message or "").partition(": ")
        return Verdict(
            False,
            reason if reason.isalpha() else reasons.JOB_FAILED,
            f"{worst.name} {worst.desired or '(to be removed)'}: {text or 'its job failed'}; "
            "it is tried again",
        )
    if decision.lacking:
        error, text = view.memory.error, f"installing {', '.join(decision.lacking)}"
        if isinstance(error, ScriptFailed | RemovalFailed):
            return Verdict(False, error.reason, f"{text}: {error.message}; it is tried again")
        return Verdict(False, reasons.INSTALLING, text)
    return reboot.told(status) or Verdict(
        True, reasons.COMPONENTS_READY, "all software is as wanted"
    )


def _of_another(view: MachineView, decision: Decision) -> Verdict | None:
    """Software that another Machine left, however right it may look: it goes before anything else."""
    survey = view.memory.survey
    if not decision.seen or survey is None:
        return None
    if survey.owner.uid in ("", view.machine.metadata.uid):
        return None
    text = "the software of another Machine is still on the host"
    return Verdict(False, reasons.INSTALLING, text)


def _around_change(view: MachineView, decision: Decision) -> Verdict | None:
    """What is done about the node before its software is changed, or after that."""
    now = decision.operation
    return update.told(view, now) if now is not None and now.step != update.CHANGING else None


def _not_compared(view: MachineView, decision: Decision) -> Verdict:
    """What was true of this very spec holds until the host is seen again."""
    if decision.adopting:
        return Verdict(None, reasons.ADOPTING, "the host is to be taken over as it is")
    before = view.status.condition(COMPONENTS)
    if before is None:
        return Verdict(None, reasons.PREFLIGHT_PENDING, "the host has not been looked at yet")
    if before.observed_generation != view.machine.metadata.generation:
        return Verdict(None, reasons.UPDATING, "the host is compared with the changed spec")
    return Verdict({"True": True, "False": False}.get(before.status), before.reason, before.message)


def joined(view: MachineView, decision: Decision) -> Verdict:
    """Whether the kubelet is a member of its cluster."""
    error = view.memory.error
    if decision.joining == "-":
        told = "the kubelet has credentials of its own"
        if not view.turn:
            cluster = view.machine.spec.cluster
            told += (
                f"; it turns to the new address or CA of Cluster {cluster} after another Machine"
            )
        return Verdict(True, reasons.JOINED, told)
    waiting = waiting_for_cluster(view)
    before = view.status.condition(JOINED)
    if before is not None and before.status == "True" and (waiting or not decision.joining):
        return Verdict(True, before.reason, before.message)
    if waiting is not None:
        return waiting
    if isinstance(error, EndpointUnreachable | ScriptFailed):
        return Verdict(False, error.reason, error.message)
    if (told := failing(view)) and view.memory.joined is not None:
        return Verdict(False, reasons.SERVICE_FAILING, told)
    text = decision.joining or "waiting for the host"
    if isinstance(error, KubeError):
        text = f"the API of Cluster {view.machine.spec.cluster}: {error.message}"
    elif view.memory.joined is not None:
        text = "the kubelet asks for credentials"
    return Verdict(False, reasons.JOINING, text)


def _up_to_date(
    status: MachineStatus, view: MachineView, decision: Decision, found: Mapping[str, Verdict]
) -> Verdict:
    """Whether all that was changed is through, and proven: others wait for that to be changed."""
    components, node = found[COMPONENTS], found[NODE_READY]
    if components.holds is not True:
        return Verdict(components.holds, components.reason, components.message)
    if told := failing(view):
        # Its Node stays Ready for most of a minute.
        return Verdict(False, reasons.SERVICE_FAILING, told)
    if node.reason == reasons.NODE_OUTDATED:
        return Verdict(False, node.reason, node.message)
    if view.status.first_ready is not None and (joins := _joins(view, decision, found[JOINED])):
        return joins
    unproven = _unproven(status, view, node)
    if unproven is None and decision.operation is not None:
        # Others wait until its node serves as it did.
        return update.told(view, decision.operation)
    return unproven or _as_said(status, decision)


def _as_said(status: MachineStatus, decision: Decision) -> Verdict:
    """What is up to date: what the spec says, but for what was adopted and has not changed since."""
    left = frozenset(c.name for c in status.components if c.state == "Adopted") & decision.held
    if not left or status.adopted is None:
        return Verdict(True, reasons.UP_TO_DATE, "the host has what the spec says")
    text = f"the host is as it was when it was adopted; it {adopted.sentence(status.adopted, left)}"
    return Verdict(True, reasons.ADOPTED, f"{text}, until the spec changes")


def _unproven(status: MachineStatus, view: MachineView, node: Verdict) -> Verdict | None:
    """Why a kubelet that was changed is not known to work, or None."""
    if status.kubelet_change is None:
        return None
    silent = unheard(view)
    if silent is None and view.objects.node is not None:
        text = "the kubelet was changed and has not posted its status since"
        return Verdict(False, reasons.UPDATING, text)
    why = (silent or node).message
    text = f"the kubelet was changed, and it is not known whether it works: {why}"
    return Verdict(None, reasons.UPDATING, text)


def _joins(view: MachineView, decision: Decision, joined: Verdict) -> Verdict | None:
    """Why a node is not known to be a member by the address and the CA of its spec, or None.

    A cluster that takes no nodes for the moment, as while its API servers restart for another CA,
    has not let this one in by that.
    """
    if joined.holds is False:
        return joined
    if decision.joining:
        left = decision.joining != "-"
        return Verdict(False, reasons.JOINING, decision.joining) if left else None
    before = view.status.condition(UP_TO_DATE)
    generation = view.machine.metadata.generation
    if before is None or (before.status == "True" and before.observed_generation == generation):
        return None
    return Verdict(None, reasons.JOINING, "it is not known yet whether the host has joined")


def _ready(decision: Decision, found: Mapping[str, Verdict]) -> Verdict:
    fatal = decision.refused(FATAL)
    if fatal is None and found[REACHABLE].reason in FATAL:
        fatal = found[REACHABLE]
    if fatal is not None:
        return fatal
    node = found[NODE_READY]
    if node.holds is True:
        return Verdict(True, reasons.NODE_READY, node.message)
    away = (reasons.CLUSTER_UNREACHABLE, reasons.CLUSTER_REFUSES, ANSWER_TOO_LARGE)
    if node.reason in away and found[JOINED].holds is True:
        return node
    first = next(found[name] for name in CHAIN if found[name].holds is not True)
    return Verdict(False, first.reason, first.message)


def phase(status: MachineStatus, view: MachineView, found: Mapping[str, Verdict]) -> str:
    """One word for people."""
    if found[READY].holds is True:
        return "Updating" if found[COMPONENTS].holds is False else "Ready"
    if found[READY].reason in FATAL or any(
        found[name].holds is False for name in (REACHABLE, PREFLIGHT)
    ):
        return "Failed"
    for name, word in ((REACHABLE, "Connecting"), (PREFLIGHT, "Preflight")):
        if found[name].holds is None:
            return word
    if found[COMPONENTS].holds is not True:
        failed = found[COMPONENTS].reason not in (reasons.INSTALLING, reasons.REBOOTING)
        return "Failed" if failed else "Installing"
    if found[JOINED].holds is not True:
        return "Joining" if waiting_for_cluster(view) is None else "Pending"
    return "NotReady" if status.phase in EVER_READY else "Joining"
