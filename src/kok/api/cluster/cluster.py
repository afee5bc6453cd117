"""Cluster: one business cluster, whose control plane runs as pods of the meta cluster."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from kok import addons
from kok.api.cluster.etcd import ClusterEtcd
from kok.api.cluster.managedflags import unmanaged
from kok.api.cluster.status import ClusterStatus
from kok.api.cluster.upgrade import UpgradePolicy
from kok.api.fields import (
    CIDR,
    Address,
    Duration,
    EndpointHost,
    FreeForm,
    Images,
    KubernetesVersion,
    Labels,
    Resources,
    Toleration,
    immutable,
    lasting,
    rule,
    rules,
    says,
    shorter,
)
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, kok_kind
from kok.api.versionrules import cluster_downgrade, cluster_upgrade, kubernetes_version

NAME_MAX = 40
_ADDONS = " or ".join([", ".join(addons.NAMES[:-1]), addons.NAMES[-1]])


class Endpoint(ApiModel):
    """How clients and nodes reach the API."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.endpoint.port cannot be changed; nodes and kubeconfigs hold the address",
                "self.?port == oldSelf.?port",
            )
        )
    )

    type: Literal["NodePort", "LoadBalancer", "ClusterIP"] = Field(
        default="NodePort",
        json_schema_extra=rules(
            immutable("spec.endpoint.type", "nodes and kubeconfigs hold the address")
        ),
    )
    """Type of the Service in front of the API servers."""
    host: EndpointHost = Field(
        default="",
        json_schema_extra=rules(
            immutable("spec.endpoint.host", "nodes and kubeconfigs hold the address")
        ),
    )
    """Name or address that clients use; found out from the Service or the meta nodes if empty."""
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
    )
    """Port that clients use; chosen by the meta cluster if absent (6443 unless NodePort)."""
    extra_sans: list[Address] = Field(default_factory=list, alias="extraSANs", max_length=32)
    """More names and addresses for the API server's certificate."""


class Network(ApiModel):
    """Address ranges inside the business cluster, which cannot be changed later, and the way in."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "'spec.network: podCIDRs ' + self.podCIDRs.join(', ') + ' and serviceCIDRs ' + "
                "self.serviceCIDRs.join(', ') + ' overlap; write ranges that have no address in "
                "common'",
                "!self.podCIDRs.all(p, isCIDR(p)) || !self.serviceCIDRs.all(s, isCIDR(s)) || "
                "!self.podCIDRs.exists(p, self.serviceCIDRs.exists(s, "
                "cidr(p).containsCIDR(s) || cidr(s).containsCIDR(p)))",
                expression=True,
            ),
            rule(
                "spec.network: podCIDRs and serviceCIDRs must have the same IP families in the "
                "same order; write one IPv4, one IPv6 or one of each",
                "!(self.podCIDRs + self.serviceCIDRs).all(c, isCIDR(c)) || "
                "(self.podCIDRs.map(c, cidr(c).ip().family()) == "
                "self.serviceCIDRs.map(c, cidr(c).ip().family()) && "
                "self.podCIDRs.all(c, self.podCIDRs.exists_one(d, "
                "cidr(c).ip().family() == cidr(d).ip().family())))",
            ),
            rule(
                "spec.network cannot be changed but for tunnel; create a new Cluster with the "
                "ranges that you want",
                "self.podCIDRs == oldSelf.podCIDRs && self.serviceCIDRs == oldSelf.serviceCIDRs "
                "&& self.dnsDomain == oldSelf.dnsDomain",
            ),
        )
    )

    pod_cidrs: list[CIDR] = Field(
        default_factory=lambda: ["10.64.0.0/16"],
        alias="podCIDRs",
        min_length=1,
        max_length=2,
        json_schema_extra=rules(
            rule(
                "spec.network.podCIDRs must be ranges such as 10.64.0.0/16",
                "self.all(c, isCIDR(c) && cidr(c) == cidr(c).masked())",
            ),
            rule(
                "spec.network.podCIDRs must leave room for nodes: write an IPv4 range of /8 to "
                "/24 or an IPv6 range of /48 to /64",
                "self.all(c, !isCIDR(c) || (cidr(c).ip().family() == 4 "
                "? cidr(c).prefixLength() >= 8 && cidr(c).prefixLength() <= 24 "
                ": cidr(c).prefixLength() >= 48 && cidr(c).prefixLength() <= 64))",
            ),
        ),
    )
    """Addresses of pods; two for dual stack."""
    service_cidrs: list[CIDR] = Field(
        default_factory=lambda: ["10.65.0.0/20"],
        alias="serviceCIDRs",
        min_length=1,
        max_length=2,
        json_schema_extra=rules(
            rule(
                "spec.network.serviceCIDRs must be ranges such as 10.65.0.0/20",
                "self.all(c, isCIDR(c) && cidr(c) == cidr(c).masked())",
            ),
            rule(
                "spec.network.serviceCIDRs must leave room for Services: write an IPv4 range "
                "of /12 to /28 or an IPv6 range of /108 to /124",
                "self.all(c, !isCIDR(c) || (cidr(c).ip().family() == 4 "
                "? cidr(c).prefixLength() >= 12 && cidr(c).prefixLength() <= 28 "
                ": cidr(c).prefixLength() >= 108 && cidr(c).prefixLength() <= 124))",
            ),
        ),
    )
    """Addresses of Services; two for dual stack."""
    dns_domain: str = Field(
        default="cluster.local",
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        json_schema_extra=says("write a domain such as cluster.local"),
    )
    """Domain of the cluster's own DNS."""
    tunnel: Literal["Never", "Always", "Auto"] = "Never"
    """How API servers reach nodes, pods and Services of the cluster: `Never` straight, `Always` by a
    tunnel (konnectivity) that agents inside open from there, so that nothing in the cluster has to be
    reachable from the meta cluster. `Auto`: straight until a kubelet or a pod turns out not to be
    reached, and by a tunnel from then on. A change restarts the API servers, one after the other."""


