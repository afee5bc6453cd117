"""Whose turn it is: one budget for everything that disturbs nodes. Pure.

New software counts as well as a new address or CA of the cluster. Nodes that are changed, that have
not proven themselves since, that do not serve or of which nothing is heard use it up, for whatever
reason: unknown readiness is no readiness. A node whose kubelet goes to another minor counts as long as
it is between the two, whatever it says of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kok.operators.machine.kubenode.rollout.states import Found, State


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be out of service, and what is."""

    limit: int
    busy: frozenset[str]
    """Changed, not proven, or between two minors."""
    between: frozenset[str]
    down: frozenset[str]
    """Not serving otherwise."""
    unknown: frozenset[str]
    """Of these those of which nothing is heard."""

    @property
    def out(self) -> frozenset[str]:
        """All that are out of service, or may be."""
        return self.busy | self.down


def budget(limit: int, machines: Mapping[str, Found]) -> Budget:
    """How much of the budget is used up by these Machines."""

    def are(*states: State) -> frozenset[str]:
        return frozenset(name for name, found in machines.items() if found.state in states)

    between = frozenset(name for name, found in machines.items() if found.between)
    busy = are(State.CHANGING) | between
    unknown = are(State.UNKNOWN) - busy
    return Budget(limit, busy, between, (are(State.BROKEN) - busy) | unknown, unknown)


def corrected(now: Budget, waiting: Collection[str], allowed: Collection[str]) -> list[str]:
    """Of those that are disturbed already and are to have something else whose turn it is.

    What is wrong with a change that was not proven may be corrected, but not beyond the budget: new
    labels, too, have to be proven by all that got them. `allowed`: who may be changed at all.
    """
    room = now.limit - len(now.busy - set(waiting))
    again = sorted(now.busy & set(allowed), key=lambda name: (name not in now.between, name))
    return again[: max(0, room)]


def begun(now: Budget, order: Sequence[str], *, certain: bool) -> list[str]:
    """Of those that are not disturbed yet whose turn it is, in this order.

    Those that do not serve come first, since that costs nothing. `certain`: not those that only seem
    not to serve, if there are more of that kind than may be out of service. A new address is what
    brings nodes back of which nothing is heard any more, so that it is not asked for there.
    """
    turn: list[str] = []
    out = len(now.out)
    for name in sorted(order, key=lambda name: (name not in now.down, name in now.unknown)):
        if name in now.busy or len(now.busy) + len(turn) >= now.limit:
            continue
        if name in now.unknown and certain and len(now.unknown) > now.limit:
            continue
        if name not in now.down:
            if out >= now.limit:
                continue
            out += 1
        turn.append(name)
    return turn
