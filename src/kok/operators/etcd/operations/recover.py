"""A majority of members is lost for good: one goes on alone, if the user allowed the loss.

What only the others held is lost by that, so nothing is done without consent for this very
cluster, and nothing while a quorum may come back by itself. Then, each step recorded first:

- `Fence`: the others are stopped, so that they cannot form a quorum of their own meanwhile. If a
  quorum returns before the last one has gone, as from a node that hung, or the consent is taken
  back, all is called off: those that were stopped already start again with their volumes.
- `Force`: the survivor starts with its data copied, and with the order to form a cluster alone.
- `Settle`: it starts once more without that order. Only a member that has no such order in its pod
  gets company again, or a restart of its container would throw the others out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kok.api.etcdcluster import EtcdMember, EtcdOperation
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd import layout, reasons, templates
from kok.operators.etcd.operations.action import AT_ONCE, Action, Context, State
from kok.operators.etcd.operations.common import at_step, begin
from kok.operators.etcd.operations.roll import Restart
from kok.operators.etcd.situation import Situation
from kok.operators.etcd.together import all_of

PATIENCE = timedelta(seconds=60)
"""How long a quorum has to be lost before it is taken for lost."""
LEFT: State = "Left"
STUCK = timedelta(seconds=30)
"""After what time a pod that is to be stopped is taken for gone: its node is, most likely."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Removes StatefulSets and pods of members; their volumes stay."""

    members: tuple[str, ...]

    async def run(self, context: Context) -> None:
        """See `Call`."""
        p, world = context.p, context.world
        jobs = []
        for name in self.members:
            owner = world.get(kinds.STATEFULSET, name)
            if owner is not None and not templates.is_going(owner):
                meta = owner["metadata"]
                jobs.append(
                    p.kube.delete(kinds.STATEFULSET, name, context.obj.namespace, uid=meta["uid"])
                )
            pod = world.get(kinds.POD, layout.pod_name(name))
            if pod is not None and (not templates.is_going(pod) or _is_stuck(pod, p.now)):
                meta, grace = pod["metadata"], 0 if templates.is_going(pod) else None
                jobs.append(
                    p.kube.delete(
                        kinds.POD,
                        meta["name"],
                        context.obj.namespace,
                        uid=meta["uid"],
                        grace=grace,
                    )
                )
        await all_of(*jobs)


@dataclass(frozen=True, slots=True)
class Tell:
    """Tells how it ended."""

    reason: str
    text: str

    async def run(self, context: Context) -> None:
        """See `Call`."""
        context.p.event(self.reason, self.text)


def plan(s: Situation) -> Action | None:
    """The next step; None if a quorum is there, or may not be recovered."""
    running = s.doing("Recover")
    if running is None or running.member is None:
        return _begin(s)
    name = running.member
    others = tuple(m.name for m in s.obj.status.members if m.name != name)
    if running.step == "Fence":
        return _fence(s, running, name, others)
    if templates.has_pod_unlike(s.world, name, templates.target(s.obj, s.world, name)):
        text = f"{name} is restarted to go on alone ({running.step})"
        return Action(reasons.RECOVERING, text, running, call=Restart(name))
    alone = s.listed is not None and len(s.listed) == 1 and s.listing(name) is not None
    if not alone or not s.is_healthy(name):
        trouble = s.view(name).entry.message or "starts"
        return Action(reasons.RECOVERING, f"{name} goes on alone: {trouble}", running)
    if running.step == "Force":
        text = f"{name} has formed a cluster of its own and starts once more without that order"
        return Action(reasons.RECOVERING, text, at_step(running, "Settle"), after=AT_ONCE)
    text = f"{name} goes on alone with what it held; new members join it"
    return Action(
        reasons.RECOVERING,
        text,
        None,
        states=dict.fromkeys(others, LEFT),
        call=Tell(reasons.QUORUM_RECOVERED, text),
        after=AT_ONCE,
    )


def survivor(s: Situation) -> EtcdMember | None:
    """The member that answers and holds the most; None if no member answers."""
    fit = [m for m in s.entries("Member") if s.said(m.name) is not None and not m.corrupt]
    return max(fit, key=lambda m: held(s, m.name), default=None)


def held(s: Situation, name: str) -> int:
    """The index in the log of raft up to which a member that answers holds all entries."""
    said = s.said(name)
    return said.raft_index if said is not None else 0


def _begin(s: Situation) -> Action | None:
    if not s.formed or s.has_quorum or not _is_allowed(s) or not _is_lost(s):
        return None
    one = survivor(s)
    if one is None or not s.world.worker_image:
        return None
    why = f"no quorum is left; {one.name} holds the log up to index {held(s, one.name)}"
    operation = at_step(begin(s, "Recover", why, member=one.name), "Fence")
    others = tuple(m.name for m in s.obj.status.members if m.name != one.name)
    text = f"{why}, and is to go on alone; the others are stopped first"
    return Action(reasons.RECOVERING, text, operation, call=Fence(others))


def _fence(
    s: Situation, running: EtcdOperation, name: str, others: tuple[str, ...]
) -> Action | None:
    if s.has_quorum or not _is_allowed(s):
        # No data was touched. To go on would make two clusters if the others run unseen.
        back = s.has_quorum
        why = "a quorum has returned by itself" if back else "the consent was taken back"
        text = f"{why}; nothing was lost"
        call = Tell(reasons.RECOVERY_CALLED_OFF, text)
        reason = reasons.QUORUM if back else reasons.RECOVERING
        return Action(reason, text, None, call=call, after=AT_ONCE)
    left = [
        other
        for other in others
        if s.world.get(kinds.STATEFULSET, other) or s.world.get(kinds.POD, layout.pod_name(other))
    ]
    if left:
        text = f"{running.reason}; {', '.join(left)} are being stopped"
        return Action(reasons.RECOVERING, text, running, call=Fence(tuple(left)))
    text = f"{running.reason}; its data is copied, then it goes on alone"
    return Action(reasons.RECOVERING, text, at_step(running, "Force", name), after=AT_ONCE)


def _is_allowed(s: Situation) -> bool:
    recovery, cluster_id = s.obj.spec.recovery, s.obj.status.cluster_id
    return recovery.policy == "FromSurvivor" and recovery.allow_data_loss == cluster_id


def _is_lost(s: Situation) -> bool:
    """Whether fewer than a majority answer, and have done so for a while."""
    before = s.obj.status.condition(reasons.AVAILABLE)
    if before is None or before.reason != reasons.QUORUM_LOST:
        return False
    members = s.entries("Member", "Leaving")
    answering = sum(s.said(m.name) is not None for m in members)
    return answering <= len(members) // 2 and s.now - before.last_transition_time >= PATIENCE


def _is_stuck(pod: Manifest, now: datetime) -> bool:
    since = pod["metadata"].get("deletionTimestamp")
    return since is not None and now - datetime.fromisoformat(str(since)) >= STUCK
