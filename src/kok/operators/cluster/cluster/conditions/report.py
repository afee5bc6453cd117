"""The status of a Cluster, computed from what a pass found. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from kok.api import names
from kok.api.cluster.addon import Addon, AddonStatus
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import AddonSummary, ClusterStatus, ComponentStatus, NodeCount
from kok.api.conditions import READY
from kok.operators.cluster import reasons
from kok.operators.cluster.businesscluster.unmanaged_nodes import UnmanagedNodes
from kok.operators.cluster.cluster.conditions import upgrades
from kok.operators.cluster.cluster.conditions.controlplane import (
    component_states,
    control_plane,
    rollout,
)
from kok.operators.cluster.cluster.conditions.reachable import cluster_reachable
from kok.operators.cluster.cluster.decide import running_version
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.operators.cluster.endpoint import Endpoint, NoEndpoint, leads_to_nodes
from kok.runtime.conditions import Verdict, put
from kok.runtime.controller.reasons import ANSWER_TOO_LARGE, UNREADABLE

PROVISIONING = "Provisioning"
"""The phase of a Cluster that was never ready."""
NAMED = 8
"""Nodes that a condition names at most."""
_ON_ITS_WAY = frozenset(
    {
        reasons.CREATING,
        reasons.CLUSTER_MISSING,
        reasons.CLUSTER_UNREACHABLE,
        reasons.REPLICAS_MISSING,
        reasons.ROLLING_OUT,
        reasons.STARTING,
        reasons.UNREACHABLE,
        reasons.WAITING_FOR_API,
        reasons.WAITING_FOR_CLUSTER,
        reasons.WAITING_FOR_DEPENDENCIES,
    }
)
"""Reasons of what comes by itself."""
_NEEDED = _ON_ITS_WAY | {reasons.FAMILY_MISSING}
"""Reasons for which a new Cluster is of no use yet."""


def report(
    status: ClusterStatus,
    cluster: Cluster,
    found: ClusterOutcome,
    now: datetime,
    *,
    ready: bool = True,
) -> None:
    """Brings a status up to date; what was not found out in this pass stays as it was.

    Without `ready` the sum is left to the runtime, which knows the error that ended the pass.
    """
    generation = cluster.metadata.generation
    _facts(status, cluster, found)
    verdicts = conditions(cluster, found, now)
    told = {t: v for t, v in verdicts.items() if ready or t != reasons.READY}
    put(status, told, now=now, generation=generation)
    if found.unmanaged is not None and reasons.FOREIGN_NODES not in verdicts:
        status.drop_conditions([reasons.FOREIGN_NODES])
    passing = (reasons.SPEC_BEHIND, reasons.OUTDATED, reasons.VULNERABLE)
    status.drop_conditions([type_ for type_ in passing if type_ not in verdicts])
    status.phase = phase(cluster, verdicts)


def _facts(status: ClusterStatus, cluster: Cluster, found: ClusterOutcome) -> None:
    if isinstance(found.endpoint, Endpoint):
        status.endpoint = found.endpoint.url
        status.kubeconfig_secret = names.admin_kubeconfig_secret(cluster.name)
    status.ca_fingerprints = {**status.ca_fingerprints, **found.fingerprints}
    if found.certificates is not None:
        status.certificates = found.certificates
    before = {c.name: c for c in cluster.status.components}
    status.components = [
        ComponentStatus(
            name=state.component,
            version=state.version
            if state.complete
            else (before[state.component].version if state.component in before else None),
            ready=state.ready,
            desired=state.desired,
        )
        for state in component_states(cluster, found.view)
    ]
    status.version = running_version(cluster, found.view)
    if found.nodes is not None:
        ready = sum(found.nodes.values())
        kubelets = dict(sorted(found.kubelets.items()))
        status.nodes = NodeCount(ready=ready, total=len(found.nodes), versions=kubelets)
        status.node_summary = f"{ready}/{len(found.nodes)}"
    status.addons = addon_summaries(cluster, found)
    upgrades.note(status, cluster, found)


def addon_summaries(cluster: Cluster, found: ClusterOutcome) -> list[AddonSummary]:
    """The Cluster's own Addons in brief, by name."""
    summaries = []
    there = found.view.addons()
    # One that cannot be read is one that is not known to be healthy.
    known = [(addon.name, addon.status) for addon in there.objects]
    known += [(odd.name, AddonStatus()) for odd in there.odd]
    for name, status in sorted(known, key=lambda one: one[0]):
        summaries.append(
            AddonSummary(
                name=name.removeprefix(f"{cluster.name}-"),
                version=status.version,
                healthy=status.is_true(reasons.HEALTHY),
            )
        )
    return summaries


