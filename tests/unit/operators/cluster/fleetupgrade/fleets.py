"""FleetUpgrades and Clusters for tests, and a world in which Clusters do as they are raised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kok.api.cluster.contract import ClusterContract, Said, UnderWay
from kok.api.cluster.fleetstatus import FleetRow
from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.operators.cluster.fleetupgrade import conditions, decide, plan
from kok.operators.cluster.fleetupgrade.decision import FleetDecision, FleetView
from kok.operators.cluster.fleetupgrade.waves import name_of
from kok.versions.knowledge import Releases

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OLD, NEW = "1.37.0", "1.37.1"
FIVE = [f"c{n}" for n in range(5)]
KNOWN = Releases.read(
    """
format: 1
issued: 2026-11-20T08:00:00Z
kubernetes:
  "1.36": {patches: [1.36.3, 1.36.4]}
  "1.37": {patches: [1.37.0, 1.37.1]}
vulnerabilities:
  - {id: CVE-2026-1111, fixed: {"1.37": 1.37.1}, unfixed: ["1.35"]}
"""
)


def a_fleet(
    name: str = "patch", *, annotations: Mapping[str, str] | None = None, **spec: Any
) -> FleetUpgrade:
    """A FleetUpgrade of the namespace team-a; fields of the spec in their JSON spelling."""
    return FleetUpgrade.parse(
        {
            "apiVersion": "kok.dev/v1alpha1",
            "kind": "FleetUpgrade",
            "metadata": {
                "name": name,
                "namespace": "team-a",
                "uid": f"uid-{name}",
                "generation": 1,
                "creationTimestamp": NOW.isoformat(),
                "annotations": dict(annotations or {}),
            },
            "spec": {"selector": {}, "target": {"version": NEW}, **spec},
        }
    )


def a_member(name: str = "shop", runs: str = OLD, **rest: Any) -> ClusterContract:
    """A Cluster of the namespace team-a as a fleet sees it: at rest, and Ready."""
    given: dict[str, Any] = {
        "namespace": "team-a",
        "uid": f"uid-{name}",
        "resource_version": "1",
        "created": NOW - timedelta(days=30),
        "deleting": False,
        "labels": {},
        "version": runs,
        "ready": Said(True, "Available", "", NOW - timedelta(days=1)),
        **rest,
    }
    return ClusterContract(name=name, runs=runs, **given)


def known(
    clusters: Iterable[ClusterContract],
    *,
    claims: Mapping[str, str] | None = None,
    releases: Releases = KNOWN,
    now: datetime = NOW,
) -> plan.Known:
    """What a plan is made of."""
    return plan.Known({one.key: one for one in clusters}, claims or {}, releases, now)


def planned(fleet: FleetUpgrade, *clusters: ClusterContract, **rest: Any) -> Mapping[str, FleetRow]:
    """The rows of a plan, by the name of the Cluster alone."""
    rows = plan.make(fleet.spec, known(clusters, **rest)).rows
    return {key.removeprefix("team-a/"): row for key, row in rows.items()}


@dataclass
class World:
    """Clusters, one FleetUpgrade, and an operator that may be killed between any two of its acts."""

    fleet: FleetUpgrade
    clusters: dict[str, ClusterContract]
    now: datetime = NOW
    releases: Releases = KNOWN
    raised: list[str] = field(default_factory=list)
    """Clusters in the order in which they were raised."""
    decision: FleetDecision | None = None

    @classmethod
    def of(cls, fleet: FleetUpgrade, *clusters: ClusterContract) -> World:
        """With these Clusters."""
        return cls(fleet, {one.key: one for one in clusters})

    @property
    def rows(self) -> dict[str, FleetRow]:
        """The table as it is stored."""
        return self.fleet.status.table()

    def states(self) -> dict[str, str]:
        """State by the name of the Cluster alone."""
        return {key.removeprefix("team-a/"): row.state for key, row in self.rows.items()}

    def step(self, *, die_before: int | None = None) -> FleetDecision:
        """One pass, as the reconciler goes; `die_before`: how many Clusters it raises at most."""
        fleet, status = self.fleet, self.fleet.status.model_copy(deep=True)
        found = decide.decide(fleet, FleetView(self.clusters), self.releases, self.now)
        self.decision = found
        conditions.note(status, found, self.now)
        if found.planning is not None:
            self._plan(found, status)
            return found
        conditions.report(status, fleet, found, conditions.FleetOutcome(), ended=None, now=self.now)
        self._store(status)
        for count, one in enumerate(found.raises):
            if die_before is not None and count >= die_before:
                break
            cluster = self.clusters[one.key]
            self.clusters[one.key] = replace(
                cluster,
                raised=one.to,
                raised_by=name_of(fleet),
                raised_at=one.at,
                upgrade=UnderWay(one.to, "Preflight", self.now, "the preflight"),
            )
            self.raised.append(one.key)
        return found

    def _plan(self, found: FleetDecision, status: Any) -> None:
        of = plan.Known(self.clusters, {}, self.releases, self.now)
        if found.planning == "Retry":
            made = plan.again(self.fleet.spec, status.table(), status.waves, status.started_at, of)
        else:
            made = plan.make(self.fleet.spec, of)
            status.started_at = self.now
        status.ended_at = status.report = None
        status.store(made.rows)
        status.waves = list(made.waves)
        status.retried = decide.retry_of(self.fleet)
        self._store(status)

    def _store(self, status: Any) -> None:
        """As the API server keeps it."""
        self.fleet = self.fleet.model_copy(
            update={"status": type(status).model_validate(status.manifest())}
        )

    def set(self, **spec: Any) -> None:
        """Changes the spec; fields in their Python spelling."""
        self.fleet = self.fleet.model_copy(update={"spec": self.fleet.spec.model_copy(update=spec)})

    def annotate(self, **annotations: str) -> None:
        """Sets `kok.dev/...` annotations."""
        ours = {f"kok.dev/{key}": value for key, value in annotations.items()}
        meta = self.fleet.metadata
        told = {**meta.annotations, **ours}
        self.fleet = self.fleet.model_copy(
            update={"metadata": meta.model_copy(update={"annotations": told})}
        )

    def later(self, **time: float) -> None:
        """Time goes by."""
        self.now += timedelta(**time)

    def change(self, name: str, **fields: Any) -> None:
        """A Cluster becomes another one."""
        key = f"team-a/{name}"
        self.clusters[key] = replace(self.clusters[key], **fields)

    def finish(self, *names: str) -> None:
        """Upgrades are through."""
        for name in names:
            to = self.clusters[f"team-a/{name}"].raised
            self.change(name, runs=to, upgrade=None)

    def block(self, *names: str) -> None:
        """Upgrades are refused by their preflights."""
        for name in names:
            to = self.clusters[f"team-a/{name}"].raised
            blocked = UnderWay(to, "Preflight", self.now, "", ("NodeSkew: w1 is too old",))
            self.change(name, upgrade=blocked)

    def under_way(self) -> list[str]:
        """Names of those that are being upgraded."""
        return [name for name, state in self.states().items() if state == "Upgrading"]

    def begin(self) -> None:
        """The pass that plans, and the one that raises the first ones."""
        self.step()
        self.step()


def five_clusters(*waves: Any, **spec: Any) -> World:
    """A FleetUpgrade over c0 to c4."""
    fleet = a_fleet(**({"waves": list(waves)} if waves else {}), **spec)
    return World.of(fleet, *(a_member(name) for name in FIVE))


def ready(world: World) -> tuple[str | None, str, str]:
    """Phase, and reason and message of `Ready`."""
    found = world.fleet.status.condition("Ready")
    assert found is not None
    return world.fleet.status.phase, found.reason, found.message


def run(world: World, passes: int = 20) -> None:
    """Until it has ended; each Cluster is through before the next pass."""
    for _ in range(passes):
        if world.fleet.status.ended_at is not None:
            return
        world.finish(*world.under_way())
        world.later(seconds=30)
        world.step()
