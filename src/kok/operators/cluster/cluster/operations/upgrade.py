"""How a Cluster goes from one version of Kubernetes to another. Pure.

    Preflight    what speaks against it is looked for; errors keep it from being begun
    Backup       a backup of etcd that was proven, where there is a store
    Etcd         etcd is upgraded, where the version needs that or the spec says so
    AddonsBefore addons that go before the control plane are rendered for the new version
    APIServer    API servers go to the new version, all of them
    Controllers  the others follow: none of them may be newer than any API server that it talks to
    Addons       all other addons are rendered for the new version, and are as healthy as before
    Nodes        waited for only where the next minor would leave nodes behind that are too old

The step is recorded before anything is done for it. Until `APIServer` every component stays at the
version that it has; what a version may still be taken back to, `may_back_out` tells. A version more
than one minor away is reached by going through all of that for each minor; where the spec does not want
that, such a version is not begun with, however it got there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.upgrade import LastUpgrade, Step, UpgradeStatus
from kok.api.fields import span
from kok.api.names import ANNOTATION_UPGRADE_RETRY
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.operations.upgrade_gates import (
    ADDONS_BEFORE,
    BACKED_OUT,
    BACKUP,
    ETCD,
    GATES,
    NODES,
    PREFLIGHT,
    SERVERS,
    STEPS,
    Inputs,
    Waiting,
    next_hop,
)
from kok.operators.cluster.cluster.spec.target import (
    is_above,
    number,
    raise_that_counts,
    wanted_version,
)
from kok.operators.cluster.naming import API_SERVER, COMPONENTS
from kok.runtime.controller.reasons import PAUSED


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What upgrading asks of a pass; all at rest for a Cluster that is where it should be."""

    status: UpgradeStatus | None = None
    """To be recorded; None: nothing is under way."""
    released: str = ""
    """The version that components may have; empty: each stays at what it has."""
    ended: LastUpgrade | None = None
    """What is to be told of one that is through with this pass."""
    lowest: str | None = None
    """What `spec.version` may not go below, by the minor."""
    stuck: bool = False
    """Whether there was no progress for too long."""
    refused: str | None = None
    """Why the version that is wanted cannot be gone to, as a sentence."""

    @property
    def holds(self) -> bool:
        """Whether every component stays at the version that it has."""
        return not self.released

    def at(self, step: Step) -> bool:
        """Whether that is the step now."""
        return self.status is not None and self.status.step == step


def decide(cluster: Cluster, view: ClusterView, now: datetime, *, asleep: bool = False) -> Upgrade:
    """What is under way now, and how far it may go; `asleep`: no component may run."""
    inputs = Inputs(cluster, view, now)
    target, known = wanted_version(cluster), cluster.status.upgrade
    lowest = _lowest(inputs)
    if number(inputs.running) is None:
        # What never ran is made, not upgraded.
        return Upgrade(released=target, lowest=lowest)
    if cluster.spec.hibernate:
        return Upgrade(known, lowest=lowest)
    if known is not None and _rests(cluster, asleep=asleep):
        # What nobody may do is not late; the deadline runs anew from its end.
        known = known.model_copy(update={"moved_at": now.replace(microsecond=0)})
    if known is None or _asked_anew(cluster, known, target):
        if not _behind(inputs, target):
            # Called off before anything was changed, there is nothing to go back from.
            return Upgrade(released=target, lowest=lowest)
        if known is None or not _goes_first(inputs, known, target):
            known = _begin(inputs, target, known)
    return _go_on(inputs, known, lowest)


def _rests(cluster: Cluster, *, asleep: bool) -> bool:
    """Whether nothing could be done, now or up to this pass: asleep, paused, or so until a moment ago."""
    return asleep or cluster.spec.paused or cluster.status.is_true(PAUSED)


def _behind(inputs: Inputs, target: str) -> bool:
    """Whether any component has another version; one that is being restarted has not."""
    states = (inputs.component(name) for name in COMPONENTS)
    return inputs.running != target or any(s is not None and s.version != target for s in states)


