"""A KubeNode and its Machines as rollouts go over them, pass by pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok.api.machine.machine import Machine
from kok.api.machine.rollout import Rollout, RolloutStatus
from kok.api.meta import Manifest
from kok.operators.machine.kubenode.rollout import report
from kok.operators.machine.kubenode.rollout.order import Load
from kok.operators.machine.kubenode.rollout.plan import Plan, plan
from kok.operators.machine.kubenode.rollout.scene import RolloutView
from kok.operators.machine.machine import last_good

BASE = "1.37.1"


@dataclass
class One:
    """A Machine that does as it is told at once, unless something keeps it from that."""

    name: str
    version: str = BASE
    generation: int = 1
    seen: int = 1
    """The generation that it has acted on."""
    soak: str = "0s"
    ready: str = "True"
    why: str = "Any"
    """The reason of `NodeReady`."""
    up_to_date: bool = True
    reason: str = "UpToDate"
    served: bool = True
    good: Manifest | None = None
    operation: Manifest | None = None
    fault: Manifest | None = None
    """What is known to be wrong with its host."""
    since: datetime = NOW - timedelta(hours=1)

    def spec(self) -> list[Manifest]:
        return [{"name": "kubelet", "version": self.version}]

    def live(self) -> Manifest:
        conditions = [
            self._condition("Ready", self.ready if self.served else "False", "Any"),
            self._condition("NodeReady", self.ready, self.why),
            self._condition("UpToDate", str(self.up_to_date), self.reason),
        ]
        status: Manifest = {
            "observedGeneration": self.seen,
            "conditions": conditions,
            "kubelet": self.version,
        }
        if self.served:
            status["firstReady"] = "2026-11-02T11:00:00Z"
        if self.good is not None:
            status["lastGood"] = self.good
        if self.operation is not None:
            status["operation"] = self.operation
        if self.fault is not None:
            status["remediation"] = self.fault
        made = builders.machine(
            metadata={"name": self.name, "generation": self.generation},
            node=self.name,
            components=self.spec(),
            rollout={"soak": self.soak} if self.soak != "0s" else {},
        ).manifest()
        return {**made, "status": status}

    def _condition(self, kind: str, holds: str, reason: str) -> Manifest:
        return {
            "type": kind,
            "status": holds,
            "reason": reason,
            "message": f"{self.name} says so",
            "lastTransitionTime": self.since.isoformat(),
        }

    def proves(self, now: datetime) -> None:
        """It is as it was told to be, and serves; its own pass takes note of what is good."""
        well = self.seen == self.generation and self.up_to_date and self.ready == "True"
        self.seen, self.up_to_date, self.reason, self.ready = (
            self.generation,
            True,
            "UpToDate",
            "True",
        )
        self.operation = None
        if not well:
            self.since = now
        self.soaks(now)

    def soaks(self, now: datetime) -> None:
        """What it has served with for long enough counts as good, once its own pass has seen its spec."""
        if self.seen != self.generation:
            return
        machine = Machine.parse(self.live())
        last_good.judge(machine.status, machine, now)
        if machine.status.last_good is not None:
            self.good = machine.status.last_good.manifest()

    def fails(self, reason: str = "ServiceFailing") -> None:
        self.seen, self.up_to_date, self.reason = self.generation, False, reason
        self.operation = None

    def drains(self, since: datetime, reason: str = "Draining") -> None:
        self.fails(reason)
        self.operation = {"type": "Update", "step": "Draining", "since": since.isoformat()}


@dataclass
class Fleet:
    """The KubeNode."""

    size: int = 6
    wanted: str = BASE
    policy: dict[str, Any] = field(default_factory=dict)
    now: datetime = NOW
    status: RolloutStatus | None = None
    held: bool = False
    loads: dict[str, Load] = field(default_factory=dict)
    places: dict[str, One] = field(default_factory=dict)
    found: Plan | None = None

    def __post_init__(self) -> None:
        self.places = {f"w{n}": One(f"w{n}") for n in range(1, self.size + 1)}
        for place in self.places.values():
            place.proves(NOW - timedelta(hours=1))

    def view(self) -> RolloutView:
        policy = Rollout.model_validate(self.policy)
        intents = {}
        for name, place in self.places.items():
            live = place.live()
            spec = {**live["spec"], "components": [{"name": "kubelet", "version": self.wanted}]}
            spec["rollout"] = {"soak": policy.soak}
            intents[name] = {**live, "spec": spec}
        lives = {name: place.live() for name, place in self.places.items()}
        return RolloutView(
            intents,
            lives,
            policy,
            "5m",
            self.now,
            recorded=self.status,
            held=self.held,
            loads=self.loads,
        )

    def passes(self, *, dies: bool = False) -> list[str]:
        """One pass; the Machines that are told of something else by it. It may die once it has written
        its status."""
        self.found = plan(self.view())
        self.status = self.found.status
        if dies:
            return []
        told = []
        for name, place in self.places.items():
            spec = self.found.machines[name]["spec"]
            version = spec["components"][0]["version"]
            place.soak = (spec.get("rollout") or {}).get("soak", "0s")
            if version != place.version:
                place.version, place.generation = version, place.generation + 1
                told.append(name)
        return told

    def rolls(self, *, most: int = 60) -> list[list[str]]:
        """Passes until nothing goes on, with nodes that prove themselves at once; who was told."""
        story = []
        for _ in range(most):
            told = self.passes()
            if told:
                story.append(told)
            for name in told:
                self.places[name].proves(self.now)
            if not told and (self.status is None or self.status.ended_at is not None):
                break
        return story

    def after(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def versions(self) -> list[str]:
        return [place.version for place in self.places.values()]


NEW, NEWER = "1.37.2", "1.37.3"


def fleet(wanted: str = NEW, **policy: Any) -> Fleet:
    return Fleet(wanted=wanted, policy=policy)


def recorded(of: Fleet) -> RolloutStatus:
    assert of.status is not None
    return of.status


def rows(of: Fleet) -> dict[str, str]:
    return {row.machine: row.state for row in recorded(of).nodes}


def said(of: Fleet) -> tuple[bool | None, str]:
    verdict = report.verdict(recorded(of))
    return verdict.holds, verdict.reason
