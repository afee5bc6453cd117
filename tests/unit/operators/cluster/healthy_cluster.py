"""A Cluster that works, and what its conditions say of it."""

from __future__ import annotations

from typing import Any

from tests.unit.operators.cluster.builders import (
    NOW,
    a_cluster,
    a_view,
    all_running,
    an_addon,
    an_etcd,
)

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import CertificateStatus
from kok.operators.cluster.businesscluster.reachability import Reachability
from kok.operators.cluster.cluster.conditions.report import conditions
from kok.operators.cluster.cluster.outcome import BootstrapState, ClusterOutcome
from kok.operators.cluster.endpoint import Endpoint

URL = "https://192.0.2.10:31443"
DONE = BootstrapState(True, "AsWanted", "applied")
CERTIFICATE = CertificateStatus(name="shop-ca", not_after=NOW, renew_at=NOW)


def healthy(**changes: Any) -> ClusterOutcome:
    """A cluster that works, but for `changes`."""
    addons = [an_addon(name) for name in ("coredns", "kube-proxy", "flannel")]
    fields: dict[str, Any] = {
        "view": a_view(an_etcd(), *all_running(), *addons),
        "certificates": [CERTIFICATE],
        "fingerprints": {"shop-ca": "sha256:1"},
        "endpoint": Endpoint("192.0.2.10", 31443),
        "reach": Reachability("ok"),
        "bootstrap": DONE,
        "nodes": {"w1": True, "w2": False},
    }
    return ClusterOutcome(**{**fields, **changes})


def verdict(found: ClusterOutcome, type_: str = "Ready", cluster: Cluster | None = None) -> str:
    judged = conditions(cluster or a_cluster(), found)[type_]
    return f"{judged.holds} {judged.reason}: {judged.message}"
