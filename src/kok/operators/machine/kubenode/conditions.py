"""The status of a KubeNode: its one author."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kok.api import names
from kok.api.machine.host import AbandonedHost
from kok.api.machine.kubenode import KubeNode, KubeNodeStatus
from kok.api.machine.machine import Machine
from kok.operators.machine import metrics, reasons
from kok.operators.machine.kubenode import plan
from kok.operators.machine.kubenode.claims import wanted_nodes
from kok.operators.machine.kubenode.decide import KubeNodeDecision
from kok.operators.machine.kubenode.rollout import report as rollout
from kok.operators.machine.machine.operations import update
from kok.operators.machine.machine.remediation import breaker
from kok.operators.machine.remote import host_paths
from kok.runtime.controller.reconciler import Pass

_SHOWN = 3
VERSION_CURRENT = "VersionCurrent"
"""Whether all nodes run the version of Kubernetes that they are to have."""
POD_ADDRESSES = "PodAddresses"
"""Whether the nodes have as many pod addresses as usual. Absent unless they have fewer."""
REMEDIATION_ALLOWED = "RemediationAllowed"
"""Whether something is done about nodes that are not well. Absent unless too many are not."""
VERSIONS_MOST = 16
ABANDONED_MOST = 16
"""Hosts that had to be left uncleaned, as far as the status shows them."""


@dataclass(slots=True)
class Outcome:
    """What acting found out."""

    outdated: Sequence[str] = ()
    """Names of Machines that still wait for a change of the spec."""
    missing: int = 0
    """How many hosts the pool lacks."""
    fresh: Sequence[str] = ()
    """Names of Machines that were just made."""
    planned: bool = False
    """Whether the rollout was compared with what the spec says now."""
    through: bool = False
    """Whether all was done that was to be done."""


def report(
    p: Pass[KubeNode],
    machines: Sequence[Machine],
    left: Sequence[AbandonedHost],
    decision: KubeNodeDecision,
    outcome: Outcome,
) -> None:
    """Sets all that the status shows; `left` are hosts that were left uncleaned.

    Where the pass did not get through, the runtime tells in `Ready` why.
    """
    count(p.status, p.obj, machines)
    _report_breaker(p, machines)
    p.status.abandoned = list(left[:ABANDONED_MOST])
    p.status.plan = plan.planned(decision.software, machines) if decision.software else []
    if decision.version:
        p.status.version = decision.version
        p.set_condition(VERSION_CURRENT, *follows(p.obj, machines, decision))
        if decision.few_addresses:
            text = decision.few_addresses
            p.set_condition(POD_ADDRESSES, False, reasons.FEW_POD_ADDRESSES, text)
        else:
            p.status.drop_conditions([POD_ADDRESSES])
    if p.status.rollout is not None and outcome.planned:
        said = rollout.verdict(p.status.rollout)
        p.set_condition(rollout.ROLLED_OUT, said.holds, said.reason, said.message)
    _measure(p)
    if p.paused:
        _report_paused(p, machines, decision)
    if not outcome.through:
        return
    good, reason, message = sum_up(p.obj, machines, outcome.outdated, outcome.missing)
    if outcome.fresh:
        good, reason = False, reasons.MACHINES_NOT_READY
        message = f"Machine {', '.join(outcome.fresh[:_SHOWN])} was just made"
    p.set_condition("Ready", good, reason, message)
    p.status.phase = "Ready" if good else "Progressing"


def _report_breaker(p: Pass[KubeNode], machines: Sequence[Machine]) -> None:
    """The Machines go by the same themselves; here is one place that says so for all of them."""
    policy = p.obj.spec.remediation
    why = breaker.holds(policy.max_unhealthy, machines) if policy.mode == "Repair" else ""
    metrics.show_held(p.obj.namespace, p.obj.name, held=bool(why))
    if not why:
        p.status.drop_conditions([REMEDIATION_ALLOWED])
        return
    listed = breaker.unhealthy(machines)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    text = f"{why}: {', '.join(listed[:_SHOWN])}{more}"
    p.set_condition(REMEDIATION_ALLOWED, False, reasons.TOO_MANY_UNHEALTHY, text)


def _measure(p: Pass[KubeNode]) -> None:
    """Shows how far the newest rollout is, and counts it once it has ended."""
    now, before = p.status.rollout, p.obj.status.rollout
    metrics.show_rollout(p.obj.namespace, p.obj.name, rollout.numbers(now))
    ended = now is not None and now.ended_at is not None
    known = before is not None and now is not None and before.id == now.id
    if now is not None and ended and not (known and before is not None and before.ended_at):
        metrics.ROLLOUTS_ENDED.labels(now.phase).inc()


def _report_paused(
    p: Pass[KubeNode], machines: Sequence[Machine], decision: KubeNodeDecision
) -> None:
    """Nothing was tried, but what there is goes on, or does not."""
    if decision.stop is not None:
        p.set_condition("Ready", False, decision.stop.reason, decision.stop.message)
    elif decision.version:
        there = len([m for m in machines if not m.deleting])
        lacking = max(0, wanted_nodes(p.obj) - there) if p.obj.spec.pool is not None else 0
        good, reason, message = sum_up(p.obj, machines, (), lacking)
        p.set_condition("Ready", good, reason, message)
        p.status.phase = "Ready" if good else "Progressing"


def count(status: KubeNodeStatus, kubenode: KubeNode, machines: Sequence[Machine]) -> None:
    """The numbers, from the Machines as they are, whatever else this pass can do."""
    status.replicas = len([m for m in machines if not m.deleting])
    status.ready = len([m for m in machines if ready(m)])
    status.up_to_date = len([m for m in machines if up_to_date(m)])
    status.unhealthy = len(breaker.unhealthy(machines))
    status.versions = _counts(machines)
    status.ready_summary = f"{status.ready}/{wanted_nodes(kubenode)}"
    status.up_to_date_summary = f"{status.up_to_date}/{wanted_nodes(kubenode)}"
    status.selector = f"{names.LABEL_KUBENODE}={kubenode.name}"


def _counts(machines: Sequence[Machine]) -> dict[str, int]:
    """How many nodes report a kubelet of each version, the commonest ones, in the order of versions."""
    found = Counter(m.status.kubelet for m in machines if m.status.kubelet and not m.deleting)
    return dict(sorted(found.most_common(VERSIONS_MOST)))


def follows(
    kubenode: KubeNode, machines: Sequence[Machine], decision: KubeNodeDecision
) -> tuple[bool, str, str]:
    """Condition VersionCurrent: status, reason, message."""
    nodes = [m for m in machines if not m.deleting]
    wanted = _kubelet(decision)
    late = [m for m in nodes if m.status.kubelet != wanted or changing(m)]
    text = f"{len(nodes) - len(late)} of {len(nodes)} nodes run {wanted}"
    if decision.held and (late or kubenode.spec.version is None):
        return False, reasons.CLUSTER_UPGRADING, f"{decision.held}; {text}"
    if not late:
        return True, reasons.VERSION_CURRENT, text
    now = next((m for m in late if changing(m)), late[0])
    rest = [m.name for m in late if m is not now]
    waits = f"; then {', '.join(rest[:_SHOWN])}" if rest else ""
    more = ", ..." if len(rest) > _SHOWN else ""
    return False, reasons.FOLLOWING, f"{text}; {now.name}: {_step(now)}{waits}{more}"


def _kubelet(decision: KubeNodeDecision) -> str:
    """The version that nodes are to report: somebody's own build has another one."""
    listed = (c.version for c in decision.software if c.name == host_paths.KUBELET)
    return next(listed, decision.version)


