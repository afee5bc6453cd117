"""What a pass over a Cluster is to do, and when the next one comes. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from kok import versions
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import CertificateStatus, ClusterStatus
from kok.api.cluster.upgrade import UpgradeStatus
from kok.api.fields import span
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.cluster import naming, reasons
from kok.operators.cluster.cluster.observe import ClusterView, Running
from kok.operators.cluster.cluster.operations import hibernation, upgrade, upgrade_gates
from kok.operators.cluster.cluster.operations.hibernation import Hibernation
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.operators.cluster.cluster.spec.policy import check
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster, resolve
from kok.operators.cluster.cluster.spec.target import etcd_wanted, is_above, number, wanted_version
from kok.operators.cluster.endpoint import (
    Endpoint,
    NoEndpoint,
    family_missing,
    known_addresses,
    public_endpoint,
)
from kok.operators.cluster.naming import API_SERVER, COMPONENTS, CONTROLLER_MANAGER, SCHEDULER
from kok.runtime.controller.errors import Invalid
from kok.runtime.policy import Policies

FIRST_PROBE, LONGEST_PROBE = 0.2, 30.0
"""Seconds between two tries to reach an API that should answer, at first and at last."""
FIRST_LOOK, LONGEST_LOOK = 10.0, 120.0
"""The same between two looks at pods that are not ready: nobody tells of what these say."""
MENDED = 10.0
"""The same at what somebody has to mend and of which nobody tells: keys, rights."""
BLOCKED = 15.0
"""The same at what blocks an upgrade: nobody tells of its end."""
AT_ONCE = 0.05
"""The same where the next step of an upgrade may begin."""
PROBED = 5.0
"""The same at pods that its preflight has made: they wake the Cluster when they change."""
WATCHED = 300.0
"""The same at what wakes the Cluster when it changes."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a Cluster now."""

    resolved: ResolvedCluster | Invalid
    """The spec with all defaults, or why nothing can be made of it, or may."""
    hibernation: Hibernation
    upgrade: Upgrade
    etcd_version: str | None
    """The version that etcd is to have now; None where none is known."""
    endpoint: Endpoint | NoEndpoint
    """As far as it is known before the Service was written."""
    versions: Mapping[str, str]
    """The components to have, each with its version, as long as the API does not answer."""
    versions_once_answering: Mapping[str, str]
    """The same as soon as it does."""


def decide(cluster: Cluster, view: ClusterView, policies: Policies, now: datetime) -> Decision:
    """By the spec, what was recorded, and what was seen; raises nothing."""
    sleep = hibernation.decide(cluster, view, now)
    step = upgrade.decide(cluster, view, now, asleep=sleep.down)
    if sleep.down:
        waiting = answering = hibernation.versions(cluster, view)
    elif step.holds:
        waiting = answering = held_versions(cluster, view)
    else:
        waiting = versions_to_run(cluster, view, step.released, answers=False)
        answering = versions_to_run(cluster, view, step.released, answers=True)
    return Decision(
        _resolved(cluster, view, policies, step),
        sleep,
        step,
        _etcd_version(cluster, view, step),
        public_endpoint(cluster, view.service(cluster.name), view.nodes),
        waiting,
        answering,
    )


def _etcd_version(cluster: Cluster, view: ClusterView, step: Upgrade) -> str | None:
    """What an upgrade asks of etcd comes at its own step, and not before there is a backup."""
    made = view.etcd_contract(cluster.name).version
    if step.at(upgrade_gates.PREFLIGHT) or step.at(upgrade_gates.BACKUP):
        return made
    if step.status is None:
        # One that is too old for what runs already is left in peace.
        return cluster.spec.etcd.version or made
    try:
        return etcd_wanted(cluster, made, step.status.hop)
    except versions.UnknownVersion:
        return made  # What cannot be made is told of by whoever resolves the spec.


