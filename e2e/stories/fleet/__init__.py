"""Seven Clusters, each with something else about it, and the FleetUpgrades that raise them.

A story says in which state it leaves them to the next one.
"""

from __future__ import annotations

import asyncio
from typing import Any

from e2e.fixtures import clusters, etcd
from e2e.framework.environment import Environment
from e2e.framework.follow import Predicate, condition
from e2e.stories.node_removal import kok
from kok.api import FleetUpgrade
from kok.api.meta import Manifest
from kok.kube import kinds

KIND = FleetUpgrade.info.kind
NAMESPACE, ELSEWHERE = "e2e-fleet", "e2e-fleet-elsewhere"
OLD, NEW = "1.37.0", "1.37.1"

SHOP = "shop"
"""Nothing is wrong with it: the canary."""
FLAGGED = "flagged"
"""It asks for what the new version does not have: its preflight refuses that."""
HANGING, LEAVING = "hanging", "leaving"
"""API servers of theirs never start at the new version; the second one is deleted meanwhile."""
MANUAL = "manual"
"""It opts out."""
PAUSED, RESTING = "paused", "resting"
"""The second one hibernates."""
EARLY = (FLAGGED, HANGING, LEAVING)
STAYING = (FLAGGED, HANGING, MANUAL, PAUSED, RESTING, SHOP)
ALL = (*STAYING, LEAVING)

NO_SUCH_PLUGIN = {"extraArgs": [{"name": "enable-admission-plugins", "value": "NoSuchPlugin"}]}
CRASHES = {"extraArgs": [{"name": "max-requests-inflight", "value": "many"}]}
"""No preflight knows that: API servers end at once, and those of before serve on."""
NOTHING_CAN_BE_MADE = {"extraArgs": [{"name": "shutdown-delay-duration", "value": "forever"}]}
"""Not even an upgrade is begun."""
MENDED: dict[str, Any] = {"extraArgs": []}


def manifest(name: str, namespace: str = NAMESPACE, **spec: Any) -> Manifest:
    """The smallest Cluster; labels tell its name, and whether it is among those that come early."""
    made = clusters.manifest(namespace, name, **{"version": OLD, **spec})
    made["metadata"]["labels"] = {"name": name, "ring": "early" if name in EARLY else "late"}
    return made


def fleet(name: str, namespace: str = NAMESPACE, **spec: Any) -> Manifest:
    """A FleetUpgrade of all Clusters of its namespace; `spec` changes that."""
    usual: dict[str, Any] = {"selector": {}, "target": {"version": NEW}}
    return {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**usual, **spec},
    }


# --- how a FleetUpgrade stands


def in_phase(phase: str) -> Predicate:
    """Whether it has that phase, by its spec of now."""

    def check(found: Manifest) -> bool:
        known = condition(found, "Ready").get("observedGeneration")
        now = found["metadata"]["generation"]
        return (found.get("status") or {}).get("phase") == phase and known == now

    return check


async def until_phase(
    w: Environment, name: str, phase: str, namespace: str = NAMESPACE, *, retried: str = ""
) -> FleetUpgrade:
    """The FleetUpgrade once it has that phase, having heeded that annotation."""

    def check(found: Manifest) -> bool:
        heeded = (found.get("status") or {}).get("retried") or ""
        return in_phase(phase)(found) and heeded == retried

    return FleetUpgrade.parse(await w.until(KIND, namespace, name, check, clusters.LONG))


def states(found: FleetUpgrade) -> dict[str, tuple[str, str]]:
    """State and reason of each Cluster of `NAMESPACE`; others by their whole name."""
    return {
        key.removeprefix(f"{NAMESPACE}/"): (row.state, row.reason)
        for key, row in found.status.table().items()
    }


def why(found: FleetUpgrade, name: str) -> str:
    """The sentence about one Cluster."""
    return found.status.table()[f"{NAMESPACE}/{name}"].why


