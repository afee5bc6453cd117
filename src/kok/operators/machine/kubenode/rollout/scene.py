"""What a plan of a rollout depends on, and what each Machine is to have in the end. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from kok.api.machine.rollout import Rollout, RolloutStatus
from kok.api.meta import Manifest
from kok.api.shares import resolved
from kok.operators.machine.kubenode.rollout import begun, fields, states
from kok.operators.machine.kubenode.rollout.begun import Patience
from kok.operators.machine.kubenode.rollout.budget import Budget, budget
from kok.operators.machine.kubenode.rollout.fields import ROLLED
from kok.operators.machine.kubenode.rollout.order import Load
from kok.operators.machine.kubenode.rollout.states import Found, State

CALLED_OFF = frozenset({"RollingBack", "RolledBack", "Aborted"})
"""Phases in which no further node is begun, for good."""


@dataclass(frozen=True, slots=True)
class RolloutView:
    """All that a plan depends on."""

    intents: Mapping[str, Manifest]
    """The Machines as the spec of the KubeNode has them, by name."""
    lives: Mapping[str, Manifest]
    """The Machines as they are."""
    policy: Rollout
    drain_timeout: str
    now: datetime
    recorded: RolloutStatus | None = None
    held: bool = False
    """Whether no kubelet that has served may change its version."""
    loads: Mapping[str, Load] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """The view, with what follows from it at once."""

    view: RolloutView
    machines: Mapping[str, Found]
    """Those that have served, and that the KubeNode is to have."""
    target: str
    budget: Budget
    patience: Patience


def target_of(intents: Mapping[str, Manifest]) -> str:
    """Hash of the software that the spec means; empty without any host."""
    return next((fields.software(intent) for intent in intents.values()), "")


def identity(target: str, policy: Rollout) -> str:
    """Which rollout it is."""
    if not policy.retry:
        return target
    return f"{target}-{hashlib.sha256(policy.retry.encode()).hexdigest()[:6]}"


def scene_of(view: RolloutView) -> Scene:
    """What follows from a view."""
    everybody = states.look(view.lives)
    machines = {
        name: found
        for name, found in everybody.items()
        if name in view.intents and found.state is not State.FRESH
    }
    gone = {n: f for n, f in everybody.items() if n not in view.intents}
    leaving = {n: f for n, f in gone.items() if f.between}
    # A host of which another one takes the place is missed until that one serves.
    missed = [n for n, f in sorted(gone.items()) if f.given_up][: len(view.intents) - len(machines)]
    leaving |= {n: replace(gone[n], state=State.BROKEN) for n in missed}
    limit = resolved(view.policy.max_unavailable, len(machines))
    return Scene(
        view,
        machines,
        target_of(view.intents),
        budget(limit, {**machines, **leaving}),
        Patience.of(view.policy, view.drain_timeout),
    )


def wishes_of(scene: Scene, record: RolloutStatus | None) -> dict[str, Manifest]:
    """What each Machine is to have in the end."""
    view = scene.view
    over = record is not None and record.phase in CALLED_OFF
    made = {}
    for name, intent in view.intents.items():
        live, found = view.lives.get(name), scene.machines.get(name)
        wish = fields.known(intent, live)
        row = record.node(name) if record is not None else None
        if found is None:
            made[name] = _of_sibling(scene, wish) if over else wish
        elif row is not None and row.state in begun.GOES_BACK:
            good = found.good
            made[name] = fields.with_good(wish, good) if good is not None else wish
        elif over:
            made[name] = fields.without(wish, found.live, ROLLED)
        elif view.held and fields.kubelet(wish) != fields.kubelet(found.live):
            made[name] = fields.without(wish, found.live, ("components",))
        else:
            made[name] = wish
    return made


def _of_sibling(scene: Scene, wish: Manifest) -> Manifest:
    """A new host gets nothing that has failed elsewhere, if anything is known that does well."""
    good = [
        found.good
        for _, found in sorted(scene.machines.items())
        if found.state is State.SERVING and found.good is not None
    ]
    other = next((known for known in good if known.id != scene.target), None)
    return fields.with_good(wish, other) if other is not None else wish


def waiting_of(
    scene: Scene, wishes: Mapping[str, Manifest], what: Collection[str]
) -> frozenset[str]:
    """The Machines that do not have yet what they are to have in any of these fields."""
    return frozenset(
        name
        for name, found in scene.machines.items()
        if fields.differs(wishes[name], found.live, what)
    )
