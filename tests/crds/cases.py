"""What a user may get wrong, one case for each rule of the API, with the sentence that he gets."""

from __future__ import annotations

from tests.crds.case import Case, named, of, of_cluster, of_network, of_running
from tests.crds.fleet_cases import FLEETS
from tests.crds.store_cases import STORES

EVEN = (
    "must be 1, 3, 5 or 7, since an even number survives no more failures than the odd one below it"
)
LABELS = (
    "write names such as tier or example.com/tier, and values of at most 63 letters, digits, "
    "dashes, dots and underscores"
)
FOR_EVER = (
    "renewBefore must be shorter than leafDuration, otherwise a certificate would be renewed for "
    "ever; write for example leafDuration 8760h and renewBefore 720h"
)
MOMENT = (
    "a certificate must last an hour at least, and 30 minutes until it is renewed; write for "
    "example leafDuration 24h and renewBefore 8h"
)
RETENTION = (
    "write a duration such as 8h with mode Periodic, and a number of revisions such as 10000 with "
    "mode Revision"
)
ELECTION = (
    "electionMilliseconds must be at least 5 times heartbeatMilliseconds; etcd's defaults are "
    "1000 and 100"
)
ADDRESS_FIXED = "nodes and kubeconfigs hold the address"

NAMES = (
    named(
        "Cluster",
        "a" * 41,
        f"metadata.name: {'a' * 41} is too long or does not start with a letter; write at most "
        "40 lower-case letters, digits and dashes",
    ),
    named(
        "Cluster",
        "shop.eu",
        "metadata.name: shop.eu is too long or does not start with a letter; write at most "
        "40 lower-case letters, digits and dashes",
    ),
    named(
        "EtcdCluster",
        "1st",
        "metadata.name: 1st is too long or does not start with a letter; write at most "
        "45 lower-case letters, digits and dashes",
    ),
    named(
        "KubeNode",
        "a" * 41,
        f"metadata.name: {'a' * 41} is too long; write at most 40 lower-case letters, digits and "
        "dashes",
    ),
    named(
        "Host",
        "w1.example",
        "metadata.name: w1.example cannot be the name of a node; write at most 22 lower-case "
        "letters, digits and dashes",
    ),
    named(
        "Component", "tool", "metadata.name: tool is not how Machines look for it; write tool-1.0"
    ),
    named("Machine", "a" * 64, "metadata.name is longer than 63 characters; write a shorter one"),
    named("Addon", "a" * 64, "metadata.name is longer than 63 characters; write a shorter one"),
)

VERSIONS = (
    of_cluster(
        "spec.version",
        "spec.version: v1.37.1 is not a Kubernetes version; write one such as 1.37.1, without a "
        "leading v",
        {"version": "v1.37.1"},
    ),
    of_cluster(
        "spec.version",
        "spec.version: 1.39.0 is not supported; this release knows 1.34 to 1.37",
        {"version": "1.39.0"},
    ),
    of_running(
        "spec.version: 1.37.1 -> 1.36.4 goes down, which Kubernetes does not support; write "
        "1.37.1 or a later version",
        "1.36.4",
        runs="1.37.1",
    ),
    of_running(
        "spec.version: 1.37.1 -> 1.37.0 goes down, which Kubernetes does not support; write "
        "1.37.1 or a later version",
        "1.37.0",
        runs="1.37.1",
    ),
    of_cluster(
        "spec.version",
        "spec.version: 1.35.4 -> 1.37.1 skips 1.36; upgrade to 1.36.x first",
        {"version": "1.37.1"},
        was={"version": "1.35.4"},
    ),
    of(
        "KubeNode",
        "spec.version",
        "spec.version: 1.37 is not a Kubernetes version; write one such as 1.37.1, without a "
        "leading v",
        {"version": "1.37"},
    ),
    of(
        "KubeNode",
        "spec.version",
        "spec.version: 1.20.3 is not supported; this release knows 1.34 to 1.37",
        {"version": "1.20.3"},
    ),
    of_cluster(
        "spec.etcd.version",
        "spec.etcd.version: 3.4.0 is not an etcd version; write one such as 3.6.10, of minor "
        "3.5, 3.6 or 3.7",
        {"etcd": {"version": "3.4.0"}},
    ),
    of(
        "EtcdCluster",
        "spec.version",
        "spec.version: v3.6.10 is not an etcd version; write one such as 3.6.10, of minor 3.5, "
        "3.6 or 3.7",
        {"version": "v3.6.10"},
    ),
)

