"""What an administrator does not allow of an EtcdCluster is said, and nothing is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.etcd.builders import an_etcd

from kok.operators.etcd.etcdcluster.conditions import obstacles
from kok.operators.etcd.etcdcluster.conditions.obstacles import Obstacle
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.jobs import preconditions
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.errors import Wait
from kok.runtime.policy import Policies

S3 = {"bucket": "b-b", "secret": "s3", "endpoint": "https://169.254.169.254"}
RULES = Policies(
    allowed_registries=("registry.k8s.io",),
    allowed_node_labels=("pool",),
    allowed_tolerations=("dedicated",),
)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"images": {"registry": "evil.example"}}, "spec.images.registry"),
        ({"placement": {"nodeSelector": {"role": "meta"}}}, "spec.placement.nodeSelector"),
        ({"placement": {"tolerations": [{"operator": "Exists"}]}}, "spec.placement.tolerations"),
        ({"backup": {"store": {"s3": S3}}}, "spec.backup.store.s3.endpoint"),
    ],
)
def test_a_field_that_is_not_allowed_is_named(spec: dict[str, Any], field: str) -> None:
    found = obstacles.judge(an_etcd(**spec), Observed(), RULES)
    assert isinstance(found, Obstacle)
    assert found.reason == "ForbiddenByPolicy"
    assert found.message.startswith(f"{field}: ")


def test_no_job_runs_an_image_that_members_may_not_have() -> None:
    own = EtcdSettings(worker_image="kok.example/kok:1", allowed_registries=("registry.k8s.io",))
    worker, good = {"image": own.worker_image}, {"image": "registry.k8s.io/etcd:3.6.10-0"}
    preconditions.permit({"containers": [worker], "initContainers": [good]}, own)
    with pytest.raises(Wait, match="etcd:1 is not allowed"):
        preconditions.permit(
            {"containers": [worker], "initContainers": [{"image": "evil.example/etcd:1"}]}, own
        )


def test_what_is_allowed_stands_in_nobodys_way() -> None:
    spec = {"nodeSelector": {"pool": "a"}, "tolerations": [{"key": "dedicated"}]}
    assert obstacles.judge(an_etcd(placement=spec), Observed(), RULES) is None
    assert (
        obstacles.judge(an_etcd(images={"registry": "x.example"}), Observed(), Policies()) is None
    )
