"""The NetworkPolicies of a control plane: what its pods may reach, and who may reach them.

Who may change a business cluster can make its API servers connect to any address, by nodes and
Services that he makes up and by webhooks. So nothing that stands in the business cluster opens
anything here: only what stands in the meta cluster does, less what its administrator closes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kok.api import names
from kok.api.meta import Manifest
from kok.kube.objects import networkpolicy
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.render.controllers import CONTROLLER_MANAGER_PORT, SCHEDULER_PORT
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.tunnel import AGENT_PORT

KUBELET = ("TCP", 10250)
API = ("TCP", names.API_PORT)
ETCD = ("TCP", 2379)
AGENTS = ("TCP", AGENT_PORT)


@dataclass(frozen=True, slots=True)
class PolicyInputs:
    """What a policy has to know beside the Cluster."""

    machines: Sequence[str] = ()
    """Addresses of the Cluster's Machines."""
    closed: Sequence[str] = ()
    """Ranges that no tenant's pod may reach, whatever he writes."""
    dns_servers: Sequence[str] = ()
    """Ranges of name servers beside the meta cluster's own."""
    scrapers: Sequence[Mapping[str, Any]] = ()
    """Who may scrape metrics, as peers of a NetworkPolicy."""
    tunnel: bool = False
    """Whether there are servers of a tunnel beside API servers."""
    straight: bool = True
    """Whether there may be API servers that reach nodes and pods without it."""


def policies(resolved: ResolvedCluster, around: PolicyInputs) -> list[Manifest]:
    """One policy for each component, named like its Deployment."""
    return [_api_server(resolved, around)] + [
        _controller(resolved, around, component, port)
        for component, port in (
            (naming.CONTROLLER_MANAGER, CONTROLLER_MANAGER_PORT),
            (naming.SCHEDULER, SCHEDULER_PORT),
        )
    ]


def _api_server(resolved: ResolvedCluster, around: PolicyInputs) -> Manifest:
    """Clients come from everywhere, and authenticate; they are nobody's pods behind a NodePort."""
    kubelets, inside = around.machines, [*resolved.pod_cidrs, *resolved.service_cidrs]
    if not around.straight:
        # Agents connect from inside: nothing that API servers begin has to lead there.
        kubelets, inside = (), []
    etcd = {
        "app.kubernetes.io/name": "etcd",
        names.LABEL_OWNER_KIND: "EtcdCluster",
        names.LABEL_OWNER_NAME: names.etcd_cluster(resolved.name),
    }
    labels = naming.pod_labels(resolved.name, naming.API_SERVER)
    # A server of the tunnel asks whichever API server is ready whose an agent's token is.
    beside = [networkpolicy.pods(labels)] if around.tunnel else []
    made = networkpolicy.policy(
        naming.deployment(resolved.name, naming.API_SERVER),
        labels,
        ingress=[networkpolicy.from_anywhere(API, *((AGENTS,) if around.tunnel else ()))],
        egress=[
            networkpolicy.going([networkpolicy.pods(etcd)], ETCD),
            networkpolicy.going(beside, API),
            networkpolicy.dns(around.dns_servers),
            networkpolicy.going(networkpolicy.ranges(kubelets, around.closed), KUBELET),
            networkpolicy.going(
                networkpolicy.ranges([*inside, *resolved.cluster.spec.egress], around.closed)
            ),
        ],
    )
    if not around.straight:
        made["metadata"]["annotations"] = {naming.ANNOTATION_WAY_INSIDE: naming.TUNNEL}
    return made


def is_closed(live: Manifest) -> bool:
    """Whether this policy of API servers closes the straight way inside."""
    notes = live["metadata"].get("annotations") or {}
    return bool(notes.get(naming.ANNOTATION_WAY_INSIDE) == naming.TUNNEL)


def _controller(
    resolved: ResolvedCluster, around: PolicyInputs, component: str, port: int
) -> Manifest:
    servers = networkpolicy.pods(naming.pod_labels(resolved.name, naming.API_SERVER))
    return networkpolicy.policy(
        naming.deployment(resolved.name, component),
        naming.pod_labels(resolved.name, component),
        ingress=[networkpolicy.coming([dict(peer) for peer in around.scrapers], ("TCP", port))],
        egress=[networkpolicy.going([servers], API), networkpolicy.dns(around.dns_servers)],
    )
