"""What several operations say and decide in the same way. Pure functions."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from kok.api.etcd.etcdcluster import EtcdOperation
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.members.clock_skew import is_recent
from kok.operators.etcd.etcdcluster.operations.action import Action
from kok.operators.etcd.etcdcluster.view import Situation

Type = Literal["Grow", "Shrink", "Replace", "Migrate", "Roll", "FreeSpace", "Defragment", "Recover"]
REASONS: dict[str, str] = {
    "Grow": reasons.GROWING,
    "Shrink": reasons.SHRINKING,
    "Replace": reasons.REPLACING,
    "Migrate": reasons.MOVING,
    "Roll": reasons.ROLLING,
    "FreeSpace": reasons.NO_SPACE,
    "Defragment": reasons.DEFRAGMENTING,
    "Recover": reasons.RECOVERING,
}
CAP = 6
"""So many times an operation is begun anew with growing delays; later once an hour."""


def begin(
    s: Situation,
    type_: Type,
    reason: str,
    *,
    member: str | None = None,
    replaces: str | None = None,
) -> EtcdOperation:
    """A new operation, as of now."""
    now = s.now.replace(microsecond=0)
    return EtcdOperation(type=type_, member=member, replaces=replaces, since=now, reason=reason)


def at_step(operation: EtcdOperation, step: str, member: str | None = None) -> EtcdOperation:
    """The same operation at another step, and with the member that it goes on with."""
    update = {"step": step, "member": member or operation.member}
    return operation.model_copy(update=update)


def newcomers(s: Situation, count: int) -> list[str]:
    """Names for so many new members."""
    return roles.fresh_names(s.obj, s.world, count)


def backs_off(s: Situation, operation: EtcdOperation) -> Action | None:
    """Waits where an operation has failed before; None if it may go on."""
    if not operation.attempts or not is_recent(operation.since, s.now, not_before(operation)):
        return None
    text = (
        f"the next member, {purpose(operation)}, is added after a while, since "
        f"{operation.attempts} before it did not come to life"
    )
    return Action(REASONS[operation.type], text, at_step(operation, "BackingOff"), after=5.0)


def not_before(operation: EtcdOperation) -> timedelta:
    """How long after its beginning an operation may be begun anew."""
    tries = operation.attempts
    if tries <= CAP:
        return timedelta(seconds=10 * (2**tries - 1))
    return timedelta(hours=tries - CAP)


def purpose(operation: EtcdOperation) -> str:
    """Why something is done, to put behind what is done."""
    if operation.replaces is not None:
        return f"in place of {operation.replaces}, {operation.reason}"
    return operation.reason
