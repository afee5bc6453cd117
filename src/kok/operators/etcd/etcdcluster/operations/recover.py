"""A majority of members is lost for good: one goes on alone, if the user allowed the loss.

What only the others held is lost by that, so nothing is done without consent for this very
cluster, and nothing while a quorum may come back by itself. Then, each step recorded first:

- `Fence`: the others are stopped, so that they cannot form a quorum of their own meanwhile. If a
  quorum returns before the last one has gone, as from a node that hung, or the consent is taken
  back, all is called off: those that were stopped already start again with their volumes. If one
  answers that holds more, it takes the survivor's place.
- `Force`: the survivor starts with its data copied, and with the order to form a cluster alone.
- `Settle`: it starts once more without that order. Only a member that has no such order in its pod
  gets company again, or a restart of its container would throw the others out.

The one that holds the most of the log goes on. One look does not tell which that is: a member whose
disk is busy, or whose container is just being restarted, may be silent in it. So what each one told
since the loss is kept in its entry of the status, and one that told more than all that answer now is
waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember, EtcdOperation
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.concurrency import all_of
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.clocks import past
from kok.operators.etcd.etcdcluster.members import roles, templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.observed.watches import counted
from kok.operators.etcd.etcdcluster.operations.action import (
    AT_ONCE,
    Action,
    Context,
    State,
    at_step,
    begin,
)
from kok.operators.etcd.etcdcluster.operations.roll import Restart
from kok.runtime.conditions import Verdict

LEFT: State = "Left"


@dataclass(frozen=True, slots=True)
class Fence:
    """Removes StatefulSets and pods of members; their volumes stay."""

    members: tuple[str, ...]

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        p, observed = context.p, context.observed
        jobs = []
        for name in self.members:
            owner = observed.get(kinds.STATEFULSET, name)
            if owner is not None and not templates.is_going(owner):
                meta = owner["metadata"]
                jobs.append(
                    p.kube.delete(kinds.STATEFULSET, name, context.obj.namespace, uid=meta["uid"])
                )
            pod = observed.get(kinds.POD, naming.pod_name(name))
            if pod is not None and (not templates.is_going(pod) or _is_stuck(pod, observed, p.now)):
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
        await all_of(jobs)


@dataclass(frozen=True, slots=True)
class Tell:
    """Tells how it ended."""

    reason: str
    text: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        context.p.event(self.reason, self.text)


def plan(s: Assessment) -> Action | None:
    """The next step; None if a quorum is there, or may not be recovered."""
    running = s.doing("Recover")
    if running is None or running.member is None:
        return _begin(s)
    name = running.member
    others = tuple(m.name for m in s.obj.status.members if m.name != name)
    if running.step == "Fence":
        return _fence(s, running, name, others)
    if templates.has_pod_unlike(s.observed, name, templates.target(s.obj, s.observed, name)):
        text = f"{name} is restarted to go on alone ({running.step})"
        return Action(reasons.RECOVERING, text, running, call=Restart(name))
    alone = s.listed is not None and len(s.listed) == 1 and s.listing(name) is not None
    if not alone or not s.is_healthy(name):
        trouble = s.member(name).entry.message or "starts"
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


def _begin(s: Assessment) -> Action | None:
    if not s.formed or s.finds_quorum or not is_allowed(s.obj) or not _is_lost(s):
        return None
    one = choose(s)
    if one is None or not s.observed.worker_image or awaited(s, one) is not None:
        return None
    return _chosen(s, begin(s, "Recover", "", member=one.name), one)


def _chosen(s: Assessment, operation: EtcdOperation, one: EtcdMember) -> Action:
    """All others are to be stopped."""
    why = f"no quorum is left; {one.name} holds the log up to index {held(s, one)}"
    update = {"member": one.name, "step": "Fence", "reason": why}
    others = tuple(m.name for m in s.obj.status.members if m.name != one.name)
    text = f"{why}, and is to go on alone; the others are stopped first"
    return Action(reasons.RECOVERING, text, operation.model_copy(update=update), call=Fence(others))


def _fence(
    s: Assessment, running: EtcdOperation, name: str, others: tuple[str, ...]
) -> Action | None:
    if s.finds_quorum or not is_allowed(s.obj):
        # No data was touched. To go on would make two clusters if the others run unseen.
        back = s.finds_quorum
        why = "a quorum has returned by itself" if back else "the consent was taken back"
        text = f"{why}; nothing was lost"
        call = Tell(reasons.RECOVERY_CALLED_OFF, text)
        reason = reasons.QUORUM if back else reasons.RECOVERING
        return Action(reason, text, None, call=call, after=AT_ONCE)
    better = choose(s)
    if better is not None and held(s, better) > held(s, s.member(name).entry):
        # It was silent when the choice was made. Nobody's data was touched yet.
        return _chosen(s, running, better)
    left = [
        other
        for other in others
        if s.observed.get(kinds.STATEFULSET, other)
        or s.observed.get(kinds.POD, naming.pod_name(other))
    ]
    if left:
        text = f"{running.reason}; {', '.join(left)} are being stopped"
        return Action(reasons.RECOVERING, text, running, call=Fence(tuple(left)))
    text = f"{running.reason}; its data is copied, then it goes on alone"
    return Action(reasons.RECOVERING, text, at_step(running, "Force", name), after=AT_ONCE)


def is_allowed(obj: EtcdCluster) -> bool:
    """Whether there is consent for this very cluster that was not used yet."""
    return _is_given(obj) and obj.status.consent_used_at is None


def note_consent(obj: EtcdCluster) -> None:
    """A consent that was used and then taken back may be given anew."""
    if not _is_given(obj):
        obj.status.consent_used_at = None


def is_past_fence(operation: EtcdOperation | None) -> bool:
    """Whether the survivor may have formed a cluster of its own, which no other may meet."""
    return operation is not None and operation.type == "Recover" and operation.step != "Fence"


def use_consent(
    obj: EtcdCluster,
    before: EtcdOperation | None,
    after: EtcdOperation | None,
    now: datetime,
) -> None:
    """One consent is for one loss: it is void from the moment that data may be lost by it."""
    if is_past_fence(after) and not is_past_fence(before) and _is_given(obj):
        obj.status.consent_used_at = now.replace(microsecond=0)


def lapse(obj: EtcdCluster, available: Verdict, now: datetime) -> bool:
    """Makes a consent void whose loss has passed by itself, by what this pass says of `Available`;
    whether it is void by that. To be called before it is forgotten since when there was no quorum.

    Where the loss only is not seen any more, as in hibernation, the next one is another one as well.
    """
    if not is_allowed(obj):
        return False
    status, running = obj.status, obj.status.operation
    if running is not None and running.type == "Recover":
        over = available.holds is True
    else:
        lost = {reasons.QUORUM_LOST, reasons.RECOVERING}
        over = status.quorum_lost_at is not None and available.reason not in lost
    if over:
        status.consent_used_at = now.replace(microsecond=0)
    return over


def _is_given(obj: EtcdCluster) -> bool:
    recovery, cluster_id = obj.spec.recovery, obj.status.cluster_id
    return recovery.policy == "FromSurvivor" and recovery.allow_data_loss == cluster_id


def _is_lost(s: Assessment) -> bool:
    """Whether fewer than a majority answer, and have been seen to do so for a while."""
    lost = s.obj.status.quorum_lost_at
    if lost is None:
        return False
    members = s.entries("Member", "Leaving")
    answering = sum(s.said(m.name) is not None for m in members)
    patient = s.now - counted(lost, s.observed, s.now) >= s.observed.tuning.recover_after
    return answering <= len(members) // 2 and patient


def _is_stuck(pod: Manifest, observed: Observed, now: datetime) -> bool:
    """Whether a pod that is to be stopped is taken for gone: its node is, most likely."""
    since = pod["metadata"].get("deletionTimestamp")
    longest = observed.tuning.pod_stuck_after
    return since is not None and now - datetime.fromisoformat(str(since)) >= longest


SILENCE = timedelta(minutes=6)
"""How long a member that held more is waited for: the kubelet lets at most 5 minutes pass before it
starts a container again."""
MOST = 2**62
"""No log is longer; the API server takes no number beyond 64 bits."""


def note_logs(s: Assessment, available: Verdict) -> None:
    """Records what each member holds while no majority takes part, by what this pass says of
    `Available`; forgets it when one does.
    """
    lost = available.reason in {reasons.QUORUM_LOST, reasons.RECOVERING}
    returned = roles.has_quorum(s.obj, s.observed)
    for member in s.obj.status.members:
        said = s.said(member.name)
        if returned or member.state not in {"Member", "Leaving"}:
            member.log_index = member.silent_since = None
        elif said is not None and lost:
            member.log_index, member.silent_since = min(said.raft_index, MOST), None
        elif said is None and member.log_index is not None:
            member.silent_since = past(member.silent_since, s.now) or s.now.replace(microsecond=0)


def choose(s: Assessment) -> EtcdMember | None:
    """The member that answers and holds the most; None if no member answers."""
    fit = [m for m in s.entries("Member") if s.said(m.name) is not None and not m.corrupt]
    return max(fit, key=lambda m: held(s, m), default=None)


def held(s: Assessment, member: EtcdMember) -> int:
    """The index in the log of raft up to which a member holds all entries, as it told last."""
    said = s.said(member.name)
    return said.raft_index if said is not None else member.log_index or 0


def awaited(s: Assessment, one: EtcdMember) -> EtcdMember | None:
    """A member that told that it holds more than `one` and may yet answer again."""
    return next(
        (
            m
            for m in s.entries("Member")
            if s.said(m.name) is None
            and held(s, m) > held(s, one)
            and not m.corrupt
            and s.member(m.name).condition != "lost"
            and s.now - counted(m.silent_since or s.now, s.observed, s.now) < SILENCE
        ),
        None,
    )