NETWORK = (
    of_network(
        "spec.network: podCIDRs 10.64.0.0/16 and serviceCIDRs 10.64.16.0/20 overlap; write ranges "
        "that have no address in common",
        serviceCIDRs=["10.64.16.0/20"],
    ),
    of_network(
        "spec.network: podCIDRs 10.65.1.0/24 and serviceCIDRs 10.65.0.0/20 overlap; write ranges "
        "that have no address in common",
        podCIDRs=["10.65.1.0/24"],
    ),
    *(
        of_network(
            "spec.network: podCIDRs and serviceCIDRs must have the same IP families in the same "
            "order; write one IPv4, one IPv6 or one of each",
            **wrong,
        )
        for wrong in (
            {"podCIDRs": ["10.64.0.0/16", "fd00:1::/56"]},
            {"podCIDRs": ["fd00:1::/56"]},
            {
                "podCIDRs": ["10.64.0.0/16", "fd00:1::/56"],
                "serviceCIDRs": ["fd00:2::/112", "10.65.0.0/20"],
            },
            {
                "podCIDRs": ["10.64.0.0/16", "10.66.0.0/16"],
                "serviceCIDRs": ["10.65.0.0/20", "10.67.0.0/20"],
            },
        )
    ),
    *(
        of_cluster(
            "spec.network.podCIDRs",
            "spec.network.podCIDRs must be ranges such as 10.64.0.0/16",
            {"network": {"podCIDRs": [wrong]}},
        )
        for wrong in ("10.64.0.0", "10.64.0.5/16", "10.64.0.0/33", "many")
    ),
    *(
        of_cluster(
            "spec.network.serviceCIDRs",
            "spec.network.serviceCIDRs must be ranges such as 10.65.0.0/20",
            {"network": {"serviceCIDRs": [wrong]}},
        )
        for wrong in ("10.65.0.1/20", "")
    ),
    *(
        of_cluster(
            "spec.network.podCIDRs",
            "spec.network.podCIDRs must leave room for nodes: write an IPv4 range of /8 to /24 or "
            "an IPv6 range of /48 to /64",
            {"network": wrong},
        )
        for wrong in (
            {"podCIDRs": ["10.64.0.0/25"]},
            {"podCIDRs": ["fd00:1::/80"], "serviceCIDRs": ["fd00:2::/112"]},
        )
    ),
    *(
        of_cluster(
            "spec.network.serviceCIDRs",
            "spec.network.serviceCIDRs must leave room for Services: write an IPv4 range of /12 "
            "to /28 or an IPv6 range of /108 to /124",
            {"network": wrong},
        )
        for wrong in (
            {"serviceCIDRs": ["10.65.0.0/29"]},
            {"podCIDRs": ["fd00:1::/56"], "serviceCIDRs": ["fd00:2::/64"]},
        )
    ),
)

