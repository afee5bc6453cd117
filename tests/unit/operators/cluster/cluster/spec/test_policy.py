"""What an administrator does not allow of a Cluster is said, and nothing is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import a_cluster

from kok.operators.cluster.cluster.spec.policy import check
from kok.operators.cluster.cluster.spec.resolved import resolve
from kok.runtime.controller.errors import Invalid
from kok.runtime.policy import Policies

RULES = Policies(
    allowed_registries=("registry.k8s.io",),
    allowed_node_labels=("pool",),
    allowed_tolerations=("dedicated",),
)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"endpoint": {"host": "169.254.169.254"}}, "spec.endpoint.host"),
        ({"endpoint": {"host": "127.0.0.1"}}, "spec.endpoint.host"),
        ({"images": {"registry": "evil.example"}}, "spec.images.registry"),
        ({"scheduler": {"nodeSelector": {"role": "meta"}}}, "spec.scheduler.nodeSelector"),
        (
            {"apiServer": {"tolerations": [{"key": "node-role.kubernetes.io/control-plane"}]}},
            "spec.apiServer.tolerations",
        ),
    ],
)
def test_a_field_that_is_not_allowed_is_named(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as raised:
        check(RULES, resolve(a_cluster(**spec)))
    assert raised.value.reason == "ForbiddenByPolicy"
    assert raised.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    "host",
    ["x@127.0.0.1", "127.0.0.1#", "a:80", "[::1]", "fe80::1%eth0", "a?b", "a\\b", "b\u00fccher"],
)
def test_what_is_no_host_is_named(host: str) -> None:
    """Such as what is a user and a host in a URL; Clusters may be older than the API's rule."""
    with pytest.raises(Invalid, match="is no host") as raised:
        check(Policies(), resolve(a_cluster(endpoint={"host": host})))
    assert raised.value.reason == "InvalidName"


@pytest.mark.parametrize("host", ["", "api.shop_1.example", "192.0.2.7", "2001:db8::7"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    check(Policies(), resolve(a_cluster(endpoint={"host": host})))


def test_what_is_allowed_stands_in_nobodys_way() -> None:
    spec = {"nodeSelector": {"pool": "a"}, "tolerations": [{"key": "dedicated"}]}
    check(RULES, resolve(a_cluster(apiServer=spec, endpoint={"host": "api.example"})))
