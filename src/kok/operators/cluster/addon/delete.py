"""Removes what an Addon has applied: bounded in time, and not where the cluster is gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from kok.api.cluster.addon import Addon, AddonStatus
from kok.api.cluster.cluster import Cluster
from kok.kube.errors import KubeError, Unreachable
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.applying.order import removal_steps
from kok.operators.cluster.addon.applying.removal import remove
from kok.operators.cluster.addon.observe import read_cluster
from kok.operators.cluster.businesscluster.connections import Connections, reconnect
from kok.operators.cluster.settings import ClusterSettings
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE, Done, Pass, Result

REMOVAL = timedelta(seconds=60)
"""How long the removal of an addon's objects is waited for at most."""
REMOVAL_WITH_CLUSTER = timedelta(seconds=20)
"""The same when the whole cluster is going."""


class Removal:
    """The removal of one Addon's objects, as far as one pass gets with it."""

    def __init__(self, p: Pass[Addon], settings: ClusterSettings, connections: Connections) -> None:
        self._p = p
        self._settings = settings
        self._connections = connections

    async def step(self) -> Result | Done:
        """One pass of the clean-up of a deleted Addon; `Wait` says what is still there.

        However long nobody looked, it is tried once before it is given up.
        """
        p, addon = self._p, self._p.obj
        cluster = await read_cluster(p.kube, addon)
        began = addon.metadata.deletion_timestamp
        waited = p.now - began if began is not None else timedelta(0)
        limit = REMOVAL if cluster is not None and not cluster.deleting else REMOVAL_WITH_CLUSTER
        if cluster is None or not await self.remove_all(cluster, waited, limit):
            return DONE
        left = _left(p.status)
        if waited < limit:
            raise Wait(reasons.DELETING_ADDONS, f"waiting for {left} to go", _patience(waited))
        p.event(reasons.GAVE_UP, f"{left} may be left behind", warning=True)
        return DONE

    async def leave(self, cluster: Cluster) -> bool:
        """The same while the Cluster is going: whether something is left."""
        began = cluster.metadata.deletion_timestamp
        waited = self._p.now - began if began is not None else timedelta(0)
        return await self.remove_all(cluster, waited, REMOVAL_WITH_CLUSTER)

    async def remove_all(
        self, cluster: Cluster, waited: timedelta = timedelta(), limit: timedelta = REMOVAL
    ) -> bool:
        """Whether something is left; nothing counts as left where nobody can be asked any more, as
        the Cluster has no API, or goes.

        Strikes from `status.inventory` what is gone. `waited` of `limit` has passed: what should go
        later goes in time, too, whatever holds the rest up. Raises `KubeError` of the meta cluster.
        """
        p = self._p
        connection = await reconnect(p.kube, self._connections, self._settings, cluster)
        if connection is None:
            if cluster.status.endpoint is None or cluster.deleting:
                p.status.inventory = []
            # Otherwise it runs, and its credentials may come back.
            return bool(p.status.inventory)
        try:
            async with asyncio.timeout(REMOVAL_WITH_CLUSTER.total_seconds()):
                kube, entries = p.guarded(connection.kube), p.status.inventory
                due = _due(len(removal_steps(entries)), waited, limit)
                removed = await remove(kube, entries, p.obj.name, due=due)
                p.status.inventory = removed.left
                if removed.released:
                    p.event(reasons.LEFT_IN_PLACE, removed.told)
        except (KubeError, TimeoutError) as error:
            p.log.info("cannot remove the addon's objects", error=str(error))
            if cluster.deleting and isinstance(error, Unreachable | TimeoutError):
                # It will not come back, and takes all that is in it along.
                p.status.inventory = []
        return bool(p.status.inventory)


def _left(status: AddonStatus) -> str:
    named = [f"{a.kind} {a.name}" for a in status.inventory[:5]]
    more = len(status.inventory) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _due(steps: int, waited: timedelta, limit: timedelta) -> int:
    """How many steps are to be begun by now: all of them once three quarters of the time are over."""
    return 1 + int(steps * min(1.0, waited / (limit * 0.75)))


def _patience(waited: timedelta) -> float:
    """Seconds until the next look at what is being removed."""
    return max(1.0, waited.total_seconds() / 10)
