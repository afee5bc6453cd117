"""What is known of each member: pure functions from what was observed to its entry in the status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.meta import Manifest
from kok.etcdclient.model import Alarm, MemberStatus, Trouble
from kok.kube import kinds
from kok.operators.etcd import clocks, naming
from kok.operators.etcd.etcdcluster.certificates import certificates
from kok.operators.etcd.etcdcluster.members import roles, templates
from kok.operators.etcd.etcdcluster.members.lost import (
    container,
    is_removed,
    lacks_settings,
    terminated,
    unscheduled,
    who_omits,
    why_lost,
)
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.pods import is_ready

_TELLS_NOTHING = {
    Trouble.SILENT,
    Trouble.BROKE_OFF,
    Trouble.UNTRUSTED,
    Trouble.REFUSED,
    Trouble.DENIED,
}
DIFFERS = "its data differs from what all other members have"
MESSAGE_LIMIT = 700
_QUIET = {"ContainerCreating", "PodInitializing"}
Condition = Literal[
    "healthy", "pending", "unreachable", "lost", "removed", "foreign", "joining", "left"
]


@dataclass(frozen=True)
class JudgedMember:
    """One member: how it is, and its entry in the status.

    `pending`: not healthy, the message says why; `unreachable`: its probe says that it takes
    part, but the operator cannot ask it; `lost`: it has no data and must not start;
    `removed`: somebody took it out of etcd's list; `foreign`: it shows another cluster ID;
    `joining`: it is not meant to vote yet; `left`: it is no member any more.
    """

    entry: EtcdMember
    condition: Condition

    @property
    def is_voter(self) -> bool:
        """Whether it counts among the members that a quorum is made of."""
        return self.entry.state in {"Member", "Leaving"}


def learn(obj: EtcdCluster, observed: Observed, members: Sequence[str]) -> bool:
    """Records in `obj.status` what must never be forgotten; whether there was anything new.

    These are the ID of the cluster, once all members that answer agree on it, and the IDs of
    members that were seen taking part.
    """
    status = obj.status
    known = {entry.name: entry for entry in status.members}
    answers = {n: a.status for n, a in observed.answers.items() if a.status is not None}
    new = False
    if status.cluster_id is None:
        shown = {answer.cluster_id for answer in answers.values()}
        if len(shown) == 1:
            status.cluster_id = shown.pop()
            new = True
    for name in members:
        entry = known.get(name)
        if entry is None:
            continue
        found = (
            _member_id(obj, observed, name) if entry.id is None else _true_id(obj, observed, entry)
        )
        if found is not None:
            entry.id = found
            new = True
    return new


def _true_id(obj: EtcdCluster, observed: Observed, entry: EtcdMember) -> str | None:
    """Another ID than the recorded one, which one other member alone may have told us.

    It is believed if the member itself and the list that a majority agrees on say the same.
    """
    said = observed.answers.get(entry.name, Answer()).status
    if said is None or said.cluster_id != obj.status.cluster_id or said.member_id == entry.id:
        return None
    one = roles.listing(obj, roles.agreed(obj, observed) or (), entry.name)
    return said.member_id if one is not None and one.id == said.member_id else None


def _member_id(obj: EtcdCluster, observed: Observed, name: str) -> str | None:
    answer = observed.answers.get(name, Answer()).status
    if answer is not None and answer.cluster_id == obj.status.cluster_id:
        return answer.member_id
    urls = {naming.peer_url(obj.name, obj.namespace, name)}
    for other in observed.answers.values():
        agreed = other.status is not None and other.status.cluster_id == obj.status.cluster_id
        for listed in (other.members or ()) if agreed else ():
            if listed.started and urls & set(listed.peer_urls):
                return listed.id
    claim = observed.get(kinds.PVC, name)
    if claim is not None and roles.has_started(obj, observed, name):
        notes = claim["metadata"].get("annotations") or {}
        return str(notes[naming.ANNOTATION_MEMBER_ID])
    return None


def judge_members(
    obj: EtcdCluster, observed: Observed, members: Sequence[str], now: datetime
) -> list[JudgedMember]:
    """All members, in order."""
    return [judge_member(obj, observed, roles.entry_of(obj.status, name), now) for name in members]


def judge_member(
    obj: EtcdCluster, observed: Observed, before: EtcdMember, now: datetime
) -> JudgedMember:
    """One member; what it does not tell now stays as last seen."""
    name = before.name
    pod = observed.get(kinds.POD, naming.pod_name(name))
    answer = observed.answers.get(name, Answer())
    entry = before.model_copy(
        update={"role": "Unknown", "ready": False, "message": None, "node": _node(pod)}
    )
    said = answer.status
    # For as long as it is not known to be healthy; what follows may take that back.
    entry.unhealthy_since = clocks.past(before.unhealthy_since, now) or now.replace(microsecond=0)
    if said is not None and said.cluster_id != obj.status.cluster_id:
        entry.message = (
            f"belongs to etcd cluster {said.cluster_id} and not to {obj.status.cluster_id}; "
            "it is not counted"
        )
        return JudgedMember(entry, "foreign")
    if said is not None:
        entry.version, entry.db_size, entry.in_use = said.version, said.db_size, said.in_use
        entry.storage_version = said.storage_version
        entry.role = role(said)
    condition, entry.message = _judge(obj, observed, entry, answer, now)
    entry.ready = condition == "healthy"
    joins = entry.state == "Joining" and said is not None
    if entry.ready or joins or entry.state == "Left":
        entry.unhealthy_since = None
    templates.note_settings(entry, observed, now)
    return JudgedMember(entry, condition)


def _judge(
    obj: EtcdCluster, observed: Observed, entry: EtcdMember, answer: Answer, now: datetime
) -> tuple[Condition, str | None]:
    """How a member is, and what is wrong with it."""
    name, said = entry.name, answer.status
    if entry.state == "Left":
        return "left", "has left; its pod and its volume are being removed"
    gone = DIFFERS if entry.corrupt else why_lost(obj, observed, entry, now)
    if gone is not None:
        return "lost", gone
    if is_removed(obj, observed, entry):
        return "removed", "was removed from etcd's list of members by somebody else"
    pod = observed.get(kinds.POD, naming.pod_name(name))
    ready, joining = is_ready(pod), entry.state == "Joining"
    if ready and said is not None and said.leader is not None and not (joining or said.is_learner):
        return "healthy", None
    asleep = roles.is_down(obj.status)
    clock = clock_trouble(obj, observed, answer, now)
    text = trouble(observed, name, pod, answer, clock, asleep=asleep)[:MESSAGE_LIMIT]
    if omits := who_omits(obj, observed, entry):
        text = (
            f"{text}; the list of members that {', '.join(omits)} tells lacks it, which counts only "
            "if a majority of members tells it"
        )[:MESSAGE_LIMIT]
    if joining:
        return "joining", "is prepared and waits for its turn" if lacks_settings(pod) else text
    # An answer that we cannot understand says nothing about the member, whose probe is content: with
    # etcd's authentication on, for one, it answers only users who may ask.
    mute = answer.error is not None and answer.error.trouble in _TELLS_NOTHING
    return "unreachable" if ready and mute else "pending", text


def role(said: MemberStatus) -> Literal["Leader", "Follower", "Learner", "Unknown"]:
    """The member's part in raft by its own account."""
    if said.is_learner:
        return "Learner"
    if said.leader is None:
        return "Unknown"
    return "Leader" if said.leader == said.member_id else "Follower"


