"""The sum of an EtcdCluster's conditions, and the one word for it. Pure functions."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdClusterStatus
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.conditions import space
from kok.operators.etcd.etcdcluster.conditions.obstacles import Problem
from kok.operators.etcd.etcdcluster.operations import Action
from kok.runtime.conditions import Verdict

_SLEEP = {reasons.HIBERNATING, reasons.HIBERNATED, reasons.WAKING}
_SAYS_MORE = {reasons.MEMBER_LOST, reasons.FORMING, reasons.POD_REFUSED}
_ROLLS = {reasons.ROLLING, reasons.ROLL_STUCK}


def ready(
    status: EtcdClusterStatus,
    problem: Problem | None,
    verdicts: dict[str, Verdict],
    action: Action | None = None,
) -> Verdict:
    """The sum: the first of these that does not hold gives the reason."""
    if problem is not None:
        return Verdict(False, problem.reason, problem.message)
    healthy, certs = verdicts[reasons.MEMBERS_HEALTHY], verdicts[reasons.CERTIFICATES_READY]
    can_serve = verdicts[reasons.AVAILABLE]
    if can_serve.holds is not True and healthy.reason in _SAYS_MORE:
        # That is why there is no quorum, and says more.
        return Verdict(False, healthy.reason, healthy.message)
    if can_serve.holds is None and certs.holds is False:
        # Without certificates nobody can be asked.
        return certs
    # A roll is why a member is not healthy, and says more.
    rolling = _at_rest(action) if action and action.reason in _ROLLS else None
    for verdict in (can_serve, rolling or healthy, healthy, certs):
        if verdict.holds is not True and verdict.reason != reasons.ISSUING:
            return verdict
    if status.alarms:
        return space.alarmed(status, action)
    return _at_rest(action) or (certs if certs.holds is not True else healthy)


def _at_rest(action: Action | None) -> Verdict | None:
    return Verdict(False, action.reason, action.message) if action is not None else None


def phase(
    status: EtcdClusterStatus,
    problem: Problem | None,
    verdicts: dict[str, Verdict],
    action: Action | None = None,
) -> str:
    """One word for people."""
    if problem is not None and status.cluster_id is None:
        return "Blocked"
    if verdicts[reasons.READY].holds:
        return "Ready"
    if verdicts[reasons.READY].reason in _SLEEP:
        return verdicts[reasons.READY].reason
    if verdicts[reasons.MEMBERS_HEALTHY].reason == reasons.FORMING:
        return "Creating"
    if action is not None and verdicts[reasons.MEMBERS_HEALTHY].holds:
        return action.reason
    return "Degraded" if verdicts[reasons.AVAILABLE].holds else "Unavailable"
