"""Tenants that mean harm: what each of them tries, by where he stands."""

from __future__ import annotations

from e2e.framework.environment import Environment
from kok.api import Cluster
from kok.kube import kinds

NAMESPACE, VICTIM = "e2e-hostile", "e2e-victim"
WORKER = "worker-1"
SHOP, TOYS, LATE = "shop", "toys", "late"
MACHINE = f"{SHOP}-workers-{WORKER}"
CLUSTER = Cluster.info.kind
LONG = 900.0
"""Seconds until something counts as never coming."""
METADATA = "169.254.169.254"
"""Where clouds tell a machine its credentials."""


async def addresses(w: Environment, namespace: str, labels: dict[str, str]) -> list[str]:
    """Those of the pods with these labels."""
    pods = await w.kube.list(kinds.POD, namespace, labels=labels)
    return [p["status"]["podIP"] for p in pods if (p.get("status") or {}).get("podIP")]