def _asked_anew(cluster: Cluster, known: UpgradeStatus, target: str) -> bool:
    """Whether something else is wanted than what was begun, or the same once more."""
    return known.to != target or (known.step == BACKED_OUT and _retry(cluster) != known.retried)


def _goes_first(inputs: Inputs, known: UpgradeStatus, target: str) -> bool:
    """Whether what was begun goes on until all components run it: what is wanted now is too far away."""
    begun = known.step not in {PREFLIGHT, BACKED_OUT}
    return begun and _too_far(inputs.cluster, inputs.running, target) is not None


def _too_far(cluster: Cluster, runs: str, target: str) -> str | None:
    """Why a version is not gone to from what runs, as a sentence that says what to write.

    The API server holds each edit against the spec of before, and not against what runs: two of them go
    further than one may.
    """
    hop = next_hop(runs, target)
    if cluster.spec.upgrade.chained or hop == target:
        return None
    text = f"{runs} is more than one minor below, and spec.upgrade.chained is false"
    raised = raise_that_counts(cluster)
    if raised is not None and raised.to == target:
        return (
            f"{text}; set spec.upgrade.chained to true, or spec.upgrade.fleet to Forbid, which gives up "
            f"what FleetUpgrade {raised.by} raised it to"
        )
    return f"{text}; write spec.version: {hop} first, or set spec.upgrade.chained to true"


def _retry(cluster: Cluster) -> str:
    """What has the same tried once more when it changes: a person asks, or a FleetUpgrade raises anew."""
    by_hand = cluster.metadata.annotations.get(ANNOTATION_UPGRADE_RETRY, "")
    raised = cluster.status.raised
    return (f"{raised.at:%Y%m%dT%H%M%SZ} {by_hand}" if raised is not None else by_hand)[:253]


def _begin(inputs: Inputs, target: str, before: UpgradeStatus | None) -> UpgradeStatus:
    """An upgrade from what runs; going back begins where there is something to go back from."""
    cluster, now = inputs.cluster, inputs.now.replace(microsecond=0)
    # What was on its way to another version has the same beginning, unless it was through.
    began = before if before is not None and before.step != BACKED_OUT else None
    back = _goes_back(inputs, target)
    return UpgradeStatus(
        from_=began.from_ if began is not None else inputs.running,
        to=target,
        hop=next_hop(inputs.running, target),
        hop_from=inputs.running,
        step=SERVERS if back else PREFLIGHT,
        since=began.since if began is not None else now,
        moved_at=now,
        backing_out=back,
        # By these it is known which Addons were sick before.
        findings=began.findings if began is not None and back else None,
        retried=_retry(cluster),
    )


def _goes_back(inputs: Inputs, target: str) -> bool:
    """Whether some component has a later version than the one that is wanted."""
    states = (inputs.component(name) for name in COMPONENTS)
    return any(s is not None and is_above(s.version, target) for s in states)


def _go_on(inputs: Inputs, known: UpgradeStatus, lowest: str | None) -> Upgrade:
    """From the step that was recorded as far as nothing has to be waited for."""
    if known.step == BACKED_OUT:
        return Upgrade(known, released=known.hop, lowest=lowest)
    if _is_too_low(known.hop, lowest):
        text = (
            f"{lowest} -> {known.to} goes down, which Kubernetes does not support: API servers of "
            f"{lowest} have written data; write {lowest} or a later version, or restore a backup "
            "from before the upgrade by an EtcdRestore"
        )
        return Upgrade(known, lowest=lowest, refused=text)
    now = known
    while True:
        far = _too_far(inputs.cluster, now.hop_from, now.to) if now.step == PREFLIGHT else None
        if far is not None:
            return Upgrade(_not_begun(now, far), lowest=lowest, refused=far)
        waiting = GATES[now.step](inputs, now)
        if waiting is not None:
            return _wait(inputs, now, waiting, lowest)
        following = _after(inputs, now)
        if following is None:
            return _end(inputs, now, lowest)
        now = following


def _not_begun(now: UpgradeStatus, why: str) -> UpgradeStatus:
    """One that is not begun: nothing is looked for either, and once that is mended it is not late."""
    return now.model_copy(update={"findings": None, "waiting_for": why[:1024], "progress": 1})


