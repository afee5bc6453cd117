"""Sizes of databases in the status: calm, and readable. Pure functions."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdClusterStatus

SIZE_STEP = 4 * 1024**2
SIZE_SHARE = 0.1
"""A size is written again when it doubled or halved, or changed by more than these bytes and this
share of it: small databases breathe, and nobody cares for a megabyte of a large one."""


def keep_sizes(before: EtcdClusterStatus, status: EtcdClusterStatus) -> None:
    """Leaves sizes as they were told last if nothing else changed and they hardly did.

    A database grows and shrinks a little all the time, and a status that follows it would be
    written on every pass.
    """
    old = {entry.name: entry for entry in before.members}
    if any(
        not _close(old[m.name].db_size, m.db_size) or not _close(old[m.name].in_use, m.in_use)
        for m in status.members
        if m.name in old
    ):
        return
    calm = status.model_copy(deep=True)
    calm.db_size = before.db_size
    for entry in calm.members:
        if entry.name in old:
            entry.db_size, entry.in_use = old[entry.name].db_size, old[entry.name].in_use
    if calm == before:
        status.members = calm.members


def _close(one: int | None, other: int | None) -> bool:
    if one == other or one is None or other is None:
        return one == other
    small, large = sorted((one, other))
    return large < 2 * small and large - small <= max(SIZE_STEP, SIZE_SHARE * large)


def human(size: int) -> str | None:
    """A size for people; None if it is not known.

    >>> human(4_312_345)
    '4 MB'
    """
    if size <= 0:
        return None
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            value = size / factor
            return f"{value:.1f} {unit}" if value < 10 and unit == "GB" else f"{value:.0f} {unit}"
    return f"{size} B"