FIXED = (
    of_cluster(
        "spec.network",
        "spec.network cannot be changed; create a new Cluster with the ranges that you want",
        {"network": {"podCIDRs": ["10.96.0.0/16"]}},
        was={},
    ),
    of_cluster(
        "spec.endpoint",
        f"spec.endpoint.port cannot be changed; {ADDRESS_FIXED}",
        {"endpoint": {"port": 31443}},
        was={},
    ),
    of_cluster(
        "spec.endpoint",
        f"spec.endpoint.port cannot be changed; {ADDRESS_FIXED}",
        {"endpoint": {"port": 31444}},
        was={"endpoint": {"port": 31443}},
    ),
    of_cluster(
        "spec.endpoint.type",
        f"spec.endpoint.type cannot be changed; {ADDRESS_FIXED}",
        {"endpoint": {"type": "LoadBalancer"}},
        was={},
    ),
    of_cluster(
        "spec.endpoint.host",
        f"spec.endpoint.host cannot be changed; {ADDRESS_FIXED}",
        {"endpoint": {"host": "api.example"}},
        was={},
    ),
    of_cluster(
        "spec.etcd.storage.size",
        "spec.etcd.storage.size can grow but not shrink",
        {"etcd": {"storage": {"size": "4Gi"}}},
        was={},
    ),
    of_cluster(
        "spec.etcd",
        "spec.etcd.restoreFrom is for a new Cluster; to restore the etcd of this one, create an "
        "EtcdRestore",
        {"etcd": {"restoreFrom": {"backup": "one"}}},
        was={},
    ),
    of(
        "EtcdCluster",
        "",
        "spec.version: 3.6.10 -> 3.6.9 goes down, which etcd does not support; write 3.6.10 or a "
        "later version",
        {"version": "3.6.9"},
        was={},
    ),
    of(
        "EtcdCluster",
        "",
        "spec.version: 3.5.26 -> 3.7.3 skips 3.6; upgrade etcd to 3.6.x first",
        {"version": "3.7.3"},
        was={"version": "3.5.26"},
    ),
    of(
        "EtcdCluster",
        "spec.storage.size",
        "spec.storage.size can grow but not shrink",
        {"storage": {"size": "7Gi"}},
        was={},
    ),
    of(
        "Addon",
        "spec.cluster",
        "spec.cluster cannot be changed; delete the Addon and create one for the other Cluster",
        {"cluster": "other"},
        was={},
    ),
    of(
        "KubeNode",
        "spec.cluster",
        "spec.cluster cannot be changed; delete the KubeNode and create one for the other Cluster",
        {"cluster": "other"},
        was={},
    ),
    *(
        of(
            "Machine",
            f"spec.{field}",
            f"spec.{field} cannot be changed; delete the Machine and create another",
            {field: "other"},
            was={},
        )
        for field in ("cluster", "node", "address")
    ),
    of(
        "Machine",
        "spec",
        "spec: port and hostKey cannot both be changed at once, since that is another host; delete "
        "the Machine and create another, or, if it is the same host, change one after the other",
        {"port": 2222, "hostKey": f"SHA256:{'B' * 43}"},
        was={"hostKey": f"SHA256:{'A' * 43}"},
    ),
    of(
        "Component",
        "spec",
        "spec of a Component cannot be changed, since hosts rely on it; create another Component "
        "whose name carries the new version",
        {"timeout": "7m"},
        was={},
    ),
)

SIZES = (
    *(
        of_cluster(
            "spec.egress",
            "spec.egress must be ranges such as 192.0.2.0/24 or 2001:db8::/32; write a single "
            "address with /32 or /128 behind it",
            {"egress": [wrong]},
        )
        for wrong in ("203.0.113.7", "203.0.113.7/24", "idp.example", "")
    ),
    *(
        of_cluster("spec.etcd.members", f"spec.etcd.members {EVEN}", {"etcd": {"members": n}})
        for n in (0, 2, 9)
    ),
    of("EtcdCluster", "spec.members", f"spec.members {EVEN}", {"members": 4}),
    of_cluster(
        "spec.etcd.storage",
        "spec.etcd.storage.size must be at least 1Gi",
        {"etcd": {"storage": {"size": "500Mi"}}},
    ),
    of(
        "EtcdCluster",
        "spec.storage",
        "spec.storage.size must be at least 1Gi",
        {"storage": {"size": "1M"}},
    ),
    of_cluster(
        "spec.certificates",
        f"spec.certificates: {FOR_EVER}",
        {"certificates": {"leafDuration": "24h"}},
    ),
    of("EtcdCluster", "spec.tls", f"spec.tls: {FOR_EVER}", {"tls": {"renewBefore": "8760h"}}),
    *(
        case
        for leaf, before in (("59m", "1m"), ("1s", "0s"), ("24h", "23h59m"), ("1h", "31m"))
        for case in (
            of_cluster(
                "spec.certificates",
                f"spec.certificates: {MOMENT}",
                {"certificates": {"leafDuration": leaf, "renewBefore": before}},
            ),
            of(
                "EtcdCluster",
                "spec.tls",
                f"spec.tls: {MOMENT}",
                {"tls": {"leafDuration": leaf, "renewBefore": before}},
            ),
        )
    ),
    *(
        of(
            "EtcdCluster",
            "spec.maintenance.compaction",
            RETENTION,
            {"maintenance": {"compaction": c}},
        )
        for c in ({"mode": "Revision"}, {"retention": "10000"}, {"retention": "0h"})
    ),
    of_cluster(
        "spec.etcd.maintenance.compaction",
        RETENTION,
        {"etcd": {"maintenance": {"compaction": {"retention": "10000"}}}},
    ),
    *(
        of("EtcdCluster", "spec.tuning", ELECTION, {"tuning": wrong})
        for wrong in ({"heartbeatMilliseconds": 500}, {"electionMilliseconds": 400})
    ),
    of_cluster("spec.etcd.tuning", ELECTION, {"etcd": {"tuning": {"heartbeatMilliseconds": 500}}}),
)

