"""Versions that there are not, or that cannot be reached from where a cluster is."""

from __future__ import annotations

from tests.crds.cases.case import of, of_cluster, of_running

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
        "1.37.1 or a later version, or restore a backup from before the upgrade by an EtcdRestore",
        "1.36.4",
        runs="1.37.1",
    ),
    of_cluster(
        "spec.upgrade.preflight",
        "spec.upgrade.preflight: v1.37.1 is not a Kubernetes version; write one such as 1.37.1, "
        "without a leading v",
        {"upgrade": {"preflight": "v1.37.1"}},
    ),
    of_cluster(
        "spec.upgrade.preflight",
        "spec.upgrade.preflight: 1.39.0 is not supported; this release knows 1.34 to 1.37",
        {"upgrade": {"preflight": "1.39.0"}},
    ),
    of_cluster(
        "",
        "spec.version: 1.35.4 -> 1.37.1 skips 1.36; upgrade to 1.36.x first, or set "
        "spec.upgrade.chained to true to have each minor in between upgraded to by itself",
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
