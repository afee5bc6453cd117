"""What a Cluster's spec comes to once profile, version and defaults are filled in. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from kok import versions
from kok.api import names
from kok.api.cluster.cluster import Cluster, ControlPlaneComponent
from kok.api.fields import Resources, span
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.spec.flags import check_arguments, component_spec
from kok.operators.cluster.cluster.spec.profiles import PROFILES, Profile, Size
from kok.operators.cluster.naming import COMPONENTS, deployment
from kok.runtime.controller.errors import Invalid


@dataclass(frozen=True, slots=True)
class ResolvedComponent:
    """One component of the control plane as it is to run, but for its version."""

    component: str
    deployment: str
    replicas: int
    resources: Mapping[str, Any]
    extra_args: tuple[tuple[str, str], ...]
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    pod_annotations: Mapping[str, str]


@dataclass(frozen=True)
class ResolvedCluster:
    """All that the renderers need to know; made by `resolve`, which checks the spec."""

    cluster: Cluster
    version: str
    """The version that is wanted."""
    profile: Profile
    parts: Mapping[str, ResolvedComponent]

    @property
    def name(self) -> str:
        """Name of the Cluster."""
        return self.cluster.name

    @property
    def namespace(self) -> str:
        """Its namespace in the meta cluster."""
        return self.cluster.namespace

    @property
    def pod_cidrs(self) -> tuple[str, ...]:
        """One, or one of each family."""
        return tuple(self.cluster.spec.network.pod_cidrs)

    @property
    def service_cidrs(self) -> tuple[str, ...]:
        """One, or one of each family."""
        return tuple(self.cluster.spec.network.service_cidrs)

    @property
    def dns_domain(self) -> str:
        """Domain of the business cluster's own DNS."""
        return self.cluster.spec.network.dns_domain

    @property
    def tunnel(self) -> bool:
        """Whether API servers reach what is in the cluster by a tunnel."""
        wanted = self.cluster.spec.network.tunnel
        return wanted == "Always" or (wanted == "Auto" and self.cluster.status.tunnel is not None)

    @property
    def registry(self) -> str:
        """What takes the place of the public registries, or an empty text."""
        return self.cluster.spec.images.registry

    @cached_property
    def dns_address(self) -> str:
        """Address of the cluster's DNS Service: the tenth of the first range."""
        return names.nth_address(self.service_cidrs[0], 10)

    @property
    def api_host(self) -> str:
        """Name by which the meta cluster's pods reach the API servers."""
        return names.api_host(self.namespace, self.name)

    @property
    def internal_url(self) -> str:
        """The API inside the meta cluster."""
        return names.internal_url(self.namespace, self.name)

    @cached_property
    def leaf_lifetime(self) -> timedelta:
        """How long certificates live."""
        return span(self.cluster.spec.certificates.leaf_duration)

    @cached_property
    def renew_before(self) -> timedelta:
        """How long before their end they are renewed."""
        return span(self.cluster.spec.certificates.renew_before)

    def image(self, component: str, version: str) -> str:
        """The image of a component at a version."""
        return versions.kubernetes(version).image(component, self.registry)


def resolve(
    cluster: Cluster,
    version: str | None = None,
    *,
    etcd: str | None = None,
    on_its_way: bool = False,
) -> ResolvedCluster:
    """The spec of a Cluster with all defaults filled in; raises `Invalid` for a spec that cannot be built.

    `version` is the one to be made, `spec.version` if None. `etcd` is the
    version that its EtcdCluster has by now, and `on_its_way` whether an upgrade is under way, whose
    preflight then judges what versions know.
    """
    spec = cluster.spec
    version = version or spec.version
    field = "spec.version"
    try:
        versions.kubernetes(version)
        if spec.etcd.version is not None:
            field = "spec.etcd.version"
            versions.etcd(spec.etcd.version)
    except versions.UnknownVersion as error:
        raise Invalid(reasons.UNSUPPORTED_VERSION, f"{field}: {error}") from None
    _check_etcd(cluster, version, etcd)
    check_arguments(spec, None if on_its_way else version)
    profile = PROFILES[spec.profile]
    parts = {
        component: _part(
            cluster.name, component, component_spec(spec, component), profile.sizes[component]
        )
        for component in COMPONENTS
    }
    return ResolvedCluster(cluster, version, profile, parts)


def _check_etcd(cluster: Cluster, version: str, made: str | None) -> None:
    """A version of Kubernetes that already runs with an older etcd is left in peace."""
    etcd = cluster.spec.etcd.version or made
    if etcd is None or cluster.status.version is not None:
        return
    if problem := versions.check_etcd(version, etcd):
        raise Invalid(reasons.UNSUPPORTED_VERSION, f"spec.etcd.version: {problem}")


def _part(
    cluster: str, component: str, spec: ControlPlaneComponent, size: Size
) -> ResolvedComponent:
    return ResolvedComponent(
        component=component,
        deployment=deployment(cluster, component),
        replicas=spec.replicas or size.replicas,
        resources=_resources(spec.resources, size),
        extra_args=tuple((arg.name, arg.value) for arg in spec.extra_args),
        node_selector=dict(sorted(spec.node_selector.items())),
        tolerations=tuple(t.manifest() for t in spec.tolerations),
        pod_annotations=dict(sorted(spec.pod_annotations.items())),
    )


def _resources(wanted: Resources | None, size: Size) -> dict[str, Any]:
    """The user's amounts over the profile's, so that asking for memory keeps the CPU's default."""
    requests = {"cpu": size.cpu, "memory": size.memory}
    if wanted is None:
        return {"requests": requests}
    limits = dict(sorted(wanted.limits.items()))
    # A request above the user's limit would be refused by Kubernetes: the limit is what counts.
    requests.update({k: v for k, v in limits.items() if k not in wanted.requests and k in requests})
    requests.update(wanted.requests)
    out: dict[str, Any] = {"requests": dict(sorted(requests.items()))}
    if limits:
        out["limits"] = limits
    return out