def conditions(cluster: Cluster, found: ClusterOutcome, now: datetime) -> dict[str, Verdict]:
    """Every condition, in the order in which a cluster comes to life."""
    parts = {
        reasons.CERTIFICATES_READY: _certificates(cluster, found),
        reasons.ETCD_READY: _etcd(cluster, found),
        reasons.CONTROL_PLANE_READY: control_plane(cluster, found.view, found.upgrade.released),
        reasons.ENDPOINT_REACHABLE: _endpoint(cluster, found),
        reasons.BOOTSTRAP_READY: _bootstrap(cluster, found),
        reasons.ADDONS_READY: _addons(found),
    }
    if found.inside is not None:
        parts[reasons.CLUSTER_REACHABLE] = cluster_reachable(cluster, found.inside)
    if (answers := _answers(cluster, found)) is not None:
        parts[reasons.ANSWERS_READ] = answers
    if (behind := upgrades.spec_behind(cluster)) is not None:
        parts[reasons.SPEC_BEHIND] = behind
    parts |= upgrades.of_releases(cluster, found, now)
    if found.unmanaged is not None and found.unmanaged.waiting:
        parts[reasons.FOREIGN_NODES] = _foreign(cluster, found.unmanaged)
    parts[reasons.PROGRESSING] = _progressing(cluster, found, parts)
    parts[reasons.READY] = _ready(cluster, found, parts)
    return {**parts, **_hibernation(found)}


def _hibernation(found: ClusterOutcome) -> dict[str, Verdict]:
    """What is said of parts that do not run, as they should not."""
    no = found.hibernation.verdict
    if no is None:
        return {}
    return {
        reasons.CONTROL_PLANE_READY: no,
        reasons.ENDPOINT_REACHABLE: no,
        reasons.PROGRESSING: replace(no, holds=no.reason != reasons.HIBERNATED),
        reasons.READY: no,
    }


def _answers(cluster: Cluster, found: ClusterOutcome) -> Verdict | None:
    """Nothing is said of it before it was ever otherwise."""
    if found.excess is not None:
        return Verdict(False, ANSWER_TOO_LARGE, found.excess)
    if found.reach is None or _before(cluster, reasons.ANSWERS_READ) is None:
        return None
    return Verdict(True, reasons.AS_WANTED, "all that the API answers is read")


def _foreign(cluster: Cluster, unmanaged: UnmanagedNodes) -> Verdict:
    """Nodes that wait, and what to do about it; the first few, since there may be any number."""
    if unmanaged.refused is not None:
        more = len(unmanaged.waiting) - 1
        also = f"; {more} more wait" if more else ""
        return Verdict(False, reasons.CSR_REFUSED, f"{unmanaged.refused}{also}")
    first = unmanaged.waiting[0]
    shown = ", ".join(unmanaged.waiting[:NAMED])
    more = len(unmanaged.waiting) - NAMED
    return Verdict(
        False,
        reasons.APPROVAL_NEEDED,
        f"nodes that belong to no Machine wait for serving certificates, without which logs and "
        f"exec fail there: {shown}{f' and {more} more' if more > 0 else ''}; write kok node approve "
        f"{cluster.name} {first} -n {cluster.namespace}, or set spec.nodes.foreign to Approve",
    )


def _certificates(cluster: Cluster, found: ClusterOutcome) -> Verdict:
    if found.problems:
        text = ". ".join(problem.message for problem in found.problems)
        return Verdict(False, found.problems[0].reason, text)
    if found.certificates is None:
        before = _before(cluster, reasons.CERTIFICATES_READY)
        return before or Verdict(None, reasons.CREATING, "certificates are being made")
    if found.ending:
        return Verdict(True, reasons.CA_ENDS_SOON, ". ".join(found.ending))
    if found.incomplete:
        return Verdict(True, reasons.CA_CHAIN_INCOMPLETE, ". ".join(found.incomplete))
    return Verdict(True, reasons.AS_WANTED, "all certificates are valid")


