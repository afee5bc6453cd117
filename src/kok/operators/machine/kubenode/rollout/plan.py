"""The planner of rollouts: what each Machine of a KubeNode is to have now. Pure.

    wishes    what each Machine is to have in the end: what the spec says, or, where that failed, was
              skipped or aborted, what it last ran well with; the others then stay as they are
    batches   which Machines may be begun at all; the canaries first
    budget    whose turn it is of these

What it comes to stands in `status.rollout` before any Machine is told, and all of it is found out
again from there and from the Machines as they are. Another software in the spec is another rollout:
nodes that are under way go on to that at once, as they are disturbed already.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from kok.api.fields import span
from kok.api.machine.rollout import RolloutNode, RolloutStatus
from kok.api.meta import Manifest
from kok.api.shares import resolved
from kok.operators.machine.kubenode.rollout import begun, fields
from kok.operators.machine.kubenode.rollout.budget import begun as may_begin
from kok.operators.machine.kubenode.rollout.budget import corrected
from kok.operators.machine.kubenode.rollout.fields import ACCESS, ROLLED, SOFTWARE
from kok.operators.machine.kubenode.rollout.order import ordered
from kok.operators.machine.kubenode.rollout.scene import (
    RolloutView,
    Scene,
    identity,
    scene_of,
    waiting_of,
    wishes_of,
)
from kok.operators.machine.kubenode.rollout.sentence import sentence
from kok.operators.machine.kubenode.rollout.states import Found

MEMBERS_MOST = 1000
_UNDER_WAY: Final = begun.IN_FLIGHT | {"Failed", "RollingBack", "Skipped"}
"""States of nodes that may not be yet what they were told to be last."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now."""

    machines: dict[str, Manifest]
    """All Machines as they may be made or changed now."""
    status: RolloutStatus | None
    """To be recorded before that."""
    waiting: tuple[str, ...] = ()
    """Machines that wait for a change."""
    after: float | None = None
    """Seconds until the next look, if nothing happens before."""


def plan(view: RolloutView) -> Plan:
    """What is to be done now."""
    scene = scene_of(view)
    record = _record(scene)
    wishes = wishes_of(scene, record)
    rolling = waiting_of(scene, wishes, ROLLED)
    if record is not None:
        record = _batched(scene, record, rolling)
    machines, turn = _turns(scene, record, wishes)
    if record is not None:
        told = {n for n in turn & rolling if not fields.differs(wishes[n], machines[n], ROLLED)}
        record = _with_begun(scene, record, told)
        record = _ended(scene, record, rolling)
        record = record.model_copy(
            update={"message": sentence(record, scene.budget, scene.view.policy, rolling)}
        )
        machines = _with_prefetch(record, machines, wishes, rolling - told)
    waiting = waiting_of(scene, wishes, ACCESS + SOFTWARE) - turn
    after = begun.wake(record, scene.machines, scene.patience, view.now) if record else None
    return Plan(machines, record or view.recorded, tuple(sorted(waiting)), after)


# --- the record


def _record(scene: Scene) -> RolloutStatus | None:
    """The rollout of what is wanted as it is by now, or None if there is none, or none yet."""
    view, before = scene.view, scene.view.recorded
    known = identity(scene.target, view.policy)
    if before is None or before.id != known:
        differ = any(found.software != scene.target for found in scene.machines.values())
        if not scene.target or not (differ or before) or (view.held and not _free(scene)):
            return None
        before = _new(scene, known)
    if before.ended_at is not None:
        return before
    judge = begun.Judge(scene.target, scene.patience, view.now)
    rows = judge.all(before, scene.machines)
    phase = before.phase
    if phase in ("RollingOut", "Paused", "RollingBack") and view.policy.abort == before.id:
        # Also where some go back by themselves: others may be on their way to what has failed there.
        phase = "Aborted"
        now = before.model_copy(update={"phase": phase, "nodes": rows})
        rows = judge.all(now, scene.machines)
    elif phase in ("RollingOut", "Paused"):
        phase = "Paused" if view.policy.paused else "RollingOut"
        if any(row.state in ("RollingBack", "RolledBack") for row in rows):
            phase = "RollingBack"
    return before.model_copy(update={"phase": phase, "nodes": rows})


