"""What a profile means: the sizes of a control plane, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kok.operators.cluster.naming import API_SERVER, CONTROLLER_MANAGER, SCHEDULER

Spread = Literal["none", "preferred", "required"]


@dataclass(frozen=True, slots=True)
class Size:
    """Pods of one component, and what each asks for."""

    replicas: int
    cpu: str
    memory: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. `spread`: whether pods of a component share a meta node."""

    members: int
    """Members of etcd."""
    member_cpu: str
    member_memory: str
    spread: Spread
    sizes: Mapping[str, Size]


PROFILES: Final[Mapping[str, Profile]] = {
    "edge": Profile(
        members=1,
        member_cpu="50m",
        member_memory="96Mi",
        spread="none",
        sizes={
            API_SERVER: Size(1, "50m", "256Mi"),
            CONTROLLER_MANAGER: Size(1, "20m", "64Mi"),
            SCHEDULER: Size(1, "10m", "48Mi"),
        },
    ),
    "standard": Profile(
        members=3,
        member_cpu="50m",
        member_memory="128Mi",
        spread="preferred",
        sizes={
            API_SERVER: Size(2, "100m", "320Mi"),
            CONTROLLER_MANAGER: Size(1, "25m", "64Mi"),
            SCHEDULER: Size(1, "10m", "48Mi"),
        },
    ),
    "ha": Profile(
        members=3,
        member_cpu="200m",
        member_memory="256Mi",
        spread="required",
        sizes={
            API_SERVER: Size(2, "250m", "512Mi"),
            CONTROLLER_MANAGER: Size(2, "50m", "96Mi"),
            SCHEDULER: Size(2, "25m", "64Mi"),
        },
    ),
}
"""By the name that `spec.profile` uses. Memory is what a new component takes, with some room."""
