"""What the preflight of an upgrade looks at, in one frozen picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import CertificateStatus
from kok.api.etcd.contract import EtcdContract
from kok.api.unreadable import Unreadable
from kok.operators.cluster.businesscluster.look import BusinessLook
from kok.operators.cluster.cluster.operations.preflight.probes import Probed


@dataclass(frozen=True, slots=True)
class Facts:
    """All that checks go by."""

    cluster: Cluster
    now: datetime
    running: str
    """The version of all of the control plane."""
    etcd: EtcdContract
    kubelets: Mapping[str, int] = field(default_factory=dict)
    """How many nodes have a kubelet of each version."""
    certificates: tuple[CertificateStatus, ...] = ()
    addons: tuple[Addon, ...] = ()
    """The Cluster's own, and those that others made for it."""
    odd_addons: tuple[Unreadable, ...] = ()
    """Those of them that cannot be read."""
    more_addons: bool = False
    """Whether there are more than were looked at."""
    look: BusinessLook | None = None
    """What is in the business cluster; None where it was not asked."""
    probed: Probed | None = None
    """What pods of the version met; None where there are none."""
    unreachable: str | None = None
    """Why nothing could be asked of the business cluster, as a sentence."""