def _new(scene: Scene, known: str) -> RolloutStatus:
    """Another rollout. What was told of the same by an earlier one is under way in this one.

    So is what goes back by itself to what is wanted now: that it once ran well with it says nothing.
    """
    before = scene.view.recorded
    under_way = (
        {row.machine for row in before.nodes if row.state in _UNDER_WAY} if before else set()
    )
    told = [
        name
        for name, found in sorted(scene.machines.items())
        if found.software == scene.target
        and (_unproven(found) or (name in under_way and not found.through))
    ]
    since = scene.view.now.replace(microsecond=0)
    return RolloutStatus(
        id=known,
        since=since,
        batch=int(bool(told)),
        members=told,
        nodes=[RolloutNode(machine=name, state="Changing", since=since) for name in told],
    )


def _unproven(found: Found) -> bool:
    """Whether it has never been well with what it is told to have, as far as that is known."""
    good = found.good is not None and found.good.id == found.software
    return not found.through and not good


def _free(scene: Scene) -> bool:
    """Whether anything may change although kubelets must keep their versions."""
    return bool(waiting_of(scene, wishes_of(scene, None), ROLLED))


# --- batches


def _batched(scene: Scene, record: RolloutStatus, rolling: frozenset[str]) -> RolloutStatus:
    """With the next batch, if the one before is through and it is time."""
    view = scene.view
    members = [name for name in record.members if name in scene.machines]
    record = record.model_copy(update={"members": members})
    if record.phase == "Done" and rolling:
        phase = "Paused" if view.policy.paused else "RollingOut"
        record = record.model_copy(update={"phase": phase, "ended_at": None})
    if record.phase != "RollingOut" or not rolling or not _settled(record, rolling):
        return record
    if record.batch and record.batch_ended is None:
        record = record.model_copy(update={"batch_ended": view.now.replace(microsecond=0)})
    ended = record.batch_ended
    if ended is not None and view.now - ended < span(view.policy.pause):
        return record
    first = not record.batch
    chosen, rest = _chosen(scene, record, rolling, first=first)
    size = _size(scene, first=False)
    return record.model_copy(
        update={
            "batch": record.batch + 1,
            "members": chosen,
            "next": rest[:size],
            "batch_ended": None,
        }
    )


def _settled(record: RolloutStatus, rolling: frozenset[str]) -> bool:
    """Whether all nodes of the batch are through, or were skipped."""
    open_ = {row.machine for row in record.nodes if row.state != "Skipped"}
    return not any(name in rolling or name in open_ for name in record.members)


def _chosen(
    scene: Scene, record: RolloutStatus, rolling: frozenset[str], *, first: bool
) -> tuple[list[str], list[str]]:
    """The members of the next batch, and those that are left, in order."""
    disturbed = sorted(_in_flight(scene) & rolling)
    if disturbed:
        # Of an earlier rollout: they go on to what is wanted now before others are begun.
        waiting = rolling - set(disturbed)
        return disturbed, ordered(waiting, scene.view.loads, scene.budget.out)
    order = ordered(rolling, scene.view.loads, scene.budget.out)
    # What was told to be next has fetched what it needs.
    promised = [name for name in record.next if name in rolling]
    order = [*promised, *(name for name in order if name not in promised)]
    size = _size(scene, first=first)
    return order[:size], order[size:]


def _size(scene: Scene, *, first: bool) -> int:
    policy = scene.view.policy
    if first and policy.canary:
        return policy.canary
    if policy.batch is None:
        return scene.budget.limit
    return min(MEMBERS_MOST, resolved(policy.batch, len(scene.machines)))


# --- turns


def _turns(
    scene: Scene, record: RolloutStatus | None, wishes: Mapping[str, Manifest]
) -> tuple[dict[str, Manifest], frozenset[str]]:
    """The Machines as they may be now, and those of them that are disturbed by that.

    A new address or CA is a stage of its own, and comes first.
    """
    view, now = scene.view, dict[str, Manifest]()
    for name, wish in wishes.items():
        found = scene.machines.get(name)
        now[name] = wish if found is None else fields.without(wish, found.live, ACCESS + SOFTWARE)
    for what in (ACCESS, SOFTWARE):
        waiting = waiting_of(scene, wishes, what)
        if not waiting:
            continue
        turn = _in_turn(scene, record, wishes, waiting, certain=what == SOFTWARE)
        rest = SOFTWARE if what == ACCESS else ()
        now.update({name: fields.without(wishes[name], view.lives[name], rest) for name in turn})
        return now, turn
    return now, frozenset()


