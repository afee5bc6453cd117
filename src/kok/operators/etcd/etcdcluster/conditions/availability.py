"""Can clients read and write? And if not: what is left, and how to go on. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.conditions import space
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.members.health import JudgedMember
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations import Action, recover
from kok.runtime.conditions import Verdict

MINUTE = timedelta(minutes=1)


def available(
    obj: EtcdCluster, observed: Observed, seen: Sequence[JudgedMember], action: Action | None = None
) -> Verdict:
    """Can clients read and write?"""
    if any(alarm.endswith("CORRUPT") for alarm in obj.status.alarms):
        return space.alarmed(obj.status, action)
    if action is not None and action.reason == reasons.RECOVERING:
        return Verdict(False, action.reason, action.message)
    if (words := disagreement(obj, observed) or omission(obj, observed)) is not None:
        return Verdict(False, reasons.MEMBERS_DISAGREE, words)
    return (
        Verdict(True, reasons.QUORUM)
        if roles.has_quorum(obj, observed)
        else _lost(obj, observed, seen)
    )


def _lost(obj: EtcdCluster, observed: Observed, seen: Sequence[JudgedMember]) -> Verdict:
    if obj.status.cluster_id is None:
        return Verdict(False, reasons.FORMING, "the members have not formed a cluster yet")
    voters = [view for view in seen if view.is_voter]
    need = len(voters) // 2 + 1
    silent = [v.entry.name for v in voters if v.condition == "unreachable"]
    text = sentence_of(voters)
    if len(silent) >= need:
        return Verdict(
            None,
            reasons.UNREACHABLE,
            f"the operator cannot ask {', '.join(silent)}, whose probes say that they are ready; "
            f"check network policies and routes to pods: {text}",
        )
    return Verdict(False, reasons.QUORUM_LOST, _who_takes_part(obj, observed, voters))


def _who_takes_part(obj: EtcdCluster, observed: Observed, voters: Sequence[JudgedMember]) -> str:
    """What each member lacks where there is no quorum, and how to go on if that stays so."""
    part = sum(_takes_part(observed, view) for view in voters)
    need, text = len(voters) // 2 + 1, sentence_of(voters)
    if part >= need:
        return f"{part} of {len(voters)} members answer, but a majority has yet to agree: {text}"
    return (
        f"{part} of {len(voters)} members take part, and {need} are needed: {text}"
        f"{_what_is_held(obj, observed, voters)}"
    )


def _what_is_held(obj: EtcdCluster, observed: Observed, voters: Sequence[JudgedMember]) -> str:
    """What the members that answer hold, and how to go on with that; nothing moves meanwhile."""
    said = {
        v.entry.name: observed.answers[v.entry.name].status
        for v in voters
        if _takes_part(observed, v)
    }
    held = {name: one.raft_index for name, one in said.items() if one is not None}
    if not held:
        return ""
    found = ", ".join(f"{name} up to index {index}" for name, index in sorted(held.items()))
    before = _was_held(voters, held)
    return (
        f". Of the log, {found} is there{before}; of the others nothing is known. If a majority is "
        f"lost for good, {_consent(obj)} to go on with the member that holds the most, or restore a backup"
    )


def _was_held(voters: Sequence[JudgedMember], held: Mapping[str, int]) -> str:
    """What members told since the loss that are silent now."""
    silent = {v.entry.name: v.entry.log_index for v in voters if v.entry.name not in held}
    told = {name: index for name, index in sorted(silent.items()) if index is not None}
    if not told:
        return ""
    found = ", ".join(f"{name} up to index {index}" for name, index in told.items())
    waits = ""
    if max(told.values()) > max(held.values()):
        waits = (
            f" (the most, so that it is waited for, {recover.SILENCE // MINUTE} minutes at least)"
        )
    return f", and {found} was there before it fell silent{waits}"


def _consent(obj: EtcdCluster) -> str:
    """What is to be written into the spec."""
    used = obj.status.consent_used_at
    again = (
        f"set spec.recovery.allowDataLoss to '' (it was for one loss, and is void since "
        f"{used:%Y-%m-%d %H:%M:%S} UTC), and a few seconds later "
        if used is not None
        else ""
    )
    return f"{again}set spec.recovery: {{policy: FromSurvivor, allowDataLoss: {obj.status.cluster_id}}}"


def disagreement(obj: EtcdCluster, observed: Observed) -> str | None:
    """What members tell that answer with different lists; None if they agree, or none has a list."""
    by_list: dict[frozenset[tuple[str, bool]], list[str]] = {}
    for name, listed in sorted(roles.lists_by_member(obj, observed).items()):
        by_list.setdefault(roles.voting_by_id(listed), []).append(name)
    if len(by_list) < 2:
        return None
    lists = "; ".join(
        f"{', '.join(names)}: {', '.join(sorted(id_ for id_, _ in listed))}"
        for listed, names in by_list.items()
    )
    return (
        f"members answer with different lists of members, as of more than one cluster: {lists}. If "
        "that stays so, what is written to one of them the others do not know: stop the clients, and "
        "delete volume and pod of the members whose data is not to be kept; if those that stay are no "
        "majority, nobody is replaced by their word: then make an EtcdBackup, and restore it"
    )


def omission(obj: EtcdCluster, observed: Observed) -> str | None:
    """What fewer than a majority tell whose list lacks members; None if nobody's does."""
    lists = roles.lists_by_member(obj, observed)
    if not lists or roles.has_quorum(obj, observed):
        return None
    lacked = sorted({name for one in lists.values() for name in roles.lacks(obj, one)})
    return (
        f"{', '.join(sorted(lists))} answers with a list of members that lacks {', '.join(lacked)}, and "
        "no majority of the members says so, as where one was forced to be a cluster of its own: nobody "
        "is removed or replaced by that word, and nothing is recovered or restored by policy. If the "
        "others only do not answer, bring them back; to go on with what that list's members hold, make "
        "an EtcdBackup, and restore it"
    )


def sentence_of(seen: Sequence[JudgedMember]) -> str:
    """What is wrong with each of these members."""
    return "; ".join(f"{v.entry.name}: {v.entry.message}" for v in seen if v.entry.message)


def _takes_part(observed: Observed, view: JudgedMember) -> bool:
    answer = observed.answers.get(view.entry.name)
    return answer is not None and answer.status is not None and view.condition != "foreign"
