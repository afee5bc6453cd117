"""What each member is, and what may be made of it. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster, EtcdClusterStatus, EtcdMember
from kok.api.meta import Manifest
from kok.etcdclient.model import ListedMember
from kok.kube import kinds
from kok.kube.objects.children import is_whole
from kok.kube.objects.ownership import owned_by
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.certificates import trust
from kok.operators.etcd.etcdcluster.observed import storage
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.render import Start, VolumeNotes


def members_of(obj: EtcdCluster) -> tuple[str, ...]:
    """The members that there are, once recorded; until then those that there will be."""
    if obj.status.seed is not None and obj.status.members:
        return tuple(member.name for member in obj.status.members)
    return naming.member_names(obj.name, obj.spec.members)


def entry_of(status: EtcdClusterStatus, member: str) -> EtcdMember:
    """A member's entry in the status; a plain one if it has none yet."""
    return next((m for m in status.members if m.name == member), EtcdMember(name=member))


def fresh_names(obj: EtcdCluster, observed: Observed, count: int) -> list[str]:
    """Names for new members that no member, volume or StatefulSet has or ever had."""
    number = next_number(obj)
    found: list[str] = []
    while len(found) < count:
        name = f"{obj.name}-{number}"
        if not any(observed.get(kind, name) for kind in (kinds.PVC, kinds.STATEFULSET)):
            found.append(name)
        number += 1
    return found


def next_number(obj: EtcdCluster) -> int:
    """A number above that of any member that is known of."""
    return max(obj.status.next_member, *(n + 1 for n in _numbers(obj)))


def _numbers(obj: EtcdCluster) -> list[int]:
    names_ = (*(m.name for m in obj.status.members), *seed_of(obj.status))
    return [-1, *(n for name in names_ if (n := naming.number_of(obj.name, name)) is not None)]


def seed_of(status: EtcdClusterStatus) -> tuple[str, ...]:
    """The recorded members that form the cluster together."""
    return tuple(status.seed.split(",")) if status.seed else ()


# --- what etcd says


def lists_by_member(obj: EtcdCluster, observed: Observed) -> dict[str, tuple[ListedMember, ...]]:
    """The member lists of those who answer with one, by name.

    etcd gives it out only while it finds a quorum. But that is a quorum of the list itself: one that
    was forced to be a cluster of its own, or whoever is in its place, finds one in itself.
    """
    return {
        name: answer.members
        for name, answer in observed.answers.items()
        if answer.members and answer.status is not None
        if answer.status.cluster_id == obj.status.cluster_id and not answer.status.is_learner
    }


def agreed(obj: EtcdCluster, observed: Observed) -> tuple[ListedMember, ...] | None:
    """The member list that a majority of our members answers with; None without one.

    Also None where members answer with different lists: it changed between the answers, or, if
    somebody forced a new cluster out of one member, there are two. Nobody may be removed for
    being absent from only one of them, nor for what fewer than a majority says.
    """
    lists = lists_by_member(obj, observed)
    if len({voting_by_id(one) for one in lists.values()}) != 1:
        return None
    listed = next(iter(lists.values()))
    count = electorate(obj, listed)
    return listed if 2 * len(count & lists.keys()) > len(count) else None


def electorate(obj: EtcdCluster, listed: Sequence[ListedMember]) -> set[str]:
    """Our members of whom a majority has to answer with a list before that is believed.

    These are the recorded voters, whether the list names them or not. Of those on their way in or
    out it tells itself whether they vote (yet): the first were added, the others removed by our
    own call, whose answer may have been lost. A survivor that goes on alone by its user's consent
    is asked alone.
    """
    running = obj.status.operation
    if running is not None and running.type == "Recover" and running.step != "Fence":
        return {running.member} if running.member is not None else set()
    passing = (m.name for m in obj.status.members if m.state in {"Joining", "Leaving"})
    voting = {
        name
        for name in passing
        if (one := listing(obj, listed, name)) is not None and not one.is_learner
    }
    return voting | {m.name for m in obj.status.members if m.state == "Member"}


def voting_by_id(listed: Sequence[ListedMember]) -> frozenset[tuple[str, bool]]:
    """What has to be the same in two lists of the same members."""
    return frozenset((one.id, one.is_learner) for one in listed)


def has_quorum(obj: EtcdCluster, observed: Observed) -> bool:
    """Whether a member of this cluster answers with what takes a majority of its members.

    One that lists fewer, and is no majority itself, may have found that in itself alone.
    """
    lists = lists_by_member(obj, observed).values()
    told = agreed(obj, observed) is not None or any(not lacks(obj, one) for one in lists)
    return told or _knows_ours(obj, observed)


