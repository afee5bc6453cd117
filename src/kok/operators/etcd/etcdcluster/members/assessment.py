"""What decisions about members are made of: one pass's view of an EtcdCluster, with short ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Self

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember, EtcdOperation
from kok.etcdclient.model import ListedMember, MemberStatus
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members import health, roles
from kok.operators.etcd.etcdcluster.members.health import JudgedMember
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.pods import pod_address

MEMBERSHIP = {"Grow", "Shrink", "Replace", "Migrate"}
"""Types of operations that change which members there are; one may take over from another."""


@dataclass(frozen=True)
class Assessment:
    """One EtcdCluster at one moment. Only `of` makes it.

    Whether a quorum can spare a member is judged by the list that etcd's members agree on, which
    may name members that we do not know of, and never by our own record.
    """

    obj: EtcdCluster
    observed: Observed
    now: datetime
    members: tuple[JudgedMember, ...]

    @classmethod
    def of(cls, obj: EtcdCluster, observed: Observed, now: datetime) -> Self:
        """Judges every member."""
        return cls(
            obj,
            observed,
            now,
            tuple(health.judge_members(obj, observed, roles.members_of(obj), now)),
        )

    @property
    def operation(self) -> EtcdOperation | None:
        """The operation under way, if it is about which members there are."""
        running = self.obj.status.operation
        return running if running is not None and running.type in MEMBERSHIP else None

    def doing(self, type_: str) -> EtcdOperation | None:
        """The operation under way, if it is of that type."""
        running = self.obj.status.operation
        return running if running is not None and running.type == type_ else None

    def entries(self, *states: str) -> list[EtcdMember]:
        """Entries of the status in one of these states, in order."""
        return [m for m in self.obj.status.members if m.state in states]

    @property
    def formed(self) -> bool:
        """Whether there is a cluster whose members could be changed."""
        return self.obj.status.cluster_id is not None and self.obj.status.seed is not None

    # --- what etcd says

    @cached_property
    def listed(self) -> tuple[ListedMember, ...] | None:
        """The member list that a majority of our members agrees on; None without one."""
        return roles.agreed(self.obj, self.observed)

    @property
    def finds_quorum(self) -> bool:
        """Whether any member says that it finds a quorum: enough to leave things alone."""
        return bool(roles.lists_by_member(self.obj, self.observed))

    def listing(self, name: str) -> ListedMember | None:
        """A member's entry in that list; one that never started is known by its peer URL."""
        return roles.listing(self.obj, self.listed or (), name)

    @property
    def voters(self) -> list[ListedMember]:
        """Those that count for the quorum."""
        return [one for one in self.listed or () if not one.is_learner]

    @cached_property
    def strangers(self) -> list[ListedMember]:
        """Entries of the list that belong to none of our members."""
        known = {one.id for m in self.obj.status.members if (one := self.listing(m.name))}
        return [one for one in self.listed or () if one.id not in known]

    def said(self, name: str) -> MemberStatus | None:
        """What a member says of itself, if it is of this cluster."""
        answer = self.observed.answers.get(name)
        if answer is None or answer.status is None:
            return None
        return answer.status if answer.status.cluster_id == self.obj.status.cluster_id else None

    @cached_property
    def leader(self) -> str | None:
        """Name of the member that leads by its own account; None if nobody is sure."""
        leading = [
            (said.raft_term, m.name)
            for m in self.obj.status.members
            if (said := self.said(m.name)) is not None and said.leader == said.member_id
        ]
        return max(leading)[1] if leading and self.listed is not None else None

    # --- how members are

    def member(self, name: str) -> JudgedMember:
        """One member as judged; it must be in the status."""
        return next(one for one in self.members if one.entry.name == name)

    def is_healthy(self, name: str) -> bool:
        """Whether it takes part with a vote."""
        return any(v.entry.name == name and v.condition == "healthy" for v in self.members)

    @cached_property
    def healthy_voters(self) -> set[str]:
        """IDs of voters that are healthy."""
        found = (self.listing(one.entry.name) for one in self.members if one.condition == "healthy")
        return {one.id for one in found if one is not None and not one.is_learner}

    @property
    def all_healthy(self) -> bool:
        """Whether every voter is healthy, those that we do not know of included."""
        return bool(self.voters) and {one.id for one in self.voters} == self.healthy_voters

    def survives_without(self, *gone: str) -> bool:
        """Whether the voters that are left after these IDs were removed would have a quorum."""
        left = {one.id for one in self.voters} - set(gone)
        return bool(left) and len(left & self.healthy_voters) >= len(left) // 2 + 1

    # --- whom to ask

    def address(self, name: str | None) -> str | None:
        """A member's client address, if its pod has one."""
        if name is None:
            return None
        address = pod_address(self.observed.get(kinds.POD, naming.pod_name(name)))
        return naming.pod_endpoint(address) if address else None

    def helper(self, *but: str) -> str | None:
        """Address of the member to ask for a change: the leader, or another healthy voter."""
        return next(iter(self._helpers(but)), None)

    def in_turn(self, *but: str) -> str | None:
        """Address of the member to ask for a change of the list: the leader, then each in turn.

        etcd may hold one of its peers for disconnected for good after that one was restarted,
        although it is not (etcd issue 14523); only the member that holds it so refuses changes.
        """
        helpers, running = self._helpers(but), self.operation
        each = self.observed.tuning.ask_another_after
        turn = (self.now - running.since) // each if running is not None else 0
        return helpers[turn % len(helpers)] if helpers else None

    def _helpers(self, but: Sequence[str]) -> list[str]:
        healthy = [v.entry.name for v in self.members if v.condition == "healthy"]
        first = [self.leader] if self.leader in healthy else []
        names = [n for n in dict.fromkeys((*first, *healthy)) if n not in but]
        return [at for n in names if (at := self.address(n)) is not None]

    def successor(self, leaving: Sequence[str]) -> EtcdMember | None:
        """Who should lead in place of one that leaves: a healthy voter with the most applied."""
        fit = [
            m
            for m in self.entries("Member")
            if m.name not in leaving and m.name != self.leader and self.is_healthy(m.name)
        ]
        return max(fit, key=lambda m: self._applied(m.name), default=None)

    def _applied(self, name: str) -> int:
        said = self.said(name)
        return said.applied_index if said is not None else 0
