"""What has to be so before a member may be taken down, or go to another version. Pure.

Every function returns sentences that say what blocks, about which member, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members.clock_skew import is_recent
from kok.operators.etcd.etcdcluster.view import Situation
from kok.versions import Minor, check_etcd_upgrade, parse

LAG = 500
"""Entries that a member may be behind the foremost and still counts as caught up: while clients
write, members that are asked one after the other never tell the same number."""
FRESH = timedelta(hours=24)
"""How old the newest backup may be when an upgrade begins, where a schedule makes backups."""


def unhealthy(s: Situation, *but: str) -> list[str]:
    """Members that are not healthy, with what is wrong."""
    found = [
        f"{view.entry.name} is not healthy ({view.entry.message})"
        for view in s.views
        if view.entry.state == "Member"
        and view.condition != "healthy"
        and view.entry.name not in but
    ]
    found += [
        f"member {one.name or one.id} is in etcd's list but not known to the operator"
        for one in s.strangers
    ]
    return found


def lagging(s: Situation, *but: str) -> list[str]:
    """Members that have yet to apply what others have."""
    said = {m.name: found for m in s.obj.status.members if (found := s.said(m.name)) is not None}
    foremost = max((found.raft_index for found in said.values()), default=0)
    revision = max((found.revision for found in said.values()), default=0)
    return [
        f"{name} has yet to catch up with the others"
        for name, found in said.items()
        if name not in but
        and (foremost - found.applied_index > LAG or revision - found.revision > LAG)
    ]


def version_problems(s: Situation, members: Iterable[str], *on_turn: str) -> list[str]:
    """Why these members must not go to `spec.version`; empty if none of them changes version.

    Members `on_turn` were taken on before, and need not be healthy to go on, or back.
    """
    target = s.obj.spec.version
    versions = {m.name: m.version for m in s.obj.status.members if m.version is not None}
    moving = [name for name in members if versions.get(name, target) != target]
    if not moving:
        return []
    gates = sorted({p for name in moving if (p := step_problem(s, versions[name] or target))})
    found = [f"spec.version: {problem}" for problem in gates]
    found += unhealthy(s, *on_turn)
    found += [f"alarm {alarm} is raised" for alarm in s.obj.status.alarms]
    if not on_turn:
        found += storage_problems(s, target)
    if not any(version == target for version in versions.values()):
        found += backup_problems(s)
    return found


def step_problem(s: Situation, running: str) -> str | None:
    """Why a member that runs `running` must not run `spec.version`.

    The way back is open while another member still runs what is gone back to: until all have
    arrived, etcd writes in the form of the oldest.
    """
    target, old = parse(s.obj.spec.version), parse(running)
    if target >= old:
        return check_etcd_upgrade(running, s.obj.spec.version)
    storage = s.obj.status.storage_version
    if storage is not None and _line(storage) > target.line:
        return (
            f"{running} -> {target} goes down, but the data has the form of {_line(storage)} "
            f"already, which etcd {target.line} cannot read; write {running} or a later version"
        )
    return None


def backup_problems(s: Situation) -> list[str]:
    """Why an upgrade waits for a backup to begin: only where the user wants some to be made."""
    policy, last, target = s.obj.spec.backup, s.obj.status.last_backup, s.obj.spec.version
    if policy is None or not policy.schedule:
        return []
    if s.obj.metadata.annotations.get(naming.ANNOTATION_WITHOUT_BACKUP, "").strip() == target:
        return []
    if last is not None and is_recent(last.at, s.now, FRESH):
        return []
    return [
        f"no backup of the last {FRESH.total_seconds() // 3600:.0f} hours can be restored; make an "
        "EtcdBackup, or annotate the EtcdCluster with "
        f"{naming.ANNOTATION_WITHOUT_BACKUP}={target} to go without"
    ]


def storage_problems(s: Situation, target: str) -> list[str]:
    """Why the form of the data does not allow the next minor yet; etcd raises it by itself."""
    lowest = s.obj.status.version
    if lowest is None or parse(target).line == parse(lowest).line:
        return []
    return [
        f"{m.name} has data in the form of {_line(said.storage_version)} and not yet of "
        f"{parse(lowest).line}; etcd changes that by itself within seconds"
        for m in s.obj.status.members
        if (said := s.said(m.name)) is not None
        and said.storage_version is not None
        and _line(said.storage_version) < parse(lowest).line
    ]


def _line(storage: str) -> Minor:
    return parse(storage).line
