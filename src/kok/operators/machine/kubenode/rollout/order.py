"""In which order nodes are changed: by what disturbs least. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest


@dataclass(frozen=True, slots=True)
class Load:
    """What is known of a node."""

    pods: int = 0
    """Pods that would have to leave it."""
    zone: str = ""
    """Its `topology.kubernetes.io/zone`."""


def ordered(
    names: Collection[str], loads: Mapping[str, Load], out: Collection[str] = ()
) -> list[str]:
    """Those that are out of service, then empty nodes, then the others; of each kind the zones in turn.

    Of a zone the node with the fewest pods comes first. What is not known counts as not empty.
    """
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for name in sorted(names):
        load = loads.get(name)
        parts[0 if name in out else 1 if load is not None and not load.pods else 2].append(name)
    return [name for part in parts for name in _in_turn(part, loads)]


def _in_turn(names: Collection[str], loads: Mapping[str, Load]) -> list[str]:
    zones: dict[str, list[str]] = {}
    nothing = Load()
    for name in sorted(names, key=lambda name: (loads.get(name, nothing).pods, name)):
        zones.setdefault(loads.get(name, nothing).zone, []).append(name)
    rounds = zip_longest(*(zones[zone] for zone in sorted(zones)))
    return [name for name in chain.from_iterable(rounds) if name is not None]