def leader_of(answers: Mapping[str, Answer]) -> str | None:
    """ID of the leader of the latest term that any member knows of."""
    heard = [a.status for a in answers.values() if a.status is not None and a.status.leader]
    return max(heard, key=lambda said: said.raft_term).leader if heard else None


def alarms_of(entries: Sequence[EtcdMember], answers: Mapping[str, Answer]) -> list[str]:
    """Alarms that any member knows of, as `member: NOSPACE`; sorted."""
    ids = {entry.id: entry.name for entry in entries if entry.id}
    raised: set[Alarm] = set()
    for answer in answers.values():
        raised.update(answer.status.alarms if answer.status is not None else ())
    return sorted(f"{ids.get(one.member_id, one.member_id)}: {one.name}" for one in raised)


# --- why a member is not healthy


def trouble(
    observed: Observed,
    name: str,
    pod: Manifest | None,
    answer: Answer,
    clock: str | None = None,
    *,
    asleep: bool = False,
) -> str:
    """Why a member is not healthy, as far as can be seen; never empty.

    `clock` is what is wrong with its clock, if that explains what it answers.
    """
    if pod is None:
        if observed.get(kinds.STATEFULSET, name) is not None:
            return observed.refusals.get(name, "waits for its pod to be made")
        return "is stopped, as spec.hibernate is true" if asleep else "is about to be made"
    if pod["metadata"].get("deletionTimestamp"):
        node = _node(pod)
        return f"its pod is being stopped{f' on node {node}' if node else ''}"
    if (why := unscheduled(pod)) is not None:
        return observed.storage.problem or f"waits for a node: {why}"
    claim = observed.get(kinds.PVC, name)
    if claim is not None and (claim.get("status") or {}).get("phase") != "Bound":
        return observed.storage.problem or "waits for its volume"
    return _container_trouble(pod, answer, clock)


