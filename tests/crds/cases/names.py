"""Names, labels and addresses that cannot be what they are written for."""

from __future__ import annotations

from tests.crds.cases.case import Case, named, of, of_cluster

LABELS = (
    "write names such as tier or example.com/tier, and values of at most 63 letters, digits, "
    "dashes, dots and underscores"
)

MORE_ADDRESSES = "write IP addresses of the host, such as 10.0.2.15; names are not possible here"

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