def _resolved(
    cluster: Cluster, view: ClusterView, policies: Policies, step: Upgrade
) -> ResolvedCluster | Invalid:
    problem = family_missing(cluster, known_addresses(cluster, view.nodes))
    if problem and cluster.status.version is None:
        return Invalid(reasons.FAMILY_MISSING, problem)
    try:
        version = step.released or cluster.status.version or wanted_version(cluster)
        etcd = view.etcd_contract(cluster.name).version
        resolved = resolve(cluster, version, etcd=etcd, on_its_way=step.status is not None)
        check(policies, resolved)
    except Invalid as refused:
        return refused
    return resolved


def held_versions(cluster: Cluster, view: ClusterView) -> dict[str, str]:
    """All components, each as it is or last was: an upgrade has not come to them yet."""
    found = {}
    for component in COMPONENTS:
        state = view.running(cluster.name, component)
        version = state.version if state is not None else _before(cluster, component)
        found[component] = version or cluster.status.version or cluster.spec.version
    return found


def versions_to_run(
    cluster: Cluster, view: ClusterView, released: str, *, answers: bool
) -> dict[str, str]:
    """The components to have now, each with its version, of which `released` is the latest.

    At creation the API server starts as soon as etcd has a quorum, the others when the API
    answers. A new version reaches the API server first; the others follow once it is rolled out
    completely, since none of them may be newer than any API server that it talks to.
    """
    target = version_to_reach(cluster, view, released)
    server = view.running(cluster.name, API_SERVER)
    out: dict[str, str] = {}
    if server is not None or view.etcd_serves(cluster.name):
        waits = server is not None and _others_first(cluster, view, server, target)
        out[API_SERVER] = server.version if server is not None and waits else target
    done = server is not None and server.complete and server.version == target
    for component in (CONTROLLER_MANAGER, SCHEDULER):
        current = view.running(cluster.name, component)
        if current is not None:
            follows = done or is_above(current.version, target)
            out[component] = target if follows else current.version or target
            continue
        # One that was deleted comes back also while the API is away, as it was.
        before = _before(cluster, component)
        if answers or before:
            out[component] = target if done else before or target
    return out


def _others_first(cluster: Cluster, view: ClusterView, server: Running, target: str) -> bool:
    """Whether a version that is taken back has yet to leave the others.

    They come first on the way back for the same reason for which they come last on the way up; those
    that never got so far have nothing to leave. An API server that does not work at the version waits for
    nobody.
    """
    others = (view.running(cluster.name, c) for c in (CONTROLLER_MANAGER, SCHEDULER))
    return (
        server.complete
        and is_above(server.version, target)
        and any(o is not None and _is_leaving(o, target) for o in others)
    )


def _is_leaving(state: Running, target: str) -> bool:
    """Whether there may be pods of a later version than the target."""
    return is_above(state.version, target) or (state.version == target and not state.complete)


def version_to_reach(cluster: Cluster, view: ClusterView, target: str) -> str:
    """The target, or a step on the way there: no component skips a minor.

    The target may be raised again while the step before is still being rolled out.
    """
    running = {v for c in COMPONENTS for v in _may_run(cluster, view, c)}
    known = sorted(v for v in map(number, running) if v is not None)
    if not known:
        return target
    step = versions.parse(versions.next_step(str(known[0]), target))
    if step.line == versions.parse(target).line:
        return target
    # What is being rolled out may be newer than what this release knows.
    return str(max([step, *(v for v in known if v.line == step.line)]))


def _may_run(cluster: Cluster, view: ClusterView, component: str) -> list[str]:
    """The versions of a component that its pods may be at."""
    state, before = view.running(cluster.name, component), _before(cluster, component)
    if state is None or not state.complete:
        return [v for v in (state.version if state else None, before) if v]
    return [state.version]


def _before(cluster: Cluster, component: str) -> str | None:
    """The version that was last rolled out completely."""
    return next((c.version for c in cluster.status.components if c.name == component), None)


def running_version(cluster: Cluster, view: ClusterView) -> str | None:
    """The version that all of the control plane runs; None until there is one.

    During a change it stays what it was, since nodes and addons go by it.
    """
    states = [view.running(cluster.name, c) for c in COMPONENTS]
    found = {s.version for s in states if s is not None and s.complete}
    if len(found) == 1 and all(s is not None and s.complete for s in states):
        return found.pop()
    return cluster.status.version


