"""Which members there are: lost ones are replaced, others join, leave, or give their place to a new one.

One member at a time, whatever for, and never one less than there may be: who is to come joins first
(known to etcd, started, caught up, with a vote), and who is to go leaves once all others are healthy
(the leader moved away first, removed by ID, the remains later). etcd takes one learner at a time, and
the next one only when all voters have been connected for 5 s; pods and volumes of those whose turn
comes later are made meanwhile, and their containers wait for the list of members that etcd then
gives, see `render.startmap`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kok.api.etcd.etcdcluster import EtcdMember, EtcdOperation
from kok.etcdclient.model import ListedMember
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.clocks import is_recent
from kok.operators.etcd.etcdcluster.members import lost, placement
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.members.health import JudgedMember
from kok.operators.etcd.etcdcluster.operations.action import (
    AT_ONCE,
    REASONS,
    Action,
    AddLearner,
    MoveLeader,
    Nudge,
    Promote,
    Remove,
    State,
    at_step,
    backs_off,
    begin,
    newcomers,
    purpose,
)
from kok.operators.etcd.etcdcluster.render.startmap import cluster_key

LOST = {"lost", "removed"}
REPLACED_AT_MOST = 3
REPLACED_WITHIN = timedelta(hours=1)
"""So many members are replaced within so much time; whoever loses more has another trouble, such as
disks that fail, which new members would only carry on."""


def replace(s: Assessment) -> Action | None:
    """Begins with one lost member, if the others have a quorum without it."""
    if s.listed is None or any(
        s.member(m.name).condition in LOST and s.listing(m.name) for m in s.entries("Leaving")
    ):
        return None
    lost = [v for v in s.members if v.condition in LOST and v.entry.state in {"Member", "Joining"}]
    # One that joins is no voter, and in the way of any other that could join.
    lost.sort(key=lambda view: view.entry.state)
    return next((_replace(s, view) for view in lost if _can_go(s, view.entry.name)), None)


def _can_go(s: Assessment, name: str) -> bool:
    one = s.listing(name)
    return one is None or one.is_learner or s.survives_without(one.id)


def _replace(s: Assessment, view: JudgedMember) -> Action:
    name, why = view.entry.name, view.entry.message or "its data is lost"
    others = [m for m in s.entries("Member") if m.name != name]
    before = s.operation
    if len(others) >= s.obj.spec.members and view.entry.state == "Member":
        operation = begin(s, "Shrink", why, member=name)
    elif view.entry.state == "Joining":
        # What was to come is lost itself.
        before = before or begin(s, "Grow", f"spec.members is {s.obj.spec.members}")
        again = {"attempts": before.attempts + 1, "member": None}
        operation = before.model_copy(update=again)
    else:
        operation = begin(s, "Replace", why, replaces=name)
        if (free := _free_at(s)) is not None:
            text = (
                f"{name} is replaced at {free:%H:%M} UTC: {REPLACED_AT_MOST} members were lost within "
                f"{REPLACED_WITHIN.seconds // 60} minutes; find out what takes their data"
            )
            return Action(REASONS["Replace"], text, s.operation, after=5.0)
    return Action(
        REASONS[operation.type],
        f"{name} is given up: {why}",
        at_step(operation, "Removing"),
        states={name: "Leaving"},
        after=AT_ONCE,
    )


def _free_at(s: Assessment) -> datetime | None:
    """When the next member may be replaced; None if now."""
    recent = sorted(
        r.at for r in s.obj.status.replacements if is_recent(r.at, s.now, REPLACED_WITHIN)
    )
    return recent[-REPLACED_AT_MOST] + REPLACED_WITHIN if len(recent) >= REPLACED_AT_MOST else None


def leave(s: Assessment) -> Action | None:
    """The next step of the members that leave; those that are not healthy come first."""
    if s.listed is None:
        return None
    leaving = sorted(s.entries("Leaving"), key=lambda m: (s.is_healthy(m.name), m.name))
    if not leaving:
        return _stray(s)
    operation = s.operation or begin(s, "Shrink", "it is not wanted any more")
    if back := _wanted_again(s, leaving, operation):
        return back
    listed = [(m, one) for m in leaving if (one := s.listing(m.name)) is not None]
    gone: dict[str, State] = {m.name: "Left" for m in leaving if s.listing(m.name) is None}
    if gone:
        text = f"{', '.join(gone)} left; pod and volume are removed"
        step = at_step(operation, "Left")
        return Action(REASONS[operation.type], text, step, states=gone, after=AT_ONCE)
    return _remove(s, *listed[0], operation)


def _wanted_again(
    s: Assessment, leaving: list[EtcdMember], operation: EtcdOperation
) -> Action | None:
    """A healthy member that was to leave stays if the spec wants as many again meanwhile."""
    missing = s.obj.spec.members - len(s.entries("Member"))
    voters = [m.name for m in leaving if s.is_healthy(m.name) and s.listing(m.name) is not None]
    if operation.type != "Shrink" or missing <= 0 or not voters:
        return None
    why = f"spec.members is {s.obj.spec.members} again"
    grow = begin(s, "Grow", why, member=voters[0])
    states: dict[str, State] = {voters[0]: "Member"}
    return Action(REASONS["Grow"], f"{voters[0]} stays: {why}", grow, states=states, after=AT_ONCE)


def _remove(
    s: Assessment, member: EtcdMember, one: ListedMember, operation: EtcdOperation
) -> Action:
    name, reason = member.name, REASONS[operation.type]
    if name == s.leader:
        return _move_leader(s, name, operation)
    if not one.is_learner and not s.survives_without(one.id):
        text = f"{name} stays until enough others are healthy to go on without it"
        return Action(reason, text, at_step(operation, "Waiting"))
    at = s.in_turn(name)
    call = Remove(at, name, one.id) if at is not None else None
    text = f"{name} is removed: {operation.reason}"
    return Action(reason, text, at_step(operation, "Removing"), call=call, after=AT_ONCE)


def _move_leader(s: Assessment, name: str, operation: EtcdOperation) -> Action:
    step, at = at_step(operation, "MovingLeader"), s.address(name)
    reason = REASONS[operation.type]
    heir = s.successor([m.name for m in s.entries("Leaving")])
    if heir is None or heir.id is None or at is None:
        text = f"{name} leads and stays until another healthy member can lead"
        return Action(reason, text, step)
    text = f"{name} leaves; {heir.name} is to lead in its place"
    return Action(reason, text, step, call=MoveLeader(at, heir.name, heir.id), after=AT_ONCE)


def _stray(s: Assessment) -> Action | None:
    """A learner of ours that was given up before etcd's answer came that it had been added.

    Its name is used up, so nobody will ever start it; and no other can join beside it.
    """
    found = next((one for one in s.strangers if _was_ours(s, one)), None)
    at = s.in_turn()
    if found is None or at is None:
        return None
    text = f"learner {found.id} is removed, which no member of ours is"
    operation = s.operation or begin(s, "Shrink", "it was given up before")
    call = Remove(at, found.peer_urls[0], found.id)
    return Action(REASONS[operation.type], text, operation, call=call, after=AT_ONCE)


def _was_ours(s: Assessment, one: ListedMember) -> bool:
    numbers = range(s.obj.status.next_member)
    names = (f"{s.obj.name}-{number}" for number in numbers)
    ours = {naming.peer_url(s.obj.name, s.obj.namespace, name) for name in names}
    return one.is_learner and set(one.peer_urls) <= ours


def join(s: Assessment) -> Action | None:
    """The next step of the first member that joins."""
    joining = s.entries("Joining")
    if not joining or s.listed is None:
        return None
    operation = s.operation
    if operation is None or operation.type not in {"Grow", "Replace", "Migrate"}:
        operation = begin(s, "Grow", _wanted(s), member=joining[0].name)
    need, why = _need(s, operation)
    if need < len(joining):
        return _give_up_joining([m.name for m in joining[need:]], begin(s, "Shrink", why))
    return _advance(s, joining[0], operation)


def _need(s: Assessment, operation: EtcdOperation) -> tuple[int, str]:
    """How many members are to join, and why not more: spec or request may change half-way."""
    missing = max(0, s.obj.spec.members - len(s.entries("Member")))
    if operation.type != "Migrate" or missing:
        return missing, f"spec.members is {s.obj.spec.members} again"
    needed = operation.replaces in placement.misfits(s.obj, s.observed)
    return int(needed), f"{operation.replaces} need not move any more"


def _give_up_joining(names: list[str], operation: EtcdOperation) -> Action:
    return Action(
        REASONS[operation.type],
        f"{', '.join(names)} is given up: {operation.reason}",
        operation.model_copy(update={"member": names[-1], "step": "Removing"}),
        states=dict.fromkeys(names, "Leaving"),
        after=AT_ONCE,
    )


def _advance(s: Assessment, member: EtcdMember, operation: EtcdOperation) -> Action:
    name, why = member.name, purpose(operation)
    one = s.listing(name)
    if one is None:
        return _add(s, name, operation)
    if not one.is_learner:
        return _votes(s, name, operation)
    if s.said(name) is None or member.id is None:
        return _start(s, name, operation)
    reason = REASONS[operation.type]
    if _has_caught_up(s, name) and (at := s.helper(name)):
        call = Promote(at, name, one.id)
        step = at_step(operation, "Promoting", name)
        return Action(reason, f"{name} gets its vote, {why}", step, call=call, after=AT_ONCE)
    text = f"{name} catches up with the leader, {why}"
    return Action(reason, text, at_step(operation, "CatchingUp", name))


def _add(s: Assessment, name: str, operation: EtcdOperation) -> Action:
    url = naming.peer_url(s.obj.name, s.obj.namespace, name)
    text = f"{name} is made known to etcd, {purpose(operation)}"
    at = s.in_turn(name)
    call = AddLearner(at, name, url) if at is not None else None
    step = at_step(operation, "Adding", name)
    return Action(REASONS[operation.type], text, step, call=call, after=AT_ONCE)


def _start(s: Assessment, name: str, operation: EtcdOperation) -> Action:
    """The kubelet looks at a container that lacked its variables every ten seconds only."""
    state = s.member(name).entry.message or "starts"
    text, step = f"{name}, {purpose(operation)}: {state}", at_step(operation, "Starting", name)
    pod = s.observed.get(kinds.POD, naming.pod_name(name))
    told = (s.observed.get(kinds.CONFIGMAP, naming.start_map(s.obj.name)) or {}).get("data") or {}
    if pod is None or not lost.lacks_settings(pod) or cluster_key(name) not in told:
        return Action(REASONS[operation.type], text, step)
    call = Nudge(str(pod["metadata"]["name"]), str(pod["metadata"]["uid"]))
    after = s.observed.tuning.nudge_again_after
    return Action(REASONS[operation.type], text, step, call=call, after=after)


def _votes(s: Assessment, name: str, operation: EtcdOperation) -> Action:
    """It is a member from now on; the one after the next is prepared."""
    states: dict[str, State] = {name: "Member"}
    need = s.obj.spec.members - len(s.entries("Member")) - len(s.entries("Joining"))
    if operation.type == "Grow":
        states |= dict.fromkeys(newcomers(s, min(need, 1)), "Joining")
    done = at_step(operation, "Voting", name)
    text = f"{name} votes, {purpose(operation)}"
    return Action(REASONS[operation.type], text, done, states=states, after=AT_ONCE)


def _has_caught_up(s: Assessment, name: str) -> bool:
    """By the learner's own account, not by what the leader remembers of it."""
    said, leads = s.said(name), s.said(s.leader) if s.leader else None
    if said is None or leads is None or not said.is_learner:
        return False
    return leads.raft_index - said.applied_index <= s.observed.tuning.learner_lag


