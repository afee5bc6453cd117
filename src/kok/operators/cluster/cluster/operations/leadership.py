"""The Lease of the controller manager, given back for a process that ended without doing so.

A controller manager that is replaced leaves its Lease as it is, and the next one waits for the 15
seconds until that has run out. Once the pod of the holder has ended nobody holds it any more, and the
operator gives it back, as the scheduler does by itself. Should a holder be alive after all, it finds
out with its next renewal and takes the Lease again.

Only while pods are replaced somebody looks; what is missed, as by an operator that starts in the middle,
runs out by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.errors import KubeError
from kok.kube.objects.children import few
from kok.kube.objects.pods import pod_gist
from kok.operators.cluster.businesscluster.connections import Connection
from kok.operators.cluster.cluster.observe import PODS, Running
from kok.operators.cluster.naming import CONTROLLER_MANAGER, deployment, pod_labels
from kok.runtime.controller.reconciler import Pass

NAMESPACE: Final = "kube-system"
FOLLOWED: Final = 60.0
"""Seconds for which the Lease is looked at after the last change of a pod."""
HOSTNAME: Final = 63
"""Characters that the hostname of a pod has at most; it is the pod's name, cut there."""
_POD = pod_gist((names.LABEL_COMPONENT,), ())


async def hand_over(p: Pass[Cluster], connection: Connection | None, state: Running | None) -> None:
    """Gives the Lease back if the pod of its holder has ended.

    `connection` leads to the business cluster, None if nothing answers there; `state` is that of the
    controller manager's Deployment. What fails is left to the Lease's own end.
    """
    if connection is None or state is None:
        return
    now = p.clock.monotonic()
    if not state.complete:
        connection.replaced = now
    if connection.replaced is None or now - connection.replaced >= FOLLOWED:
        return
    try:
        lease = await connection.kube.get(kinds.LEASE, CONTROLLER_MANAGER, NAMESPACE)
        host = holder(lease, p.obj.name)
        if lease is None or host is None or is_alive(host, await _pods(p)):
            return
        await connection.kube.patch(kinds.LEASE, CONTROLLER_MANAGER, NAMESPACE, given_back(lease))
    except KubeError as error:
        p.log.debug("lease not given back", error=str(error))
        return
    p.log.info("lease given back", lease=CONTROLLER_MANAGER, host=host)


async def _pods(p: Pass[Cluster]) -> list[Manifest]:
    labels = pod_labels(p.obj.name, CONTROLLER_MANAGER)
    keep = few(_POD, lambda _pod: True, PODS)
    return [
        one
        for one in await p.kube.list(kinds.POD, p.obj.namespace, labels=labels, keep=keep)
        if one
    ]


def holder(lease: Manifest | None, cluster: str) -> str | None:
    """Hostname of the pod that holds a Lease; None if nobody does, or nobody of this Cluster's."""
    spec = (lease or {}).get("spec")
    # Whatever the business cluster's server makes of it.
    said = spec.get("holderIdentity") if isinstance(spec, dict) else None
    host = said.rpartition("_")[0] if isinstance(said, str) else ""
    ours = f"{deployment(cluster, CONTROLLER_MANAGER)}-"[:HOSTNAME].rstrip("-")
    return host if host.startswith(ours) else None


def is_alive(host: str, pods: Iterable[Manifest]) -> bool:
    """Whether a pod with that hostname has not ended; of several whose names are cut alike, any."""
    return any(
        one["metadata"]["name"][:HOSTNAME].rstrip("-.") == host and not has_ended(one)
        for one in pods
    )


def has_ended(pod: Manifest) -> bool:
    """Whether nothing of a pod runs any more."""
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    ended = bool(containers) and all("terminated" in (c.get("state") or {}) for c in containers)
    going = bool(pod["metadata"].get("deletionTimestamp"))
    return status.get("phase") in {"Succeeded", "Failed"} or (going and ended)


def given_back(lease: Manifest) -> dict[str, Any]:
    """The patch by which exactly this Lease has no holder."""
    version = lease["metadata"].get("resourceVersion")
    spec = {"holderIdentity": "", "leaseDurationSeconds": 1}
    return {"metadata": {"resourceVersion": version}, "spec": spec}