class ExtraArg(ApiModel):
    """One more command line flag; the same name may come several times."""

    name: str = Field(
        max_length=128,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra={
            **says("write the flag without dashes in front, such as event-ttl"),
            **rules(unmanaged()),
        },
    )
    """Name of the flag, without dashes in front."""
    value: str = Field(max_length=4096)
    """Value of the flag."""


class ControlPlaneComponent(ApiModel):
    """One of the control plane's Deployments."""

    replicas: int | None = Field(default=None, ge=1, le=9)
    """Number of pods; from the profile if absent."""
    resources: Resources | None = None
    """What each pod asks for and may use; from the profile if absent."""
    extra_args: list[ExtraArg] = Field(default_factory=list, max_length=64)
    """More command line flags; those that the operator sets itself are refused."""
    node_selector: Labels = Field(default_factory=dict)
    """Labels that a meta node must carry."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32)
    """Taints that the pods put up with."""
    pod_annotations: dict[str, str] = Field(default_factory=dict)
    """More annotations for the pods."""


class Nodes(ApiModel):
    """How nodes are dealt with."""

    foreign: Literal["Approve", "Manual"] = "Manual"
    """Who approves the serving certificates of nodes that belong to no Machine, such as those that
    joined by `kubeadm join`: the operator what is truly the node's, or people by
    `kok node approve`."""


class Certificates(ApiModel):
    """Lifetimes of certificates."""

    model_config = ConfigDict(
        json_schema_extra=rules(shorter("spec.certificates"), lasting("spec.certificates"))
    )

    leaf_duration: Duration = "8760h"
    """How long a certificate is valid."""
    renew_before: Duration = "720h"
    """How long before its end a certificate is renewed."""


class ClusterAddon(ApiModel):
    """One addon of the cluster."""

    name: str = Field(
        max_length=40,
        description=f"Name of a built-in addon: {_ADDONS}.",
        json_schema_extra=rules(
            rule(
                "'spec.addons: ' + self + ' is not built in; write "
                + _ADDONS
                + ", and create an Addon object for manifests of your own'",
                f"self in {list(addons.NAMES)}",
                expression=True,
            )
        ),
    )
    enabled: bool = True
    """`false` leaves out an addon that comes by default."""
    values: FreeForm = Field(default_factory=dict)
    """Values for its templates."""


class ClusterSpec(ApiModel):
    """What a business cluster is to be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"spec.addons: {addons.TUNNEL_AGENT} is the inner end of a tunnel; write "
                "spec.network.tunnel: Always, or leave it out",
                f"self.network.tunnel != 'Never' || "
                f"!self.addons.exists(a, a.name == '{addons.TUNNEL_AGENT}' && a.enabled)",
            )
        )
    )

    version: KubernetesVersion = Field(json_schema_extra=rules(*kubernetes_version("spec.version")))
    """Kubernetes version of the control plane. It may go up by patch level or one minor (or more with
    `spec.upgrade.chained`), and back to any patch level of the lowest minor whose data is not yet
    written by a later one (`status.lowestVersion`)."""
    profile: Literal["edge", "standard", "ha"] = "standard"
    """Size of the control plane: `edge` one of everything, `standard` three etcd members and two
    API servers, `ha` also two of the others, spread strictly over meta nodes."""
    endpoint: Endpoint = Field(default_factory=Endpoint)
    """How clients and nodes reach the API."""
    network: Network = Field(default_factory=Network)
    """Address ranges and DNS domain."""
    etcd: ClusterEtcd = Field(default_factory=ClusterEtcd)
    """Where the cluster's data lives."""
    api_server: ControlPlaneComponent = Field(default_factory=ControlPlaneComponent)
    """The API servers."""
    controller_manager: ControlPlaneComponent = Field(default_factory=ControlPlaneComponent)
    """The controller managers."""
    scheduler: ControlPlaneComponent = Field(default_factory=ControlPlaneComponent)
    """The schedulers."""
    certificates: Certificates = Field(default_factory=Certificates)
    """Lifetimes of certificates."""
    nodes: Nodes = Field(default_factory=Nodes)
    """How nodes are dealt with."""
    addons: list[ClusterAddon] = Field(
        default_factory=list,
        max_length=32,
        description=f"Changes to the default set of addons ({', '.join(addons.DEFAULTS)}).",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    images: Images = Field(default_factory=Images)
    """Where images of the control plane and of built-in addons come from."""
    egress: list[CIDR] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=rules(
            rule(
                "spec.egress must be ranges such as 192.0.2.0/24 or 2001:db8::/32; write a single "
                "address with /32 or /128 behind it",
                "self.all(c, isCIDR(c) && cidr(c) == cidr(c).masked())",
            )
        ),
    )
    """Ranges that the API servers may connect to beside etcd, DNS, the Cluster's Machines, pods and
    Services: an OIDC issuer, webhooks elsewhere, nodes that are no Machines."""
    upgrade: UpgradePolicy = Field(default_factory=UpgradePolicy)
    """How the control plane goes from one version to another."""
    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    """What happens to etcd's volumes when the Cluster is deleted."""
    hibernate: bool = False
    """Stops the control plane and then etcd, and keeps their data; `false` starts them again."""
    paused: bool = False
    """Stops all changes by the operator; the status is still kept."""

    def wanted_addons(self) -> dict[str, ClusterAddon]:
        """The default set and what `addons` adds, but for what it switches off; in the order in which
        users are told of them. The one that comes with a tunnel is among them only if it is named.
        """
        wanted = {name: ClusterAddon(name=name) for name in addons.DEFAULTS}
        wanted |= {one.name: one for one in self.addons}
        return {
            name: wanted[name] for name in addons.NAMES if name in wanted and wanted[name].enabled
        }


class Cluster(Resource):
    """One business cluster, kept by the cluster operator."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"'metadata.name: ' + self.metadata.name + ' is too long or does not start with "
                f"a letter; write at most {NAME_MAX} lower-case letters, digits and dashes'",
                f"self.metadata.name.size() <= {NAME_MAX} && "
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                expression=True,
            ),
            *cluster_upgrade(),
            *cluster_downgrade(),
        )
    )

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("Cluster"),
        short_names=("kc",),
        columns=(
            Column("Version", ".status.version"),
            Column("Profile", ".spec.profile"),
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Nodes", ".status.nodeSummary"),
            Column("Vulnerable", ".status.conditions[?(@.type=='Vulnerable')].status", wide=True),
            Column("Outdated", ".status.conditions[?(@.type=='Outdated')].status", wide=True),
            Column("Endpoint", ".status.endpoint"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: ClusterSpec
    status: ClusterStatus = Field(default_factory=ClusterStatus)