def _step(machine: Machine) -> str:
    """What is done about a Machine, as it says itself."""
    found = machine.status.condition("UpToDate")
    return found.message or found.reason if found is not None else "new"


def changing(machine: Machine) -> bool:
    """Whether its node is drained for a change, changed, or has yet to get pods again."""
    return update.recorded(machine.status) is not None


def ready(machine: Machine) -> bool:
    """Whether a Machine serves."""
    return machine.status.is_true("Ready") and not machine.deleting


def up_to_date(machine: Machine) -> bool:
    """Whether a Machine has what its spec says."""
    current = machine.status.observed_generation == machine.metadata.generation
    return machine.status.is_true("UpToDate") and current and not machine.deleting


def sum_up(
    kubenode: KubeNode, machines: Sequence[Machine], outdated: Sequence[str], missing: int
) -> tuple[bool, str, str]:
    """Condition Ready: status, reason, message.

    `outdated` are names of Machines that still wait for a change of the spec; `missing` is how
    many hosts the pool lacks.
    """
    going = [m for m in machines if m.deleting]
    unready = [m for m in machines if not m.deleting and not ready(m)]
    lack = _lack(kubenode, missing) if missing else ""
    if unready:
        reason, message = _unready(machines, unready)
        waits = f"{len(outdated)} wait for a change until that is over" if outdated else ""
        return False, reason, "; ".join(text for text in (message, lack, waits) if text)
    if missing:
        return False, reasons.POOL_EXHAUSTED, lack
    busy = [f"{m.name}: {_step(m)}" for m in machines if not m.deleting and changing(m)]
    if outdated or busy:
        later = [f"still to be changed: {', '.join(outdated[:_SHOWN])}"] if outdated else []
        return True, reasons.UPDATING, "; ".join((*busy[:_SHOWN], *later))
    if going:
        listed = ", ".join(m.name for m in going[:_SHOWN])
        return True, reasons.REMOVING, f"being removed: {listed}"
    if not machines:
        return True, reasons.NO_HOSTS, "the spec names no hosts"
    return True, reasons.MACHINES_READY, f"all {len(machines)} Machines are Ready"


def _lack(kubenode: KubeNode, missing: int) -> str:
    pool = kubenode.spec.pool
    labels = ",".join(f"{k}={v}" for k, v in (pool.match_labels if pool else {}).items())
    return (
        f"the pool lacks {missing} free Hosts{f' with labels {labels}' if labels else ''}; "
        "add Hosts or lower spec.replicas"
    )


def _unready(machines: Sequence[Machine], unready: Sequence[Machine]) -> tuple[str, str]:
    conditions = [m.status.condition("Ready") for m in unready]
    found = {c.reason for c in conditions if c is not None}
    alike = len(found) == 1 and all(c is not None for c in conditions)
    told = "; ".join(_told(m) for m in unready[:_SHOWN])
    more = f" and {len(unready) - _SHOWN} more" if len(unready) > _SHOWN else ""
    total = len([m for m in machines if not m.deleting])
    message = f"{total - len(unready)} of {total} Machines are Ready; {told}{more}"
    return found.pop() if alike else reasons.MACHINES_NOT_READY, message


def _told(machine: Machine) -> str:
    ready_ = machine.status.condition("Ready")
    return (
        f"{machine.name}: {ready_.message or ready_.reason}" if ready_ else f"{machine.name}: new"
    )
