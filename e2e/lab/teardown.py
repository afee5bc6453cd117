"""Taking a lab down, and proof that nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from e2e.lab.cluster import state
from e2e.lab.cluster.state import Store
from e2e.lab.errors import LabError
from e2e.lab.images import builds, rootfs
from e2e.lab.images.rootfs import IMAGE_PREFIX
from e2e.lab.machine import podman, preflight
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run
from e2e.lab.machine.podman import LABEL


async def take_down(cache: Cache, *, purge_cache: bool = False) -> None:
    """Remove the lab: containers, volumes, network, state. The cache stays unless purged.

    Supplies on whatever is there, also when the lab is half made or its state file is gone.
    Raises LabError when something of the lab could not be removed.
    """
    store = Store(state.lab_name())
    async with cache.lock("lab", store.name):
        if preflight.exists("podman"):
            await _remove_containers(store)
            await builds.sweep(cache)
            await rootfs.sweep(cache)
        store.remove()
        cache.sweep()
    if purge_cache:
        await _purge(cache)


async def _remove_containers(store: Store) -> None:
    """Remove all that podman has of a lab, and make sure that nothing is left of it."""
    containers = await podman.of_lab(store.name)
    await asyncio.gather(*(podman.remove(container.name) for container in containers))
    if volumes := await podman.labelled("volume", store.name):
        await run("podman", "volume", "rm", "--force", *volumes)
    for network in await podman.labelled("network", store.name):
        await run("podman", "network", "rm", "--force", network)
    ids = [container.id for container in containers]
    _remove_cgroups(ids)
    chosen = store.read()
    if left := await _traces(store.name, ids, chosen.subnet if chosen else None):
        raise LabError("the lab left behind:\n" + "\n".join(f"  {item}" for item in left))


async def leftovers(lab: str) -> list[str]:
    """What of a lab is still on the machine, a line each; nothing after a good `take_down`."""
    store = Store(lab)
    chosen = store.read()
    found = await _traces(lab, (), chosen.subnet if chosen else None)
    return [*found, f"directory {store.root}"] if store.root.exists() else found


async def _traces(lab: str, ids: Sequence[str], subnet: IPv4Network | None) -> list[str]:
    """What is there besides the state.

    ``ids`` of the former containers and their former ``subnet`` let traces be found that carry no
    label: processes, mounts, control groups, routes and packet filter rules.
    """
    found = [f"container {container.name}" for container in await podman.of_lab(lab)]
    for kind in ("volume", "network"):
        found += [f"{kind} {name}" for name in await podman.labelled(kind, lab)]
    found += [f"mount {line.split()[1]}" for line in _lines("/proc/mounts") if _any(ids, line)]
    found += [f"control group {path}" for path in _cgroups(ids)]
    found += [f"process {number}" for number in _processes(ids)]
    if subnet:
        prefix = str(subnet.network_address).rsplit(".", 1)[0] + "."
        rules = await run("iptables-save")
        found += [f"rule {line}" for line in rules.splitlines() if prefix in line]
        routes = await run("ip", "-4", "route", "show", "table", "all")
        found += [f"route {line.strip()}" for line in routes.splitlines() if prefix in line]
    return found


async def _purge(cache: Cache) -> None:
    """Remove the cache, and from podman's storage the images that were made from it."""
    if preflight.exists("podman"):
        labs = await run("podman", "ps", "--filter", f"label={LABEL}", "--format", "{{.Names}}")
        if labs.split():
            raise LabError(
                f"the cache is in use by another lab ({', '.join(labs.split())}): "
                "take that one down first (KOK_LAB names it)"
            )
        listed = await run("podman", "images", "--format", "{{.Repository}}:{{.Tag}}")
        if ours := [name for name in listed.split() if name.startswith(f"{IMAGE_PREFIX}/")]:
            await run("podman", "rmi", "--force", *ours)
    cache.purge()


def _any(ids: Sequence[str], text: str) -> bool:
    return any(each in text for each in ids)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:  # a process that ended meanwhile
        return []


def _processes(ids: Sequence[str]) -> list[str]:
    """Numbers of the processes that run in control groups of these containers."""
    return [
        process.name
        for process in Path("/proc").glob("[0-9]*")
        if any(_any(ids, line) for line in _lines(str(process / "cgroup")))
    ]


def _cgroups(ids: Sequence[str]) -> list[Path]:
    """Control groups of containers, innermost first."""
    if not ids:
        return []
    parents = Path("/sys/fs/cgroup").glob("**/*libpod*")
    owned = [path for path in parents if path.is_dir() and _any(ids, path.name)]
    inner = [below for path in owned for below in path.rglob("*") if below.is_dir()]
    return sorted({*owned, *inner}, key=lambda path: -len(path.parts))


def _remove_cgroups(ids: Sequence[str]) -> None:
    """Remove empty control groups that a host's own pods made and nobody else knows of."""
    for path in _cgroups(ids):
        with contextlib.suppress(OSError):
            path.rmdir()
