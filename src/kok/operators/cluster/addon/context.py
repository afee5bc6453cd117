"""What templates know of the cluster that they are rendered for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kok import versions
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.operators.cluster.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class TemplateContext:
    """One cluster, as `cluster` in templates (see `variables`)."""

    name: str
    version: str
    pod_cidrs: tuple[str, ...]
    service_cidrs: tuple[str, ...]
    dns_domain: str
    dns_address: str
    endpoint: Endpoint
    registry: str

    def variables(self) -> dict[str, Any]:
        """The names that templates use, in the spelling of the API."""
        return {
            "name": self.name,
            "version": self.version,
            "podCIDRs": list(self.pod_cidrs),
            "serviceCIDRs": list(self.service_cidrs),
            "dnsDomain": self.dns_domain,
            "dnsAddress": self.dns_address,
            "api": {
                "host": self.endpoint.host,
                "port": self.endpoint.port,
                "url": self.endpoint.url,
            },
            "registry": self.registry,
            "configAPIs": {
                "kubeProxy": versions.kubernetes(self.version).facts.config_apis.kube_proxy
            },
        }

    def image(self, component: str) -> str:
        """The image of what belongs to the cluster's version, such as `coredns`."""
        return versions.kubernetes(self.version).image(component, self.registry)

    def mirrored(self, reference: str) -> str:
        """Any image, from the cluster's own registry if it has one."""
        if not self.registry:
            return reference
        first, slash, rest = reference.partition("/")
        named = slash and ("." in first or ":" in first or first == "localhost")
        return f"{self.registry.rstrip('/')}/{rest if named else reference}"


_BEFORE = frozenset({"Preflight", "Backup", "Etcd"})
"""Steps of an upgrade at which every addon is rendered for what runs."""


def _version(cluster: Cluster, *, before: bool) -> str:
    """The version to render for.

    While an upgrade is under way this is what still runs, for addons come after it; `before` has those
    that go before the control plane rendered for where it is going. On the way back they go first, too.
    """
    upgrade = cluster.status.upgrade
    if before and upgrade is not None and not upgrade.backing_out and upgrade.step not in _BEFORE:
        return upgrade.hop
    return cluster.status.version or cluster.spec.version


def context_of(cluster: Cluster, *, before: bool = False) -> TemplateContext | None:
    """The facts of a Cluster; None as long as it has no endpoint.

    `before`: for an addon that goes before the control plane in an upgrade.
    """
    endpoint = Endpoint.parse(cluster.status.endpoint)
    if endpoint is None:
        return None
    network = cluster.spec.network
    return TemplateContext(
        name=cluster.name,
        version=_version(cluster, before=before),
        pod_cidrs=tuple(network.pod_cidrs),
        service_cidrs=tuple(network.service_cidrs),
        dns_domain=network.dns_domain,
        dns_address=names.nth_address(network.service_cidrs[0], 10),
        endpoint=endpoint,
        registry=cluster.spec.images.registry,
    )
