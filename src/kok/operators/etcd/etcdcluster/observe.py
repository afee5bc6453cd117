"""Reads all that a pass over an EtcdCluster looks at into one frozen view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.kube.errors import KubeError
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed import World, look
from kok.operators.etcd.etcdcluster.restores import takeover
from kok.operators.etcd.etcdcluster.watch_window import Watches
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.reconciler import Pass


@dataclass(frozen=True, slots=True)
class View:
    """What one pass looks at: the members' world, backups and restores."""

    world: World
    restores: Sequence[EtcdRestore] = ()
    """Oldest first."""
    backups: Sequence[EtcdBackup] = ()
    """By name."""
    unread: KubeError | None = None
    """Why backups could not be read: of members all is known and told nevertheless."""


async def observe(p: Pass[EtcdCluster], own: EtcdSettings, watches: Watches) -> View:
    """All that there is of the EtcdCluster of a pass. Raises `KubeError`, and `Unreadable` of a restore
    that is under way.
    """
    obj, members = p.obj, roles.members_of(p.obj)
    world = await look(obj, members, p.kube, own.worker_image, isolated=own.isolates())
    since = watches.look((obj.namespace, obj.name), p.now)
    restores = await takeover.read(p.kube, obj)
    try:
        backups, unread = await scheduled.read(p.kube, obj), None
    except KubeError as error:
        backups, unread = [], error
    return View(replace(world, watched_since=since), restores, backups, unread)