def expect(found: FleetUpgrade, wanted: dict[str, tuple[str, str]]) -> None:
    """Raises `AssertionError` unless exactly these Clusters stand so."""
    if states(found) != wanted:
        raise AssertionError(f"FleetUpgrade {found.name} has {states(found)}, not {wanted}")


def quotes(said: str, *words: str) -> None:
    """Raises `AssertionError` unless all the words are said."""
    if missing := [word for word in words if word not in said]:
        raise AssertionError(f"{missing} is not said by: {said}")


def ready(found: FleetUpgrade, status: str, reason: str) -> str:
    """What `Ready` says; raises `AssertionError` unless it is so for that reason."""
    one = found.status.condition("Ready")
    if one is None or (one.status, one.reason) != (status, reason):
        raise AssertionError(f"Ready of {found.name} should be {status} ({reason}), not {one}")
    return one.message


async def annotate(w: Environment, name: str, **told: str) -> None:
    """Sets `kok.dev/...` annotations of a FleetUpgrade."""
    annotations = {f"kok.dev/{key}": value for key, value in told.items()}
    await w.kube.patch(KIND, name, NAMESPACE, {"metadata": {"annotations": annotations}})


async def away(w: Environment, name: str, namespace: str = NAMESPACE) -> None:
    """Deletes a FleetUpgrade, if it is there, and waits until it is gone."""
    await w.kube.delete(KIND, name, namespace)
    await w.gone(KIND, namespace, name, clusters.SOON)


async def shown(w: Environment, what: str, name: str, namespace: str = NAMESPACE) -> str:
    """What `kok fleet status` or `report` prints of one, which the report shows as it is."""
    words = ("fleet", what, name, "-n", namespace)
    said = await kok(w, *words)
    w.report.line(f"$ kok {' '.join(words)}")
    w.report.text(said)
    return said


# --- Clusters


async def raised(w: Environment, name: str) -> dict[str, Any]:
    """`status.raised` of a Cluster; empty if there is none."""
    found = await clusters.get(w, NAMESPACE, name)
    return dict((found.get("status") or {}).get("raised") or {})


async def runs(w: Environment, name: str, version: str, by: str = "") -> None:
    """Raises `AssertionError` unless a Cluster has a version, and was raised by that FleetUpgrade of
    `NAMESPACE`; by none if that is not named."""
    found = await clusters.get(w, NAMESPACE, name)
    has, told = found["status"]["version"], found["status"].get("raised") or {}
    wanted = f"{NAMESPACE}/{by}" if by else None
    if has != version or told.get("by") != wanted:
        raise AssertionError(f"{name} has {has}, raised {told}; not {version} by {wanted}")


def caught_up(version: str) -> Predicate:
    """Whether a Cluster of that version goes by its spec alone."""

    def check(found: Manifest) -> bool:
        behind = condition(found, "SpecBehind") or found["status"].get("raised")
        return clusters.settled(version)(found) and not behind

    return check


async def git_follows(w: Environment, *names: str) -> None:
    """Puts what Clusters were raised to into their specs; from then on these count alone."""

    async def one(name: str) -> None:
        await w.apply(manifest(name, version=NEW))
        await w.until(clusters.KIND, NAMESPACE, name, caught_up(NEW), clusters.LONG)

    await asyncio.gather(*(one(name) for name in names))


async def back(w: Environment, *names: str) -> None:
    """To where the stories begin. What was raised is above the spec: that follows first."""
    await git_follows(w, *names)

    async def one(name: str) -> None:
        await w.apply(manifest(name, version=OLD))
        await w.until(clusters.KIND, NAMESPACE, name, caught_up(OLD), clusters.LONG)

    await asyncio.gather(*(one(name) for name in names))


async def pods(w: Environment, name: str) -> dict[str, tuple[str, int]]:
    """All pods of a Cluster, with what is another one after a restart."""
    found = await w.kube.list(kinds.POD, NAMESPACE)
    return {
        pod["metadata"]["name"]: etcd.lives(pod)
        for pod in found
        if pod["metadata"]["name"].startswith(f"{name}-")
    }
