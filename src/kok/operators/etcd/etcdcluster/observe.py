"""Reads all that a pass over an EtcdCluster looks at into one frozen view."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kok.api import names
from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import asking
from kok.kube.errors import Forbidden, KubeError
from kok.kube.objects.children import is_whole
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.answers import ask_members
from kok.operators.etcd.etcdcluster.observed.children import read_children
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.observed.storage import ask_storage
from kok.operators.etcd.etcdcluster.observed.watches import Watches
from kok.operators.etcd.etcdcluster.restores import takeover
from kok.operators.etcd.settings import EtcdSettings, Tuning
from kok.runtime.controller.reconciler import Pass
from kok.runtime.pods.admission import refusal


@dataclass(frozen=True, slots=True)
class View:
    """What one pass looks at: children and members, backups and restores."""

    observed: Observed
    restores: Sequence[EtcdRestore] = ()
    """Oldest first."""
    backups: Sequence[EtcdBackup] = ()
    """By name."""
    unread: KubeError | None = None
    """Why backups could not be read: of members all is known and told nevertheless."""


async def observe(
    p: Pass[EtcdCluster], own: EtcdSettings, tuning: Tuning, watches: Watches
) -> View:
    """All that there is of the EtcdCluster of a pass. Raises `KubeError`, and `Unreadable` of a restore
    that is under way.
    """
    obj, members = p.obj, roles.members_of(p.obj)
    observed = await look(obj, members, p.kube, own, tuning)
    since = watches.look((obj.namespace, obj.name), p.now)
    restores = await takeover.read(p.kube, obj)
    try:
        backups, unread = await scheduled.read(p.kube, obj), None
    except KubeError as error:
        backups, unread = [], error
    return View(replace(observed, watched_since=since), restores, backups, unread)


async def look(
    obj: EtcdCluster,
    members: Iterable[str],
    kube: Kube,
    own: EtcdSettings,
    tuning: Tuning,
) -> Observed:
    """Children and members, in three rounds of parallel questions. Raises `KubeError` only.

    `members` are the names of the members that there are or will be.
    """
    children = await read_children(
        obj, members, kube, isolated=own.isolates(), volumes=tuning.unknown_volumes
    )
    observed = Observed(children, worker_image=own.worker_image, tuning=tuning)
    async with asking() as group:
        ask = group.create_task
        answers = ask(ask_members(obj, members, observed))
        storage = ask(ask_storage(obj, observed.all(kinds.PVC), kube))
        nodes = ask(_nodes(obj, kube, observed))
        refused = ask(_refusals(obj, kube, observed))
    return replace(
        observed,
        answers=answers.result(),
        storage=storage.result(),
        nodes=nodes.result(),
        refusals=refused.result(),
    )


async def _refusals(obj: EtcdCluster, kube: Kube, observed: Observed) -> dict[str, str]:
    """Looked up only where a member should have a pod and has none."""
    made_by = obj.metadata.labels.get(names.LABEL_CLUSTER)
    field = f"spec.etcd.resources of Cluster {made_by}" if made_by else "spec.resources"
    lone = [
        one
        for one in observed.all(kinds.STATEFULSET)
        if is_whole(one)
        and observed.get(kinds.POD, naming.pod_name(one["metadata"]["name"])) is None
    ]
    async with asking() as group:
        found = [group.create_task(refusal(kube, one, field)) for one in lone]
    return {
        one["metadata"]["name"]: why
        for one, told in zip(lone, found, strict=True)
        if (why := told.result())
    }


async def _nodes(obj: EtcdCluster, kube: Kube, observed: Observed) -> dict[str, dict[str, str]]:
    """Looked up only where the spec is about nodes."""
    placement = obj.spec.placement
    if not placement.node_selector and not placement.require_spread:
        return {}
    on = {
        str(name)
        for pod in observed.all(kinds.POD)
        if (name := (pod.get("spec") or {}).get("nodeName")) is not None
    }
    try:
        found = await asyncio.gather(*(kube.get(kinds.NODE, name) for name in sorted(on)))
    except Forbidden:
        # An operator that may see only its namespaces cannot know.
        return {}
    return {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in found if n}
