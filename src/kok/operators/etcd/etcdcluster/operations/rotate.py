"""The CA gives way to another one in three phases; what each one changes reaches members by rolls.

See `certificates.rotation`. This is no operation of its own: between the rolls there may be
a long wait for API servers, and nothing else has to wait for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.status import EtcdCARotation
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.certificates import rotation, trust
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.operations import roll
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action, Context
from kok.runtime.conditions import Verdict

Phase = Literal["Trust", "Reissue", "Drop", "Done"]
_AFTER: dict[Phase, Phase] = {"Trust": "Reissue", "Reissue": "Drop", "Drop": "Done"}
_WHAT: dict[Phase, str] = {
    "Trust": "members and clients are to trust the next CA as well",
    "Reissue": "certificates are issued by the next CA",
    "Drop": "the earlier CA is not trusted any more",
    "Done": "the next CA has taken the place of the earlier one",
}
LIMIT = 256
"""Characters of a request that are looked at."""


@dataclass(frozen=True, slots=True)
class Enter:
    """Records a phase; what it means for Secrets and members follows from that."""

    phase: Phase

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        status, p = context.obj.status, context.p
        now, before = p.now.replace(microsecond=0), status.ca_rotation
        if self.phase == "Trust" or before is None:
            status.ca_rotation = EtcdCARotation(
                request=requested(context.obj),
                phase="Trust",
                since=now,
                previous=status.ca_fingerprint,
                clients=before.clients if before is not None else "",
            )
        else:
            before.phase, before.since = self.phase, now
        if self.phase == "Drop" and before is not None:
            status.ca_fingerprint = before.next
        p.event(reasons.CA_ROTATION, f"phase {self.phase}: {_WHAT[self.phase]}")
        await p.latch()


@dataclass(frozen=True, slots=True)
class Announce:
    """Tells everybody that the Secrets have changed: who reads them only once is to restart."""

    clients: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        if context.obj.status.ca_rotation is not None:
            context.obj.status.ca_rotation.clients = self.clients
            await context.p.latch()


def plan(s: Assessment) -> Action | None:
    """The next step of a rotation; None where there is none, or where it waits."""
    known = s.obj.status.ca_rotation
    if not _is_announced(s):
        if known is None or not rotation.is_in_place(s.obj, s.observed, s.now):
            return None
        return _act(
            f"{_heading(known)}: all certificates are in place", Announce(trust.token(known))
        )
    under_way = trust.under_way(s.obj.status)
    if under_way is None:
        if not requested(s.obj) or _unsettled(s):
            return None
        return _act("the CA is to be rotated", Enter("Trust"))
    if _unsettled(s) or awaited(s.obj) or not rotation.is_in_place(s.obj, s.observed, s.now):
        return None
    following = _AFTER[under_way.phase]
    return _act(f"the CA is rotated: {_WHAT[following]}", Enter(following))


def verdict(s: Assessment) -> Verdict | None:
    """What is to be told of a rotation that is wanted or under way; None at rest."""
    under_way, request = trust.under_way(s.obj.status), requested(s.obj)
    waiting = f"; {naming.ANNOTATION_ROTATE_CA}={request} is taken up after it" if request else ""
    if under_way is not None:
        what = _unsettled(s) or awaited(s.obj) or "goes on"
        if not _is_announced(s):
            what = "certificates are being made"
        text = f"{_heading(under_way)}: {what}{waiting}"
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


def _is_announced(s: Assessment) -> bool:
    known = s.obj.status.ca_rotation
    return known is None or (known.next is not None and known.clients == trust.token(known))


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


def _heading(known: EtcdCARotation) -> str:
    return f"the CA is rotated, phase {known.phase}"


def _act(text: str, call: Enter | Announce) -> Action:
    return Action(reasons.CA_ROTATING, text, None, call=call, after=AT_ONCE)
