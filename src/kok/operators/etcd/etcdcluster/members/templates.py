"""Which StatefulSet each member is to have: that of the spec, or for now the one it has. Pure.

A change of the spec reaches a member only when it is its turn. Until then its StatefulSet stays
as it is, so that a pod which dies meanwhile comes back as it was.

With which settings each member is known to run is recorded. One that does not run with what it was
given last has all its data: nobody may take it for lost, and no backup goes in the place of what it
holds. A roll changes members one by one and is on record for as long as it goes on; but what is
changed while they sleep, or with the CA, reaches all at once, and what lets a member start may end it
some minutes later, when the roll is over.
"""

from __future__ import annotations

from datetime import datetime

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.objects.children import is_whole
from kok.kube.objects.drift import covers
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.certificates import trust
from kok.operators.etcd.etcdcluster.observed import storage
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.observed.watches import counted

_NOTES = (naming.ANNOTATION_SETTINGS, naming.ANNOTATION_CA)


def wanted(obj: EtcdCluster, observed: Observed, member: str) -> Manifest:
    """The StatefulSet that a member is to have in the end."""
    trusted = trust.text(obj.status)
    return render.statefulset(obj, member, trusted, volume_size(obj, observed, member))


def intended(obj: EtcdCluster, observed: Observed, member: str) -> Manifest | None:
    """The StatefulSet that a member is to have now; None to leave it alone."""
    live = observed.get(kinds.STATEFULSET, member)
    if on_turn(obj, member) or obj.status.cluster_id is None:
        return target(obj, observed, member)
    if live is None:
        return wanted(_as_running(obj, member), observed, member)
    want = wanted(obj, observed, member)
    have = live["spec"]["template"]
    if notes(have) == notes(want["spec"]["template"]):
        return want
    template = have
    if notes(have)[1] not in trust.kin(obj.status):
        template = _with_ca(have, want["spec"]["template"])
    held = {**want, "spec": {**want["spec"], "template": template}}
    return None if covers(live, held) else held


def on_turn(obj: EtcdCluster, member: str) -> bool:
    """Whether it is the member's turn to get what the spec says."""
    operation = obj.status.operation
    turns = {("Roll", "Restart"), ("Recover", "Force"), ("Recover", "Settle")}
    return (
        operation is not None
        and (operation.type, operation.step) in turns
        and operation.member == member
    )


def outdated(obj: EtcdCluster, observed: Observed, member: str) -> bool:
    """Whether a member's StatefulSet or pod is not what the spec says."""
    want = notes(wanted(obj, observed, member)["spec"]["template"])
    live = observed.get(kinds.STATEFULSET, member)
    if live is None or notes(live["spec"]["template"]) != want:
        return True
    return has_other_pod(obj, observed, member)


def only_trusts_another(obj: EtcdCluster, observed: Observed, member: str) -> bool:
    """Whether a member has all that the spec says, but trusts another CA than it should by now."""
    live = observed.get(kinds.STATEFULSET, member)
    want = wanted(obj, observed, member)["spec"]["template"]
    return live is not None and notes(live["spec"]["template"])[0] == notes(want)[0]


def has_other_pod(obj: EtcdCluster, observed: Observed, member: str) -> bool:
    """Whether a member's pod was not made of what the spec says."""
    return has_pod_unlike(observed, member, wanted(obj, observed, member))


def has_pod_unlike(observed: Observed, member: str, owner: Manifest) -> bool:
    """Whether a member's pod was not made of this StatefulSet."""
    pod = observed.get(kinds.POD, naming.pod_name(member))
    if pod is None or is_going(pod):
        return False
    return notes(pod) != notes(owner["spec"]["template"])


def target(obj: EtcdCluster, observed: Observed, member: str) -> Manifest:
    """The StatefulSet that a member on turn is to have: for a moment it may be a special one."""
    operation = obj.status.operation
    want = wanted(obj, observed, member)
    if operation is None or (operation.type, operation.step) != ("Recover", "Force"):
        return want
    return render.forced(
        want, f"before-recovery-{operation.since:%Y%m%d%H%M%S}", observed.worker_image
    )


