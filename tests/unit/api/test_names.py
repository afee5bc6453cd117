"""Names: what one operator makes another one finds, and Kubernetes takes all of them."""

from __future__ import annotations

import re

import pytest

from kok.api import names
from kok.api.cluster import cluster
from kok.api.etcd import etcdcluster
from kok.api.machine import host, kubenode

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LONGEST_SERVICE = 63
# StatefulSets append an ordinal and a revision hash to pods' labels.
LONGEST_STATEFULSET = 52


@pytest.mark.parametrize(
    "name",
    [
        names.api_service,
        lambda c: names.etcd_client_service(names.etcd_cluster(c)),
        names.internal_kubeconfig_secret,
        names.front_proxy_ca_secret,
    ],
)
def test_the_longest_cluster_still_has_names_that_fit(name: object) -> None:
    assert callable(name)
    made = name("c" * cluster.NAME_MAX)
    assert LABEL.fullmatch(made)
    assert len(made) <= LONGEST_SERVICE


def test_the_etcd_of_the_longest_cluster_may_be_called_so() -> None:
    assert len(names.etcd_cluster("c" * cluster.NAME_MAX)) <= etcdcluster.NAME_MAX
    assert etcdcluster.NAME_MAX <= LONGEST_STATEFULSET


def test_the_longest_machine_still_fits_a_label() -> None:
    assert len(names.machine("k" * kubenode.NAME_MAX, "h" * host.NAME_MAX)) <= LONGEST_SERVICE


def test_no_two_objects_of_a_cluster_share_a_name() -> None:
    etcd = names.etcd_cluster("c")
    secrets = [
        names.cluster_ca_secret("c"),
        names.front_proxy_ca_secret("c"),
        names.service_account_secret("c"),
        names.admin_kubeconfig_secret("c"),
        names.internal_kubeconfig_secret("c"),
        names.etcd_ca_secret(etcd),
        names.etcd_client_secret(etcd),
    ]
    assert len(set(secrets)) == len(secrets)


@pytest.mark.parametrize(
    ("cidr", "n", "address"),
    [
        ("10.65.0.0/20", 1, "10.65.0.1"),
        ("10.65.0.0/28", 10, "10.65.0.10"),
        ("fd00:2::/112", 10, "fd00:2::a"),
    ],
)
def test_well_known_addresses_of_a_range(cidr: str, n: int, address: str) -> None:
    assert names.nth_address(cidr, n) == address