def _etcd(cluster: Cluster, found: ClusterOutcome) -> Verdict:
    name = f"EtcdCluster {cluster.namespace}/{names.etcd_cluster(cluster.name)}"
    if found.view.etcd(cluster.name) is None:
        return Verdict(False, reasons.CREATING, f"{name} does not exist yet")
    etcd = found.view.etcd_contract(cluster.name)
    ready = etcd.conditions.get(READY)
    if (restore := etcd.restoring) is not None:
        said = f": {ready.message}" if ready is not None and ready.message else ""
        text = f"{name} is being restored by EtcdRestore {restore.name} ({restore.step}){said}"
        return Verdict(False, reasons.ETCD_RESTORING, text)
    if ready is None:
        return Verdict(False, reasons.WAITING_FOR_ETCD, f"{name} is starting")
    if ready.holds:
        return Verdict(True, reasons.AS_WANTED, f"{name} is ready")
    was = cluster.status.is_true(reasons.BOOTSTRAP_READY)
    reason = reasons.ETCD_NOT_READY if was else reasons.WAITING_FOR_ETCD
    return Verdict(False, reason, f"{name}: {ready.message or ready.reason}")


def _endpoint(cluster: Cluster, found: ClusterOutcome) -> Verdict:
    endpoint, reach = found.endpoint, found.reach
    if isinstance(endpoint, NoEndpoint):
        return Verdict(False, endpoint.reason, endpoint.message)
    if endpoint is None:
        return Verdict(False, reasons.CREATING, "the Service is being made")
    if reach is None:
        return Verdict(
            False, reasons.WAITING_FOR_API, f"no API server is ready to answer at {endpoint.url}"
        )
    if reach.outcome == "ok":
        return Verdict(True, reasons.ANSWERS, f"{endpoint.url} answers")
    if reach.outcome == "forbidden":
        return Verdict(
            False,
            reasons.CREATING,
            f"{endpoint.url} answers; the admins' rights are being made",
        )
    reason = _REFUSED.get(reach.outcome, reasons.UNREACHABLE)
    advice = _down(cluster, found, endpoint.host) if reason == reasons.UNREACHABLE else ""
    return Verdict(False, reason, f"{reach.message}{advice}")


_REFUSED = {
    "unauthorized": reasons.CREDENTIALS_REFUSED,
    "barred": reasons.FORBIDDEN_BY_POLICY,
}


def _down(cluster: Cluster, found: ClusterOutcome, host: str) -> str:
    """What to do if the endpoint is the address of a meta node that does not work."""
    down = [n.name for n in found.view.nodes if host in n.addresses and not n.usable]
    if not down or not leads_to_nodes(cluster):
        return ""
    return (
        f"; that is node {down[0]} of the meta cluster, which is not Ready or cordoned: bring it "
        "back, or delete the Node to have the endpoint moved to another one"
    )


def _bootstrap(cluster: Cluster, found: ClusterOutcome) -> Verdict:
    if found.bootstrap is not None:
        return Verdict(found.bootstrap.done, found.bootstrap.reason, found.bootstrap.message)
    before = _before(cluster, reasons.BOOTSTRAP_READY)
    if before is not None and before.holds:
        # What is in the cluster's data stays there while its API is away.
        return before
    return Verdict(False, reasons.WAITING_FOR_API, "the API does not answer yet")


def _before(cluster: Cluster, type_: str) -> Verdict | None:
    """What was last said of a condition."""
    found = cluster.status.condition(type_)
    if found is None:
        return None
    status = {"True": True, "False": False}.get(found.status)
    return Verdict(status, found.reason, found.message)


@dataclass(frozen=True, slots=True)
class _AddonState:
    name: str
    applied: bool
    healthy: bool
    reason: str
    message: str


def _addon_states(found: ClusterOutcome) -> list[_AddonState]:
    there = found.view.addons()
    odd = [
        _AddonState(one.name, applied=False, healthy=False, reason=UNREADABLE, message=one.message)
        for one in there.odd
    ]
    return [*map(_addon_state, there.objects), *odd]


def _addon_state(addon: Addon) -> _AddonState:
    ready = addon.status.condition(reasons.READY)
    current = addon.status.observed_generation == addon.metadata.generation
    return _AddonState(
        addon.name,
        applied=current and addon.status.is_true(reasons.APPLIED),
        healthy=addon.status.is_true(reasons.HEALTHY),
        reason=ready.reason if ready else reasons.CREATING,
        message=ready.message if ready else "not applied yet",
    )


