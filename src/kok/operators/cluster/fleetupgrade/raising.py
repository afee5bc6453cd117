"""Raises Clusters: one patch of the status of each, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.api.cluster.upgrade import Raised
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.errors import (
    Conflict,
    Forbidden,
    InvalidObject,
    KubeError,
    NotFound,
    Unreachable,
)
from kok.operators.cluster.fleetupgrade.decision import Raise
from kok.operators.cluster.fleetupgrade.waves import name_of
from kok.operators.cluster.staging.followed import AT_ONCE, CLUSTER, FollowedClusters
from kok.operators.cluster.wakeups import Wakeups


class Raising:
    """Those of one pass."""

    def __init__(
        self,
        kube: Kube,
        fleet: FleetUpgrade,
        clusters: Mapping[str, ClusterContract],
        followed: FollowedClusters,
        wakeups: Wakeups,
        *,
        now: datetime,
    ) -> None:
        self._kube = kube
        self._now = now
        self._fleet = fleet
        self._clusters = clusters
        self._followed = followed
        self._wakeups = wakeups
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.refused: dict[str, str] = {}
        """Clusters that the meta cluster does not let be raised, and why."""
        self.again = False
        """Whether some have changed since they were read: they are looked at once more."""

    async def run(self, raises: Sequence[Raise]) -> None:
        """All of them, side by side. Raises `KubeError` for what is no fault of one Cluster's."""
        key = self._fleet.namespace, self._fleet.name
        self._followed.raised(key, (one.key for one in raises))
        await all_of(self._raise(one) for one in raises)

    async def _raise(self, one: Raise) -> None:
        cluster = self._clusters[one.key]
        raised = Raised(to=one.to, by=name_of(self._fleet), at=one.at, nodes=self._fleet.spec.nodes)
        patch = {
            # Decided by this version of it: whatever else raised it meanwhile is not lowered.
            "metadata": {"uid": cluster.uid, "resourceVersion": cluster.resource_version},
            "status": {"raised": raised.manifest()},
        }
        async with self._turns:
            try:
                live = await self._kube.patch(
                    CLUSTER, cluster.name, cluster.namespace, patch, subresource="status"
                )
            except (Conflict, NotFound):
                self._followed.touch(one.key)
                self.again = True
                return
            except (InvalidObject, Forbidden) as error:
                # A webhook or a policy of one namespace: the Clusters of others are none of its matter.
                self.refused[one.key] = error.message
                return
            except KubeError as error:
                if not self._given_up(one, cluster, error):
                    raise
                self.refused[one.key] = error.message
                return
        self._followed.take(live)
        self._wakeups.wake_cluster((cluster.namespace, cluster.name))

    def _given_up(self, one: Raise, cluster: ClusterContract, error: KubeError) -> bool:
        """Whether an error has come for long: of one Cluster, as when the webhook of its namespace is down."""
        late = self._now - one.at > timedelta(seconds=cluster.patience)
        return late and error.status >= 500 and not isinstance(error, Unreachable)
