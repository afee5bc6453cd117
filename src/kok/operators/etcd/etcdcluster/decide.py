"""What a pass over an EtcdCluster does and says, by its spec, its recorded status and what was seen.

It also decides what has to be recorded before anything is done: what is known now, the step of a
sleep, volumes that are taken over, and the operation about members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdClusterStatus, EtcdMember
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.kube.events import Event
from kok.operators.etcd import clusterstatus, reasons
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.etcdcluster.certificates import rotation
from kok.operators.etcd.etcdcluster.certificates.certificates import Authority
from kok.operators.etcd.etcdcluster.conditions import figures, obstacles, verdicts
from kok.operators.etcd.etcdcluster.conditions.obstacles import Adoption, Obstacle
from kok.operators.etcd.etcdcluster.members import health, names, placement, roles, templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observe import View
from kok.operators.etcd.etcdcluster.operations import Action, hibernation, recover, run
from kok.operators.etcd.etcdcluster.restores import rescue, takeover
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass

LAPSED = (
    "the loss that spec.recovery.allowDataLoss was good for has passed by itself; for another one, set "
    "it to '' and give it again"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """All that a pass does and says but for what it finds out while it acts."""

    status: EtcdClusterStatus
    """What is to be recorded before anything is done; conditions and phase are as they were."""
    latched: bool
    """Whether that must be written before anything is done, whatever becomes of the pass."""
    anew: bool
    """Whether no more is done in this pass: by what was recorded, all is to be seen anew."""
    events: Sequence[Event]
    """What people are told of that."""
    ca: Authority
    action: Action | None
    found: Obstacle | Adoption | None
    """What keeps everything from being made, or what has to be recorded before anything is."""
    troubled: bool
    """Whether something is in the way that only others can change."""
    held: bool
    """A restore keeps members from being made or started."""
    eligible: Sequence[EtcdRestore]
    """Restores that may have their turn."""
    rescue: rescue.Rescue | None
    called_off: Sequence[EtcdRestore]
    """Restores of `spec.recovery.policy` that are not wanted any more."""
    verdicts: Mapping[str, Verdict | None]
    """By the type of the condition; of None there is nothing to be said."""
    phase: str

    @property
    def available(self) -> bool:
        """Whether clients can read and write."""
        said = self.verdicts[reasons.AVAILABLE]
        return said is not None and said.holds is True


def decide(p: Pass[EtcdCluster], view: View, own: EtcdSettings) -> Decision:
    """Pure: it works on a copy of the status, which the decision holds in the end."""
    obj, observed, now = _copy(p.obj, p), view.observed, p.now
    learnt = health.learn(obj, observed, roles.members_of(obj))
    learnt = placement.take_request(obj) or learnt
    recover.note_consent(obj)
    found = obstacles.judge(obj, observed, own)
    ca = rotation.authority(obj, observed, now)
    hold = takeover.hold(obj, view.restores)
    problem = found if isinstance(found, Obstacle) else hold or obstacles.names_taken(obj, observed)
    s = Assessment.of(obj, observed, now)
    still = clusterstatus.stands_still(obj.status)
    action = run.next_action(s) if hold is None and not still else None
    figures.see(s)
    said = verdicts.judge(s, problem, ca.problem, action)
    phase = verdicts.phase(obj.status, problem, said, action)
    if hold is not None or obj.status.restore is not None:
        phase = "Restoring"
    of_backups = _judge_backups(obj, view, p) if not still else {}
    lapsed = _note(s, said[reasons.AVAILABLE])
    wanted = rescue.judge(s, view.backups, view.restores)
    said = rescue.said(wanted, said)
    eligible = rescue.eligible(s, view.restores)
    called_off = rescue.to_be_called_off(obj, said[reasons.AVAILABLE], view.restores)
    events = _events(p, obj, lapsed=lapsed)
    # From here on the status holds also what is begun, and is no more what was judged by.
    begun = run.Begun()
    if not p.paused and view.unread is None and not isinstance(found, Obstacle):
        begun = _begin(obj, view, found, action, now, held=hold is not None)
    return Decision(
        status=obj.status,
        latched=learnt or begun.latched,
        anew=begun.anew,
        events=[*events, *begun.events],
        ca=ca,
        action=action,
        found=found,
        troubled=problem is not None,
        held=hold is not None,
        eligible=eligible,
        rescue=wanted,
        called_off=called_off,
        verdicts={**said, **of_backups},
        phase=phase,
    )


def _begin(
    obj: EtcdCluster,
    view: View,
    found: Adoption | None,
    action: Action | None,
    now: datetime,
    *,
    held: bool,
) -> run.Begun:
    """Puts into the status of `obj` what is done from now on.

    Not an action that makes new members: whether their names are free is asked only where it counts,
    by `act`, which records it then. Nor the members that are to form a cluster: they go with its CA.
    """
    if found is not None:
        adopt(obj, found)
        text = f"goes on with the data of etcd cluster {found.cluster_id}"
        # What is read by the names of members is read anew: by those recorded now.
        return run.Begun(anew=True, events=[Event(reasons.VOLUMES_ADOPTED, text)])
    if held:
        return run.Begun()
    turned = hibernation.turn(obj, view.observed, view.backups, now)
    if turned is not None:
        return run.Begun(latched=True, anew=True, events=[turned])
    # What was under way goes on when the members are back.
    if clusterstatus.stands_still(obj.status) or names.joining(obj, action):
        return run.Begun()
    return run.record(obj, action, now)


def adopt(obj: EtcdCluster, found: Adoption) -> None:
    """Takes retained volumes for this cluster's own; recorded before anything is made of them."""
    recorded = obj.status
    recorded.cluster_id = found.cluster_id
    recorded.members = [
        EtcdMember(name=name, id=found.member_ids[name], steady_with=templates.NEVER)
        for name in sorted(found.member_ids)
    ]
    recorded.seed = ",".join(sorted(found.member_ids))
    recorded.next_member = roles.next_number(obj)


def _events(p: Pass[EtcdCluster], obj: EtcdCluster, *, lapsed: bool) -> list[Event]:
    """What people are told of what was learnt."""
    formed = obj.status.cluster_id
    told = [Event(reasons.CONSENT_VOID, LAPSED, warning=True)] if lapsed else []
    if not p.paused and p.obj.status.cluster_id is None and formed is not None:
        told.append(Event(reasons.CLUSTER_FORMED, f"etcd cluster {formed} has formed"))
    return told


def _copy(obj: EtcdCluster, p: Pass[EtcdCluster]) -> EtcdCluster:
    return obj.model_copy(update={"status": p.status.model_copy(deep=True)})


def _judge_backups(obj: EtcdCluster, view: View, p: Pass[EtcdCluster]) -> dict[str, Verdict | None]:
    if view.unread is not None:
        return {}
    scheduled.note(obj, view.backups, p.now)
    return {reasons.BACKUPS_HEALTHY: scheduled.judge(obj, view.backups, p.now)}


def _note(s: Assessment, available: Verdict) -> bool:
    """Puts into the status of `s.obj` what this pass has seen of a quorum; whether a consent lapsed."""
    lapsed = recover.lapse(s.obj, available, s.now)
    rescue.note(s.obj, available, s.now)
    recover.note_logs(s, available)
    rescue.note_revision(s)
    return lapsed
