"""What cannot be changed once it is there, and what to do instead."""

from __future__ import annotations

from tests.crds.cases.case import of, of_cluster
from tests.crds.samples import behind

ADDRESS_FIXED = "nodes and kubeconfigs hold the address"

FIXED = (
    of_cluster(
        "spec.network",
        "spec.network cannot be changed but for tunnel; create a new Cluster with the ranges that you "
        "want",
        {"network": {"podCIDRs": ["10.96.0.0/16"], "tunnel": "Always"}},
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
        "Machine",
        "spec",
        "spec: ssh.jump.address and hostKey cannot both be changed at once, since that is another "
        "host; delete the Machine and create another, or, if it is the same host, change one after "
        "the other",
        {"hostKey": f"SHA256:{'B' * 43}", "ssh": behind("192.0.2.2")},
        was={"hostKey": f"SHA256:{'A' * 43}", "ssh": behind("192.0.2.1")},
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
