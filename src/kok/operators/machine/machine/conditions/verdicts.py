"""The conditions of a Machine: pure judgements on what was seen and decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kok.api import names
from kok.api.machine.machine import MachineStatus
from kok.kube.errors import KubeError
from kok.operators.machine import reasons
from kok.operators.machine.machine.decide import EVER_READY, Decision
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.node import nodes
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote import host_paths, preflight
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

REACHABLE, PREFLIGHT, COMPONENTS = "Reachable", "PreflightPassed", "ComponentsReady"
JOINED, NODE_READY, UP_TO_DATE, READY = "Joined", "NodeReady", "UpToDate", "Ready"
MARKED = "NodeMarked"
"""Whether the Node has the labels and taints of the spec. Absent unless they are refused."""
CERTIFIED = "CertificatesApproved"
"""Whether what the kubelet last asked for was granted. Absent until it asks."""
CHAIN = (REACHABLE, PREFLIGHT, COMPONENTS, JOINED, NODE_READY)
"""In this order one thing leads to the next."""
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
    }
)
"""What makes a Machine not Ready even if its Node is: somebody has to look at it."""
OF_HOST = frozenset(
    {
        reasons.HOST_IN_USE,
        reasons.ANOTHER_HOST,
        reasons.NODE_NAME_TAKEN,
        reasons.PREFLIGHT_FAILED,
    }
)
OF_COMPONENTS = frozenset({reasons.COMPONENT_MISSING, reasons.COMPONENT_INVALID, reasons.SKEW})


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
        NODE_READY: _node_ready(view, decision, of_node),
    }
    found[UP_TO_DATE] = _up_to_date(status, view, decision, found)
    found[READY] = _ready(decision, found)
    return found


def _refused(decision: Decision, among: Iterable[str]) -> Verdict | None:
    refusal = decision.step.refusal
    return refusal if refusal is not None and refusal.reason in among else None


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
    refused = _refused(decision, OF_HOST)
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
    refused = _refused(decision, OF_COMPONENTS) or _of_another(view, decision)
    if refused is not None:
        return refused
    if not decision.seen:
        return _not_compared(view)
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
    return Verdict(True, reasons.COMPONENTS_READY, "all software is as wanted")


def _of_another(view: MachineView, decision: Decision) -> Verdict | None:
    """Software that another Machine left, however right it may look: it goes before anything else."""
    survey = view.memory.survey
    if not decision.seen or survey is None:
        return None
    if survey.owner.uid in ("", view.machine.metadata.uid):
        return None
    text = "the software of another Machine is still on the host"
    return Verdict(False, reasons.INSTALLING, text)


def _not_compared(view: MachineView) -> Verdict:
    """What was true of this very spec holds until the host is seen again."""
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
    if (told := _failing(view)) and view.memory.joined is not None:
        return Verdict(False, reasons.SERVICE_FAILING, told)
    text = decision.joining or "waiting for the host"
    if isinstance(error, KubeError):
        text = f"the API of Cluster {view.machine.spec.cluster}: {error.message}"
    elif view.memory.joined is not None:
        text = "the kubelet asks for credentials"
    return Verdict(False, reasons.JOINING, text)


def _failing(view: MachineView) -> str:
    """What of the host's services does not stay up, and its last words; nothing if all do."""
    identity = view.memory.identity
    if identity is None or not identity.failing or view.memory.error is not None:
        return ""
    what = f"service {identity.failing} on the host ends again and again"
    if identity.words:
        return f"{what}; it said: {identity.words}"
    return f"{what}; `journalctl -u {identity.failing}` there tells more"


def waiting_for_cluster(view: MachineView) -> Verdict | None:
    """Why the Cluster cannot take nodes, or None if it can."""
    objects, name = view.objects, view.machine.spec.cluster
    where = f"Cluster {view.machine.namespace}/{name}"
    if objects.cluster is None:
        text = f"{where} does not exist; create it, or delete this Machine"
        return Verdict(False, reasons.CLUSTER_MISSING, text)
    if objects.cluster.deleting:
        return Verdict(False, reasons.CLUSTER_DELETING, f"{where} is being deleted")
    if not objects.takes_nodes:
        why = f": {objects.untrusted}" if objects.untrusted else ""
        text = f"{where} cannot take nodes yet{why}"
        return Verdict(False, reasons.WAITING_FOR_CLUSTER, text)
    return None


def _node_ready(
    view: MachineView, decision: Decision, of_node: Mapping[str, Verdict | None]
) -> Verdict:
    """Whether the Node is what the spec asks for."""
    unknown = _refused(decision, (reasons.NODE_NAME_TAKEN,)) or _unheard(view)
    if unknown is not None:
        return unknown
    node = view.objects.node
    if not view.objects.nodes_known:
        return _before_nodes_are_known(view)
    if node is None:
        text = (
            f"there is no Node {view.machine.spec.node} in Cluster {view.machine.spec.cluster} yet"
        )
        if told := _failing(view):
            return Verdict(False, reasons.SERVICE_FAILING, f"{text}: {told}")
        return Verdict(False, reasons.NODE_MISSING, text)
    return _node(view, node, _marks_refused(view, of_node))