def next_look(
    cluster: Cluster, status: ClusterStatus, found: ClusterOutcome, now: datetime
) -> float | None:
    """Seconds until something has to be looked at of which nobody tells; None if there is nothing.

    `status` is what the pass says in the end.
    """
    due = renewals(status.certificates, now)
    server = found.view.running(cluster.name, API_SERVER)
    unanswered = found.reach is None or found.reach.outcome != "ok"
    if server is not None and server.ready and unanswered:
        due.append(next_probe(_ready_since(cluster, status, found.view, now), now))
    due += [next_pod_look(pod, now) for pod in found.view.pods]
    if found.bootstrap is not None and not found.bootstrap.done:
        # Nothing inside wakes us: what is watched there needs the rights that may be missing.
        due.append(MENDED)
    if found.problems:
        # A Secret that somebody puts back carries no label by which its creation would wake us.
        due.append(MENDED)
    if status.upgrade is not None:
        refused = found.upgrade.refused is not None
        due.append(WATCHED if refused else next_upgrade_look(cluster, status.upgrade, now))
    if (ended := found.upgrade.ended) is not None and ended.to != wanted_version(cluster):
        # What is wanted by now had to wait for it.
        due.append(AT_ONCE)
    if status.probes is not None:
        due.append(PROBED)
    if found.hibernation.action is not None:
        due.append(found.hibernation.action.after)
    return min(due, default=None)


def next_upgrade_look(cluster: Cluster, now_at: UpgradeStatus, now: datetime) -> float:
    """Seconds until an upgrade has to be looked at of which nothing tells."""
    if now_at.step == upgrade_gates.BACKED_OUT:
        return WATCHED
    if now_at.step == upgrade_gates.PREFLIGHT:
        if (found := now_at.findings) is None:
            return PROBED
        return BLOCKED if any(f.blocks for f in found) else AT_ONCE
    before = cluster.status.upgrade
    if now_at.waiting_for == upgrade_gates.ADDONS_UNREAD and (
        before is None or before.step != now_at.step
    ):
        return AT_ONCE
    left = span(cluster.spec.upgrade.progress_deadline) - (now - now_at.moved_at)
    return min(WATCHED, max(BLOCKED, left.total_seconds() + 1))


def _ready_since(
    cluster: Cluster, status: ClusterStatus, view: ClusterView, now: datetime
) -> datetime:
    """Since when the API should answer and does not: the later of the two."""
    name = naming.deployment(cluster.name, API_SERVER)
    live = (view.get(kinds.DEPLOYMENT, name) or {}).get("status") or {}
    known = [
        datetime.fromisoformat(condition["lastTransitionTime"])
        for condition in live.get("conditions") or ()
        if condition["type"] == "Available" and condition["status"] == "True"
    ]
    reachable = status.condition(reasons.ENDPOINT_REACHABLE)
    if reachable is not None:
        known.append(reachable.last_transition_time)
    return max(known, default=now)


def keys_hash(fingerprints: Mapping[str, str]) -> str:
    """Hash of keys that components read only at their start; another one restarts them."""
    text = "\n".join(f"{name}={value}" for name, value in sorted(fingerprints.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def renewals(certificates: Iterable[CertificateStatus], now: datetime) -> list[float]:
    """Seconds until each certificate has to be renewed.

    One that is due and still there cannot be: CAs are not renewed, nor is what hangs on a refused
    one. Looking again and again would not help.
    """
    ahead = [(c.renew_at - now).total_seconds() for c in certificates]
    return [max(1.0, seconds) for seconds in ahead if seconds > 0]


def next_probe(since: datetime, now: datetime) -> float:
    """Seconds until the next try to reach an API that should answer since `since`."""
    waited = max(0.0, (now - since).total_seconds())
    return min(LONGEST_PROBE, max(FIRST_PROBE, waited / 5))


def next_pod_look(pod: Manifest, now: datetime) -> float:
    """Seconds until the next look at a pod of a rollout that is not at its end."""
    since = datetime.fromisoformat(str(pod["metadata"]["creationTimestamp"]))
    waited = max(0.0, (now - since).total_seconds())
    return min(LONGEST_LOOK, max(FIRST_LOOK, waited / 5))
