"""A process that is connected to business clusters as the operators are, and tells what that took.

Arguments: addresses of API servers. A line of standard input lists, as JSON, the numbers of those
of which something must have been too large; as soon as it was, the process tells, as JSON, the most
memory that it ever had (bytes), what it could not take of each server, and whose nodes it knows.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

from tests.ending import ended

from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.access import Access
from kok.operators.cluster.businesscluster.connections import WORKING
from kok.operators.cluster.businesscluster.followed import FOLLOWED_MOST, FollowedKinds
from kok.operators.cluster.businesscluster.watches import Watches
from kok.operators.cluster.naming import LABEL_ADDON
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.workload.availability import Availability

PATIENCE = 30.0
"""Seconds for one request."""
PASSES = 3
"""Passes over objects of one cluster that ask its API at the same time."""
HELD, PAUSE = 0.1, 5.0
"""Seconds until such a pass is through with what it was told, and until the next one."""


def the_most_memory() -> int:
    """Bytes that were resident at the worst moment."""
    line = next(
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def kind_of_plural(number: int) -> Kind:
    """One of the kinds that an addon applies; of the first few something is told."""
    return (
        [kinds.DEPLOYMENT, kinds.DAEMONSET, kinds.CONFIGMAP][number]
        if number < 3
        else Kind("evil.example", "v1", f"Kind{number}", f"kind{number}s")
    )


class Cluster:
    """What both operators hold of one business cluster."""

    def __init__(self, server: str) -> None:
        access, loop = Access(server=server), asyncio.get_running_loop()
        availability = Availability(loop.time)
        machine = Kube(
            access,
            field_manager="m",
            timeout=PATIENCE,
            observer=availability.observe,
            limits=TENANT,
        )
        self.machine = ClusterConnection("", machine, availability)
        self.kube = Kube(
            access, field_manager="c", timeout=PATIENCE, connections=WORKING, limits=TENANT
        )
        self.watching = Watches(self.kube, lambda: None)
        self.followed = FollowedKinds(self.kube)
        self.followed.follow(
            "a", [kind_of_plural(number) for number in range(FOLLOWED_MOST)], lambda: None
        )
        self.passes = [asyncio.create_task(self._pass()) for _ in range(PASSES)]

    @property
    def excess(self) -> str | None:
        """What was too large."""
        return self.machine.kube.excess or self.kube.excess

    async def _pass(self) -> None:
        while True:
            found: object = None
            with suppress(KubeError):
                found = await self.kube.list(kinds.DEPLOYMENT, labels=LABEL_ADDON)
            with suppress(KubeError):
                found = (found, await self.machine.kube.get(kinds.NODE, "n"))
            # A pass is not at once through with what it was told.
            await asyncio.sleep(HELD)
            del found
            await asyncio.sleep(PAUSE)

    async def close(self) -> None:
        """Ends all."""
        await ended(self.passes)
        await self.watching.close()
        await self.followed.close()
        await self.machine.close()
        await self.kube.close()


async def main(servers: list[str]) -> None:
    """See above."""
    clusters = [Cluster(server) for server in servers]
    waited_for = json.loads(await asyncio.to_thread(sys.stdin.readline))
    while not all(clusters[number].excess for number in waited_for):  # noqa: ASYNC110 - they tell nobody
        await asyncio.sleep(0.05)
    told = {
        "memory": the_most_memory(),
        "excess": [cluster.excess for cluster in clusters],
        "known": [cluster.machine.state().nodes_known for cluster in clusters],
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    for cluster in clusters:
        await cluster.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
