"""Choices that there are not, or that exclude each other, and what is not left to users."""

from __future__ import annotations

from tests.crds.cases.case import Case, of, of_cluster
from tests.crds.samples import behind

from kok.addons import NAMES

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
        f"spec.addons: ingress is not built in; write {', '.join(NAMES[:-1])} or {NAMES[-1]}, and create "
        "an Addon object for manifests of your own",
        {"addons": [{"name": "ingress"}]},
    ),
    of_cluster(
        "spec",
        "spec.addons: konnectivity-agent is the inner end of a tunnel; write spec.network.tunnel: "
        "Always, or leave it out",
        {"addons": [{"name": "konnectivity-agent"}]},
    ),
    *(
        of(
            "Addon",
            "spec.source",
            "spec.source: write exactly one of builtin, inline, configMap, helm and oci",
            {"source": wrong},
        )
        for wrong in ({}, {"builtin": "coredns", "inline": "kind: ConfigMap"})
    ),
    *(
        of(
            "Addon",
            "spec.valuesFrom[0]",
            "spec.valuesFrom: write either secret or configMap",
            {"source": {"builtin": "coredns"}, "valuesFrom": [wrong]},
        )
        for wrong in ({"optional": True}, {"secret": "one", "configMap": "two"})
    ),
    *(
        of(
            "Addon",
            "spec.ignore[0]",
            "spec.ignore.paths: what an object is cannot be left to others; below /metadata write "
            "/metadata/labels or /metadata/annotations, or one of them, and begin with no *",
            {"source": {"builtin": "coredns"}, "ignore": [{"kind": "Secret", "paths": [wrong]}]},
        )
        for wrong in ("/metadata", "/metadata/*", "/metadata/uid", "/*", "/*/data", "/kind")
    ),
    of(
        "Addon",
        "spec.source.builtin",
        f"spec.source.builtin: dns is not known; write one of {', '.join(NAMES)}",
        {"source": {"builtin": "dns"}},
    ),
    of(
        "KubeNode",
        "spec",
        "spec: write either hosts (a list of name and address) or replicas with a pool, not both",
        {"replicas": 1, "pool": {}},
    ),
    *(
        of(
            kind,
            "spec",
            "spec.address: behind a bastion (ssh.jump) write the host's IP address, such as "
            "10.0.0.21, since nobody can tell before it what a name leads to there",
            {"address": "w1.example", "ssh": behind("192.0.2.1")},
        )
        for kind in ("Host", "Machine")
    ),
    of(
        "KubeNode",
        "spec",
        "spec.hosts: behind a bastion (ssh.jump) write the hosts' IP addresses, such as 10.0.0.21, "
        "since nobody can tell before it what a name leads to there",
        {"hosts": [{"name": "w1", "address": "w1.example"}], "ssh": behind("192.0.2.1")},
    ),
    *(
        of(
            "KubeNode",
            f"spec.rollout.{field}",
            "write a number from 1 to 1000, or a share from 1% to 100%, such as 2 or 25%",
            {"rollout": {field: wrong}},
        )
        for field, wrong in (
            ("maxUnavailable", 0),
            ("maxUnavailable", "0%"),
            ("maxUnavailable", "101%"),
            ("batch", "many"),
        )
    ),
    *(
        of(
            kind,
            "spec",
            "spec.adopt: say as well what becomes of the hosts in the end; write onRemove: Release, "
            "which leaves them nodes as they are, or onRemove: CleanUp, which drains them and makes "
            "them bare",
            {"adopt": True},
        )
        for kind in ("KubeNode", "Machine")
    ),
    Case(
        "KubeNode",
        "spec",
        "spec.onRemove: Release is for hosts that are listed, since nobody else could use a host of a "
        "pool that stays a node; write onRemove: CleanUp, or list the hosts by name",
        {"cluster": "shop", "replicas": 1, "pool": {}, "onRemove": "Release"},
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