def _knows_ours(obj: EtcdCluster, observed: Observed) -> bool:
    """Whether a member lists all of ours that does not say of which cluster it is.

    With etcd's authentication on, one that refuses the operator's user tells no status but a list.
    Another cluster has other IDs.
    """
    ours = {m.id for m in obj.status.members if m.state == "Member" and m.id is not None}
    lists = [a.members for a in observed.answers.values() if a.members and a.status is None]
    return bool(ours) and any(ours <= {one.id for one in listed} for listed in lists)


def lacks(obj: EtcdCluster, listed: Sequence[ListedMember]) -> list[str]:
    """Members by our record that took part, and that a list does not name."""
    known = (m for m in obj.status.members if m.state == "Member" and m.id is not None)
    return [m.name for m in known if listing(obj, listed, m.name) is None]


def listing(obj: EtcdCluster, listed: Sequence[ListedMember], member: str) -> ListedMember | None:
    """A member's entry in etcd's list, by its ID, else by its peer URL, which no other one ever had.

    Its ID may have been told by another member, falsely. But where it is known, an entry that nobody
    has started is none of a member that was removed: somebody else has put it there.
    """
    known = entry_of(obj.status, member).id
    url = naming.peer_url(obj.name, obj.namespace, member)
    mine = next((one for one in listed if one.id == known), None) if known is not None else None
    return mine or next(
        (one for one in listed if url in one.peer_urls and (known is None or one.started)), None
    )


# --- what each member is and may


def has_started(obj: EtcdCluster, observed: Observed, member: str) -> bool:
    """Whether a member was ever seen taking part, by our record or by the note on its volume."""
    recorded = next((m for m in obj.status.members if m.name == member), None)
    if recorded is not None and recorded.id is not None:
        return True
    claim = observed.get(kinds.PVC, member)
    return (
        claim is not None
        and is_ours(claim, obj)
        and note(claim, naming.ANNOTATION_MEMBER_ID) is not None
    )


def volume_is_gone(obj: EtcdCluster, observed: Observed, member: str) -> bool:
    """Whether a member had a volume and has none any more.

    Volumes are made before StatefulSets: where there is a StatefulSet, there was a volume. It is
    never made anew, not even in the doubtful case that the member never started: an empty member
    that once confirmed a write would make others forget it.
    """
    if observed.get(kinds.PVC, member) is not None:
        return False
    return has_started(obj, observed, member) or observed.get(kinds.STATEFULSET, member) is not None


def start_of(obj: EtcdCluster, observed: Observed, member: str) -> Start | None:
    """What the member's pod may do with an empty volume; None keeps it from starting at all.

    One that joins is given the list as etcd has it at this moment; etcd compares that with what
    the others say, and refuses to start with an earlier one. Before it is on that list, it waits.
    """
    if has_started(obj, observed, member) or volume_is_gone(obj, observed, member):
        return Start()
    if entry_of(obj.status, member).state == "Joining":
        listed = agreed(obj, observed) or ()
        if listing(obj, listed, member) is None:
            return None
        url = naming.peer_url(obj.name, obj.namespace, member)
        pairs = [
            (member if url in one.peer_urls else one.name or one.id, peer)
            for one in listed
            for peer in one.peer_urls
        ]
        return Start(existing=tuple(sorted(pairs)))
    seed = seed_of(obj.status)
    return Start(seed if member in seed else ())


def wants_volume(obj: EtcdCluster, observed: Observed, member: str) -> bool:
    """Whether the member is to have a volume, be it made now."""
    staying = entry_of(obj.status, member).state in {"Joining", "Member"}
    return staying and not volume_is_gone(obj, observed, member)


def may_run(obj: EtcdCluster, observed: Observed, member: str) -> bool:
    """Whether there is to be a StatefulSet for the member; for one that left never again."""
    if is_down(obj.status):
        return False
    state = entry_of(obj.status, member).state
    there = observed.get(kinds.STATEFULSET, member) is not None
    operation = obj.status.operation
    if operation is not None and operation.type == "Recover" and operation.member != member:
        return False
    return state in {"Joining", "Member"} or (state == "Leaving" and there)


def is_down(status: EtcdClusterStatus) -> bool:
    """Whether no member may run, since the EtcdCluster hibernates."""
    sleep = status.hibernation
    return sleep is not None and sleep.step in {"Stopping", "Asleep"}