def _wanted(s: Assessment) -> str:
    return f"spec.members is {s.obj.spec.members}"


AHEAD = 2
"""Members that are made at a time: one that joins, and the next one's pod and volume."""


def scale(s: Assessment) -> Action | None:
    """Begins with one member more or less."""
    if s.listed is None or not s.formed:
        return None
    have, want = len(s.entries("Member")), s.obj.spec.members
    if have > want:
        return _shrink(s)
    return _grow(s) if have < want else None


def _grow(s: Assessment) -> Action | None:
    running = s.operation
    if running is None or running.type not in {"Grow", "Replace"}:
        running = None
    operation = running or begin(s, "Grow", f"spec.members is {s.obj.spec.members}")
    reason = REASONS[operation.type]
    if not s.all_healthy:
        text = "the next member is added when all others are healthy"
        return Action(reason, text, at_step(running, "Waiting")) if running is not None else None
    if (wait := backs_off(s, operation)) is not None:
        return wait
    missing = s.obj.spec.members - len(s.entries("Member"))
    names = newcomers(s, min(missing, AHEAD) if operation.type == "Grow" else 1)
    return Action(
        reason,
        f"{names[0]} is made, {purpose(operation)}",
        at_step(operation, "Adding", names[0]),
        states=dict.fromkeys(names, "Joining"),
        after=AT_ONCE,
    )


