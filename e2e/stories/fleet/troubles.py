"""One FleetUpgrade for a CVE, in waves, and all that can be the matter with a Cluster.

`shop` goes first. Of the wave after it one Cluster is refused by its preflight, one hangs, and one is
deleted in the middle. The last wave waits for approval. Who opted out, is paused, or hibernates is
skipped, until that is over and they are tried again.
"""

from __future__ import annotations

import asyncio
import shlex
from datetime import timedelta

from e2e.fixtures import clusters, etcd
from e2e.framework.environment import Environment
from e2e.stories.fleet import (
    CRASHES,
    EARLY,
    FLAGGED,
    HANGING,
    KIND,
    LEAVING,
    MANUAL,
    MENDED,
    NAMESPACE,
    NEW,
    NO_SUCH_PLUGIN,
    OLD,
    PAUSED,
    RESTING,
    SHOP,
    STAYING,
    annotate,
    away,
    expect,
    fleet,
    in_phase,
    quotes,
    raised,
    ready,
    runs,
    shown,
    states,
    until_phase,
    why,
)
from e2e.stories.fleet.knowledge import CVE
from kok.api import FleetUpgrade
from kok.api.meta import Manifest
from kok.kube import kinds

NAME = "friday"
SOAK = 5
WAVES = [
    {"name": "canary", "names": [SHOP], "soak": f"{SOAK}s"},
    {"name": "early", "selector": {"matchLabels": {"ring": "early"}}, "maxParallel": 2},
    {"name": "rest", "approval": True},
]
PATIENCE, USUAL = "60s", "10m"
FIRST = {
    FLAGGED: ("Failed", "UpgradeBlocked"),
    HANGING: ("Failed", "UpgradeStuck"),
    LEAVING: ("Skipped", "ClusterGone"),
    MANUAL: ("Skipped", "OptedOut"),
    PAUSED: ("Skipped", "ClusterPaused"),
    RESTING: ("Skipped", "ClusterHibernated"),
    SHOP: ("Done", ""),
}
"""How they stand when all had their turn, and nobody has mended anything."""
WHY = {
    FLAGGED: ("Arguments: ", f"Kubernetes {NEW} has no admission plugin NoSuchPlugin"),
    HANGING: ("made no progress", "it waits for"),
    LEAVING: ("it was deleted meanwhile",),
    MANUAL: ("its spec.upgrade.fleet is Forbid", f"write version {NEW} into its spec"),
    PAUSED: (f"it is paused, and stays at {OLD} when spec.paused is false again",),
    RESTING: (f"it is hibernated, and stays at {OLD} when it wakes", "kok.dev/retry"),
    SHOP: (),
}
LATER = (MANUAL, PAUSED, RESTING)


async def prepared(w: Environment) -> None:
    """what will be the matter with them

    One that is resting runs nothing after it, the one that is paused runs on.
    """
    await asyncio.gather(
        clusters.change(w, NAMESPACE, FLAGGED, apiServer=NO_SUCH_PLUGIN),
        _change(w, HANGING, apiServer=CRASHES, upgrade={"progressDeadline": PATIENCE}),
        _change(w, LEAVING, apiServer=CRASHES),
        _change(w, MANUAL, upgrade={"fleet": "Forbid"}),
        _change(w, PAUSED, paused=True),
        _change(w, RESTING, hibernate=True),
    )
    asleep = etcd.says("Ready", "False", "Hibernated")
    await w.until(clusters.KIND, NAMESPACE, RESTING, asleep, clusters.LONG)


async def _change(w: Environment, name: str, **spec: object) -> None:
    await clusters.change(w, NAMESPACE, name, **spec)


async def stopped(w: Environment) -> None:
    """a canary, then a wave in which the first failure lets no further Cluster be raised"""
    await w.apply(fleet(NAME, target={"fixes": CVE}, waves=WAVES))

    def refused(now: Manifest) -> bool:
        row = FleetUpgrade.parse(now).status.table().get(f"{NAMESPACE}/{FLAGGED}")
        return in_phase("Stopped")(now) and row is not None and row.state == "Failed"

    found = FleetUpgrade.parse(await w.until(KIND, NAMESPACE, NAME, refused, clusters.LONG))
    canary, early, rest = found.status.waves
    if canary.done is None or early.begun is None or rest.begun is not None:
        raise AssertionError(f"the waves went {found.status.waves}")
    if (soaked := early.begun - canary.done) < timedelta(seconds=SOAK):
        raise AssertionError(f"the canary had {soaked} to prove itself")
    quotes(ready(found, "False", "TooManyFailures"), "of 4 failed", "spec.stopAfterFailures is 1")
    told = found.status.condition("Stopped")
    if told is None or (told.status, told.reason) != ("True", "TooManyFailures"):
        raise AssertionError(f"Stopped is {told}")
    wanted = {name: FIRST[name] for name in (*LATER, FLAGGED, SHOP)}
    if (now := {name: states(found)[name] for name in wanted}) != wanted:
        raise AssertionError(f"{now} should be {wanted}")
    await shown(w, "status", NAME)


