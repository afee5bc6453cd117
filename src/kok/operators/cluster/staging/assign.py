"""Which wave each Cluster goes with. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.staging import CANARY, REST, Wave

BY_DEFAULT = (Wave(name=CANARY), Wave(name=REST))
"""One Cluster first, and then the others."""


def in_waves(
    waves: Sequence[Wave], keys: Iterable[str], clusters: Mapping[str, ClusterContract]
) -> dict[str, str]:
    """The wave of each Cluster that waits; those that no wave takes are not in it.

    `waves` are those of a spec; without any `BY_DEFAULT` counts. `keys` in the order of their turns.
    """
    free = list(keys)
    total, found = len(free), dict[str, str]()
    for wave in waves or BY_DEFAULT:
        count = 1 if not waves and wave.name == CANARY else len(free)
        if wave.percent is not None:
            count = math.ceil(wave.percent * total / 100)
        taken = [key for key in free if takes(wave, clusters[key])][:count]
        found.update(dict.fromkeys(taken, wave.name))
        free = [key for key in free if key not in found]
    return found


def wave_beside(waves: Sequence[Wave], cluster: ClusterContract) -> str | None:
    """The wave of a Cluster that takes nobody's place in it, as of one that sleeps or comes late.

    The first one that asks for it by labels or by name, or else the last one that may have it.
    """
    fitting = [wave for wave in waves or BY_DEFAULT if takes(wave, cluster)]
    asking = next((wave for wave in fitting if wave.selector or wave.names), None)
    chosen = asking or next(reversed(fitting), None)
    return chosen.name if chosen is not None else None


def takes(wave: Wave, cluster: ClusterContract) -> bool:
    """Whether a Cluster may be in a wave."""
    if wave.names:
        return cluster.name in wave.names or cluster.key in wave.names
    return wave.selector is None or wave.selector.takes(dict(cluster.labels))
