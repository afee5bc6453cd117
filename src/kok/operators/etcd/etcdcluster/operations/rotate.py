"""The CA gives way to another one in three phases; what each one changes reaches members by rolls.

See `kok.pki.rotation` for the phases and `certificates.rotation` for their Secrets. This is no
operation of its own: between the rolls there may be a long wait for API servers, and nothing else has
to wait for that.
"""

from __future__ import annotations

from dataclasses import dataclass

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.certificates import rotation, trust
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.operations import roll
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action, Context
from kok.pki.rotation import Announce, Enter, Phase, Rotation, Step, next_step
from kok.runtime.conditions import Verdict

_WHAT: dict[Phase, str] = {
    "Trust": "members and clients are to trust the next CA as well",
    "Reissue": "certificates are issued by the next CA",
    "Drop": "the earlier CA is not trusted any more",
    "Done": "the next CA has taken the place of the earlier one",
}
LIMIT = 256
"""Characters of a request that are looked at."""


@dataclass(frozen=True, slots=True)
class Advance:
    """Records a step; what it means for Secrets and members follows from that.

    It goes by the status as it is then: whoever acted before may have recorded another CA.
    """

    step: Step

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        status, p = context.obj.status, context.p
        begins = self.step == Enter("Trust")
        request = requested(context.obj) if begins else None
        after = self.step.of(trust.recorded(status))
        trust.record(status, after, p.now, request=request)
        if isinstance(self.step, Enter):
            phase = self.step.phase
            p.event(reasons.CA_ROTATION, f"phase {phase}: {_WHAT[phase]}")
        await p.latch()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of members and API servers; see `kok.pki.rotation.Facts`."""

    s: Assessment

    @property
    def wanted(self) -> bool:
        """By an annotation."""
        return bool(requested(self.s.obj))

    @property
    def in_place(self) -> bool:
        """In the Secrets of CAs and certificates."""
        return rotation.is_in_place(self.s.obj, self.s.observed, self.s.now)

    @property
    def settled(self) -> bool:
        """The members."""
        return _unsettled(self.s) is None

    @property
    def confirmed(self) -> bool:
        """The API servers."""
        return awaited(self.s.obj) is None


def plan(s: Assessment) -> Action | None:
    """The next step of a rotation; None where there is none, or where it waits."""
    known = trust.recorded(s.obj.status)
    step = next_step(known, _Seen(s))
    if step is None:
        return None
    text = _told(known, step)
    return Action(reasons.CA_ROTATING, text, None, call=Advance(step), after=AT_ONCE)


def _told(known: Rotation, step: Step) -> str:
    if isinstance(step, Announce):
        return f"{_heading(known.phase)}: all certificates are in place"
    if step.phase == "Trust":
        return "the CA is to be rotated"
    return f"the CA is rotated: {_WHAT[step.phase]}"


def verdict(s: Assessment) -> Verdict | None:
    """What is to be told of a rotation that is wanted or under way; None at rest."""
    under_way, request = trust.under_way(s.obj.status), requested(s.obj)
    waiting = f"; {naming.ANNOTATION_ROTATE_CA}={request} is taken up after it" if request else ""
    if under_way is not None:
        what = _unsettled(s) or awaited(s.obj) or "goes on"
        if not trust.recorded(s.obj.status).is_announced:
            what = "certificates are being made"
        text = f"{_heading(under_way.phase)}: {what}{waiting}"
        return Verdict(False, reasons.CA_ROTATING, text)
    if request:
        what = _unsettled(s) or "begins"
        text = f"a rotation of the CA ({naming.ANNOTATION_ROTATE_CA}={request}): {what}"
        return Verdict(False, reasons.CA_ROTATING, text)
    return None


def requested(obj: EtcdCluster) -> str:
    """What the annotation asks for and was not taken up yet; empty if nothing."""
    wanted = obj.metadata.annotations.get(naming.ANNOTATION_ROTATE_CA, "").strip()[:LIMIT]
    known = obj.status.ca_rotation
    return "" if known is not None and known.request == wanted else wanted


def awaited(obj: EtcdCluster) -> str | None:
    """Which API servers have yet to be restarted; None if there are none.

    An EtcdCluster that no Cluster owns knows of nobody whom it could wait for.
    """
    known = obj.status.ca_rotation
    owner = next(
        (o for o in obj.metadata.owner_references if o.controller and o.kind == "Cluster"), None
    )
    if known is None or owner is None:
        return None
    if obj.metadata.annotations.get(names.ANNOTATION_CA_TRUSTED) == known.clients:
        return None
    return (
        f"waits for the API servers of Cluster {obj.namespace}/{owner.name} to be restarted, which "
        f"the cluster operator confirms by {names.ANNOTATION_CA_TRUSTED}={known.clients}"
    )


def _unsettled(s: Assessment) -> str | None:
    """Why the members are not ready for another phase."""
    status = s.obj.status
    if not s.formed or s.listed is None:
        return "waits for a quorum of members"
    if status.restore is not None:
        return f"waits for EtcdRestore {status.restore.name}"
    if status.operation is not None:
        return f"waits for the operation {status.operation.type} to end"
    problems = roll.unhealthy(s)
    if problems or not s.all_healthy or len(s.entries("Member")) != len(status.members):
        return f"waits for {'; '.join(problems) or 'all members to be healthy'}"
    stale = ", ".join(m.name for m in roll.pending(s))
    return f"waits for {stale} to be restarted" if stale else None


def _heading(phase: Phase | None) -> str:
    return f"the CA is rotated, phase {phase}"
