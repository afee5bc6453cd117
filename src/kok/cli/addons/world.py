"""What the meta cluster knows of a cluster and its addons, and how `spec.addons` is written there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import yaml

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.cli.addons.plan import Entry, Plan
from kok.cli.addons.suiting import ClusterFacts, facts_of
from kok.cli.conflicts import until_written
from kok.cli.gitops import keeper
from kok.cli.options import KubectlOptions
from kok.cli.query import connected, named, namespace_of
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.errors import Forbidden, NotFound

ADDON, CLUSTER = Addon.info.kind, Cluster.info.kind


@dataclass(frozen=True, slots=True)
class Here:
    """One Cluster, where it is, and how to ask for more."""

    kube: Kube
    cluster: Cluster
    manifest: Manifest

    @property
    def entries(self) -> list[Entry]:
        """`spec.addons` as it is written."""
        found: list[Entry] = (self.manifest.get("spec") or {}).get("addons") or []
        return found

    async def again(self) -> Here:
        """The same as it is now. Raises `NotFound`."""
        found = await named(self.kube, CLUSTER, self.cluster.name, self.cluster.namespace)
        return Here(self.kube, Cluster.parse(found), found)

    async def facts(self) -> ClusterFacts:
        """What matters of the cluster to addons."""
        return facts_of(self.cluster, await self._gpus())

    async def addons(self) -> dict[str, Addon]:
        """Its Addons by the names of their objects, with neither values nor inventory."""
        listed = await self.kube.list(
            ADDON, self.cluster.namespace, unread=FREE_FORM, keep=self._mine
        )
        return {addon.name: addon for addon in map(Addon.parse, listed)}

    async def addon(self, name: str) -> Manifest | None:
        """One Addon of this Cluster, whole."""
        found = await self.kube.get(ADDON, name, self.cluster.namespace)
        if found is None or found["spec"].get("cluster") != self.cluster.name:
            return None
        return found

    def _mine(self, addon: Manifest) -> Manifest | None:
        spec, status = addon["spec"], addon.get("status") or {}
        if spec.get("cluster") != self.cluster.name:
            return None
        source = {key: (value if key != "inline" else "") for key, value in spec["source"].items()}
        return {
            **addon,
            "spec": {**spec, "source": source, "values": {}},
            "status": {**status, "inventory": []},
        }

    async def _gpus(self) -> int | None:
        def counted(machine: Manifest) -> Manifest | None:
            if machine["spec"].get("cluster") != self.cluster.name:
                return None
            facts = (machine.get("status") or {}).get("facts") or {}
            return {"count": int((facts.get("gpu") or {}).get("count") or 0)}

        try:
            found = await self.kube.list(
                Machine.info.kind, self.cluster.namespace, unread=FREE_FORM, keep=counted
            )
        except Forbidden:
            return None
        except NotFound:
            # Their definition is not installed: there are none.
            return 0
        return sum(int(one["count"]) for one in found)


@asynccontextmanager
async def here(cluster: str, namespace: str | None, options: KubectlOptions) -> AsyncIterator[Here]:
    """The meta cluster and a Cluster as it is now. Raises `KubeError`, `Unreadable`."""
    async with await connected(options) as kube:
        found = await named(kube, CLUSTER, cluster, namespace_of(kube, namespace))
        yield Here(kube, Cluster.parse(found), found)


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a plan."""

    plan: Plan
    kept_by: str | None = None
    """Who keeps the Cluster as it stands in Git: then nothing was written."""


async def write(at: Here, planned: Callable[[Here], Plan]) -> Written:
    """Writes `spec.addons` as planned, once more if somebody else changed the Cluster meanwhile."""

    async def once() -> Written:
        now = await at.again()
        plan = planned(now)
        kept_by = keeper(now.manifest["metadata"])
        if plan.changes and not kept_by:
            version = {"resourceVersion": now.manifest["metadata"]["resourceVersion"]}
            patch = {"metadata": version, "spec": {"addons": plan.entries}}
            await at.kube.patch(CLUSTER, at.cluster.name, at.cluster.namespace, patch)
        return Written(plan, kept_by if plan.changes else None)

    return await until_written(once)


def for_git(entries: list[Entry]) -> str:
    """The part of the Cluster that is to be written into Git, as YAML."""
    return as_yaml({"spec": {"addons": entries}})


def as_yaml(what: Manifest) -> str:
    """An object, or a part of one, as somebody would write it."""
    return yaml.safe_dump(what, sort_keys=False, allow_unicode=True, width=100).rstrip("\n")


def resting(cluster: Cluster) -> str | None:
    """Why nothing that is written to the Cluster has an effect now, as a sentence; None if it has."""
    if cluster.spec.paused:
        return f"{cluster} is paused; what is written takes effect once spec.paused is false"
    if cluster.spec.hibernate:
        return f"{cluster} hibernates; what is written takes effect once it is awake"
    return None
