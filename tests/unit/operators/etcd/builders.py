"""Builders of what the operator sees: objects, children, answers of members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember, EtcdOperation
from kok.api.meta import Manifest
from kok.etcdclient.model import EtcdError, ListedMember, MemberStatus
from kok.kube.apply.serverside import index
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.etcdcluster.certificates import certificates
from kok.operators.etcd.etcdcluster.conditions import figures, verdicts
from kok.operators.etcd.etcdcluster.conditions.obstacles import Obstacle
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.conditions.report import tell
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.etcdcluster.observed.storage import Storage
from kok.operators.etcd.etcdcluster.operations import Action
from kok.operators.etcd.etcdcluster.operations.run import next_action
from kok.operators.etcd.etcdcluster.render import VolumeNotes
from kok.pki import CAProblem, CertificateAuthority, fingerprint, new_ca
from kok.runtime.conditions import Verdict

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
CLUSTER_ID = "1cbf2b2b4c6d3f8a"
CA = new_ca("shop-etcd-ca", NOW)
CA_FINGERPRINT = fingerprint(CA.cert_pem)


def an_etcd(
    *,
    status: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    name: str = "shop-etcd",
    **spec: Any,
) -> EtcdCluster:
    """An EtcdCluster as the API server returns it; `status` in camelCase."""
    return EtcdCluster.parse(
        {
            "apiVersion": "kok.dev/v1alpha1",
            "kind": "EtcdCluster",
            "metadata": {
                "name": name,
                "namespace": "team-a",
                "uid": UID,
                "generation": 1,
                "annotations": annotations or {},
            },
            "spec": spec,
            "status": status or {},
        }
    )


def formed(members: int = 3, **more: Any) -> EtcdCluster:
    """An EtcdCluster whose members have all started; IDs are `id-0`, `id-1`..."""
    names = [f"shop-etcd-{n}" for n in range(members)]
    return an_etcd(
        members=members,
        status={
            "clusterID": CLUSTER_ID,
            "seed": ",".join(names),
            "caFingerprint": CA_FINGERPRINT,
            "members": [{"name": name, "id": f"id-{n}"} for n, name in enumerate(names)],
        },
        **more,
    )


def children(
    obj: EtcdCluster, ca: CertificateAuthority = CA, **pods: Manifest | None
) -> dict[tuple[str, str], Manifest]:
    """All children, with bound volumes and ready pods; `pods` by member number as `p0=...`.

    None instead of a pod leaves it out.
    """
    found: list[Manifest] = [
        render.peer_service(obj),
        render.client_service(obj),
        render.budget(obj),
        render.ca_secret(obj, ca),
    ]
    for name, leaf in certificates.leaves(obj, ca, {}, NOW).wanted.items():
        found.append(render.leaf_secret(obj, name, leaf, ca.trust_pem))
    for name in roles.members_of(obj):
        number = int(name.rpartition("-")[2])
        started = roles.entry_of(obj.status, name).id is not None
        facts = VolumeNotes(CLUSTER_ID, f"id-{number}") if started else VolumeNotes()
        found.append({**render.volume(obj, name, facts, None), "status": {"phase": "Bound"}})
        owner = render.statefulset(obj, name, CA_FINGERPRINT)
        found.append(owner)
        pod = pods.get(f"p{number}", a_pod(obj, number))
        if pod is not None:
            found.append(pod)
    return index(found)


def a_pod(
    obj: EtcdCluster,
    number: int,
    *,
    ready: bool = True,
    state: Manifest | None = None,
    ended: Manifest | None = None,
    **status: Any,
) -> Manifest:
    """A member's pod; `ended` is how its container last terminated."""
    member = f"{obj.name}-{number}"
    template = render.statefulset(obj, member, CA_FINGERPRINT)["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": naming.pod_name(member),
            "uid": f"pod-{number}",
            **template["metadata"],
        },
        "spec": {**template["spec"], "nodeName": f"node-{number}"},
        "status": {
            "phase": "Running",
            "podIP": f"10.0.0.{number + 1}",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {
                    "name": "etcd",
                    "state": state or {"running": {}},
                    "lastState": {"terminated": ended} if ended else {},
                }
            ],
            **status,
        },
    }


def says(number: int, *, leader: int | None = 0, quorum: bool = True, **more: Any) -> Answer:
    """What member `number` answers."""
    status = MemberStatus(
        **{
            "cluster_id": CLUSTER_ID,
            "member_id": f"id-{number}",
            "version": "3.6.10",
            "storage_version": "3.6.0",
            "db_size": 20_480,
            "in_use": 16_384,
            "leader": f"id-{leader}" if leader is not None else None,
            "is_learner": False,
            "raft_term": 2,
            "raft_index": 10,
            "applied_index": 10,
            "revision": 1,
            "alarms": (),
            **more,
        }
    )
    return Answer(status, listed() if quorum else None)


