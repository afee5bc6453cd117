"""One pass over one EtcdCluster: observe, report, then bring reality nearer to the spec.

The order is what keeps data safe, and each step may be cut off behind any line:

1. What was learnt is recorded before anything is built upon it: the cluster's ID, and which
   members have started. From then on these never again start with an empty volume.
2. The members that are to form the cluster, and the CA, are recorded before any pod can start.
3. A volume is made before its StatefulSet, and only if there is none of either: a volume that is
   gone later is a lost member and never quietly replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.apply.prune import prune
from kok.kube.apply.serverside import ensure_all
from kok.kube.errors import AlreadyExists
from kok.operators.etcd import metrics, naming, reasons
from kok.operators.etcd.etcdcluster import decide, delete, hibernation, render
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.etcdcluster.certificates import certificates, rotation
from kok.operators.etcd.etcdcluster.certificates.certificates import Authority
from kok.operators.etcd.etcdcluster.conditions import obstacles, report
from kok.operators.etcd.etcdcluster.conditions import policy as permitted
from kok.operators.etcd.etcdcluster.conditions.obstacles import Adoption, Problem
from kok.operators.etcd.etcdcluster.members import (
    cleanup,
    health,
    new_names,
    placement,
    proven,
    roles,
    templates,
)
from kok.operators.etcd.etcdcluster.observe import World, observe
from kok.operators.etcd.etcdcluster.operations import Action, recover, survivor
from kok.operators.etcd.etcdcluster.restores import rescue, revisions, takeover
from kok.operators.etcd.etcdcluster.sealedkeys import keep as keys
from kok.operators.etcd.etcdcluster.view import Situation
from kok.operators.etcd.etcdcluster.watch_window import Watches
from kok.operators.etcd.settings import EtcdSettings
from kok.operators.etcd.together import all_of
from kok.pki import RenewReason
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass, Result

LOOK_HEALTHY = 30.0
"""Seconds between two looks at members that are all well: etcd tells of nothing by itself."""
LOOK_TROUBLED = 5.0
LAPSED = (
    "the loss that spec.recovery.allowDataLoss was good for has passed by itself; for another one, set "
    "it to '' and give it again"
)


@dataclass(frozen=True)
class Seen:
    """What a pass judged, for what it does."""

    ca: Authority
    action: Action | None
    found: Problem | Adoption | None
    held: bool
    """A restore keeps members from being made or started."""
    restores: Sequence[EtcdRestore]
    eligible: Sequence[EtcdRestore]
    """Those of them that may have their turn."""
    backups: Sequence[EtcdBackup]
    rescue: rescue.Rescue | None


async def reconcile(p: Pass[EtcdCluster], own: EtcdSettings, watches: Watches) -> Result:
    """See the module."""
    # The pass's own copy of the status takes the place of the one read: all judge by it.
    obj = p.obj.model_copy(update={"status": p.status})
    world = await observe(
        obj, roles.members_of(obj), p.kube, own.worker_image, isolated=own.isolates()
    )
    seen_since = watches.look((obj.namespace, obj.name), p.now)
    world = replace(world, watched_since=seen_since)
    learnt = health.learn(obj, world, roles.members_of(obj))
    learnt = placement.take_request(obj) or learnt
    recover.note_consent(obj)
    found = permitted.judge(obj, world, own)
    ca = rotation.authority(obj, world, p.now)
    restores = await takeover.read(p.kube, obj)
    hold = takeover.hold(obj, restores)
    problem = found if isinstance(found, Problem) else hold or obstacles.name_problem(obj, world)
    situation = Situation.of(obj, world, p.now)
    still = hibernation.stands_still(obj.status)
    action = decide.decide(situation) if hold is None and not still else None
    report.report(situation, problem, ca.problem, action)
    if hold is not None or obj.status.restore is not None:
        obj.status.phase = "Restoring"
    backups = await scheduled.read(p.kube, obj)
    if not still:
        scheduled.report(obj, backups, p.now)
    if recover.lapse(obj, p.now):
        p.event(reasons.CONSENT_VOID, LAPSED, warning=True)
    rescue.note(obj, p.now)
    survivor.note(situation)
    revisions.note(situation)
    wanted = rescue.judge(situation, backups, restores)
    rescue.report(obj, wanted, p.now)
    metrics.show(obj, world)
    if not p.paused:
        if learnt:
            await p.latch()
            _tell_formed(p, obj)
        seen = Seen(
            ca,
            action,
            found,
            held=hold is not None,
            restores=restores,
            eligible=rescue.eligible(situation, restores),
            backups=backups,
            rescue=wanted,
        )
        after = await _work(p, obj, world, seen, own)
        if after is not None:
            return Result(after)
    return Result(_look(p, obj, troubled=problem is not None))


def _look(p: Pass[EtcdCluster], obj: EtcdCluster, *, troubled: bool) -> float:
    """Seconds until the next look where nothing is to be done."""
    report = obj.status
    proven = report.is_true(reasons.READY) and report.is_true(reasons.UP_TO_DATE)
    look = LOOK_HEALTHY if troubled or proven or roles.is_down(report) else LOOK_TROUBLED
    due = scheduled.until_next(obj, p.now)
    return look if due is None or hibernation.stands_still(report) else min(look, due)


async def _work(
    p: Pass[EtcdCluster], obj: EtcdCluster, world: World, seen: Seen, own: EtcdSettings
) -> float | None:
    """All that is done in a pass; seconds until the next look, or None if nobody cares."""
    await delete.free(p, delete.to_be_freed(obj, world))
    if isinstance(seen.found, Problem):
        await scheduled.keep(p, obj, seen.backups)
        return None
    if seen.found is not None:
        adopt(p, obj, seen.found)
        # What is read by the names of members is read anew: by those recorded now.
        return hibernation.AT_ONCE
    await _isolate(p, obj, world, own)
    if not seen.held:
        new = new_names.joining(obj, seen.action)
        if await hibernation.turn(p, obj, world, seen.backups) or (
            await new_names.pass_over(p.kube, obj, new)
        ):
            return hibernation.AT_ONCE
        await _act(p, obj, world, seen.ca, seen.action)
    if hibernation.stands_still(obj.status):
        return await hibernation.act(p, obj, world)
    await rescue.act(p, obj, seen.restores, seen.rescue)
    await hibernation.ask_for_backup(p, obj, seen.backups)
    after = await takeover.advance(p, obj, world, seen.eligible, own)
    due = any(b.status.phase in {None, "Pending"} for b in seen.backups)
    later = await keys.keep(p, obj, world, seen.restores, due=due)
    if after is not None:
        return after
    await scheduled.keep(p, obj, seen.backups)
    return await decide.carry_out(p, obj, world, seen.action) if seen.action else later


def adopt(p: Pass[EtcdCluster], obj: EtcdCluster, found: Adoption) -> None:
    """Takes retained volumes for this cluster's own; recorded before anything is made of them."""
    recorded = obj.status
    recorded.cluster_id = found.cluster_id
    recorded.members = [
        EtcdMember(name=name, id=found.member_ids[name], steady_with=proven.NEVER)
        for name in sorted(found.member_ids)
    ]
    recorded.seed = ",".join(sorted(found.member_ids))
    recorded.next_member = roles.next_number(obj)
    p.event(reasons.VOLUMES_ADOPTED, f"goes on with the data of etcd cluster {found.cluster_id}")


