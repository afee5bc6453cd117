"""Which member may go on alone where no majority is left: the one that holds the most of the log.

One look does not tell: a member whose disk is busy, or whose container is just being restarted, may
be silent in it. So what each one told since the loss is kept in its entry of the status, and one that
told more than all that answer now is waited for. Pure functions.
"""

from __future__ import annotations

from datetime import timedelta

from kok.api.etcd.etcdcluster import EtcdMember
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.members.clock_skew import past
from kok.operators.etcd.etcdcluster.view import Situation
from kok.operators.etcd.etcdcluster.watch_window import counted
from kok.runtime.conditions import Verdict

SILENCE = timedelta(minutes=6)
"""How long a member that held more is waited for: the kubelet lets at most 5 minutes pass before it
starts a container again."""
MOST = 2**62
"""No log is longer; the API server takes no number beyond 64 bits."""


def note(s: Situation, available: Verdict) -> None:
    """Records what each member holds while no majority takes part, by what this pass says of
    `Available`; forgets it when one does.
    """
    lost = available.reason in {reasons.QUORUM_LOST, reasons.RECOVERING}
    returned = roles.has_quorum(s.obj, s.world)
    for member in s.obj.status.members:
        said = s.said(member.name)
        if returned or member.state not in {"Member", "Leaving"}:
            member.log_index = member.silent_since = None
        elif said is not None and lost:
            member.log_index, member.silent_since = min(said.raft_index, MOST), None
        elif said is None and member.log_index is not None:
            member.silent_since = past(member.silent_since, s.now) or s.now.replace(microsecond=0)


def choose(s: Situation) -> EtcdMember | None:
    """The member that answers and holds the most; None if no member answers."""
    fit = [m for m in s.entries("Member") if s.said(m.name) is not None and not m.corrupt]
    return max(fit, key=lambda m: held(s, m), default=None)


def held(s: Situation, member: EtcdMember) -> int:
    """The index in the log of raft up to which a member holds all entries, as it told last."""
    said = s.said(member.name)
    return said.raft_index if said is not None else member.log_index or 0


def awaited(s: Situation, one: EtcdMember) -> EtcdMember | None:
    """A member that told that it holds more than `one` and may yet answer again."""
    return next(
        (
            m
            for m in s.entries("Member")
            if s.said(m.name) is None
            and held(s, m) > held(s, one)
            and not m.corrupt
            and s.view(m.name).condition != "lost"
            and s.now - counted(m.silent_since or s.now, s.world, s.now) < SILENCE
        ),
        None,
    )