MANAGED = tuple(
    of_cluster(
        f"spec.{part}.extraArgs[0].name",
        f"{flag} is set by the operator and cannot be changed; leave it out",
        {part: {"extraArgs": [{"name": flag, "value": "x"}]}},
    )
    for part, flag in (
        ("apiServer", "anonymous-auth"),
        ("apiServer", "etcd-servers"),
        ("apiServer", "kubelet-certificate-authority"),
        ("controllerManager", "authorization-always-allow-paths"),
        ("controllerManager", "cluster-cidr"),
        ("scheduler", "kubeconfig"),
    )
)

CHOICES = (
    of_cluster(
        "spec.addons[0].name",
        "spec.addons: ingress is not built in; write coredns, kube-proxy or flannel, and create "
        "an Addon object for manifests of your own",
        {"addons": [{"name": "ingress"}]},
    ),
    *(
        of(
            "Addon",
            "spec.source",
            "spec.source: write exactly one of builtin, inline and configMap",
            {"source": wrong},
        )
        for wrong in ({}, {"builtin": "coredns", "inline": "kind: ConfigMap"})
    ),
    of(
        "Addon",
        "spec.source.builtin",
        "spec.source.builtin: dns is not known; write one of coredns, kube-proxy, flannel",
        {"source": {"builtin": "dns"}},
    ),
    of(
        "KubeNode",
        "spec",
        "spec: write either hosts (a list of name and address) or replicas with a pool, not both",
        {"replicas": 1, "pool": {}},
    ),
    Case(
        "KubeNode",
        "spec",
        "spec.ssh is missing; write ssh: {user: ..., secret: ...} so that the hosts can be reached",
        {"cluster": "shop", "hosts": [{"name": "w1", "address": "192.0.2.21"}]},
    ),
    *(
        Case(
            "KubeNode",
            "spec",
            "spec: replicas and pool go together; write how many hosts (replicas: 3) and of which "
            "(pool: {matchLabels: {...}}), or list the hosts by name",
            {"cluster": "shop", **wrong},
        )
        for wrong in ({"replicas": 3}, {"pool": {"matchLabels": {"rack": "a"}}})
    ),
)

LABELLED = (
    *(
        of_cluster(f"spec.{part}.nodeSelector", LABELS, {part: {"nodeSelector": {"a b": "c"}}})
        for part in ("apiServer", "controllerManager", "scheduler")
    ),
    of(
        "EtcdCluster",
        "spec.placement.nodeSelector",
        LABELS,
        {"placement": {"nodeSelector": {"/x": "y"}}},
    ),
    Case(
        "KubeNode",
        "spec.pool.matchLabels",
        LABELS,
        {"cluster": "shop", "replicas": 1, "pool": {"matchLabels": {"rack": "-a"}}},
    ),
    *(
        of(kind, "spec.labels", LABELS, {"labels": {"tier": "web server"}})
        for kind in ("KubeNode", "Machine")
    ),
    *(
        of(
            kind,
            "spec.taints[0].key",
            "write a taint's key such as dedicated or example.com/dedicated",
            {"taints": [{"key": "no way", "effect": "NoSchedule"}]},
        )
        for kind in ("KubeNode", "Machine")
    ),
)

MORE_ADDRESSES = "write IP addresses of the host, such as 10.0.2.15; names are not possible here"
HOSTS = (
    *(
        of(kind, "spec.addresses", MORE_ADDRESSES, {"addresses": ["w1.example"]})
        for kind in ("Host", "Machine")
    ),
    of(
        "KubeNode",
        "spec.hosts[0].addresses",
        MORE_ADDRESSES,
        {"hosts": [{"name": "w1", "address": "192.0.2.21", "addresses": ["10.0.2.300"]}]},
    ),
)

CASES = (
    *HOSTS,
    *NAMES,
    *VERSIONS,
    *NETWORK,
    *FIXED,
    *SIZES,
    *MANAGED,
    *CHOICES,
    *LABELLED,
    *STORES,
    *FLEETS,
)
