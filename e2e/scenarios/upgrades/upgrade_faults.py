"""Whatever hinders an upgrade is told with its cause, has a way out, and no other Cluster notices it.

Another team's Cluster is under load all the time. The last story takes a meta node, and with it maybe
a part of theirs: it is told when they are done.
"""

from __future__ import annotations

from collections.abc import Sequence

from e2e.fixtures import clusters, etcd
from e2e.framework import processes
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.load import Load, line, started, undisturbed
from e2e.stories import Story
from e2e.stories.upgrade import NAMESPACE, NEXT, RUNS, SHOP, changes, middle, pods

OTHERS, CALM = "e2e-upgrade-others", "calm"
RATE, WATCHES = 15, 4
"""Less than where upgrades are looked at: the machine has enough to do."""
LEADER_GAP = 10.0
STORIES: tuple[Story, ...] = (
    pods.image_missing,
    pods.flag_that_crashes,
    pods.quota,
    pods.no_room,
    pods.called_off,
    middle.webhook_blocks,
    middle.roles_deleted,
    middle.operator_killed_at_every_step,
    middle.etcd_without_quorum,
    changes.taken_back,
    changes.up_and_sideways,
    changes.something_else,
    changes.deleted,
)
LAST: tuple[Story, ...] = (middle.meta_node_dies,)


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=3, workers=0) as w:
        for version in (RUNS, NEXT):
            await w.lab.want(kubernetes=f"v{version}")
        async with (
            etcd.fresh_namespaces(w, NAMESPACE, OTHERS, within=clusters.LONG),
            enough_rights(w),
        ):
            with report.step("the Cluster, and another team's", "created_s"):
                await clusters.create(w, NAMESPACE, SHOP, version=RUNS, profile="standard")
                await clusters.create(w, OTHERS, CALM)
            await unnoticed_by_others(w, STORIES)
            await tell(w, LAST)
        report.figures["stories"] = len(STORIES) + len(LAST)


async def unnoticed_by_others(w: Environment, stories: Sequence[Story]) -> None:
    """Tells stories while another team works with its Cluster."""
    kubeconfig = await w.kubeconfig(OTHERS, CALM)
    async with (
        processes.ready_throughout(w, OTHERS),
        started(kubeconfig, rate=RATE, watches=WATCHES) as load,
    ):
        await tell(w, stories, load)


async def tell(w: Environment, stories: Sequence[Story], load: Load | None = None) -> None:
    """One after the other; after each the others' load is looked at."""
    for story in stories:
        with w.report.step((story.__doc__ or story.__name__).strip().splitlines()[0]):
            await story(w)
        if load is not None:
            told = await load.lap()
            w.report.line(f"meanwhile at {CALM}: {line(told)}")
            undisturbed(told, LEADER_GAP)
