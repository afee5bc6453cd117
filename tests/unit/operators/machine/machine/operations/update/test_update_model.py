"""What nodes go through when Kubernetes is upgraded, whatever happens meanwhile and whoever dies.

KubeNode and Machines decide by the code that is in force; the world around them is a model.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.update.places import (
    VERSIONS,
    Lists,
    Place,
    condition,
    done,
)
from tests.unit.operators.machine.views import machine_view, observed

from kok.api.machine.machine import KubeletChange, MachineStatus
from kok.api.machine.rollout import Rollout, RolloutStatus
from kok.api.meta import Manifest
from kok.operators.machine import cluster_version
from kok.operators.machine.kubenode.rollout.plan import plan
from kok.operators.machine.kubenode.rollout.scene import RolloutView
from kok.operators.machine.machine.operations import update
from kok.operators.machine.machine.operations.update_calls import (
    DEAD,
    EMPTY,
    CordonNode,
    EmptyNode,
    UncordonNode,
)
from kok.operators.machine.machine.operations.update_turns import UpdateTurns
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.node import cordon
from kok.operators.machine.remote.session import HostMemory
from kok.runtime.conditions import Verdict

NAMES = ("w1", "w2", "w3")
which = st.sampled_from(NAMES)
UPGRADE = {
    "from": "1.36.4",
    "to": "1.37.1",
    "hop": "1.37.1",
    "hopFrom": "1.36.4",
    "step": "APIServer",
    "since": "2026-11-02T12:00:00Z",
    "movedAt": "2026-11-02T12:00:00Z",
}


class Upgrades(RuleBasedStateMachine):
    """A KubeNode of three, and all that may happen to it."""

    most = 1
    """Nodes that may be out of service at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.places = {name: Place(name) for name in NAMES}
        self.wanted, self.upgrading, self.time = VERSIONS[0], False, 0
        self.recorded: RolloutStatus | None = None
        self.by_people: set[str] = set()
        self.turns = self._turns()
        for place in self.places.values():
            self._tell(place, None, None)

    def _turns(self) -> UpdateTurns:
        lists: Any = Lists(self.places)

        async def limit(*_: object) -> int:
            return self.most

        return UpdateTurns(lists, limit)

    # --- the operator

    @rule()
    def kubenode(self) -> None:
        """A pass over the KubeNode."""
        lives = {name: place.live() for name, place in self.places.items()}
        intents = {
            name: {**live, "spec": {**live["spec"], "components": self._software()}}
            for name, live in lives.items()
        }
        policy = Rollout(max_unavailable=self.most)
        found = plan(
            RolloutView(
                intents, lives, policy, "5m", NOW, recorded=self.recorded, held=self.upgrading
            )
        )
        self.recorded, now = found.status, found.machines
        for name, place in self.places.items():
            version = now[name]["spec"]["components"][0]["version"]
            if version != place.wanted:
                assert not self.upgrading, "a kubelet's version was changed in an upgrade"
                place.wanted, place.generation = version, place.generation + 1

    def _software(self) -> list[Manifest]:
        return [{"name": "kubelet", "version": self.wanted}]

    @rule(times=st.integers(1, 3))
    def everybody(self, times: int) -> None:
        """Some time goes by."""
        for _ in range(times):
            self.kubenode()
            for name in NAMES:
                self.machine(name, "")

    @rule(name=which, dies=st.sampled_from(["", "recorded", "done"]))
    def machine(self, name: str, dies: str) -> None:
        """A pass over a Machine; the operator may die once it has recorded what it does, or once it
        has done it, before it has told of it."""
        place = self.places[name]
        self.time += 1
        view = self._view(place)
        if update.may_begin(view):
            kube: Any = None
            view = replace(view, blocker=done(self.turns.ask(kube, place.machine())))
        finish = update.finish(view)
        if finish is not None and finish.call is not None:
            self._record(place, finish.operation)
            self._call(place, finish.call, dies)
            operation = finish.operation
        else:
            operation = None if finish is not None else update.underway(view)
            operation = self._software_of(place, view, operation, dies)
        if dies:
            self.death()
            return
        self._tell(place, operation, None)
        if operation is None:
            self.turns.over(f"uid-{name}")

    def _software_of(self, place: Place, view: MachineView, operation: Any, dies: str) -> Any:
        if place.wanted == place.installed and place.wanted == place.running:
            self._record(place, operation)
            return operation
        gate = update.gate(view)
        if isinstance(gate, Verdict):
            self._record(place, operation)
            return operation
        if gate is not None and gate.call is not None:
            self._record(place, gate.operation)
            self._call(place, gate.call, dies)
            return gate.operation
        operation = gate.operation if gate is not None else operation
        change = KubeletChange(job=f"job-{place.wanted}", after="")
        self._record(place, operation, change)
        if dies != "recorded":
            self._install(place)
        return operation

    def _install(self, place: Place) -> None:
        crosses = cluster_version.crosses(place.running, place.wanted)
        if crosses and place.ready:
            assert place.cordoned, f"{place.name} gets pods while its kubelet's minor changes"
            assert not place.pods, f"{place.name} has pods while its kubelet's minor changes"
        place.installed = place.running = place.wanted

    def _call(self, place: Place, call: object, dies: str) -> None:
        if dies == "recorded":
            return
        seen = place.seen()
        match call:
            case CordonNode():
                assert not place.cordoned, "somebody else's cordon was taken over"
                place.patch(cordon.cordon(seen, f"team-a/{place.name}"))
            case UncordonNode():
                assert place.ours, "a node was uncordoned that somebody else had cordoned"
                place.patch(cordon.uncordon(seen))
            case EmptyNode(drain=drain):
                if place.ready:
                    place.pods = place.pods if place.guarded else max(0, place.pods - 1)
                    if not place.pods:
                        place.memory.emptied = (drain, EMPTY)
                else:
                    place.memory.emptied = (drain, DEAD if place.pods else EMPTY)

    def _view(self, place: Place) -> MachineView:
        cluster = builders.cluster(status={"upgrade": UPGRADE} if self.upgrading else {})
        return machine_view(
            place.machine(),
            memory=place.memory.snapshot(),
            objects=observed(cluster=cluster, node=place.seen()),
            status=place.status,
            now=NOW.replace(microsecond=self.time % 1000),
        )

    def _record(self, place: Place, operation: Any, change: KubeletChange | None = None) -> None:
        """What is latched before anything is done."""
        made = {k: v for k, v in place.status.items() if k != "operation"}
        if operation is not None:
            made["operation"] = operation.manifest()
        if change is not None:
            made["kubeletChange"] = change.manifest()
        place.status = made

    def _tell(self, place: Place, operation: Any, change: KubeletChange | None) -> None:
        """The end of a pass: what shows of the Machine."""
        self._record(place, operation, change)
        right = place.wanted == place.installed == place.running
        changed = "kubeletChange" in place.status
        if changed and right and place.ready:
            del place.status["kubeletChange"]
            changed = False
        good = right and not changed and operation is None
        state = "Ready" if right else "Waiting"
        place.status = {
            **place.status,
            "observedGeneration": place.generation,
            "firstReady": "2026-11-02T11:00:00Z",
            "kubelet": place.running,
            "components": [{"name": "kubelet", "state": state}],
            "conditions": [
                condition("Ready", holds=place.ready),
                condition("NodeReady", holds=place.ready),
                condition("UpToDate", holds=good),
            ],
        }

    @rule()
    def death(self) -> None:
        """Of what an operator only remembered its successor knows nothing."""
        for place in self.places.values():
            place.memory, place.followed = HostMemory(), None
        self.turns = self._turns()

    # --- what others do

    @rule(version=st.sampled_from(VERSIONS))
    def another_version(self, version: str) -> None:
        self.wanted = version

    @rule()
    def an_upgrade_begins_or_ends(self) -> None:
        self.upgrading = not self.upgrading

    @rule(name=which)
    def a_node_is_away_for_a_while(self, name: str) -> None:
        """It is back just before its Machine is looked at again."""
        place = self.places[name]
        place.ready = False
        self.machine(name, "")
        place.ready = True
        self.machine(name, "")

    @rule(name=which)
    def people_cordon(self, name: str) -> None:
        place = self.places[name]
        # Who cordons what bears our name, before we have looked at it again, is taken for us.
        if not place.cordoned and not place.ours:
            place.closes(cordoned=True)
            self.by_people.add(name)

    @rule(name=which)
    def people_uncordon(self, name: str) -> None:
        self.places[name].closes(cordoned=False)
        self.by_people.discard(name)

    @rule(name=which)
    def a_pod_comes(self, name: str) -> None:
        place = self.places[name]
        place.pods += not place.cordoned

    @rule(name=which)
    def people_let_pods_in_for_a_moment(self, name: str) -> None:
        """Nobody looks at the node meanwhile."""
        place = self.places[name]
        theirs = name in self.by_people
        self.people_uncordon(name)
        self.a_pod_comes(name)
        if theirs and not place.ours:
            self.people_cordon(name)

    @rule(name=which)
    def a_budget_comes_or_goes(self, name: str) -> None:
        self.places[name].guarded = not self.places[name].guarded

    @rule(name=which)
    def a_node_dies_or_comes_back(self, name: str) -> None:
        self.places[name].ready = not self.places[name].ready

    @rule(name=which, version=st.sampled_from(VERSIONS))
    def a_kubelet_is_changed_by_hand(self, name: str, version: str) -> None:
        self.places[name].installed = self.places[name].running = version

    # --- what holds

    @invariant()
    def no_more_nodes_at_once(self) -> None:
        """But for one whose record was lost, which nobody takes away here."""
        busy = [p.name for p in self.places.values() if "operation" in p.status]
        assert len(busy) <= self.most, busy
        ours = [p.name for p in self.places.values() if p.ours]
        assert len(ours) <= self.most, ours

    @invariant()
    def nobody_elses_cordon_is_taken_away(self) -> None:
        assert all(self.places[name].cordoned for name in self.by_people)

    def teardown(self) -> None:
        """Once nothing is in the way any more, all comes to its end."""
        self.upgrading = False
        for place in self.places.values():
            place.guarded, place.ready = False, True
        # One pod leaves at a time, and one node after the other has them leave.
        for _ in range(40 + sum(place.pods for place in self.places.values())):
            self.kubenode()
            for name in NAMES:
                self.machine(name, "")
        for place in self.places.values():
            assert place.running == self.wanted, SimpleNamespace(**vars(place))
            assert not place.ours, "a node was left cordoned"
            assert place.cordoned == (place.name in self.by_people)
            assert "operation" not in place.status


