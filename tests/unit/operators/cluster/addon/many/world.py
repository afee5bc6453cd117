"""An Addon for many Clusters, and a world in which the Addons that it makes get Ready, or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kok.api.cluster.addon import Addon, AddonSpec
from kok.api.cluster.contract import ClusterContract, Said
from kok.api.meta import Manifest
from kok.operators.cluster import naming
from kok.operators.cluster.addon.many import conditions, decide
from kok.operators.cluster.addon.many.content import digest_of
from kok.operators.cluster.addon.many.view import Child, ManyDecision, ManyView

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FIVE = [f"c{n}" for n in range(5)]
RUNS = "1.37.1"


def an_addon(name: str = "log", **spec: Any) -> Addon:
    """An Addon of the namespace team-a for all Clusters there; fields in their JSON spelling."""
    return Addon.parse(
        {
            "metadata": {"name": name, "namespace": "team-a", "uid": "uid-log", "generation": 1},
            "spec": {"clusters": {}, "source": {"inline": "a: 1"}, **spec},
        }
    )


def a_cluster(name: str, *, runs: str = RUNS, **rest: Any) -> ClusterContract:
    """A Cluster of that namespace, which runs."""
    given: dict[str, Any] = {
        "namespace": "team-a",
        "uid": f"uid-{name}",
        "resource_version": "1",
        "created": NOW - timedelta(days=30),
        "deleting": False,
        "labels": {},
        "version": RUNS,
        **rest,
    }
    return ClusterContract(name=name, runs=runs, **given)


class World:
    """Passes over one Addon; what it writes is there at once, and Ready at the next look."""

    def __init__(self, *clusters: str, **spec: Any) -> None:
        self.clusters = {name: a_cluster(name) for name in clusters}
        self.children: dict[str, Child] = {}
        self.specs: dict[str, Manifest] = {}
        """What the Addon of each Cluster is, by the name of that."""
        self.broken: dict[str, str] = {}
        """Clusters where it never gets Ready, and the reason that its Addon gives."""
        self.refused: dict[str, tuple[str, str]] = {}
        """Clusters where it cannot be made."""
        self.released: list[str] = []
        self.now = NOW
        self.addon = an_addon(**spec)
        self.writes: list[str] = []
        """Clusters in the order in which something was written for them."""

    def change(self, **spec: Any) -> None:
        """Somebody writes another spec; None takes a field out."""
        found = {**self.addon.spec.manifest(), **spec}
        meta = self.addon.metadata
        self.addon.spec = AddonSpec.model_validate(
            {key: value for key, value in found.items() if value is not None}
        )
        self.addon.metadata = meta.model_copy(update={"generation": meta.generation + 1})

    def annotate(self, **notes: str) -> None:
        """Somebody sets `kok.dev/...` annotations."""
        told = {f"kok.dev/{key}": value for key, value in notes.items()}
        self.addon.metadata = self.addon.metadata.model_copy(update={"annotations": told})

    def alter(self, cluster: str, **changes: Any) -> None:
        """A Cluster changes."""
        self.clusters[cluster] = replace(self.clusters[cluster], **changes)

    def decision(self) -> ManyDecision:
        """What would be done now."""
        return decide.decide(self.addon, ManyView(self.clusters, self.children), self.now)

    def step(self, *, dies: bool = False) -> ManyDecision:
        """One pass; with `dies` it ends behind the record."""
        made, status = self.decision(), self.addon.status
        conditions.note(status, self.addon, made, self.now)
        found = conditions.ManyOutcome()
        if not made.planned and made.stop is None and not dies and not self.addon.spec.paused:
            self._act(made, found)
        if not dies:
            conditions.report(status, self.addon, made, found, ended=made.stop, now=self.now)
        self.now += timedelta(seconds=1)
        return made

    def run(self, steps: int = 40) -> Addon:
        """Passes until nothing changes any more."""
        for _ in range(steps):
            before = self.addon.status.model_dump_json(), dict(self.children)
            self.step()
            self._settle()
            if before == (self.addon.status.model_dump_json(), self.children):
                break
        return self.addon

    def _act(self, made: ManyDecision, found: conditions.ManyOutcome) -> None:
        for cluster, spec in made.intents.items():
            if cluster in self.refused:
                found.refused[cluster] = self.refused[cluster]
                continue
            name = naming.addon_for(self.addon.name, cluster)
            self.writes.append(cluster)
            self.specs[name] = spec
            digest = digest_of(AddonSpec.model_validate(spec))
            self.children[name] = Child(name, f"uid-{name}", cluster, digest)
        for child in made.removed:
            del self.children[child.name]
        for child in made.released:
            del self.children[child.name]
            self.released.append(child.cluster)

    def _settle(self) -> None:
        """The Addons of Clusters say how they are."""
        for name, child in self.children.items():
            reason = self.broken.get(child.cluster)
            said = Said(reason is None, reason or "AsWanted", f"of {child.cluster}", self.now)
            if child.ready is None or child.ready.holds != said.holds:
                self.children[name] = replace(child, ready=said)

    # --- what is there

    def states(self) -> dict[str, str]:
        """State of each Cluster."""
        rollout = self.addon.status.rollout
        return {key: row.state for key, row in rollout.table().items()} if rollout else {}

    def why(self, cluster: str) -> tuple[str, str]:
        """Reason and sentence of a Cluster."""
        rollout = self.addon.status.rollout
        assert rollout is not None
        row = rollout.table()[cluster]
        return row.reason, row.why

    def ready(self) -> tuple[str, str]:
        """Status and reason of `Ready`."""
        said = self.addon.status.condition("Ready")
        assert said is not None
        return said.status, said.reason

    def values(self, cluster: str) -> Mapping[str, Any]:
        """The values that a Cluster has."""
        found: Mapping[str, Any] = self.specs[naming.addon_for(self.addon.name, cluster)]["values"]
        return found

    def having(self, **values: Any) -> set[str]:
        """Clusters that have these values."""
        return {key for key in self.clusters if self._has(key, values)}

    def _has(self, cluster: str, values: Mapping[str, Any]) -> bool:
        name = naming.addon_for(self.addon.name, cluster)
        return name in self.children and self.specs[name]["values"] == values
