"""Which version a FleetUpgrade wants a Cluster to have. Pure."""

from __future__ import annotations

from dataclasses import replace

from kok import versions
from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.fleetstatus import FleetRow
from kok.api.cluster.fleetupgrade import FleetTarget
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade.progress import wanted
from kok.versions import Version
from kok.versions.knowledge import Releases

Told = tuple[str, str]
"""Why there is no such version, as word and sentence."""


def aim(
    target: FleetTarget, cluster: ClusterContract, releases: Releases
) -> tuple[str, Told | None]:
    """The version that a Cluster is to have; or why there is none for it."""
    if target.version is not None:
        return target.version, None
    has = versions.parsed(wanted(cluster))
    if has is None:
        return "", (reasons.VERSION_UNREACHABLE, f"{wanted(cluster)} is no version")
    if target.fixes is not None:
        return _fix(target.fixes, has, releases)
    latest = releases.latest(has.line)
    if latest is None:
        return "", (reasons.VERSION_UNREACHABLE, f"no patch level of {has.line} is known")
    return str(latest), None


def aim_again(
    row: FleetRow, target: FleetTarget, cluster: ClusterContract, releases: Releases
) -> tuple[FleetRow, Told | None]:
    """The row of a Cluster that somebody may have moved to a later minor since it was planned; or why
    there is nothing for it there.

    What was planned is a patch level of the minor that it had. Any version of a later minor is higher,
    and need not be what is wanted.
    """
    has, planned = versions.parsed(wanted(cluster)), versions.parsed(row.to)
    if target.version is not None or has is None or planned is None or has.line <= planned.line:
        return row, None
    cve = target.fixes
    if cve is not None and releases.vulnerability(cve) is None:
        text = (
            f"it was moved to {has} meanwhile, and it is not known any more whether that has {cve}"
        )
        return row, (reasons.CVE_UNKNOWN, text)
    to, told = aim(target, cluster, releases)
    if told is None:
        return replace(row, to=to), None
    return row, told if told[0] == reasons.NO_FIX else None


def _fix(cve: str, has: Version, releases: Releases) -> tuple[str, Told | None]:
    known = releases.vulnerability(cve)
    fix = known.fixed.get(has.line) if known is not None else None
    if fix is not None:
        return str(fix), None
    if known is None or not known.concerns(has):
        return "", (reasons.NOT_CONCERNED, f"{has.line} does not have {cve}")
    why = f"{cve} gets no fix in {has.line}; upgrade it to a later minor"
    return "", (reasons.NO_FIX, why)
