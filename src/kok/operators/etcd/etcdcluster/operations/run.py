"""The next action about the members: which it is, its record, and its call.

One action a pass, by the order of `operations.ORDER`. What an action needs to be remembered is
written into the status before it is done; then children follow, then the call to etcd. A pass
may be cut off behind any of these: the next one finds in the status what was begun and in etcd
what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember, EtcdOperation, EtcdReplacement
from kok.etcdclient.model import EtcdError, Trouble
from kok.kube.events import Event
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.answers import connect
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations import ORDER, Action, recover, roll
from kok.operators.etcd.etcdcluster.operations.action import REASONS, Context
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.runtime.operations.action import first, patient, transition

REMEMBERED = 5
_PASSING = {Trouble.UNHEALTHY, Trouble.NOT_IN_SYNC, Trouble.NOT_LEADER, Trouble.NO_QUORUM}
"""Troubles that pass by themselves within seconds; etcd wants members to be connected for 5 s."""


def next_action(s: Assessment) -> Action | None:
    """What to do now; None if there is nothing to be done, or nothing that could be. Pure."""
    if not s.formed:
        # What never formed may have been asked for wrongly.
        return roll.plan(s)
    found = first(ORDER, s)
    running = s.obj.status.operation
    if found is None and running is not None and s.listed is None:
        text = (
            f"{running.type} goes on when a majority of members answers and agrees on who they are"
        )
        return Action(REASONS[running.type], text, running, after=1.0)
    return found


@dataclass(frozen=True, slots=True)
class Begun:
    """What it means for a pass that something was put into the status that is done from now on."""

    latched: bool = False
    """Whether it must be written before anything is done."""
    anew: bool = False
    """Whether no more is done in this pass: by what was recorded, all is to be seen anew."""
    events: Sequence[Event] = ()
    """What people are told of it."""


def record(obj: EtcdCluster, action: Action | None, now: datetime) -> Begun:
    """Puts into the status of `obj` what the action needs there. Pure."""
    status, before = obj.status, obj.status.operation
    operation = action.operation if action is not None else None
    status.operation = operation
    _remember(obj, before, operation)
    recover.use_consent(obj, before, operation, now)
    events = [Event(*told) for told in transition(before, operation)]
    if action is None:
        return Begun(events=events)
    known = {member.name: member for member in status.members}
    for name, state in action.states.items():
        if name not in known:
            status.members.append(EtcdMember(name=name, state=state))
            number = naming.number_of(obj.name, name)
            status.next_member = max(status.next_member, (number or 0) + 1)
        else:
            known[name].state = state
    return Begun(before != operation or bool(action.states), events=events)


async def carry_out(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, action: Action, outcome: Outcome
) -> float:
    """Makes the action's call; returns the seconds until the next look. Raises `KubeError`.

    That etcd refused it goes into `outcome`.
    """
    tuning = observed.tuning
    if action.call is None:
        return patient(action.operation, action.after, p.now, tuning.look_at_long)
    try:
        async with connect(obj, observed) as client:
            await action.call.run(Context(p, obj, observed, client))
    except EtcdError as error:
        passing = error.trouble in _PASSING
        log = p.log.debug if passing else p.log.info
        log("etcd refused", call=type(action.call).__name__, why=error.message)
        outcome.refused = _refused(action, error)
        after = tuning.look_soon if passing else tuning.call_again_after
        return patient(action.operation, after, p.now, tuning.look_at_long)
    return action.after


def _refused(action: Action, error: EtcdError) -> Verdict:
    text = f"{action.message}; etcd {error.message}"
    if error.trouble is Trouble.UNHEALTHY:
        text = f"{action.message}, once all members have been connected for 5 s"
    return Verdict(False, action.reason, text)


def _remember(obj: EtcdCluster, before: EtcdOperation | None, after: EtcdOperation | None) -> None:
    """Keeps the latest lost members, by which further losses are judged."""
    if after is None or after.type != "Replace" or after.replaces is None:
        return
    if before is None or before.replaces != after.replaces:
        lost = EtcdReplacement(member=after.replaces, at=after.since, reason=after.reason)
        obj.status.replacements = [*obj.status.replacements, lost][-REMEMBERED:]
