"""What the administrator of the meta cluster allows in an EtcdCluster. Pure."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.conditions.obstacles import Adoption, Problem, obstacle
from kok.operators.etcd.etcdcluster.observed import World
from kok.runtime.policy import (
    Policies,
    wrong_image,
    wrong_selector,
    wrong_toleration,
    wrong_url,
)
from kok.versions import etcd


def judge(obj: EtcdCluster, world: World, policies: Policies) -> Problem | Adoption | None:
    """What stands in the way: that of `obstacles`, else the first field that is not allowed."""
    found = obstacle(obj, world)
    if isinstance(found, Problem):
        return found
    forbidden = _forbidden(obj, policies)
    return Problem(reasons.FORBIDDEN_BY_POLICY, forbidden) if forbidden else found


def _forbidden(obj: EtcdCluster, policies: Policies) -> str | None:
    spec, field = obj.spec, "spec.placement"
    store = spec.backup.store.s3 if spec.backup is not None else None
    return (
        wrong_image(
            policies, etcd(spec.version).image(spec.images.registry), "spec.images.registry"
        )
        or wrong_selector(policies, spec.placement.node_selector, f"{field}.nodeSelector")
        or wrong_toleration(policies, spec.placement.tolerations, f"{field}.tolerations")
        or (wrong_url(policies, store.endpoint, "spec.backup.store.s3.endpoint") if store else None)
    )