def _addons(found: ClusterOutcome) -> Verdict:
    states = _addon_states(found)
    for pending in (s for s in states if not s.applied):
        reason = reasons.CREATING if found.reach is None else pending.reason
        return Verdict(False, reason, f"Addon {pending.name}: {pending.message}")
    for sick in (s for s in states if not s.healthy):
        return Verdict(False, sick.reason, f"Addon {sick.name}: {sick.message}")
    for waiting in (s for s in states if s.reason == reasons.WAITING_FOR_NODES):
        return Verdict(True, reasons.WAITING_FOR_NODES, f"Addon {waiting.name}: {waiting.message}")
    return Verdict(True, reasons.AS_WANTED, "all addons are applied and healthy")


def _progressing(cluster: Cluster, found: ClusterOutcome, parts: dict[str, Verdict]) -> Verdict:
    if found.stopped is not None:
        return Verdict(False, found.stopped.reason, found.stopped.message)
    rolling = rollout(cluster, found.view, found.upgrade.released)
    if (told := upgrades.progressing(cluster, found, rolling)) is not None:
        return told
    for type_ in (reasons.BOOTSTRAP_READY, reasons.ADDONS_READY):
        if parts[type_].reason == reasons.CREATING:
            return Verdict(True, reasons.CREATING, parts[type_].message)
    return Verdict(False, reasons.AS_WANTED, "nothing is under way")


def _ready(cluster: Cluster, found: ClusterOutcome, parts: dict[str, Verdict]) -> Verdict:
    """The sum; what stopped the operator explains best why the cluster cannot be used."""
    verdict = _usable(cluster, found, parts)
    if verdict.holds is not True and found.stopped is not None:
        return Verdict(False, found.stopped.reason, found.stopped.message)
    return verdict


def _usable(cluster: Cluster, found: ClusterOutcome, parts: dict[str, Verdict]) -> Verdict:
    """The first thing that keeps the cluster from being used gives the reason.

    Lost replicas, a lost etcd member, a refused or sick addon or objects that a webhook inside
    blocks do not, as long as the API answers; they have conditions of their own, and the sentence
    names the first of them. Only a Cluster that was never ready waits for what is still being put
    into it.
    """
    if found.problems:
        return parts[reasons.CERTIFICATES_READY]
    reachable = parts[reasons.ENDPOINT_REACHABLE]
    if reachable.holds is not True:
        return _deepest(found, parts)
    new = cluster.status.phase in {None, PROVISIONING}
    bootstrap = parts[reasons.BOOTSTRAP_READY]
    if new and bootstrap.holds is not True and bootstrap.reason in _NEEDED:
        return bootstrap
    for state in component_states(cluster, found.view):
        if state.ready < 1:
            return parts[reasons.CONTROL_PLANE_READY]
    for addon in (s for s in _addon_states(found) if new and not s.applied):
        if addon.reason in _ON_ITS_WAY:
            return Verdict(False, addon.reason, f"Addon {addon.name}: {addon.message}")
    but = f"{_but(parts)}{upgrades.but(cluster, found)}"
    return Verdict(True, reasons.AVAILABLE, f"{reachable.message}{but}")


def _but(parts: dict[str, Verdict]) -> str:
    """What is not as it should be although the cluster can be used."""
    for type_ in (
        reasons.CONTROL_PLANE_READY,
        reasons.BOOTSTRAP_READY,
        reasons.ADDONS_READY,
        reasons.CLUSTER_REACHABLE,
    ):
        part = parts.get(type_)
        if part is not None and part.holds is False and part.reason not in _ON_ITS_WAY:
            return f"; but {part.message}"
    return ""


def _deepest(found: ClusterOutcome, parts: dict[str, Verdict]) -> Verdict:
    """An API that does not answer: what lies below it explains more."""
    order = [reasons.ETCD_READY, reasons.CONTROL_PLANE_READY]
    if isinstance(found.endpoint, NoEndpoint):
        order = []
    for type_ in order:
        # With servers that are ready, the way to them is what is broken.
        if parts[type_].holds is not True and found.reach is None:
            return Verdict(False, parts[type_].reason, parts[type_].message)
    return parts[reasons.ENDPOINT_REACHABLE]


def phase(cluster: Cluster, verdicts: dict[str, Verdict]) -> str:
    """One word for people."""
    if verdicts[reasons.READY].reason in {reasons.HIBERNATING, reasons.HIBERNATED, reasons.WAKING}:
        return verdicts[reasons.READY].reason
    progressing = verdicts[reasons.PROGRESSING].holds is True
    if verdicts[reasons.READY].holds is True:
        return "Updating" if progressing else "Running"
    if cluster.status.phase in {None, PROVISIONING}:
        return PROVISIONING
    return "Updating" if progressing else "Degraded"