def _shrink(s: Assessment) -> Action | None:
    if (moved := _moved(s)) is not None:
        return moved
    victim = _victim(s)
    if victim is None:
        return None
    operation = begin(s, "Shrink", f"spec.members is {s.obj.spec.members}", member=victim.name)
    return _leaves(victim.name, operation)


def _moved(s: Assessment) -> Action | None:
    """Whose place was taken leaves, once the one that took it is healthy, and nobody else."""
    running = s.operation
    if running is None or running.type != "Migrate" or running.replaces is None:
        return None
    old = running.replaces
    if old not in {m.name for m in s.entries("Member")}:
        return None
    if not s.all_healthy:
        text = f"{old} stays until all members are healthy"
        return Action(REASONS["Migrate"], text, at_step(running, "Waiting"))
    return _leaves(old, running)


def _leaves(name: str, operation: EtcdOperation) -> Action:
    return Action(
        REASONS[operation.type],
        f"{name} is to leave: {operation.reason}",
        at_step(operation, "Removing"),
        states={name: "Leaving"},
        after=AT_ONCE,
    )


def _victim(s: Assessment) -> EtcdMember | None:
    """One that is not healthy, if the others can do without it; else one that is to be elsewhere,

    else the one with the highest number; the leader only if there is no other such. A healthy one
    leaves only healthy ones.
    """
    members = s.entries("Member")
    for member in members:
        one = s.listing(member.name)
        if not s.is_healthy(member.name) and (one is None or s.survives_without(one.id)):
            return member
    if not s.all_healthy:
        return None
    elsewhere = placement.misfits(s.obj, s.observed)
    return max(
        members,
        key=lambda m: (m.name in elsewhere, m.name != s.leader, _number(s, m)),
        default=None,
    )


def _number(s: Assessment, member: EtcdMember) -> int:
    return naming.number_of(s.obj.name, member.name) or 0


def migrate(s: Assessment) -> Action | None:
    """Begins with one member that has to move, while all are healthy."""
    found = placement.misfits(s.obj, s.observed)
    running = s.operation if s.operation is not None and s.operation.type == "Migrate" else None
    waiting = [m.name for m in s.entries("Member") if m.name in found]
    if s.listed is None or not waiting:
        return None
    if not s.all_healthy:
        if running is None:
            return None
        text = "the next member is moved when all are healthy"
        return Action(REASONS["Migrate"], text, at_step(running, "Waiting"))
    old = min(waiting, key=lambda name: (name == s.leader, naming.number_of(s.obj.name, name)))
    operation = begin(s, "Migrate", found[old], replaces=old)
    if running is not None and running.replaces == old:
        operation = running
    if (wait := backs_off(s, operation)) is not None:
        return wait
    (name,) = newcomers(s, 1)
    return Action(
        REASONS["Migrate"],
        f"{name} is made in place of {old}: {found[old]}",
        at_step(operation, "Adding", name),
        states={name: "Joining"},
        after=AT_ONCE,
    )
