"""Whatever happens in whatever order: what a FleetUpgrade never does, and that it always ends."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.operators.cluster.fleetupgrade.fleets import KNOWN, World, a_fleet, a_member

from kok.api.cluster.contract import Said
from kok.api.fields import span
from kok.api.shares import resolved
from kok.operators.cluster.fleetupgrade import decide
from kok.operators.cluster.fleetupgrade.decision import FleetView
from kok.operators.cluster.fleetupgrade.plan import waves_of
from kok.versions import is_above

NAMES = [f"c{n}" for n in range(7)]
CLUSTERS = st.sampled_from(NAMES)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Waves of any kind, the last one of which takes the rest."""
    count = draw(st.integers(0, 3))
    waves: list[dict[str, Any]] = []
    for number in range(count):
        wave: dict[str, Any] = {
            "name": f"w{number}",
            "maxParallel": draw(st.sampled_from([1, 2, 3, "34%", "100%"])),
            "soak": draw(st.sampled_from(["0s", "5m"])),
            "approval": draw(st.booleans()),
        }
        if number < count - 1:
            wave |= draw(
                st.sampled_from(
                    [
                        {"percent": 30},
                        {"names": ["c5", "c6"]},
                        {"selector": {"matchLabels": {"a": "b"}}},
                    ]
                )
            )
        waves.append(wave)
    stop = draw(st.sampled_from([1, 2, "50%"]))
    return {"waves": waves, "stopAfterFailures": stop}


class Fleet(RuleBasedStateMachine):
    """A FleetUpgrade of a few Clusters to which anything happens."""

    @initialize(spec=specs(), paused=st.sets(CLUSTERS, max_size=2))
    def begin(self, spec: dict[str, Any], paused: set[str]) -> None:
        """Some Clusters cannot be upgraded from the start."""
        clusters = [
            a_member(name, paused=name in paused, labels={"a": "b"} if name == "c1" else {})
            for name in NAMES
        ]
        self.world = World.of(a_fleet(**spec), *clusters)
        self.plan: dict[str, tuple[str, str]] = {}

    def alive(self, name: str) -> bool:
        return f"team-a/{name}" in self.world.clusters

    @rule(die=st.none() | st.integers(0, 2))
    def look(self, die: int | None) -> None:
        """One pass, at whose end its operator may be killed before all were raised."""
        world = self.world
        before, raised = world.rows, {k: c.raised for k, c in world.clusters.items()}
        found = world.step(die_before=die)
        again = decide.decide(world.fleet, FleetView(world.clusters), KNOWN, world.now)
        assert again.planning is None or found.planning is None, "one plan, and then it goes on"
        new = [k for k, r in world.rows.items() if r.state == "Upgrading" and before[k] != r]
        for key in new:
            self.check(key)
        for key, version in raised.items():
            assert not is_above(version, world.clusters[key].raised), "a raise was lowered"

    def check(self, key: str) -> None:
        """One was begun by this pass: might it be?"""
        world = self.world
        status, rows, spec = world.fleet.status, world.rows, world.fleet.spec
        assert not spec.paused
        assert not spec.abort
        told = {wave.name: wave for wave in status.waves}
        for wave in waves_of(spec):
            mine = [row for row in rows.values() if row.wave == wave.name]
            if wave.name == rows[key].wave:
                assert not wave.approval or told[wave.name].approved is not None
                under_way = sum(row.state == "Upgrading" for row in rows.values())
                assert under_way <= resolved(wave.max_parallel, told[wave.name].clusters)
                break
            assert not [row for row in mine if row.state in {"Waiting", "Upgrading"}]
            done, soaked = told[wave.name].done, told[wave.name].soaked
            assert done is not None
            assert soaked is not None
            if any(row.state == "Done" for row in mine):
                assert soaked - done >= span(wave.soak)
            assert {row.state for row in mine} - {"Skipped"} != {"Failed"}
        planned = [row for row in rows.values() if row.wave and row.state != "Skipped"]
        failed = sum(row.state == "Failed" for row in planned)
        assert failed < resolved(spec.stop_after_failures, len(planned))

    @rule(name=CLUSTERS)
    def finish(self, name: str) -> None:
        """An upgrade is through, or hangs no longer."""
        if self.alive(name) and self.world.clusters[f"team-a/{name}"].raised:
            self.world.finish(name)

    @rule(name=CLUSTERS)
    def block(self, name: str) -> None:
        """An upgrade is refused."""
        if self.alive(name) and self.world.clusters[f"team-a/{name}"].upgrade is not None:
            self.world.block(name)

    @rule(name=CLUSTERS)
    def sicken(self, name: str) -> None:
        """A Cluster is no longer Ready."""
        if self.alive(name):
            self.world.change(name, ready=Said(False, "EtcdNotReady", "", self.world.now))

    @rule(name=CLUSTERS, paused=st.booleans())
    def sleep(self, name: str, paused: bool) -> None:
        """A Cluster is paused, or no longer."""
        if self.alive(name):
            self.world.change(name, paused=paused)

    @rule(name=CLUSTERS)
    def delete(self, name: str) -> None:
        """A Cluster goes."""
        self.world.clusters.pop(f"team-a/{name}", None)

    @rule(seconds=st.sampled_from([1, 30, 200, 700]))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.world.later(seconds=seconds)

    @rule(wave=st.sampled_from(["w0", "w1", "w2", "rest"]))
    def approve(self, wave: str) -> None:
        """A wave may begin."""
        self.world.annotate(approve=wave)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        """Nothing further is raised, or goes on."""
        self.world.set(paused=paused)

    @rule(value=st.sampled_from(["1", "2", "3"]))
    def retry(self, value: str) -> None:
        """What failed is tried again."""
        self.world.annotate(retry=value)

    @invariant()
    def the_plan_stays(self) -> None:
        """Versions never change; a wave only comes to those that had none."""
        if not hasattr(self, "world"):
            return
        rows = self.world.rows
        if self.plan:
            assert rows.keys() == self.plan.keys()
        for key, row in rows.items():
            to, wave = self.plan.get(key, (row.to, row.wave))
            assert row.to == to
            assert wave in {"", row.wave}
            self.plan[key] = (row.to, row.wave)

    def teardown(self) -> None:
        """It ends, if people do their part and Clusters theirs."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.set(paused=False, stop_after_failures="100%")
        world.annotate(approve="w0,w1,w2")
        for _ in range(60):
            if world.fleet.status.ended_at is not None:
                break
            for name in world.under_way():
                if self.alive(name) and world.clusters[f"team-a/{name}"].raised:
                    world.finish(name)
            world.later(seconds=301)
            world.step()
            if world.fleet.status.phase in {"Stopped", "Refused"}:
                world.set(abort=True)
        assert world.fleet.status.ended_at is not None, world.fleet.status.condition("Ready")
        assert not world.under_way()


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
