"""Making sure that every kind that an operator relies on is served, and watched by kopf.

kopf looks for kinds at its start and whenever a CustomResourceDefinition changes, but an API
server serves a new kind only a moment after that change: kopf then misses it and never looks
again. So kopf is started when all kinds are there, and the process ends itself, to be started
anew, if one was taken away and comes back unseen.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection

from kok.api.meta import Kind
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound
from kok.runtime.clock import Clock

POLL = 1.0
"""Seconds between two looks for kinds that are missing."""
CHECK = 15.0
"""Seconds between two checks that all kinds are watched; no request unless one is not."""
PATIENCE = 2
"""Checks in a row that find a kind served but not watched before it counts as overlooked."""


class KindNotWatched(Exception):
    """kopf does not watch a kind although the API server serves it."""


async def missing(kube: Kube, kinds: Collection[Kind]) -> list[Kind]:
    """The kinds that the API server does not serve."""
    groups: dict[str, list[Kind]] = defaultdict(list)
    for kind in kinds:
        groups[kind.api_version].append(kind)
    listed = await kube.raw("GET", "/apis")
    versions = {v["groupVersion"] for group in listed["groups"] for v in group["versions"]}
    found: list[Kind] = []
    for api, members in groups.items():
        core = "/" not in api
        served: set[str] = set()
        if core or api in versions:
            try:
                answer = await kube.raw("GET", f"/api/{api}" if core else f"/apis/{api}")
                served = {entry["name"] for entry in answer.get("resources") or ()}
            except NotFound:
                pass
        found += [kind for kind in members if kind.plural not in served]
    return found


async def until_served(
    kube: Kube, kinds: Collection[Kind], clock: Clock, tell: Callable[[str], None]
) -> None:
    """Returns when all kinds are served; `tell` gets a sentence about what is waited for."""
    never = asyncio.Event()
    while True:
        try:
            absent = await missing(kube, kinds)
        except KubeError as error:
            tell(f"the API server: {error}")
        else:
            if not absent:
                return
            names = ", ".join(kind.crd_name for kind in absent)
            tell(f"CustomResourceDefinitions that are not installed: {names}")
        await clock.wait(never, POLL)


async def guard_watched(
    kube: Kube,
    kinds: Collection[Kind],
    watched: Callable[[], Collection[Kind]],
    clock: Clock,
) -> None:
    """Runs for ever; raises `KindNotWatched` if a kind stays unwatched although it is served."""
    never = asyncio.Event()
    strikes = 0
    while True:
        await clock.wait(never, CHECK)
        unseen = set(kinds) - set(watched())
        if not unseen:
            strikes = 0
            continue
        try:
            overlooked = unseen - set(await missing(kube, unseen))
        except KubeError:
            continue
        strikes = strikes + 1 if overlooked else 0
        if strikes >= PATIENCE:
            names = ", ".join(sorted(kind.crd_name for kind in overlooked))
            raise KindNotWatched(f"served but not watched: {names}; starting anew")