async def all_told(w: Environment) -> None:
    """in spite of failures: one hangs, one is deleted in the middle, and all are told by name

    `FIRST` says how they stand after it.
    """
    await w.kube.patch(KIND, NAME, NAMESPACE, {"spec": {"stopAfterFailures": "100%"}})
    await clusters.in_step(w, NAMESPACE, LEAVING, "APIServer")
    await w.kube.delete(clusters.KIND, LEAVING, NAMESPACE)
    await w.gone(clusters.KIND, NAMESPACE, LEAVING, clusters.LONG)
    flag = CRASHES["extraArgs"][0]["name"]
    await clusters.told(w, NAMESPACE, HANGING, flag, reasons=("UpgradeStuck",))
    await clusters.told(w, NAMESPACE, FLAGGED, "NoSuchPlugin", reasons=("UpgradeBlocked",))
    found = await until_phase(w, NAME, "Completed")
    expect(found, FIRST)
    for name, words in WHY.items():
        quotes(why(found, name), *words)
    quotes(ready(found, "False", "CompletedWithFailures"), "1 done, 2 failed, 4 skipped")
    await _serve(w, SHOP, FLAGGED, HANGING, MANUAL, PAUSED)
    for name in LATER:
        await runs(w, name, OLD)
    await _shown_by_name(w, found)


async def _shown_by_name(w: Environment, found: FleetUpgrade) -> None:
    """The commands have each of them with its reason."""
    for what in ("status", "report"):
        lines = (await shown(w, what, NAME)).splitlines()
        for name, (state, reason) in FIRST.items():
            words = (f"{NAMESPACE}/{name}", state, reason, why(found, name))
            if not any(all(word in line for word in words) for line in lines):
                raise AssertionError(f"kok fleet {what} has no line with {words}")


async def _serve(w: Environment, *names: str) -> None:
    """Users are answered, whatever became of the upgrade."""
    for name in names:
        async with await w.business(NAMESPACE, name) as inside:
            await inside.list(kinds.NAMESPACE)


async def mended(w: Environment) -> None:
    """what was the matter is mended, and the same plan is tried again

    All have the new version after it, above their specs.
    """
    usual = {"upgrade": {"progressDeadline": USUAL}}
    await asyncio.gather(
        _change(w, FLAGGED, apiServer=MENDED),
        _change(w, HANGING, apiServer=MENDED, **usual),
        _change(w, MANUAL, upgrade={"fleet": "Allow"}),
        _change(w, PAUSED, paused=False),
        _change(w, RESTING, hibernate=False),
    )
    for name in LATER:
        # They stay as they are until they are asked again.
        await clusters.at_rest(w, NAMESPACE, name, OLD)
    await annotate(w, NAME, retry="mended")
    found = await until_phase(w, NAME, "WaitingForApproval", retried="mended")
    early = {name: ("Done", "") for name in EARLY if name != LEAVING}
    expect(found, {**FIRST, **early, **dict.fromkeys(LATER, ("Waiting", ""))})
    if told := {name: by for name in LATER if (by := await raised(w, name))}:
        raise AssertionError(f"raised before anybody approved of it: {told}")
    command = ready(found, "False", "WaitingForApproval").partition("kubectl ")[2]
    w.report.line(f"$ kubectl {command}")
    await w.lab.kubectl(*shlex.split(command))
    found = await until_phase(w, NAME, "Completed", retried="mended")
    done = dict.fromkeys(STAYING, ("Done", ""))
    expect(found, {**done, LEAVING: FIRST[LEAVING]})
    ready(found, "True", "Completed")
    for name in STAYING:
        await runs(w, name, NEW, NAME)
        await w.until(clusters.KIND, NAMESPACE, name, _as_raised, clusters.LONG)
    report = found.status.report
    if report is not None:
        took = report.ended - report.began
        w.report.figures["troubled_fleet_s"] = took.total_seconds()
    await shown(w, "report", NAME)


def _as_raised(found: Manifest) -> bool:
    behind = etcd.says("SpecBehind", "True", "Raised")(found)
    return behind and found["spec"]["version"] == OLD and clusters.settled(NEW)(found)


async def cleared(w: Environment) -> None:
    """its end takes nothing back"""
    await away(w, NAME)
    for name in STAYING:
        await runs(w, name, NEW, NAME)
