"""What is said of the Node, and why nothing can be said of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from kok.api import names
from kok.operators.machine import gpus, reasons
from kok.operators.machine.machine.conditions.types import MARKED, NODE_READY
from kok.operators.machine.machine.decide import Decision
from kok.operators.machine.machine.operations import adopted, update
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.node import nodes
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote import host_paths
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reasons import ANSWER_TOO_LARGE


def node_ready(
    view: MachineView, decision: Decision, of_node: Mapping[str, Verdict | None]
) -> Verdict:
    """Whether the Node is what the spec asks for."""
    unknown = decision.refused((reasons.NODE_NAME_TAKEN,)) or unheard(view)
    if unknown is not None:
        return unknown
    node = view.objects.node
    if not view.objects.nodes_known:
        return _before_nodes_are_known(view)
    if node is None:
        text = (
            f"there is no Node {view.machine.spec.node} in Cluster {view.machine.spec.cluster} yet"
        )
        if told := failing(view):
            return Verdict(False, reasons.SERVICE_FAILING, f"{text}: {told}")
        return Verdict(False, reasons.NODE_MISSING, text)
    return _node(view, decision, node, _marks_refused(view, of_node))


def unheard(view: MachineView) -> Verdict | None:
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


def _waits_as_before(view: MachineView, decision: Decision) -> bool:
    """Whether the Node serves with the kubelet of before because nothing was changed yet."""
    if view.status.first_ready is None:
        return False
    held = decision.refused(update.HOLDS) is not None
    return held or update.unbegun(view, decision.operation, seen=decision.seen)


def _node(view: MachineView, decision: Decision, node: NodeView, refused: str) -> Verdict:
    if not node.whole:
        text = (
            f"Node {node.name} of Cluster {view.machine.spec.cluster}, or all its Nodes together, "
            "have more labels, taints and words than are kept"
        )
        return Verdict(None, ANSWER_TOO_LARGE, text)
    if not node.ready:
        text = node.message or "the kubelet has said nothing yet"
        if told := failing(view):
            return Verdict(node.ready, reasons.SERVICE_FAILING, f"Node {node.name}: {text}; {told}")
        # Not heard of is not the same as bad: what runs there may run on.
        return Verdict(node.ready, reasons.NODE_NOT_READY, f"Node {node.name}: {text}")
    if (other := _other_kubelet(view, decision, node)) is not None:
        return other
    machine, marks = view.machine, view.status.node_marks
    labels = gpus.labels(machine, view.status.facts.gpu if view.status.facts else None)
    if nodes.patch(node, labels, machine.spec.taints, marks) is not None:
        # They decide what may run there, so that a new Node counts only once it has them. One that
        # serves goes on serving while they change.
        before = view.status.condition(NODE_READY)
        serves = before is not None and before.status == "True"
        text = f"Node {node.name} is Ready but its labels and taints are not set yet"
        if refused:
            text = f"Node {node.name} is Ready, but {refused}"
        return Verdict(serves, reasons.NODE_OUTDATED, text)
    return Verdict(True, reasons.NODE_READY, f"Node {node.name} is Ready")


def _other_kubelet(view: MachineView, decision: Decision, node: NodeView) -> Verdict | None:
    """What is said of a Node whose kubelet is not the one that is wanted; None of others."""
    listed = view.machine.spec.components
    wanted = next((c.version for c in listed if c.name == host_paths.KUBELET), None)
    if wanted is None or node.kubelet == wanted or adopted.kubelet(view):
        return None
    if _waits_as_before(view, decision):
        text = f"its kubelet is {node.kubelet} until {wanted} may follow"
        return Verdict(True, reasons.NODE_READY, f"Node {node.name} is Ready; {text}")
    text = f"its kubelet is {node.kubelet or 'unknown'}, wanted is {wanted}"
    return Verdict(False, reasons.NODE_OUTDATED, f"Node {node.name} is Ready but {text}")


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


def failing(view: MachineView) -> str:
    """What of the host's services does not stay up, and its last words; nothing if all do."""
    identity = view.memory.identity
    if identity is None or not identity.failing or view.memory.error is not None:
        return ""
    what = f"service {identity.failing} on the host ends again and again"
    if identity.words:
        return f"{what}; it said: {identity.words}"
    return f"{what}; `journalctl -u {identity.failing}` there tells more"
