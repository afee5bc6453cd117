"""With which settings each member is known to run. Pure functions.

A member that does not run with what it was given last has all its data: nobody may take it for lost,
and no backup goes in the place of what it holds. A roll changes members one by one and is on record
for as long as it goes on; but what is changed while they sleep, or with the CA, reaches all at once,
and what lets a member start may end it some minutes later, when the roll is over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kok.api.etcd.etcdcluster import EtcdMember
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.objects.children import is_whole
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.observe import World
from kok.operators.etcd.etcdcluster.watch_window import counted

STEADY = timedelta(minutes=10)
"""How long a member has to be seen to be healthy before its settings are held to be good."""
NEVER = ""
"""In place of settings: of data that were there before the member, which never ran with any."""


def note(entry: EtcdMember, world: World, now: datetime) -> None:
    """Puts into the entry of a member, as judged in this pass, what it runs with."""
    pod = world.get(kinds.POD, naming.pod_name(entry.name))
    if not entry.ready or pod is None:
        entry.healthy_since = None
        return
    made = made_of(pod)
    since = entry.healthy_since
    if since is None or since > now or entry.healthy_with != made:
        since = now.replace(microsecond=0)
    entry.healthy_since, entry.healthy_with = since, made
    if now - counted(since, world, now) >= STEADY:
        entry.steady_with = made


def made_of(template: Manifest) -> str:
    """What a pod, or the pods of a template, were made of: hashes of settings and CA."""
    return "/".join(templates.notes(template))


def was_reset(entry: EtcdMember, pod: Manifest) -> bool:
    """Whether a member's pod has other settings than those with which it was last healthy."""
    known, has = (text.partition("/")[0] for text in (entry.healthy_with or "", made_of(pod)))
    return bool(known) and known != has


def is_unproven(world: World, entry: EtcdMember) -> bool:
    """Whether a member has other settings, or another CA, than those with which it ran for long.

    Not where that is unknown, as of members that an earlier release has seen last.
    """
    if entry.steady_with is None:
        return False
    pod = world.get(kinds.POD, naming.pod_name(entry.name))
    owner = world.get(kinds.STATEFULSET, entry.name)
    if pod is not None:
        return made_of(pod) != entry.steady_with
    if owner is not None and is_whole(owner):
        return made_of(owner["spec"]["template"]) != entry.steady_with
    return entry.steady_with == NEVER
