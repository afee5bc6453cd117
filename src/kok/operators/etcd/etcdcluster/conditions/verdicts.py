"""What the conditions of an EtcdCluster say, by what was observed and decided. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster, EtcdClusterStatus
from kok.etcdclient.model import Trouble
from kok.kube import kinds
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.certificates import certificates
from kok.operators.etcd.etcdcluster.conditions import space
from kok.operators.etcd.etcdcluster.conditions.availability import (
    available,
    disagreement,
    sentence_of,
)
from kok.operators.etcd.etcdcluster.conditions.obstacles import Obstacle
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.members.health import JudgedMember
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations import Action, hibernation, roll, rotate
from kok.pki import CAProblem
from kok.runtime.conditions import Verdict


def judge(
    s: Assessment, problem: Obstacle | None, ca_problem: CAProblem | None, action: Action | None
) -> dict[str, Verdict]:
    """All conditions of members and certificates, and `Ready`, their sum.

    What was seen is in the status already. `problem` is what keeps something or everything from
    being made, `ca_problem` why the CA cannot be used, `action` what is done about members.
    """
    obj, observed = s.obj, s.observed
    verdicts = {
        reasons.AVAILABLE: available(obj, observed, s.members, action),
        reasons.MEMBERS_HEALTHY: members_healthy(s, action),
        reasons.CERTIFICATES_READY: certificates_ready(obj, observed, ca_problem),
        reasons.UP_TO_DATE: up_to_date(s),
        reasons.SPACE_LEFT: space.space_left(s),
    }
    verdicts[reasons.READY] = sum_up(obj.status, problem, verdicts, action)
    return verdicts | (hibernation.told(obj, observed) if problem is None else {})


def members_healthy(s: Assessment, action: Action | None = None) -> Verdict:
    """Is every member healthy? One that joins or left is none."""
    if action is not None and action.reason == reasons.RECOVERING:
        # Those that were stopped have nothing to say any more.
        return Verdict(False, action.reason, action.message)
    if action is not None and (words := _replacing(action)):
        return Verdict(False, reasons.MEMBER_LOST, words)
    if (disagree := disagreement(s.obj, s.observed)) is not None:
        return Verdict(False, reasons.MEMBERS_DISAGREE, disagree)
    voters = [view for view in s.members if view.is_voter]
    if bad := [view for view in voters if view.condition != "healthy"]:
        return _unhealthy(s, voters, bad, action)
    if s.strangers and action is None:
        return Verdict(False, reasons.UNKNOWN_MEMBER, _unknown(s))
    count = len(voters)
    words = "the only member is" if count == 1 else f"all {count} members are"
    return Verdict(True, reasons.HEALTHY, f"{words} healthy")


def _unknown(s: Assessment) -> str:
    listed = ", ".join(f"{one.id} at {', '.join(one.peer_urls)}" for one in s.strangers)
    return (
        f"etcd lists members that this EtcdCluster did not make: {listed}; they count for the "
        "quorum, and no member is added or removed until they are gone (etcdctl member remove)"
    )


def _unhealthy(
    s: Assessment,
    voters: Sequence[JudgedMember],
    bad: Sequence[JudgedMember],
    action: Action | None,
) -> Verdict:
    text = sentence_of(bad)
    conditions = {view.condition for view in bad}
    if conditions & {"lost", "removed"}:
        what = f"; {action.message}" if action is not None else ""
        return Verdict(False, reasons.MEMBER_LOST, f"{text}{_way_out(voters)}{what}")
    if "foreign" in conditions:
        return Verdict(False, reasons.CLUSTER_ID_MISMATCH, text)
    if any(view.entry.name in s.observed.refusals for view in bad):
        return Verdict(False, reasons.POD_REFUSED, text)
    if _still_forming(s.obj, bad):
        return Verdict(False, reasons.FORMING, text)
    if conditions == {"unreachable"}:
        return _unreachable(s.observed, bad, text)
    return Verdict(False, reasons.MEMBERS_NOT_READY, text)


def _unreachable(observed: Observed, bad: Sequence[JudgedMember], text: str) -> Verdict:
    if _is_denied(observed, bad):
        how = f"etcdctl user grant-role {naming.CLIENT_COMMON_NAME} root"
        return Verdict(None, reasons.AUTHENTICATION_ON, f"{text}; grant it: {how}")
    return Verdict(None, reasons.UNREACHABLE, text)


def _is_denied(observed: Observed, seen: Sequence[JudgedMember]) -> bool:
    """Whether all of these refuse the operator for its user, and for nothing else."""
    errors = [observed.answers[view.entry.name].error for view in seen]
    return all(error is not None and error.trouble is Trouble.DENIED for error in errors)


def _replacing(action: Action) -> str | None:
    """What is done about a lost member, if that is what is done."""
    operation = action.operation
    if operation is None or operation.type != "Replace":
        return None
    what = f"{operation.replaces}: {operation.reason}"
    by = f" by {operation.member}" if operation.member else ""
    since = operation.since.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{what}; it is being replaced{by} since {since}: {action.message}"


def _still_forming(obj: EtcdCluster, bad: Sequence[JudgedMember]) -> bool:
    """Whether not all members have been healthy at the same time yet."""
    if obj.status.cluster_id is None or any(view.entry.id is None for view in bad):
        return True
    before = obj.status.condition(reasons.MEMBERS_HEALTHY)
    return before is not None and before.reason == reasons.FORMING


def certificates_ready(obj: EtcdCluster, observed: Observed, problem: CAProblem | None) -> Verdict:
    """Are the CA and all certificates in order?"""
    missing = certificates.missing_leaves(obj, observed.secrets)
    if problem is not None:
        also = f"; Secrets without a certificate: {', '.join(missing)}" if missing else ""
        return Verdict(False, problem.reason, problem.message + also)
    if missing or observed.get(kinds.SECRET, names.etcd_ca_secret(obj.name)) is None:
        return Verdict(False, reasons.ISSUING, "certificates are being made")
    return Verdict(True, reasons.ISSUED)


def up_to_date(s: Assessment) -> Verdict:
    """Do all members run with what the spec says, on volumes as large as it says?"""
    verdict, rotation = Verdict(*roll.verdict(s)), rotate.verdict(s)
    if verdict.holds:
        return space.volumes(s) or rotation or verdict
    if rotation is not None and rotate.requested(s.obj):
        # One that has to wait is told of, whatever it waits for.
        return Verdict(False, verdict.reason, f"{verdict.message}; {rotation.message}")
    return verdict


def _way_out(seen: Sequence[JudgedMember]) -> str:
    lost = sum(view.condition == "lost" for view in seen)
    if lost <= (len(seen) - 1) // 2:
        return "; the other members still hold all data"
    left = (
        ", go on with what is left (the condition Available says how)" if lost < len(seen) else ""
    )
    return (
        f"; no majority of members has its data any more: put the volumes back{left}, restore a "
        "backup, or create the EtcdCluster anew"
    )


_SLEEP = {reasons.HIBERNATING, reasons.HIBERNATED, reasons.WAKING}
_SAYS_MORE = {reasons.MEMBER_LOST, reasons.FORMING, reasons.POD_REFUSED}
_ROLLS = {reasons.ROLLING, reasons.ROLL_STUCK}


def sum_up(
    status: EtcdClusterStatus,
    problem: Obstacle | None,
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
    problem: Obstacle | None,
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
