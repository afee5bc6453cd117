"""Members that disagree on the data: the one that is wrong leaves, if it is plain.

It shows as an alarm (CORRUPT), with which etcd serves nobody, or by a member that refuses to start
since its data differs from a peer's. It is plain which member is wrong if exactly one is suspected,
and if all others, a majority, have the same hash over the same revisions, while the suspect's is
another or it refuses to start. That one is removed, the alarm is taken back, and a new member takes
its place. In every other case nobody but a person can say whose data is right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from kok.etcdclient.model import Alarm, Hash
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.members.health import DIFFERS
from kok.operators.etcd.etcdcluster.operations.action import (
    AT_ONCE,
    Action,
    Context,
    MoveLeader,
    Remove,
    at_step,
    begin,
)
from kok.operators.etcd.etcdcluster.operations.space import Disarm, raised

CORRUPT = "CORRUPT"
INCONSISTENT = "found data inconsistency with peers"
"""What etcd says when it refuses to start because of its data."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Asks members for hashes of what they have, and notes the suspect if it is wrong."""

    suspect: str
    addresses: tuple[tuple[str, str], ...]
    """Names and client addresses of all voters that answer."""
    revision: int
    """The latest revision that all of them have."""
    voters: int

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        hashes = await asyncio.gather(
            *(context.client.hash_kv(at, self.revision) for _, at in self.addresses)
        )
        found = dict(zip((name for name, _ in self.addresses), hashes, strict=True))
        if not is_wrong(self.suspect, found, self.voters):
            return
        for entry in context.obj.status.members:
            if entry.name == self.suspect:
                entry.corrupt = True
        context.p.event(reasons.MEMBER_CORRUPT, f"{self.suspect}: {DIFFERS}")


def plan(s: Assessment) -> Action | None:
    """The next step, or None if nobody but a person can help."""
    if s.listed is None:
        return None
    alarms = raised(s, CORRUPT)
    listed = {one.id for one in s.listed}
    if alarms and not any(alarm.member_id in listed for alarm in alarms):
        return _disarm(s, alarms)
    ids = {alarm.member_id for alarm in alarms}
    suspects = [m.name for m in s.entries("Member", "Leaving") if _is_suspected(s, m.name, ids)]
    if len(suspects) != 1 or len(alarms) > 1 or len(s.voters) < 3:
        return None
    if alarms and _proven(s, suspects[0]):
        return _remove(s, suspects[0])
    return None if _proven(s, suspects[0]) else _compare(s, suspects[0])


def is_wrong(suspect: str, hashes: Mapping[str, Hash], voters: int) -> bool:
    """Whether all others, a majority, agree with each other and not with the suspect.

    A suspect without a hash refuses to start because of its data. Hashes over other revisions say
    nothing.
    """
    others = [found for name, found in hashes.items() if name != suspect]
    if len(set(others)) != 1 or len(others) < voters // 2 + 1:
        return False
    own, agreed = hashes.get(suspect), others[0]
    if own is None:
        return True
    return (own.compacted, own.revision) == (agreed.compacted, agreed.revision) and own != agreed


def _is_suspected(s: Assessment, name: str, alarmed: set[str]) -> bool:
    if not alarmed:
        return _refuses(s, name)
    one = s.listing(name)
    return one is not None and one.id in alarmed


def _refuses(s: Assessment, name: str) -> bool:
    view = s.member(name)
    return view.condition == "pending" and INCONSISTENT in (view.entry.message or "")


def _compare(s: Assessment, suspect: str) -> Action | None:
    members = s.entries("Member", "Leaving")
    said = {m.name: one for m in members if (one := s.said(m.name)) is not None}
    addresses = tuple((name, at) for name in said if (at := s.address(name)) is not None)
    if len(addresses) < len(s.voters) - _refuses(s, suspect):
        return None
    revision = min(one.revision for one in said.values())
    text = f"{suspect} is said to have other data than the others; their hashes are compared"
    call = Compare(suspect, addresses, revision, len(s.voters))
    after = s.observed.tuning.compare_again_after
    return Action(reasons.CORRUPT, text, s.operation, call=call, after=after)


def _remove(s: Assessment, name: str) -> Action | None:
    one = s.listing(name)
    leads = next((s.said(m.name) for m in s.entries("Member") if s.said(m.name)), None)
    others = [m for m in s.entries("Member") if m.name != name and s.said(m.name) is not None]
    if one is None or leads is None or len(others) < len(s.voters) // 2 + 1:
        return None
    operation = at_step(begin(s, "Replace", DIFFERS, replaces=name), "Removing")
    if leads.leader == one.id:
        heir, at = others[0], s.address(name)
        if heir.id is None or at is None:
            return None
        text = f"{name} is to be removed, {DIFFERS}; {heir.name} is to lead in its place"
        call = MoveLeader(at, heir.name, heir.id)
        return Action(reasons.CORRUPT, text, operation, call=call, after=AT_ONCE)
    at = s.address(others[0].name)
    text = f"{name} is removed: {DIFFERS}"
    remove = Remove(at, name, one.id) if at is not None else None
    return Action(
        reasons.CORRUPT,
        text,
        operation,
        states={name: "Leaving"},
        call=remove,
        after=AT_ONCE,
    )


def _disarm(s: Assessment, alarms: tuple[Alarm, ...]) -> Action | None:
    at = next((s.address(m.name) for m in s.entries("Member") if s.said(m.name)), None)
    if at is None or any(int(alarm.member_id, 16) == 0 for alarm in alarms):
        return None
    text = "the member whose data was wrong has left; the alarm is taken back"
    return Action(reasons.CORRUPT, text, s.operation, call=Disarm(at, alarms), after=AT_ONCE)


def _proven(s: Assessment, name: str) -> bool:
    return any(m.name == name and m.corrupt is True for m in s.obj.status.members)