def _after(inputs: Inputs, now: UpgradeStatus) -> UpgradeStatus | None:
    """The next step, of the next minor where this one is through; None at the end."""
    moment = inputs.now.replace(microsecond=0)
    move: dict[str, object] = {"moved_at": moment, "progress": 0, "waiting_for": ""}
    if now.step == NODES:
        if now.hop == now.to or now.backing_out:
            return None
        # What runs is on record only once this pass is over.
        hop = next_hop(now.hop, now.to)
        if hop == now.hop:
            return None
        move |= {"hop": hop, "hop_from": now.hop, "step": PREFLIGHT, "findings": None}
    else:
        move |= {"step": STEPS[STEPS.index(now.step) + 1]}
    if move["step"] == BACKUP and inputs.cluster.spec.etcd.backup:
        # One of before this step, of an earlier minor or another version, may be of long ago.
        stamp = f"{moment:%Y%m%d%H%M%S}"
        move["backup"] = f"{inputs.cluster.name}-upgrade-{stamp}"
    return now.model_copy(update={**move, "blocked_by": []})


def _wait(inputs: Inputs, now: UpgradeStatus, waiting: Waiting, lowest: str | None) -> Upgrade:
    known = now.step != PREFLIGHT or now.findings is not None
    # What blocked and was mended begins anew: it is not late by the time that it was blocked.
    moved = waiting.progress > now.progress or (not known and now.progress > 0)
    moment = inputs.now.replace(microsecond=0) if moved else now.moved_at
    status = now.model_copy(
        update={
            "waiting_for": waiting.text[:1024],
            "progress": waiting.progress if moved else now.progress,
            "moved_at": moment,
        }
    )
    patience = span(inputs.cluster.spec.upgrade.progress_deadline)
    blocked = now.step == PREFLIGHT and known
    stuck = inputs.now - moment > patience and not blocked
    backs_out = inputs.cluster.spec.upgrade.on_failure == "BackOut" and not now.backing_out
    if stuck and backs_out and now.step != PREFLIGHT and may_back_out(now, lowest):
        return Upgrade(_back_out(inputs, status), released=now.hop_from, lowest=lowest)
    return Upgrade(status, released=_released(now), lowest=lowest, stuck=stuck)


def _back_out(inputs: Inputs, now: UpgradeStatus) -> UpgradeStatus:
    """The way back to what ran; what is asked for stays on record, so that it is not tried again."""
    return now.model_copy(
        update={
            "hop": now.hop_from,
            "step": SERVERS,
            "backing_out": True,
            "moved_at": inputs.now.replace(microsecond=0),
            "progress": 0,
            "blocked_by": [f"{now.step}: {now.waiting_for}"[:1024]],
        }
    )


def _end(inputs: Inputs, now: UpgradeStatus, lowest: str | None) -> Upgrade:
    gave_up = now.backing_out and now.hop != now.to
    ended = LastUpgrade(
        from_=now.from_,
        to=now.to,
        since=now.since,
        ended=inputs.now.replace(microsecond=0),
        result="BackedOut" if gave_up else "Done",
    )
    after = now.model_copy(update={"step": BACKED_OUT, "waiting_for": ""}) if gave_up else None
    return Upgrade(after, released=now.hop, lowest=lowest, ended=ended)


def _released(now: UpgradeStatus) -> str:
    """The version that components may have at a step."""
    return "" if now.step in {PREFLIGHT, BACKUP, ETCD, ADDONS_BEFORE} else now.hop


def may_back_out(now: UpgradeStatus, lowest: str | None) -> bool:
    """Whether what ran before can still read all that was written."""
    return not _is_too_low(now.hop_from, lowest)


def _is_too_low(version: str, lowest: str | None) -> bool:
    one, two = number(version), number(lowest or "")
    return one is not None and two is not None and one.line < two.line


def _lowest(inputs: Inputs) -> str | None:
    """What API servers have all been at; of a minor its first such version, which changes seldom."""
    recorded, server = inputs.cluster.status.lowest_version, inputs.component(API_SERVER)
    if server is None or not server.complete or number(server.version) is None:
        return recorded
    return server.version if recorded is None or _is_too_low(recorded, server.version) else recorded