def _in_turn(
    scene: Scene,
    record: RolloutStatus | None,
    wishes: Mapping[str, Manifest],
    waiting: frozenset[str],
    *,
    certain: bool,
) -> frozenset[str]:
    if not certain:
        order = sorted(waiting)
        return frozenset(
            [
                *corrected(scene.budget, waiting, waiting),
                *may_begin(scene.budget, order, certain=False),
            ]
        )
    rolling = waiting_of(scene, wishes, ROLLED)
    allowed = _allowed(scene, record, waiting, rolling)
    again = corrected(scene.budget, waiting, allowed)
    members = list(record.members) if record is not None else []
    order = [name for name in members if name in allowed]
    order += sorted(name for name in allowed if name not in members)
    return frozenset([*again, *may_begin(scene.budget, order, certain=True)])


def _allowed(
    scene: Scene, record: RolloutStatus | None, waiting: frozenset[str], rolling: frozenset[str]
) -> frozenset[str]:
    """Which Machines may be changed at all, if the budget allows it."""
    others = waiting - rolling
    if record is None:
        return waiting
    back = {row.machine for row in record.nodes if row.state in ("RollingBack", "Skipped")}
    if record.phase != "RollingOut":
        return (rolling & back) | others
    mine = rolling & (set(record.members) | back)
    if mine and not scene.budget.busy:
        # They use up the budget, and cost nothing.
        mine |= rolling & scene.budget.down
    return mine | (rolling & _in_flight(scene)) | others


def _in_flight(scene: Scene) -> frozenset[str]:
    """Machines that an earlier rollout has begun to change, and that are not through."""
    return frozenset(
        name
        for name, found in scene.machines.items()
        if name in scene.budget.busy and (found.between or _unproven(found))
    )


def _with_begun(scene: Scene, record: RolloutStatus, turn: Collection[str]) -> RolloutStatus:
    """With those that are told now. Who goes back has a place already."""
    now = scene.view.now.replace(microsecond=0)
    back = {r.machine for r in record.nodes if r.state in begun.GOES_BACK}
    new = sorted(set(turn) - back)
    rows = [row for row in record.nodes if row.machine not in new]
    rows += [RolloutNode(machine=name, state="Changing", since=now) for name in new]
    members = [*record.members, *(name for name in new if name not in record.members)]
    return record.model_copy(
        update={"nodes": sorted(rows, key=lambda row: row.machine), "members": members}
    )


def _ended(scene: Scene, record: RolloutStatus, rolling: frozenset[str]) -> RolloutStatus:
    """With how far it is, and its end if it has come to that."""
    states_ = {row.machine: row.state for row in record.nodes}
    updated = [
        name
        for name, found in scene.machines.items()
        if found.software == scene.target and name not in states_
    ]
    counted = {"total": len(scene.machines), "updated": len(updated)}
    record = record.model_copy(update=counted)
    under_way = begun.IN_FLIGHT | {"RollingBack"}
    if record.ended_at is not None or any(s in under_way for s in states_.values()):
        return record
    phase = record.phase
    left = rolling or "Failed" in states_.values()
    # What is held for the moment is not done.
    left = left or (scene.view.held and len(updated) < len(scene.machines) - len(states_))
    if phase == "RollingBack":
        phase = "RolledBack"
    elif phase in ("RollingOut", "Paused") and not left:
        phase = "Done"
    if phase not in ("RolledBack", "Aborted", "Done"):
        return record
    now = scene.view.now.replace(microsecond=0)
    end: dict[str, object] = {"phase": phase, "ended_at": now, "next": []}
    return record.model_copy(update=end)


def _with_prefetch(
    record: RolloutStatus,
    machines: dict[str, Manifest],
    wishes: Mapping[str, Manifest],
    rolling: frozenset[str],
) -> dict[str, Manifest]:
    """With what those that come next are to fetch. An annotation, since it changes nothing else."""
    if record.phase not in ("RollingOut", "Paused"):
        return machines
    soon = {*record.members, *record.next} & rolling
    made = {name: fields.prefetching(machines[name], wishes[name]) for name in sorted(soon)}
    return {**machines, **made}