def _unheard(view: MachineView) -> Verdict | None:
    """Why the business cluster says nothing of its nodes, or None if it does."""
    connection, cluster = view.objects.connection, view.machine.spec.cluster
    if connection is None:
        return None
    if connection.answers is False:
        text = f"the API of Cluster {cluster} does not answer, so the Node is not known"
        return Verdict(None, reasons.CLUSTER_UNREACHABLE, text)
    if connection.refused:
        text = (
            f"the API of Cluster {cluster} refuses {names.operator_user('machine')}; its rights come "
            f"back with ClusterRoleBinding {names.operator_group('machine')}, which the cluster "
            "operator keeps"
        )
        return Verdict(None, reasons.CLUSTER_REFUSES, text)
    if connection.excess is not None:
        text = f"the Nodes of Cluster {cluster} are not known: {connection.excess}"
        return Verdict(None, ANSWER_TOO_LARGE, text)
    return None


def _before_nodes_are_known(view: MachineView) -> Verdict:
    """What was known before the operator was restarted holds until it knows better."""
    waiting = waiting_for_cluster(view)
    before = view.status.condition(NODE_READY)
    if waiting is not None:
        return Verdict(None, waiting.reason, waiting.message)
    if before is not None:
        known = {"True": True, "False": False}.get(before.status)
        return Verdict(known, before.reason, before.message)
    return Verdict(None, reasons.WAITING_FOR_CLUSTER, "the nodes are being listed")


def _marks_refused(view: MachineView, of_node: Mapping[str, Verdict | None]) -> str:
    """Why the Node cannot have its labels and taints, if that is so."""
    if MARKED in of_node:
        said = of_node[MARKED]
        return said.message if said is not None else ""
    before = view.status.condition(MARKED)
    return before.message if before is not None else ""


def _node(view: MachineView, node: NodeView, refused: str) -> Verdict:
    if not node.whole:
        text = (
            f"Node {node.name} of Cluster {view.machine.spec.cluster}, or all its Nodes together, "
            "have more labels, taints and words than are kept"
        )
        return Verdict(None, ANSWER_TOO_LARGE, text)
    if not node.ready:
        text = node.message or "the kubelet has said nothing yet"
        if told := _failing(view):
            return Verdict(node.ready, reasons.SERVICE_FAILING, f"Node {node.name}: {text}; {told}")
        # Not heard of is not the same as bad: what runs there may run on.
        return Verdict(node.ready, reasons.NODE_NOT_READY, f"Node {node.name}: {text}")
    machine, marks = view.machine, view.status.node_marks
    wanted = next(
        (c.version for c in machine.spec.components if c.name == host_paths.KUBELET), None
    )
    if wanted is not None and node.kubelet != wanted:
        text = f"its kubelet is {node.kubelet or 'unknown'}, wanted is {wanted}"
        return Verdict(False, reasons.NODE_OUTDATED, f"Node {node.name} is Ready but {text}")
    if nodes.patch(node, machine.spec.labels, machine.spec.taints, marks) is not None:
        # They decide what may run there, so that a new Node counts only once it has them. One that
        # serves goes on serving while they change.
        before = view.status.condition(NODE_READY)
        serves = before is not None and before.status == "True"
        text = f"Node {node.name} is Ready but its labels and taints are not set yet"
        if refused:
            text = f"Node {node.name} is Ready, but {refused}"
        return Verdict(serves, reasons.NODE_OUTDATED, text)
    return Verdict(True, reasons.NODE_READY, f"Node {node.name} is Ready")


def _up_to_date(
    status: MachineStatus, view: MachineView, decision: Decision, found: Mapping[str, Verdict]
) -> Verdict:
    """Whether all that was changed is through, and proven: others wait for that to be changed."""
    components, node = found[COMPONENTS], found[NODE_READY]
    if components.holds is not True:
        return Verdict(components.holds, components.reason, components.message)
    if told := _failing(view):
        # Its Node stays Ready for most of a minute.
        return Verdict(False, reasons.SERVICE_FAILING, told)
    if node.reason == reasons.NODE_OUTDATED:
        return Verdict(False, node.reason, node.message)
    if view.status.first_ready is not None and (joins := _joins(view, decision, found[JOINED])):
        return joins
    return _unproven(status, view, node) or Verdict(
        True, reasons.UP_TO_DATE, "the host has what the spec says"
    )


def _unproven(status: MachineStatus, view: MachineView, node: Verdict) -> Verdict | None:
    """Why a kubelet that was changed is not known to work, or None."""
    if status.kubelet_change is None:
        return None
    silent = _unheard(view)
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
    fatal = _refused(decision, FATAL)
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
        failed = found[COMPONENTS].reason != reasons.INSTALLING
        return "Failed" if failed else "Installing"
    if found[JOINED].holds is not True:
        return "Joining" if waiting_for_cluster(view) is None else "Pending"
    return "NotReady" if status.phase in EVER_READY else "Joining"
