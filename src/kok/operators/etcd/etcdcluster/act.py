"""Does what a pass over an EtcdCluster decided: children, then one step about members or a restore.

What was learnt, the step of a sleep and the operation are recorded by then. Some things are recorded
only here, since they depend on what acting finds out:

- a CA, once its Secret is stored: one that is recorded and has none counts as lost. The members that
  are to form the cluster go with it, in one write: until then obstacles to making them are looked for;
- an action that makes new members, once their names were found to be free;
- what calls have brought about, and the steps of a restore, which follow from its Jobs.

The order is what keeps data safe, and each step may be cut off behind any line:

1. The members that are to form the cluster, and the CA, are recorded before any pod can start.
2. A volume is made before its StatefulSet, and only if there is none of either: a volume that is
   gone later is a lost member and never quietly replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.apply.prune import prune
from kok.kube.apply.serverside import ensure_all
from kok.kube.concurrency import all_of
from kok.kube.errors import AlreadyExists
from kok.operators.etcd import clusterstatus, naming, reasons
from kok.operators.etcd.etcdcluster import delete, render
from kok.operators.etcd.etcdcluster.backups import scheduled, sealedkeys
from kok.operators.etcd.etcdcluster.certificates import certificates, rotation, trust
from kok.operators.etcd.etcdcluster.certificates.certificates import Authority
from kok.operators.etcd.etcdcluster.conditions import obstacles
from kok.operators.etcd.etcdcluster.conditions.obstacles import Obstacle
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.decide import Decision
from kok.operators.etcd.etcdcluster.members import cleanup, names, roles, templates
from kok.operators.etcd.etcdcluster.observe import View
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations import Action, hibernation, run
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE
from kok.operators.etcd.etcdcluster.restores import rescue, takeover
from kok.operators.etcd.settings import EtcdSettings
from kok.pki import RenewReason
from kok.pki.rotation import made, replaced_at_once
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass


async def act(
    p: Pass[EtcdCluster],
    view: View,
    decision: Decision,
    outcome: Outcome,
    own: EtcdSettings,
) -> float | None:
    """All that is done in a pass; seconds until the next look, or None if nobody cares."""
    if view.unread is not None:
        raise view.unread
    # What is done is recorded in the status that the pass writes.
    obj, observed = p.obj.model_copy(update={"status": p.status}), view.observed
    await delete.free(p, delete.to_be_freed(obj, observed))
    if isinstance(decision.found, Obstacle):
        await scheduled.keep(p, obj, view.backups)
        return None
    if decision.anew:
        return AT_ONCE
    await _isolate(p, obj, observed, own)
    if not decision.held:
        if await _has_names_taken(p, obj, decision.action):
            return AT_ONCE
        await _make_children(p, obj, observed, decision.ca)
    if clusterstatus.stands_still(obj.status):
        return await hibernation.act(p, obj, observed)
    await rescue.act(p, obj, decision.rescue, decision.called_off, returned=decision.available)
    await hibernation.ask_for_backup(p, obj, view.backups)
    return await _go_on(p, obj, view, decision, outcome, own=own)


async def _go_on(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    view: View,
    decision: Decision,
    outcome: Outcome,
    *,
    own: EtcdSettings,
) -> float | None:
    """One step of a restore, or else of what is done about members."""
    observed = view.observed
    after = await takeover.advance(p, obj, observed, decision.eligible, own, outcome=outcome)
    due = any(b.status.phase in {None, "Pending"} for b in view.backups)
    later = await sealedkeys.keep(
        p, obj, observed, view.restores, outcome, available=decision.available, due=due
    )
    if after is not None:
        return after
    await scheduled.keep(p, obj, view.backups)
    if decision.action is None:
        return later
    return await run.carry_out(p, obj, observed, decision.action, outcome)


async def _has_names_taken(p: Pass[EtcdCluster], obj: EtcdCluster, action: Action | None) -> bool:
    """Whether new members would get names that somebody else's objects have; then others are chosen.

    If not, the action is recorded, with these names. It cannot be before acting: only the API server
    knows, and it is asked only when there are to be new members.
    """
    new = names.joining(obj, action)
    if not new:
        return False
    if await names.pass_over(p.kube, obj, new):
        return True
    recorded = run.record(obj, action, p.now)
    p.events.extend(recorded.events)
    if recorded.latched:
        await p.latch()
    return False


async def _isolate(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, own: EtcdSettings
) -> None:
    """NetworkPolicies, which have to be there before any pod that they are for."""
    wanted = render.network_policies(obj, own, p.settings.lease_namespace)
    await ensure_all(p.kube, _without(wanted, obstacles.taken(obj, observed)), observed.children)
    keep, lives = [m["metadata"]["name"] for m in wanted], observed.all(kinds.NETWORKPOLICY)
    await prune(p.kube, kinds.NETWORKPOLICY, obj, keep, lives)


async def _make_children(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, ca: Authority
) -> None:
    if ca.made is not None:
        await _store_ca(p, obj, ca, ca.made)
    await cleanup.remove(p, obj, observed)
    if (useless := rotation.leftover(obj, observed)) is not None:
        meta = useless["metadata"]
        await p.kube.delete(kinds.SECRET, meta["name"], obj.namespace, uid=meta["uid"])
    new = _record_ca(p, obj, ca)
    intents = [*_shared(obj, observed), *_volumes(obj, observed), *_secrets(p, obj, observed, ca)]
    # Names that others have taken are left alone; the status tells of them.
    taken = obstacles.taken(obj, observed)
    mine = _without(intents, taken)
    changes: list[Awaitable[Any]] = [ensure_all(p.kube, mine, observed.children)]
    await all_of([p.latch(), *changes] if new else changes)
    if obj.status.ca_fingerprint is None:
        # Without a CA no certificate, and without certificates no pod could start.
        return
    await ensure_all(p.kube, _without(_statefulsets(obj, observed), taken), observed.children)
    if ca.ca is not None:
        await _restart_strangers(p, obj, observed)


def _record_ca(p: Pass[EtcdCluster], obj: EtcdCluster, ca: Authority) -> bool:
    """Puts into the status what must stand there before a pod can start; whether it is new.

    Not before acting: the CA is stored by now, and those that form the cluster are about to be made.
    """
    recorded, read = obj.status, p.obj.status
    if recorded.seed is None:
        recorded.seed = ",".join(naming.member_names(obj.name, obj.spec.members))
        recorded.next_member = obj.spec.members
    following, known = rotation.following_fingerprint(obj, ca), trust.recorded(recorded)
    if ca.trusted_now:
        p.event(reasons.CA_TRUSTED, f"the CA {ca.fingerprint} is used from now on")
        # Whoever reads it only at its start is to hear of it as well.
        before = recorded.ca_rotation
        request = before.request if before is not None else ""
        trust.record(recorded, replaced_at_once(known, ca.fingerprint), p.now, request=request)
    elif following is not None:
        trust.record(recorded, made(known, following), p.now)
    if ca.ca is not None and recorded.ca_fingerprint is None:
        recorded.ca_fingerprint = ca.fingerprint
    return (read.seed, read.ca_fingerprint, read.ca_rotation) != (
        recorded.seed,
        recorded.ca_fingerprint,
        recorded.ca_rotation,
    )


# --- what there is to be


def _shared(obj: EtcdCluster, observed: Observed) -> list[Manifest]:
    starts = {name: roles.start_of(obj, observed, name) for name in roles.members_of(obj)}
    return [
        render.start_map(obj, starts),
        render.peer_service(obj),
        render.client_service(obj, single=roles.is_single(obj)),
        render.budget(obj, roles.disruptions(obj)),
    ]


def _volumes(obj: EtcdCluster, observed: Observed) -> list[Manifest]:
    return [
        render.volume(
            obj,
            name,
            roles.notes_of(obj.status, name),
            observed.get(kinds.PVC, name),
            grow=roles.may_grow(obj, observed, name),
        )
        for name in roles.members_of(obj)
        if roles.wants_volume(obj, observed, name)
    ]


def _secrets(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, ca: Authority
) -> list[Manifest]:
    if ca.ca is None:
        return []
    found = certificates.leaves(obj, ca.ca, observed.secrets, p.now)
    for name, why in found.issued.items():
        first = why.reason is RenewReason.MISSING
        reason = reasons.CERTIFICATE_ISSUED if first else reasons.CERTIFICATE_RENEWED
        if not (first and ca.new):
            p.event(reason, f"Secret {name}: {why.message}")
    trust = ca.ca.trust_pem
    made = [render.leaf_secret(obj, name, leaf, trust) for name, leaf in found.wanted.items()]
    # The Secret of a CA was created just now, or is only given back its labels and owner.
    own = [render.ca_secret(obj, one, name) for name, one in ca.kept.items() if name != ca.made]
    return [*own, *made]


def _statefulsets(obj: EtcdCluster, observed: Observed) -> list[Manifest]:
    running = (name for name in roles.members_of(obj) if roles.may_run(obj, observed, name))
    found = (templates.intended(obj, observed, name) for name in running)
    return [manifest for manifest in found if manifest is not None]


async def _store_ca(p: Pass[EtcdCluster], obj: EtcdCluster, ca: Authority, name: str) -> None:
    """Creates, never overwrites: whoever was first has made the CA."""
    known = trust.recorded(obj.status)
    if not ca.new and known.next is not None:
        # One that was recorded is gone: the other must not be taken for an intruder's.
        trust.record(obj.status, made(known, None), p.now)
        await p.latch()
    try:
        await p.kube.create(render.ca_secret(obj, ca.kept[name], name))
    except AlreadyExists as error:
        raise Wait(
            reasons.ISSUING, "the CA was made meanwhile; looking again", after=0.1
        ) from error


async def _restart_strangers(p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed) -> None:
    """After another CA was trusted: members that know only the earlier one cannot talk to others.

    All at once, because no majority of them could agree with each other in between; this was
    told to whoever asked for it.
    """
    stale = [m["metadata"] for m in roles.pods_with_another_ca(obj, observed)]
    if not stale:
        return
    p.event(reasons.MEMBERS_RESTARTED, "all members restart to trust the new CA")
    await all_of(p.kube.delete(kinds.POD, m["name"], obj.namespace, uid=m["uid"]) for m in stale)


def _without(intents: Iterable[Manifest], taken: Sequence[tuple[str, str]]) -> list[Manifest]:
    return [m for m in intents if (str(m["kind"]), str(m["metadata"]["name"])) not in taken]
