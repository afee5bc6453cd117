"""What the operator does about members, one operation at a time.

Each step of the order below is one pure function

    plan(s: Assessment) -> Action | None

which says what to do next, or None if that is not its business now; the first that answers has
the pass (`run.next_action`). An `Action` is a value: what must be recorded first, one call that
changes etcd or a child, and what people are told. Children (volumes, start lists, StatefulSets, the
budget for disruptions) follow from what is recorded, by `members.templates` and `render`; what is
left of members that are gone is removed by `members.cleanup`.

Plans are level-based. They go by the members' states and by what etcd says, so that a spec that
flips half-way, or an operator that is killed anywhere, needs no code of its own:

    Joining   --add, start, catch up, promote-->   Member
    Member    --move the leader, remove-->         Leaving   -->   Left   -->   (no entry)

`status.operation` says what that is for, since when, and how often it was begun anew.

To add an operation type:

1. Add its name to `EtcdOperation.type` in `kok.api.etcd.status`, and its reason to `reasons`.
2. Write its plan, as a module of its own or beside those that it belongs to. It begins only when
   its turn comes, and answers as long as `s.doing("<Name>")`; whatever needs healthy members asks
   `s.all_healthy`. What must not be done twice is in `Action.operation` or `Action.states`, which are recorded
   before the call; each call can be repeated.
3. Give it its place in `ORDER`.
4. Test `plan` with the builders of tests/unit/operators/etcd, and add it to the kill points of
   tests/integration/operators/etcd.
"""

from __future__ import annotations

from collections.abc import Callable

from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.operations import (
    corrupt,
    membership,
    recover,
    roll,
    rotate,
    space,
)
from kok.operators.etcd.etcdcluster.operations.action import Action

Plan = Callable[[Assessment], Action | None]

ORDER: tuple[Plan, ...] = (
    # Here comes what takes the whole cluster.
    recover.plan,
    corrupt.plan,
    space.free,
    membership.replace,
    membership.leave,
    membership.join,
    membership.scale,
    # Before rolls: with the new settings a member might not start any more where it is.
    membership.migrate,
    roll.plan,
    # Its phases begin when nothing is left to be rolled.
    rotate.plan,
    # Here come what needs healthy members and no change of them: maintenance.
    space.defragment,
)
"""By priority: an earlier one interrupts a later one, which then goes on where it was."""

__all__ = ["ORDER", "Action", "Plan"]
