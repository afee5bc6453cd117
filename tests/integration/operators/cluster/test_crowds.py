"""Somebody makes objects by the hundred that look like a Cluster's own children."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tests.integration.operators.cluster.conftest import Workspace

from kok.api import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.apply.prune import prune
from kok.kube.client import Kube
from kok.kube.objects.children import SURPLUS
from kok.kube.objects.ownership import owned
from kok.operators.cluster import naming
from kok.operators.cluster.cluster import observe
from kok.operators.cluster.cluster.caches import MetaNodeCache
from kok.runtime.clock import SystemClock

CROWD = 40
"""More than one pass looks at."""


async def _crowd(kube: Kube, cluster: Cluster, made: Iterable[Manifest]) -> None:
    await asyncio.gather(*(kube.create(owned(one, cluster)) for one in made))


def _secret(name: str) -> Manifest:
    kubeconfig = "".join(f"- {{a: [{number}]}}\n" for number in range(100))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {"kubeconfig": kubeconfig},
    }


def _policy(name: str) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"app": "theirs"}}},
    }


async def test_a_pass_sees_its_own_and_few_others_and_what_is_too_much_goes(
    kube: Kube, workspace: Workspace, cluster_crds: None
) -> None:
    cluster = Cluster.parse(await workspace.make())
    crowd = [f"aaa-{number:03}" for number in range(CROWD)]
    await _crowd(kube, cluster, map(_secret, [*crowd, *sorted(naming.secrets("shop"))]))
    await _crowd(kube, cluster, map(_policy, [*crowd, "shop-apiserver"]))

    for left in (CROWD, CROWD - SURPLUS, CROWD - 2 * SURPLUS, 0):
        seen = await observe.observe(kube, cluster, MetaNodeCache(), SystemClock())
        secrets, policies = seen.of(kinds.SECRET), seen.of(kinds.NETWORKPOLICY)
        assert naming.secrets("shop") <= secrets.keys()
        assert len(secrets) <= len(naming.secrets("shop")) + SURPLUS
        assert len(policies) == min(left, SURPLUS) + 1
        await prune(kube, kinds.NETWORKPOLICY, cluster, ["shop-apiserver"], policies.values())
    assert list(policies) == ["shop-apiserver"]
