"""Taking over a host that is the node of its Machine already, joined by kubeadm for example, as it is.

Whether it is that node is found out by what is there: the certificate of its kubelet, the kubelet that
runs, the Node of that name, and that both are one machine. What is found is recorded; then the host is
marked, and beside the mark lies what a removal will need. Nothing else of it is touched, and nothing
restarted.

The record comes before the mark: whoever finds it without the mark marks the host, which may be done
any number of times. What is not there of the node's software is never installed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kok.api.machine.adoption import AdoptedComponent, Adoption
from kok.api.machine.machine import MachineStatus
from kok.operators.machine import reasons
from kok.operators.machine.component import catalog, component_jobs
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.machine.operations import adopted, runtime_switch
from kok.operators.machine.machine.operations.host_steps import (
    HostStep,
    Step,
    StepContext,
    refused,
)
from kok.operators.machine.machine.remediation import drift
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote import host_identity, host_paths, join
from kok.operators.machine.remote.commands import Home
from kok.operators.machine.remote.survey import Found, Survey
from kok.runtime.conditions import Verdict

REFUSALS = frozenset({reasons.ADOPTING, reasons.ADOPTION_REFUSED, reasons.JOINED_ELSEWHERE})
"""Reasons for which a host is not adopted, or not yet. Nothing is done there meanwhile."""


@dataclass(frozen=True, slots=True)
class Adopt(HostStep):
    """Mark the host as the Machine's, and leave it as it is."""

    adoption: Adoption
    homes: tuple[Home, ...] = field(repr=False)
    """What is left as it is, in the order of dependencies: its removal is noted on the host."""
    replaces: str = ""
    """UID of a Machine of ours that is gone and has left its mark."""

    def record(self, context: StepContext) -> bool:
        """How the host was found; and makes the removal look for it, come what may."""
        if context.client is None:
            return False
        status: MachineStatus = context.p.status
        if status.adopted is None:
            spec = context.p.obj.spec
            names = frozenset(c.name for c in self.adoption.components)
            text = f"host {spec.address}, node {spec.node} of Cluster {spec.cluster}, is adopted as it is"
            context.p.event(
                reasons.ADOPTED, f"{text}; it {adopted.sentence(self.adoption, names)}"[:1000]
            )
        status.adopted = self.adoption
        status.installed_on = host_identity.place_of(context.client.target)
        return True

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        if context.client is not None:
            work = context.client.adopt(context.view.owner_mark, self.homes, self.replaces)
            context.session.start("adopt", work, context.p.wake)


def asked(view: MachineView, survey: Survey) -> bool:
    """Whether the host is to be adopted, or was not adopted to the end: nothing else is done there."""
    owner, machine = survey.owner.uid, view.machine
    if not machine.spec.adopt or host_paths.KUBELET not in {
        c.name for c in machine.spec.components
    }:
        return False
    if owner == machine.metadata.uid:
        return bool(adopted.unmarked(view))
    if owner and not view.objects.left_behind:
        return False
    return bool(survey.identity.certificate)


def step(view: MachineView, survey: Survey, wanted: Mapping[str, Rendered]) -> Step:
    """What to do at a host for which that is `asked`."""
    problem = refusal(view, survey)
    node, endpoint = view.objects.node, view.objects.endpoint
    if problem is not None or node is None or endpoint is None:
        return refused(problem or _unknown(view), view.recheck)
    owner = survey.owner.uid
    known = view.status.adopted if owner == view.machine.metadata.uid else None
    names = adopted.unmarked(view) if known is not None else None
    homes = [
        wanted[name]
        for name in component_jobs.needed_first(wanted, wanted)
        if (name in names if names is not None else not _right(wanted[name], survey))
    ]
    found = known or Adoption(
        since=view.now.replace(microsecond=0),
        node_uid=node.uid[:64],
        kubelet=node.kubelet,
        runtime=node.runtime,
        access=endpoint.digest,
        components=_components(view, survey, node, homes),
    )
    replaces = owner if owner != view.machine.metadata.uid else ""
    return Step(Adopt(found, tuple(map(_home, homes)), replaces))


def member(view: MachineView, survey: Survey) -> bool:
    """Whether a host that nobody asked to adopt is the node of its Machine all the same."""
    return bool(survey.identity.certificate) and refusal(view, survey) is None


def refusal(view: MachineView, survey: Survey) -> Verdict | None:
    """Why the host is not adopted, or not yet; None: it is the node that it is said to be."""
    endpoint, node, spec = view.objects.endpoint, view.objects.node, view.machine.spec
    if endpoint is None or not view.objects.nodes_known:
        return _unknown(view)
    todo = join.plan(survey.identity, endpoint, spec.node, view.now, own_way=True)
    if todo is not None:
        return _not_joined(view, survey, todo)
    if node is None or not node.registered:
        text = f"there is no Node {spec.node}; restart the kubelet there, which makes it anew"
        return _refused(view, text)
    return _another(view, survey, node) or _not_serving(view, node)


