"""What a pass over an EtcdCluster does and says, by its spec, its recorded status and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.operators.etcd import clusterstatus, reasons
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.etcdcluster.certificates import rotation
from kok.operators.etcd.etcdcluster.certificates.certificates import Authority
from kok.operators.etcd.etcdcluster.conditions import figures, obstacles, verdicts
from kok.operators.etcd.etcdcluster.conditions.obstacles import Adoption, Obstacle
from kok.operators.etcd.etcdcluster.members import health, placement, roles
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observe import View
from kok.operators.etcd.etcdcluster.operations import Action, recover
from kok.operators.etcd.etcdcluster.operations.run import next_action
from kok.operators.etcd.etcdcluster.restores import rescue, takeover
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass


@dataclass(frozen=True, slots=True)
class Decision:
    """All that a pass does and says but for what it finds out while it acts."""

    known: EtcdCluster
    """The object with what is known of it now: its status holds what is to be recorded."""
    learnt: bool
    """Whether some of that must not be forgotten from now on, whatever becomes of the pass."""
    lapsed: bool
    """Whether a consent to a loss of data is void, since the loss has passed by itself."""
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
    action = next_action(s) if hold is None and not still else None
    figures.see(s)
    said = verdicts.judge(s, problem, ca.problem, action)
    phase = verdicts.phase(obj.status, problem, said, action)
    if hold is not None or obj.status.restore is not None:
        phase = "Restoring"
    of_backups = _judge_backups(obj, view, p) if not still else {}
    lapsed = _note(s, said[reasons.AVAILABLE])
    wanted = rescue.judge(s, view.backups, view.restores)
    said = rescue.said(wanted, said)
    return Decision(
        known=obj,
        learnt=learnt,
        lapsed=lapsed,
        ca=ca,
        action=action,
        found=found,
        troubled=problem is not None,
        held=hold is not None,
        eligible=rescue.eligible(s, view.restores),
        rescue=wanted,
        called_off=rescue.to_be_called_off(obj, said[reasons.AVAILABLE], view.restores),
        verdicts={**said, **of_backups},
        phase=phase,
    )


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
