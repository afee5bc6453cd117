"""Many Clusters: waited for by one watch, and raised by one FleetUpgrade."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

from e2e.fixtures.clusters import KIND as CLUSTER
from e2e.fixtures.clusters import settled
from e2e.framework.follow import Predicate, TooLate
from kok.api import FleetUpgrade
from kok.api.meta import Manifest
from kok.kube.client import Kube

FLEET = FleetUpgrade.info.kind
SHOWN = 5
Place = tuple[str, str]
"""Namespace and name."""


def only_by_spec(version: str) -> Predicate:
    """Whether a Cluster is at rest at the version of its spec, and nothing raises it any more."""

    def check(found: Manifest) -> bool:
        return settled(version)(found) and not found["status"].get("raised")

    return check


async def each(kube: Kube, places: Iterable[Place], holds: Predicate, within: float) -> None:
    """Waits until each Cluster was seen as it is to be; by one watch, which takes less CPU time than
    one for each. Raises `TooLate` with some that were not."""
    left = set(places)

    async def follow() -> None:
        async with aclosing(kube.watch(CLUSTER)) as events:
            async for event in events:
                if event.type in {"ADDED", "MODIFIED"} and holds(event.object):
                    meta = event.object["metadata"]
                    left.discard((meta["namespace"], meta["name"]))
                if not left:
                    return

    try:
        async with asyncio.timeout(within):
            await follow()
    except TimeoutError as error:
        some = ", ".join("/".join(place) for place in sorted(left)[:SHOWN])
        text = f"{len(left)} Clusters are late after {within:.0f} s, {some} among them"
        raise TooLate(text) from error


async def raise_all(kube: Kube, place: Place, within: float, **spec: Any) -> list[str]:
    """Creates a FleetUpgrade over all Clusters that it may select, and waits for its end; what it says
    of those that did not get through. Raises `TimeoutError`."""
    namespace, name = place
    await kube.create(
        {
            "apiVersion": FLEET.api_version,
            "kind": FLEET.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {}, **spec},
        }
    )
    async with asyncio.timeout(within):
        ended = FleetUpgrade.parse(await _ended(kube, place))
    return [
        f"{key}: {row.reason}: {row.why}"
        for key, row in ended.status.table().items()
        if row.state != "Done"
    ]


async def _ended(kube: Kube, place: Place) -> Manifest:
    namespace, name = place
    async with aclosing(kube.watch(FLEET, namespace)) as events:
        async for event in events:
            found = event.object
            if event.type not in {"ADDED", "MODIFIED"} or found["metadata"]["name"] != name:
                continue
            if (found.get("status") or {}).get("endedAt"):
                return found
    raise AssertionError("a watch never ends")