def listed(count: int = 3) -> tuple[ListedMember, ...]:
    """The member list of a formed cluster."""
    return tuple(
        ListedMember(
            f"id-{n}",
            f"shop-etcd-{n}",
            (naming.peer_url("shop-etcd", "team-a", f"shop-etcd-{n}"),),
            (naming.client_url("shop-etcd", "team-a", f"shop-etcd-{n}"),),
            False,
        )
        for n in range(count)
    )


def fails(error: EtcdError) -> Answer:
    """A member that gives no answer."""
    return Answer(error=error)


def a_world(
    obj: EtcdCluster,
    answers: dict[int, Answer] | None = None,
    storage_problem: str | None = None,
    **pods: Manifest | None,
) -> Observed:
    """All is there; by default all members answer well. It has been watched for a day."""
    if answers is None:
        answers = {n: says(n) for n in range(obj.spec.members)}
    named = {f"shop-etcd-{n}": answer for n, answer in answers.items()}
    made = children(obj, **pods)
    return Observed(made, named, Storage(storage_problem), watched_since=NOW - timedelta(days=1))


def without(world: Observed, *keys: tuple[str, str]) -> Observed:
    """The same world but for some children, by kind and name."""
    kept = {key: child for key, child in world.children.items() if key not in keys}
    return replace(world, children=kept)


# --- members that come and go


def wants(obj: EtcdCluster, members: int) -> EtcdCluster:
    """The same object once it wants that many members."""
    obj.spec.members = members
    return obj


def with_state(obj: EtcdCluster, number: int, state: Any, **more: Any) -> EtcdCluster:
    """The member in another state; one that there is not yet is added."""
    name = f"{obj.name}-{number}"
    if name not in [m.name for m in obj.status.members]:
        obj.status.members.append(EtcdMember(name=name))
    for member in obj.status.members:
        if member.name == name:
            member.state = state
            for key, value in more.items():
                setattr(member, key, value)
    return obj


def doing(obj: EtcdCluster, type_: Any, **more: Any) -> EtcdCluster:
    """The same object in the middle of an operation, which began at NOW."""
    obj.status.operation = EtcdOperation(type=type_, since=NOW, reason="because", **more)
    return obj


def learner(number: int, *, started: bool = True, votes: bool = False) -> ListedMember:
    """How etcd lists a new member."""
    name = f"shop-etcd-{number}"
    urls = (naming.client_url("shop-etcd", "team-a", name),) if started else ()
    peer = (naming.peer_url("shop-etcd", "team-a", name),)
    return ListedMember(f"id-{number}", name if started else "", peer, urls, not votes)


def seen(obj: EtcdCluster, members: tuple[ListedMember, ...], **answers: Any) -> Observed:
    """Members answer with that list; `a1=...` replaces what member 1 answers, None silences it."""
    said = {}
    for member in obj.status.members:
        number = int(member.name.rpartition("-")[2])
        answer = answers.get(f"a{number}", says(number))
        if answer is not None:
            said[member.name] = replace(answer, members=members if answer.members else None)
    return Observed(a_world(obj, {}).children, said)


# --- what is done next


def decided(obj: EtcdCluster, world: Observed, **later: float) -> Action | None:
    """What is done next, so much `later` than NOW (as for `timedelta`)."""
    return next_action(Assessment.of(obj, world, NOW + timedelta(**later)))


def action(obj: EtcdCluster, world: Observed, **later: float) -> Action:
    """The same where something is to be done."""
    found = decided(obj, world, **later)
    assert found is not None
    return found


# --- what is said


def report(
    s: Assessment,
    problem: Obstacle | None = None,
    ca: CAProblem | None = None,
    action: Action | None = None,
) -> Verdict:
    """Puts into the status of `s.obj` all that a pass says that sees this; returns `Available`."""
    status, before = s.obj.status, s.obj.status.model_copy(deep=True)
    figures.see(s)
    found = verdicts.judge(s, problem, ca, action)
    phase = verdicts.phase(status, problem, found, action)
    tell(status, found, phase, Outcome(), now=s.now, generation=s.obj.metadata.generation)
    figures.settle(before, s.obj, s.observed)
    return found[reasons.AVAILABLE]


def said_of(backups: Sequence[EtcdBackup], obj: EtcdCluster, now: datetime) -> Verdict | None:
    """What a pass says of the backups of an EtcdCluster, after it has recorded what it saw of them."""
    scheduled.note(obj, backups, now)
    return scheduled.judge(obj, backups, now)