async def _isolate(p: Pass[EtcdCluster], obj: EtcdCluster, world: World, own: EtcdSettings) -> None:
    """NetworkPolicies, which have to be there before any pod that they are for."""
    wanted = render.network_policies(obj, own, p.settings.lease_namespace)
    await ensure_all(p.kube, _without(wanted, obstacles.taken(obj, world)), world.children)
    keep, lives = [m["metadata"]["name"] for m in wanted], world.all(kinds.NETWORKPOLICY)
    await prune(p.kube, kinds.NETWORKPOLICY, obj, keep, lives)


async def _act(
    p: Pass[EtcdCluster], obj: EtcdCluster, world: World, ca: Authority, action: Action | None
) -> None:
    if ca.made is not None:
        await _store_ca(p, obj, ca, ca.made)
    # What was under way goes on when the members are back.
    if not hibernation.stands_still(obj.status) and decide.record(p, obj, action):
        await p.latch()
    await cleanup.remove(p, obj, world)
    if (useless := rotation.leftover(obj, world)) is not None:
        meta = useless["metadata"]
        await p.kube.delete(kinds.SECRET, meta["name"], obj.namespace, uid=meta["uid"])
    record = _record(p, obj, ca)
    intents = [*_shared(obj, world), *_volumes(obj, world), *_secrets(p, obj, world, ca)]
    # Names that others have taken are left alone; the status tells of them.
    taken = obstacles.taken(obj, world)
    mine = _without(intents, taken)
    await all_of(p.latch() if record else _nothing(), ensure_all(p.kube, mine, world.children))
    if obj.status.ca_fingerprint is None:
        # Without a CA no certificate, and without certificates no pod could start.
        return
    await ensure_all(p.kube, _without(_statefulsets(obj, world), taken), world.children)
    if ca.ca is not None:
        await _restart_strangers(p, obj, world)


