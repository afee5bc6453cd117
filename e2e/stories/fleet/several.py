"""More than one FleetUpgrade: in each other's way, deleted in the middle, where they may not be.

All Clusters are at the old version before each of them, and after it those that it names are not.
"""

from __future__ import annotations

import time

from e2e.fixtures import clusters, etcd
from e2e.framework.environment import Environment
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.stories.fleet import (
    CRASHES,
    FLAGGED,
    HANGING,
    MANUAL,
    MENDED,
    NAMESPACE,
    NEW,
    NOTHING_CAN_BE_MADE,
    OLD,
    PAUSED,
    RESTING,
    SHOP,
    STAYING,
    annotate,
    away,
    back,
    expect,
    fleet,
    quotes,
    raised,
    ready,
    runs,
    shown,
    until_phase,
    why,
)

FIRST, SECOND = "first", "second"
WAVES = [
    {"name": "lead", "names": [SHOP]},
    {"name": "next", "names": [FLAGGED]},
    {"name": "rest"},
]
LEFT = (HANGING, MANUAL, PAUSED, RESTING)
SLY, UNFIT, ALL_AT_ONCE = "sly", "unfit", "november"


async def two_and_one_is_deleted(w: Environment) -> None:
    """a Cluster in two is told by the second; the first is deleted in the middle, and nothing goes down

    `shop` and `flagged` have been raised by `FIRST`.
    """
    await clusters.change(w, NAMESPACE, FLAGGED, apiServer=CRASHES)
    await w.apply(fleet(FIRST, waves=WAVES))
    await clusters.in_step(w, NAMESPACE, FLAGGED, "APIServer")

    await w.apply(fleet(SECOND, target={"latestPatch": True}))
    second = await until_phase(w, SECOND, "Completed")
    expect(second, dict.fromkeys(STAYING, ("Skipped", "InAnotherFleetUpgrade")))
    for name in STAYING:
        quotes(why(second, name), f"FleetUpgrade {NAMESPACE}/{FIRST} has it", "kok.dev/retry")
    await shown(w, "status", SECOND)
    await away(w, SECOND)

    await away(w, FIRST)
    await clusters.change(w, NAMESPACE, FLAGGED, apiServer=MENDED)
    await clusters.at_rest(w, NAMESPACE, FLAGGED, NEW)
    # A change of no consequence, which has the other one looked at as well.
    await clusters.change(w, NAMESPACE, SHOP, upgrade={"progressDeadline": "9m"})
    await clusters.at_rest(w, NAMESPACE, SHOP, NEW)
    for name in (SHOP, FLAGGED):
        await runs(w, name, NEW, FIRST)
    for name in LEFT:
        await runs(w, name, OLD)


async def tenants_stay_at_home(w: Environment) -> None:
    """a tenant's FleetUpgrade that names other namespaces is refused, and raises nothing"""
    for reach in (["*"], [OPERATORS]):
        await w.apply(fleet(SLY, namespaces=reach))
        found = await until_phase(w, SLY, "Refused")
        said = ready(found, "False", "NamespacesForbidden")
        quotes(said, f"spec.namespaces is for FleetUpgrades in namespace {OPERATORS}")
        if found.status.plan or found.status.started_at:
            raise AssertionError(f"it was refused, and has a plan: {found.status.plan}")
        await away(w, SLY)
    for name in LEFT:
        await runs(w, name, OLD)


async def not_begun(w: Environment) -> None:
    """one of whose spec nothing can be made is raised and does not begin: told, mended, tried again

    `manual` has been raised.
    """
    impatient, usual = ({"upgrade": {"progressDeadline": t}} for t in ("20s", "10m"))
    await clusters.change(w, NAMESPACE, MANUAL, apiServer=NOTHING_CAN_BE_MADE, **impatient)
    odd = etcd.says("Ready", "False", "UnknownFlag")
    await w.until(clusters.KIND, NAMESPACE, MANUAL, odd, clusters.SOON)
    await w.apply(fleet(UNFIT, selector={"matchLabels": {"name": MANUAL}}))
    found = await until_phase(w, UNFIT, "Completed")
    expect(found, {MANUAL: ("Failed", "UpgradeNotBegun")})
    quotes(why(found, MANUAL), "its upgrade is not begun", "UnknownFlag", "shutdown-delay-duration")
    await shown(w, "status", UNFIT)
    await clusters.change(w, NAMESPACE, MANUAL, apiServer=MENDED, **usual)
    await annotate(w, UNFIT, retry="mended")
    found = await until_phase(w, UNFIT, "Completed", retried="mended")
    expect(found, {MANUAL: ("Done", "")})
    ready(found, "True", "Completed")
    await away(w, UNFIT)
    await clusters.at_rest(w, NAMESPACE, MANUAL, NEW)


async def all_at_once(w: Environment) -> None:
    """one from the operators' namespace: a canary, then all others side by side

    All have been raised.
    """
    await back(w, SHOP, FLAGGED, MANUAL)
    for name in STAYING:
        await clusters.quiet(w, NAMESPACE, name)
    begin = time.monotonic()
    await w.apply(
        fleet(ALL_AT_ONCE, OPERATORS, namespaces=[NAMESPACE], target={"latestPatch": True})
    )
    found = await until_phase(w, ALL_AT_ONCE, "Completed", OPERATORS)
    w.report.figures["fleet_s"] = round(time.monotonic() - begin, 1)
    w.report.figures["fleet_clusters"] = len(STAYING)
    if (took := found.status.took) is not None:
        w.report.figures["fleet_slowest_cluster_s"] = took.longest
    expect(found, dict.fromkeys(STAYING, ("Done", "")))
    ready(found, "True", "Completed")
    for name in STAYING:
        await clusters.at_rest(w, NAMESPACE, name, NEW)
        if (by := (await raised(w, name)).get("by")) != f"{OPERATORS}/{ALL_AT_ONCE}":
            raise AssertionError(f"{name} was raised by {by}")
    await shown(w, "report", ALL_AT_ONCE, OPERATORS)
    await away(w, ALL_AT_ONCE, OPERATORS)
