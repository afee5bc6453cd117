"""Which Machines of a KubeNode may be changed now. Pure.

One budget for everything that disturbs nodes, new software as well as a new address or CA of the
cluster: one Machine at a time, and none while another one that was changed has not proven itself.
Of nodes that nothing is heard of nobody knows whether they serve, above all if that is so of all of
them at once: such a Machine counts as one that does.

A node whose kubelet goes to another minor is drained for it, so that at any time only one Machine may be
between two: as long as one is, nobody else is changed, whatever else is wrong with him.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.objects.drift import covers
from kok.operators.machine import cluster_version
from kok.operators.machine.machine.operations import update
from kok.operators.machine.remote import host_paths

SOFTWARE = ("components", "artifacts", "addresses")
"""Fields of a Machine's spec that change what is on the host: of its addresses the kubelet is told
which one is the node's."""
ACCESS = ("accessHash",)
"""By which it has the node turn to another address or CA. First, as without it nothing else works."""


class State(Enum):
    """How a Machine is, as far as the budget is concerned."""

    FRESH = "it has never served, so that it disturbs nobody"
    CHANGING = "a change of it is under way, or was not proven"
    UNKNOWN = "nothing is heard of its node"
    BROKEN = "it is known not to serve"
    SERVING = "it serves"


def changeable(
    intents: Mapping[str, Manifest], lives: Mapping[str, Manifest], *, held: bool = False
) -> dict[str, Manifest]:
    """The Machines, by name, as they may be made or changed now.

    `held`: no kubelet that has served changes its version.
    """
    intents = {name: _known(intent, lives.get(name)) for name, intent in intents.items()}
    states = {name: state(lives[name]) for name in intents if name in lives}
    if held:
        intents = {
            name: _without(intent, lives[name], ("components",))
            if states.get(name, State.FRESH) is not State.FRESH
            and _kubelet(intent) != _kubelet(lives[name])
            else intent
            for name, intent in intents.items()
        }
    between = {name for name, live in lives.items() if _between(live)}
    now: dict[str, Manifest] = {}
    for name, intent in intents.items():
        free = states.get(name, State.FRESH) is State.FRESH
        now[name] = intent if free else _without(intent, lives[name], ACCESS + SOFTWARE)
    busy = {name for name, found in states.items() if found is State.CHANGING}
    for fields in (ACCESS, SOFTWARE):
        waiting = [
            name
            for name, found in states.items()
            if found is not State.FRESH and differs(intents[name], lives[name], fields)
        ]
        # What is wrong with a change that was not proven may be corrected, but for one at a time: new
        # labels, too, have to be proven by all that got them.
        again = [] if busy - set(waiting) else sorted(busy & between or busy)[:1]
        turn = again or ([] if busy else _next(waiting, states, certain=fields == SOFTWARE))
        turn = [name for name in turn if not between or name in between]
        if waiting:
            rest = SOFTWARE if fields == ACCESS else ()
            now.update({name: _without(intents[name], lives[name], rest) for name in turn})
            return now
    return now


def disturbs(intent: Manifest, live: Manifest) -> bool:
    """Whether the intent changes anything that nodes notice."""
    return differs(intent, live, ACCESS + SOFTWARE)


def differs(intent: Manifest, live: Manifest, fields: Collection[str]) -> bool:
    """Whether the intent has other values in any of these fields of the spec."""
    wanted, found = intent["spec"], live["spec"]
    return not all(
        covers({"spec": found.get(field)}, {"spec": wanted.get(field)})
        and bool(found.get(field)) == bool(wanted.get(field))
        for field in fields
        # An address that is not known is no other one, and to be told of the first changes nothing.
        if field not in ACCESS or (found.get(field) and wanted.get(field))
    )


def state(live: Manifest) -> State:
    """How a Machine is."""
    parsed = Machine.parse(live)
    status, node = parsed.status, parsed.status.condition("NodeReady")
    if status.first_ready is None and not status.is_true("Ready"):
        return State.FRESH
    if status.observed_generation != parsed.metadata.generation or not status.is_true("UpToDate"):
        return State.CHANGING
    if status.is_true("Ready"):
        return State.SERVING
    return State.UNKNOWN if node is None or node.status == "Unknown" else State.BROKEN


def _between(live: Manifest) -> bool:
    """Whether a Machine that has served goes from one minor of its kubelet to another: it was told
    to, is at it, or has not got its node back."""
    parsed = Machine.parse(live)
    if parsed.deleting:
        return False
    wanted, running = _kubelet(live), parsed.status.kubelet
    if update.recorded(parsed.status) is not None:
        return True
    told = state(live) is not State.FRESH and bool(wanted and running)
    return told and cluster_version.crosses(running or "", wanted)


def _kubelet(manifest: Manifest) -> str:
    """The version of the kubelet in the spec of a Machine; empty if it has none."""
    listed = manifest["spec"].get("components") or ()
    return next((str(c["version"]) for c in listed if c["name"] == host_paths.KUBELET), "")


def _next(waiting: Sequence[str], states: Mapping[str, State], *, certain: bool) -> Sequence[str]:
    """Whose turn it is: those that do not serve first, since that costs nothing.

    `certain`: not one that only seems not to serve, if there are others of that kind. A new address
    is what brings nodes back of which nothing is heard any more, so that it is not asked for there.
    """
    down = {name for name, found in states.items() if found is not State.SERVING}
    down -= {name for name in down if states[name] is State.FRESH}
    unknown = {name for name in down if states[name] is State.UNKNOWN}
    for name in sorted(waiting, key=lambda name: (name not in down, name in unknown, name)):
        if name in unknown and certain and len(unknown) > 1:
            continue
        if name not in down and down:
            continue
        return [name]
    return []


def _known(intent: Manifest, live: Manifest | None) -> Manifest:
    """The intent, with the access that the Machine has where no other one is known at the moment."""
    found = {f: v for f, v in (live or {"spec": {}})["spec"].items() if f in ACCESS}
    return {**intent, "spec": {**found, **intent["spec"]}}


def _without(intent: Manifest, live: Manifest, fields: Collection[str]) -> Manifest:
    """The intent with these fields as they are."""
    kept = {field: live["spec"][field] for field in fields if field in live["spec"]}
    first = {f: v for f, v in intent["spec"].items() if f in ACCESS and f not in live["spec"]}
    rest = {key: value for key, value in intent["spec"].items() if key not in fields}
    return {**intent, "spec": {**rest, **first, **kept}}