def _record(p: Pass[EtcdCluster], obj: EtcdCluster, ca: Authority) -> bool:
    """Puts into the status what must stand there before a pod can start; whether it is new."""
    recorded, read = obj.status, p.obj.status
    if recorded.seed is None:
        recorded.seed = ",".join(naming.member_names(obj.name, obj.spec.members))
        recorded.next_member = obj.spec.members
    following = rotation.following_fingerprint(obj, ca)
    if ca.trusted_now:
        p.event(reasons.CA_TRUSTED, f"the CA {ca.fingerprint} is used from now on")
        rotation.end_at_once(obj, ca, p.now)
    elif following is not None and recorded.ca_rotation is not None:
        recorded.ca_rotation.next = following
    if ca.ca is not None and (recorded.ca_fingerprint is None or ca.trusted_now):
        recorded.ca_fingerprint = ca.fingerprint
    return (read.seed, read.ca_fingerprint, read.ca_rotation) != (
        recorded.seed,
        recorded.ca_fingerprint,
        recorded.ca_rotation,
    )


def _tell_formed(p: Pass[EtcdCluster], obj: EtcdCluster) -> None:
    if p.obj.status.cluster_id is None and obj.status.cluster_id is not None:
        p.event(reasons.CLUSTER_FORMED, f"etcd cluster {obj.status.cluster_id} has formed")


# --- what there is to be


def _shared(obj: EtcdCluster, world: World) -> list[Manifest]:
    starts = {name: roles.start_of(obj, world, name) for name in roles.members_of(obj)}
    return [
        render.start_map(obj, starts),
        render.peer_service(obj),
        render.client_service(obj, single=roles.is_single(obj)),
        render.budget(obj, roles.disruptions(obj)),
    ]


def _volumes(obj: EtcdCluster, world: World) -> list[Manifest]:
    return [
        render.volume(
            obj,
            name,
            roles.facts_of(obj.status, name),
            world.get(kinds.PVC, name),
            grow=roles.may_grow(obj, world, name),
        )
        for name in roles.members_of(obj)
        if roles.wants_volume(obj, world, name)
    ]


def _secrets(p: Pass[EtcdCluster], obj: EtcdCluster, world: World, ca: Authority) -> list[Manifest]:
    if ca.ca is None:
        return []
    found = certificates.leaves(obj, ca.ca, world.secrets, p.now)
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


def _statefulsets(obj: EtcdCluster, world: World) -> list[Manifest]:
    running = (name for name in roles.members_of(obj) if roles.may_run(obj, world, name))
    found = (templates.intended(obj, world, name) for name in running)
    return [manifest for manifest in found if manifest is not None]


async def _store_ca(p: Pass[EtcdCluster], obj: EtcdCluster, ca: Authority, name: str) -> None:
    """Creates, never overwrites: whoever was first has made the CA."""
    known = obj.status.ca_rotation
    if not ca.new and known is not None and known.next is not None:
        # One that was recorded is gone: the other must not be taken for an intruder's.
        known.next = None
        await p.latch()
    try:
        await p.kube.create(render.ca_secret(obj, ca.kept[name], name))
    except AlreadyExists as error:
        raise Wait(
            reasons.ISSUING, "the CA was made meanwhile; looking again", after=0.1
        ) from error


async def _restart_strangers(p: Pass[EtcdCluster], obj: EtcdCluster, world: World) -> None:
    """After another CA was trusted: members that know only the earlier one cannot talk to others.

    All at once, because no majority of them could agree with each other in between; this was
    told to whoever asked for it.
    """
    stale = [m["metadata"] for m in roles.pods_with_another_ca(obj, world)]
    if not stale:
        return
    p.event(reasons.MEMBERS_RESTARTED, "all members restart to trust the new CA")
    await all_of(*(p.kube.delete(kinds.POD, m["name"], obj.namespace, uid=m["uid"]) for m in stale))


def _without(intents: Iterable[Manifest], taken: Sequence[tuple[str, str]]) -> list[Manifest]:
    return [m for m in intents if (str(m["kind"]), str(m["metadata"]["name"])) not in taken]


async def _nothing() -> None:
    """In place of a job that is not needed."""