def _container_trouble(pod: Manifest, answer: Answer, clock: str | None) -> str:
    state = container(pod).get("state") or {}
    waiting = state.get("waiting") or {}
    ended = terminated(pod)
    if waiting.get("reason") in _QUIET or not state:
        return "its container is being made"
    if "running" in state:
        return _running_trouble(pod, answer, ended, clock)
    if ended:
        return f"its container ended: {_how(ended)}"
    return f"{waiting.get('reason', 'Waiting')}: {waiting.get('message', '')}".rstrip(": ")


def _running_trouble(
    pod: Manifest, answer: Answer, ended: Mapping[str, Any], clock: str | None
) -> str:
    if answer.error is not None:
        again = f"; before, its container ended: {_how(ended)}" if ended else ""
        what = "is ready, but" if is_ready(pod) else "has been started, but"
        if clock is not None:
            return f"{what} {clock}: set the clock of node {_node(pod)}{again}"
        return f"{what} {answer.error.message}{again}"
    if answer.status is None:
        return "has no address yet"
    if answer.status.leader is None:
        return "knows of no leader"
    if answer.status.is_learner:
        return "is a learner and does not vote yet"
    return "does not pass its readiness probe yet"


def _how(ended: Mapping[str, Any]) -> str:
    if ended.get("reason") == "OOMKilled":
        return "it was killed for using more memory than its limit"
    words = last_words(str(ended.get("message") or ""))
    return f"exit code {ended.get('exitCode')}{f', {words}' if words else ''}"


def last_words(log: str) -> str:
    """What etcd said last in its log of JSON lines, without what differs each time."""
    found = ""
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or entry.get("level") not in {"error", "panic", "fatal"}:
            continue
        found = ": ".join(str(entry[key]) for key in ("msg", "error") if entry.get(key))
    return found[:MESSAGE_LIMIT]


def _node(pod: Manifest | None) -> str | None:
    return ((pod or {}).get("spec") or {}).get("nodeName")


def clock_trouble(
    obj: EtcdCluster, observed: Observed, answer: Answer, now: datetime
) -> str | None:
    """What is wrong with a member's clock, if by it certificates are not valid.

    Whose clock is right nobody can tell from here, but the operator's is the one by which
    certificates are made. Where they are invalid by that one as well, no clock is to blame.
    """
    if answer.clock is None:
        return None
    why = certificates.invalid_at(obj, observed.secrets, answer.clock)
    if why is None or why == certificates.invalid_at(obj, observed.secrets, now):
        return None
    off = (answer.clock - now).total_seconds()
    side = "ahead of" if off > 0 else "behind"
    return f"its clock is {_roughly(abs(off))} {side} the operator's, so that for it certificates {why}"


def _roughly(seconds: float) -> str:
    """A span that reads the same from pass to pass.

    >>> _roughly(1801.4), _roughly(7300.0), _roughly(900_000.0)
    ('30 minutes', '2 hours', '10 days')
    """
    for size, word in ((86_400, "days"), (3_600, "hours")):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {word}"
    return f"{round(seconds / 60)} minutes"