Upgrades.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestUpgrades = Upgrades.TestCase


class SideBySide(Upgrades):
    """The same where two may be out of service."""

    most = 2


SideBySide.TestCase.settings = Upgrades.TestCase.settings
TestSideBySide = SideBySide.TestCase


def emptied(*, by_people: bool) -> Upgrades:
    """The first node is cordoned and drained, and about to be changed."""
    world = Upgrades()
    if by_people:
        world.people_cordon("w1")
    world.another_version("1.37.1")
    world.kubenode()
    while world.places["w1"].pods:
        world.machine("w1", "")
    return world


def ends(world: Upgrades) -> None:
    """The nodes are changed, and the model's promises hold."""
    world.no_more_nodes_at_once()
    world.nobody_elses_cordon_is_taken_away()
    world.teardown()


# Found by the model, and tried every time from then on.


def test_a_node_that_was_emptied_and_uncordoned_is_drained_once_more() -> None:
    world = emptied(by_people=False)
    world.people_let_pods_in_for_a_moment("w1")
    assert world.places["w1"].pods == 1
    ends(world)


def test_a_node_that_nobody_saw_uncordoned_for_a_moment_is_drained_once_more() -> None:
    world = emptied(by_people=True)
    world.people_let_pods_in_for_a_moment("w1")
    assert world.places["w1"].pods == 1
    ends(world)


def test_a_node_that_takes_long_to_drain_gets_its_pods_again() -> None:
    world = Upgrades()
    for _ in range(48):
        world.a_pod_comes("w1")
    world.another_version("1.37.1")
    ends(world)


def test_a_status_is_one() -> None:
    """The model's statuses are those of Machines."""
    world = Upgrades()
    assert MachineStatus.model_validate(world.places["w1"].status).first_ready is not None
