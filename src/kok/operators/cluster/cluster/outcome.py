"""What a pass over a Cluster found out, step by step; the status is computed from it at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kok.api.cluster.status import CertificateStatus
from kok.api.cluster.upgrade import PreflightStatus, UpgradeFinding
from kok.operators.cluster.businesscluster.reach import Reach
from kok.operators.cluster.businesscluster.reachability import Reachability
from kok.operators.cluster.businesscluster.unmanaged_nodes import UnmanagedNodes
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.operations.hibernation import Hibernation
from kok.operators.cluster.cluster.operations.preflight.probes import Probed
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.cluster.pki.keys import KeyProblem
from kok.operators.cluster.endpoint import Endpoint, NoEndpoint
from kok.runtime.controller.errors import ReconcileStop


@dataclass(frozen=True, slots=True)
class BootstrapState:
    """Whether the bootstrap objects are in the business cluster."""

    done: bool
    reason: str
    message: str = ""


@dataclass(slots=True)
class ClusterOutcome:
    """None: not looked at in this pass, because something before it is not there yet."""

    view: ClusterView
    """What was observed, with what the pass has changed since."""
    hibernation: Hibernation = field(default_factory=Hibernation)
    upgrade: Upgrade = field(default_factory=Upgrade)
    findings: list[UpgradeFinding] | None = None
    """What the preflight of the version that is gone to now found."""
    probed: Probed | None = None
    """What pods met which try that version; None if it was not come so far."""
    preflight: PreflightStatus | None = None
    """What the preflight of a version found that is only checked."""
    problems: tuple[KeyProblem, ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    certificates: list[CertificateStatus] | None = None
    ending: tuple[str, ...] = ()
    """Sentences on CAs that end soon, which nothing renews."""
    incomplete: tuple[str, ...] = ()
    """Sentences on intermediate CAs that come without their root."""
    endpoint: Endpoint | NoEndpoint | None = None
    reach: Reachability | None = None
    bootstrap: BootstrapState | None = None
    nodes: Mapping[str, bool] | None = None
    """Nodes of the business cluster by name, and whether they are Ready."""
    kubelets: Mapping[str, int] = field(default_factory=dict)
    """How many of them have a kubelet of each version."""
    inside: Reach | None = None
    """What API servers reach inside the business cluster."""
    unmanaged: UnmanagedNodes | None = None
    excess: str | None = None
    """What of the API's answers is too large to be read, as a sentence."""
    stopped: ReconcileStop | None = None
    """What made the pass end before all was done."""