def disruptions(obj: EtcdCluster) -> int:
    """How many pods a drain may take at a time, as the members are now and will be next.

    With two voters, be it for a moment on the way from one to three, both are needed. A single
    member that is not about to get company may be moved.
    """
    states = [member.state for member in obj.status.members] or ["Member"] * obj.spec.members
    voters = sum(state in {"Member", "Leaving"} for state in states)
    if voters == 1:
        return 0 if {"Joining", "Leaving"} & set(states) else 1
    return 1 if voters > 3 or (voters == 3 and "Leaving" not in states) else 0


def is_single(obj: EtcdCluster) -> bool:
    """Whether there is one member, and no other on its way in or out."""
    return len(members_of(obj)) == 1


def notes_of(status: EtcdClusterStatus, member: str) -> VolumeNotes:
    """What is to be noted on a member's volume."""
    recorded = next((m for m in status.members if m.name == member), None)
    running = status.operation
    alone = running is not None and running.type == "Recover" and running.step != "Fence"
    fenced = alone and running is not None and running.member != member
    if recorded is None or recorded.id is None:
        return VolumeNotes(fenced=fenced)
    return VolumeNotes(status.cluster_id, recorded.id, recorded.version, fenced)


def may_grow(obj: EtcdCluster, observed: Observed, member: str) -> bool:
    """Whether a member's volume is to be enlarged, and can be."""
    claim = observed.get(kinds.PVC, member)
    if claim is None or (claim.get("status") or {}).get("phase") != "Bound":
        return False
    fixed = claim["spec"].get("storageClassName", "") in observed.storage.fixed
    return storage.requests_less(obj, claim) and not fixed


def pods_with_another_ca(obj: EtcdCluster, observed: Observed) -> list[Manifest]:
    """Pods that trust another CA than their StatefulSet now says; etcd reads its CA once.

    In a rotation nobody has to be restarted at once: those of all its phases can talk to each other.
    """
    stale: list[Manifest] = []
    kin = trust.kin(obj.status)
    for pod in observed.all(kinds.POD):
        member = (pod["metadata"].get("labels") or {}).get(naming.LABEL_MEMBER, "")
        owner = observed.get(kinds.STATEFULSET, member)
        if owner is None or not is_whole(owner) or pod["metadata"].get("deletionTimestamp"):
            continue
        has = note(pod, naming.ANNOTATION_CA)
        wants = note(owner["spec"]["template"], naming.ANNOTATION_CA)
        if has and wants and has != wants and has not in kin:
            stale.append(pod)
    return stale


def is_ours(live: Manifest, obj: EtcdCluster) -> bool:
    """Whether an object of a name that we need belongs to this very EtcdCluster.

    One without an owner does if it carries our labels, or if it is the recorded CA put back by
    hand (whether it really is the recorded one is judged by its fingerprint).
    """
    if owned_by(live, obj):
        return True
    meta = live["metadata"]
    if any(reference.get("controller") for reference in meta.get("ownerReferences") or ()):
        return False
    if live["kind"] == kinds.PVC.kind:
        return not is_leftover(live, obj) or (
            obj.status.cluster_id is not None
            and note(live, naming.ANNOTATION_CLUSTER_ID) == obj.status.cluster_id
        )
    return has_our_labels(meta, obj) or (
        live["kind"] == kinds.SECRET.kind and meta["name"] in _recorded_cas(obj)
    )


def _recorded_cas(obj: EtcdCluster) -> set[str]:
    """Secrets of CAs whose fingerprints are recorded: their content tells whether they are ours."""
    rotation = trust.under_way(obj.status)
    found = {names.etcd_ca_secret(obj.name)} if obj.status.ca_fingerprint is not None else set()
    following = rotation is not None and rotation.next is not None
    return found | ({naming.next_ca_secret(obj.name)} if following else set())


def is_leftover(claim: Manifest, obj: EtcdCluster) -> bool:
    """Whether a volume holds the data of an earlier EtcdCluster of this name."""
    labels = claim["metadata"].get("labels") or {}
    return bool(labels.get(naming.LABEL_OWNER_UID) != obj.metadata.uid)


def is_fenced(claim: Manifest) -> bool:
    """Whether a volume's member was stopped for good, so that another one could go on alone."""
    return note(claim, naming.ANNOTATION_FENCED) is not None


def has_our_labels(meta: Manifest, obj: EtcdCluster) -> bool:
    """Whether an object's labels say that it is one of this name."""
    labels = meta.get("labels") or {}
    return (
        labels.get(names.LABEL_OWNER_KIND) == obj.info.kind.kind
        and labels.get(names.LABEL_OWNER_NAME) == obj.name
    )


def note(manifest: Manifest, key: str) -> str | None:
    """An annotation; None if it is absent or empty."""
    value = ((manifest.get("metadata") or {}).get("annotations") or {}).get(key)
    return str(value) if value else None
