"""The steps that a decision about a Machine can come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from kok.api.machine.machine import Job
from kok.operators.machine.remote.host_credentials import Problem
from kok.operators.machine.remote.jobs import JobPlan
from kok.operators.machine.remote.join import JoinPlan
from kok.operators.machine.remote.survey import Owner, Question


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing can be done until something else changes."""

    problem: Problem
    after: float = 5.0


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do now; None: until something wakes the Machine."""

    after: float | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """Look which key the host shows."""


@dataclass(frozen=True, slots=True)
class Record:
    """Write down the key of the host."""

    fingerprint: str


@dataclass(frozen=True, slots=True)
class Look:
    """Look at the host."""

    questions: tuple[Question, ...]
    urls: tuple[str, ...]
    towards: str
    digest: str


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Clean up after a Machine of ours that is gone."""

    owner: Owner


@dataclass(frozen=True, slots=True)
class Install:
    """Bring the software to what it should be."""

    plans: tuple[JobPlan, ...]
    started: Mapping[str, Job] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Join:
    """Let the kubelet in."""

    todo: JoinPlan


@dataclass(frozen=True, slots=True)
class Finish:
    """Take the bootstrap token back."""


Step: TypeAlias = Refuse | Idle | Scan | Record | Look | Reclaim | Install | Join | Finish