def notes(template: Manifest) -> tuple[str, ...]:
    """What tells pod templates, and the pods made of them, apart."""
    found = (template.get("metadata") or {}).get("annotations") or {}
    return tuple(str(found.get(key) or "") for key in _NOTES)


def is_going(pod: Manifest) -> bool:
    """Whether a pod is being stopped."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def volume_size(obj: EtcdCluster, observed: Observed, member: str) -> str:
    """How large the database's volume is: what the spec says, or less while it has yet to grow."""
    claim = observed.get(kinds.PVC, member)
    size = storage.capacity(claim)
    return size if claim and size and storage.is_smaller(obj, claim) else obj.spec.storage.size


def running_quota(obj: EtcdCluster, observed: Observed, member: str) -> int:
    """Bytes that a member's database may have, by the settings that it runs with."""
    live = observed.get(kinds.STATEFULSET, member)
    if live is not None:
        for word in live["spec"]["template"]["spec"]["containers"][0]["command"]:
            flag, _, value = str(word).partition("=")
            if flag == "--quota-backend-bytes":
                return int(value)
    return render.quota_bytes(volume_size(obj, observed, member), obj.spec.storage.quota)


def _as_running(obj: EtcdCluster, member: str) -> EtcdCluster:
    """With the version that a member had, or that the others have: an upgrade needs its gates."""
    entry = next((m for m in obj.status.members if m.name == member), None)
    version = (entry.version if entry else None) or obj.status.version or obj.spec.version
    return obj.model_copy(update={"spec": obj.spec.model_copy(update={"version": version})})


def _with_ca(have: Manifest, want: Manifest) -> Manifest:
    """A template as it is, but with the CA that is to be trusted.

    A CA that took the place of another at once, because the user said so, waits for nobody: no
    two members could talk to each other in between.
    """
    meta = have["metadata"]
    ca = want["metadata"]["annotations"][naming.ANNOTATION_CA]
    annotations = {**meta.get("annotations", {}), naming.ANNOTATION_CA: ca}
    return {**have, "metadata": {**meta, "annotations": annotations}}


NEVER = ""
"""In place of settings: of data that were there before the member, which never ran with any."""


def note_settings(entry: EtcdMember, observed: Observed, now: datetime) -> None:
    """Puts into the entry of a member, as judged in this pass, what it runs with."""
    pod = observed.get(kinds.POD, naming.pod_name(entry.name))
    if not entry.ready or pod is None:
        entry.healthy_since = None
        return
    made = made_of(pod)
    since = entry.healthy_since
    if since is None or since > now or entry.healthy_with != made:
        since = now.replace(microsecond=0)
    entry.healthy_since, entry.healthy_with = since, made
    if now - counted(since, observed, now) >= observed.tuning.steady_after:
        entry.steady_with = made


def made_of(template: Manifest) -> str:
    """What a pod, or the pods of a template, were made of: hashes of settings and CA."""
    return "/".join(notes(template))


def was_reset(entry: EtcdMember, pod: Manifest) -> bool:
    """Whether a member's pod has other settings than those with which it was last healthy."""
    known, has = (text.partition("/")[0] for text in (entry.healthy_with or "", made_of(pod)))
    return bool(known) and known != has


def is_unproven(observed: Observed, entry: EtcdMember) -> bool:
    """Whether a member has other settings, or another CA, than those with which it ran for long.

    Not where that is unknown, as of members that an earlier release has seen last.
    """
    if entry.steady_with is None:
        return False
    pod = observed.get(kinds.POD, naming.pod_name(entry.name))
    owner = observed.get(kinds.STATEFULSET, entry.name)
    if pod is not None:
        return made_of(pod) != entry.steady_with
    if owner is not None and is_whole(owner):
        return made_of(owner["spec"]["template"]) != entry.steady_with
    return entry.steady_with == NEVER
