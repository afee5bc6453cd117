"""What rollouts never do, whatever happens meanwhile and whoever dies: the planner in a model's world.

Machines do as they are told, some at once and some never; software may be bad; people change their
minds; API servers fall silent; the operator dies between its record and what it does.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.unit.operators.machine.kubenode.rollout.fleet import BASE, Fleet

from kok.api.machine.rollout import Rollout
from kok.api.shares import resolved

SIZE = 5
NAMES = tuple(f"w{n}" for n in range(1, SIZE + 1))
VERSIONS = (BASE, "1.37.2", "1.37.3")
which = st.sampled_from(NAMES)
policies = st.fixed_dictionaries(
    {
        "canary": st.integers(0, 2),
        "batch": st.sampled_from([None, 1, 3, "50%"]),
        "maxUnavailable": st.sampled_from([1, 2, "50%", "100%"]),
        "pause": st.sampled_from(["0s", "1m"]),
        "soak": st.sampled_from(["0s", "2m"]),
        "onFailure": st.sampled_from(["Stop", "Rollback"]),
        "onDrainTimeout": st.sampled_from(["Stop", "Skip", "Force"]),
        "drainTimeout": st.just("3m"),
        "deadline": st.just("5m"),
    }
)


class Rollouts(RuleBasedStateMachine):
    """A KubeNode of five."""

    @initialize(policy=policies)
    def made(self, policy: dict[str, Any]) -> None:
        self.fleet = Fleet(SIZE, policy=policy)
        self.bad: set[str] = set()
        self.refused: set[tuple[str, str]] = set()
        """Machines and software that was put back, until the spec changes."""
        self.told: set[str] = set()
        """Machines that were told of something else, and have not been well with it since."""

    # --- the operator

    @rule()
    def passes(self) -> None:
        """A pass over the KubeNode, and what must hold of it."""
        fleet = self.fleet
        serving = {n for n in NAMES if self._serves(n)}
        versions = dict(zip(NAMES, fleet.versions(), strict=True))
        told = fleet.passes()
        self.told.update(told)
        skipped = {r.machine for r in fleet.status.nodes} if fleet.status else set()
        if fleet.status is not None and fleet.status.phase == "Done":
            left = self.told - skipped
            assert not left, f"all are through, it says, but {sorted(left)} have yet to be"
        begun = {name for name in told if name in serving}
        if begun:
            limit = resolved(Rollout.model_validate(fleet.policy).max_unavailable, SIZE)
            out = set(NAMES) - serving | set(told)
            assert len(out) <= limit, f"{sorted(out)} are out of service, {limit} may be"
        status = fleet.status
        known = {*status.members, *(r.machine for r in status.nodes)} if status else set()
        assert set(told) <= known, "a death after this pass would leave a node nobody knows of"
        phase = fleet.status.phase if fleet.status is not None else ""
        if phase in ("RollingBack", "RolledBack", "Aborted", "Paused"):
            forward = {n for n in told if fleet.places[n].version == fleet.wanted != versions[n]}
            assert not forward, f"{forward} were begun in phase {phase}"
        for row in fleet.status.nodes if fleet.status is not None else ():
            if row.state in ("RollingBack", "RolledBack"):
                self.refused.add((row.machine, fleet.wanted))
        for name in told:
            version = fleet.places[name].version
            assert (name, version) not in self.refused or version != fleet.wanted, (
                f"{name} was told once more to have {version}, which has failed there"
            )

    @rule()
    def dies(self) -> None:
        """The operator dies once it has written its status."""
        self.fleet.passes(dies=True)

    def _serves(self, name: str) -> bool:
        place = self.fleet.places[name]
        current = place.seen == place.generation and place.up_to_date
        return current and place.ready == "True"

    # --- Machines and hosts

    @rule(name=which)
    def does_as_told(self, name: str) -> None:
        place = self.fleet.places[name]
        if place.version in self.bad:
            place.fails()
        else:
            place.proves(self.fleet.now)
            self.told.discard(name)

    @rule(name=which)
    def is_drained(self, name: str) -> None:
        place = self.fleet.places[name]
        if place.seen != place.generation:
            place.drains(self.fleet.now)

    @rule(name=which, ready=st.sampled_from(["True", "False", "Unknown"]))
    def comes_and_goes(self, name: str, ready: str) -> None:
        self.fleet.places[name].ready = ready

    @rule(seconds=st.sampled_from([1, 30, 120, 600]))
    def time_goes_by(self, seconds: int) -> None:
        self.fleet.after(seconds)
        for place in self.fleet.places.values():
            place.soaks(self.fleet.now)

    # --- people

    @rule(version=st.sampled_from(VERSIONS), bad=st.booleans())
    def another_spec(self, version: str, bad: bool) -> None:
        if version != self.fleet.wanted:
            self.fleet.wanted = version
            self.refused.clear()
            self.bad = {version} if bad and version != BASE else set()

    @rule(paused=st.booleans())
    def is_paused(self, paused: bool) -> None:
        self.fleet.policy["paused"] = paused

    @rule()
    def is_aborted(self) -> None:
        if self.fleet.status is not None:
            self.fleet.policy["abort"] = self.fleet.status.id

    @rule(policy=policies)
    def another_policy(self, policy: dict[str, Any]) -> None:
        self.fleet.policy.update(policy)

    def teardown(self) -> None:
        """Once nothing is in the way any more, all comes to an end, and a good spec everywhere."""
        if not hasattr(self, "fleet"):
            return
        fleet = self.fleet
        self.bad = set()
        fleet.policy.update(paused=False, abort="", retry="the last", onDrainTimeout="Stop")
        self.refused.clear()
        for _ in range(80):
            self.passes()
            for name in NAMES:
                self.does_as_told(name)
            self.time_goes_by(120)
        assert fleet.versions() == [fleet.wanted] * SIZE, fleet.status
        assert fleet.status is None or fleet.status.phase == "Done", fleet.status


Rollouts.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRollouts = Rollouts.TestCase


def test_bad_software_reaches_no_more_nodes_than_may_be_out_of_service() -> None:
    """And in the end none is left with it."""
    world = Fleet(SIZE, wanted=VERSIONS[1], policy={"onFailure": "Rollback", "maxUnavailable": 2})
    reached: set[str] = set()
    for _ in range(20):
        reached |= set(world.passes())
        for place in world.places.values():
            if place.version == VERSIONS[1]:
                place.fails()
            else:
                place.proves(world.now)
        world.after(30)
    assert reached == {"w1"}
    assert world.versions() == [BASE] * SIZE
