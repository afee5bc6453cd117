"""Many Clusters are raised by FleetUpgrades, and whatever is the matter with one is told by its name.

A CVE becomes known, after garbage did. One FleetUpgrade takes seven Clusters in waves, of which four are
in no state for it and one goes meanwhile; what is mended is tried again. Then specs follow without a
restart, FleetUpgrades are in each other's way, and one is deleted in the middle.
"""

from __future__ import annotations

import asyncio

from e2e.fixtures import clusters, etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.stories import Story
from e2e.stories.fleet import (
    ALL,
    ELSEWHERE,
    NAMESPACE,
    NEW,
    OLD,
    away,
    elsewhere,
    git,
    knowledge,
    manifest,
    several,
    troubles,
)

KNOWING: tuple[Story, ...] = (
    knowledge.garbage,
    knowledge.cve,
    troubles.prepared,
    troubles.stopped,
    troubles.all_told,
    troubles.mended,
    knowledge.none_left,
    troubles.cleared,
)
AFTER: tuple[Story, ...] = (
    git.no_drift,
    git.all_back,
    several.two_and_one_is_deleted,
    several.tenants_stay_at_home,
    several.not_begun,
    several.all_at_once,
)
APART: tuple[Story, ...] = (elsewhere.of_another_operator,)
"""Operators of before and after are there at the same time, and one of them has no rights any more."""


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=3, workers=0) as w:
        for version in (OLD, NEW):
            await w.lab.want(kubernetes=f"v{version}")
        # What a run that was killed has left beside the operators.
        for name in (several.ALL_AT_ONCE, elsewhere.WIDE, elsewhere.FAR):
            await away(w, name, OPERATORS)
        async with etcd.fresh_namespaces(w, NAMESPACE, ELSEWHERE, within=clusters.LONG):
            async with enough_rights(w):
                with report.step(f"{len(ALL)} Clusters of {OLD}", "created_s"):
                    await asyncio.gather(*(_made(w, name) for name in ALL))
                async with knowledge.untouched(w):
                    await told(w, *KNOWING)
                await told(w, *AFTER)
            await told(w, *APART)


async def _made(w: Environment, name: str) -> None:
    await w.apply(manifest(name))
    await clusters.at_rest(w, NAMESPACE, name, OLD)


async def told(w: Environment, *stories: Story) -> None:
    """One after the other."""
    for story in stories:
        with w.report.step((story.__doc__ or story.__name__).strip().splitlines()[0]):
            await story(w)
    w.report.figures["stories"] = int(w.report.figures.get("stories", 0)) + len(stories)
