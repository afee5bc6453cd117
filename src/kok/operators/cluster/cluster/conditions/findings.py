"""What a pass over a Cluster found out, step by step; the status is computed from it at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kok.api.cluster.status import CertificateStatus
from kok.operators.cluster.cluster.endpoint import Endpoint, NoEndpoint
from kok.operators.cluster.cluster.observe import World
from kok.operators.cluster.cluster.pki.keys import Problem
from kok.runtime.controller.errors import ReconcileStop


@dataclass(frozen=True, slots=True)
class Reach:
    """How the API answered through its public address, asked with the admin kubeconfig."""

    outcome: Literal["ok", "forbidden", "unauthorized", "unreachable", "barred"]
    """`forbidden`: it knows us, but the admins' rights are not there (yet). `barred`: it is not
    asked, since its name leads where the administrator forbids."""
    message: str = ""

    @property
    def answers(self) -> bool:
        """Whether requests get through and the credentials are known."""
        return self.outcome in {"ok", "forbidden"}


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Whether the bootstrap objects are in the business cluster."""

    done: bool
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Nodes that belong to no Machine and wait for serving certificates."""

    waiting: tuple[str, ...] = ()
    """Their names."""
    refused: str | None = None
    """Why the first of them is not given what it asks for, as a sentence, where that was judged."""


@dataclass(slots=True)
class Findings:
    """None: not looked at in this pass, because something before it is not there yet."""

    world: World
    problems: tuple[Problem, ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    certificates: list[CertificateStatus] | None = None
    ending: tuple[str, ...] = ()
    """Sentences on CAs that end soon, which nothing renews."""
    incomplete: tuple[str, ...] = ()
    """Sentences on intermediate CAs that come without their root."""
    endpoint: Endpoint | NoEndpoint | None = None
    reach: Reach | None = None
    bootstrap: Bootstrap | None = None
    nodes: Mapping[str, bool] | None = None
    """Nodes of the business cluster by name, and whether they are Ready."""
    foreign: Foreign | None = None
    excess: str | None = None
    """What of the API's answers is too large to be read, as a sentence."""
    stopped: ReconcileStop | None = None
    """What made the pass end before all was done."""