def _not_joined(view: MachineView, survey: Survey, todo: join.JoinPlan) -> Verdict:
    spec = view.machine.spec
    if todo.why == join.FOREIGN:
        return Verdict(
            False,
            reasons.JOINED_ELSEWHERE,
            f"host {spec.address} is a node of another cluster{_server(survey)}: its kubelet has no "
            f"certificate of Cluster {spec.cluster}; name it in a KubeNode of that other cluster, or "
            "drain it there, run `kubeadm reset` on it, and delete its Node",
        )
    name = join.node_of(survey.identity)
    advice = {
        join.OTHER_NODE: f"it is node {name or 'of another name'}; give the host that name here",
        join.EXPIRED: "join it anew with kubeadm",
        join.STOPPED: "start it: `systemctl enable --now kubelet`",
    }.get(todo.why, f"it lacks what kubeadm writes ({host_paths.CA} among it); join it anew")
    return _refused(view, f"{todo.why}; {advice}")


def _server(survey: Survey) -> str:
    told = survey.identity.server
    return f", whose API is at {told[:200]}" if told else ""


def _another(view: MachineView, survey: Survey, node: NodeView) -> Verdict | None:
    """Two machines that are clones of one have the same keys."""
    pairs = (
        ("machine ID", node.machine_id, survey.facts.get("machineID", "")),
        ("system UUID", node.system_uuid, survey.facts.get("systemUUID", "")),
    )
    for what, theirs, ours in pairs:
        if theirs and ours and theirs.casefold() != ours.casefold():
            text = (
                f"Node {node.name} is another host: it has {what} {theirs[:64]}, and this one has "
                f"{ours[:64]}; correct the address, or stop the kubelet of the host that is a copy"
            )
            return _refused(view, text)
    return None


def _not_serving(view: MachineView, node: NodeView) -> Verdict | None:
    if node.ready is not True:
        text = f"Node {node.name} is not Ready: {node.message or 'its kubelet posts nothing'}"
        return _refused(view, f"{text}; bring it to work first")
    pair = runtime_switch.other(view, node)
    if pair is not None:
        text = f"its runtime is {pair[0]}, and the spec says {pair[1]}"
        return _refused(view, f"{text}; write runtime: {{type: {pair[0]}}} in the KubeNode")
    if "://" in node.runtime and not runtime_switch.known(node):
        text = f"its runtime is {node.runtime.partition('://')[0]}, which KOK does not know"
        return _refused(view, f"{text}; KOK keeps containerd and Docker")
    return None


def _refused(view: MachineView, text: str) -> Verdict:
    spec = view.machine.spec
    where = f"host {spec.address} is not adopted as node {spec.node} of Cluster {spec.cluster}"
    return Verdict(False, reasons.ADOPTION_REFUSED, f"{where}: {text}")


def _unknown(view: MachineView) -> Verdict:
    spec = view.machine.spec
    text = (
        f"host {spec.address} has a kubelet, and it is not known yet whether that is a node of Cluster "
        f"{spec.cluster}, whose API says nothing of its nodes"
    )
    return Verdict(None, reasons.ADOPTING, text)


def _components(
    view: MachineView, survey: Survey, node: NodeView, homes: Sequence[Rendered]
) -> list[AdoptedComponent]:
    listed = {c.name: c for c in view.machine.spec.components}

    def weight(item: Rendered) -> tuple[bool, bool]:
        """What people ask for first."""
        return item.name != host_paths.KUBELET, not catalog.exclusive(item.name)

    return [
        AdoptedComponent(
            name=item.name,
            declared=adopted.declared(listed[item.name]),
            differs=_differs(item, _found(item, survey, node)),
        )
        for item in sorted(homes, key=weight)
    ]


def _differs(item: Rendered, found: Found) -> list[str]:
    if not found.version:
        return [f"version {item.version} is not where KOK installs it"]
    return list(drift.deviations(item, found))


def _found(item: Rendered, survey: Survey, node: NodeView) -> Found:
    """With the version that runs, wherever its program lies."""
    found = survey.found.get(item.name, Found())
    name, _, version = node.runtime.partition("://")
    if item.name == host_paths.KUBELET:
        return replace(found, version=node.kubelet)
    return replace(found, version=version) if item.name == name and version else found


def _home(item: Rendered) -> Home:
    return Home(item.name, item.scripts["uninstall"], item.services, item.remains)


def _right(item: Rendered, survey: Survey) -> bool:
    return item.right(survey.found.get(item.name, Found()))
