"""The controller manager's Lease is given back where its pod is gone, and the next one gets it at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from tests.unit.operators.cluster.builders import a_cluster

from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.cluster.observe import Running
from kok.operators.cluster.cluster.operations.leadership import FOLLOWED, NAMESPACE, hand_over
from kok.operators.cluster.naming import CONTROLLER_MANAGER, pod_labels

POD = "shop-controller-manager-7dfd674757-5gddn"
ROLLS = Running(CONTROLLER_MANAGER, "1.37.1", desired=1, ready=1, complete=False)
DONE = Running(CONTROLLER_MANAGER, "1.37.1", desired=1, ready=1, complete=True)


@pytest.fixture
async def held(kube: Kube, namespace: str) -> AsyncIterator[None]:
    """A controller manager that leads."""
    container = {"name": "kube-controller-manager", "image": "registry.example/none:1"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": POD,
            "namespace": namespace,
            "labels": pod_labels("shop", CONTROLLER_MANAGER),
        },
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": CONTROLLER_MANAGER, "namespace": NAMESPACE},
        "spec": {"holderIdentity": f"{POD}_3a9f", "leaseDurationSeconds": 15},
    }
    await kube.create(pod)
    await kube.create(lease)
    yield
    await kube.delete(kinds.LEASE, CONTROLLER_MANAGER, NAMESPACE)


class Passes:
    """Passes over the Cluster at times that are given."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.now = 0.0
        cluster = a_cluster().model_copy(deep=True)
        cluster.metadata.namespace = namespace
        self.connection: Any = SimpleNamespace(kube=kube, replaced=None)
        self._kube = kube
        self._pass: Any = SimpleNamespace(
            kube=kube,
            obj=cluster,
            clock=SimpleNamespace(monotonic=lambda: self.now),
            log=structlog.get_logger(),
        )

    async def holder(self, state: Running) -> str:
        """Who holds the Lease after one more."""
        await hand_over(self._pass, self.connection, state)
        lease = await self._kube.get(kinds.LEASE, CONTROLLER_MANAGER, NAMESPACE)
        assert lease is not None
        return str(lease["spec"].get("holderIdentity") or "")


@pytest.mark.usefixtures("held")
async def test_the_lease_of_a_pod_that_is_gone_is_given_back(kube: Kube, namespace: str) -> None:
    passes = Passes(kube, namespace)
    assert await passes.holder(ROLLS) == f"{POD}_3a9f", "it may still lead"
    await kube.delete(kinds.POD, POD, namespace)
    # The Deployment says that all is done while its last pod is still on its way out.
    passes.now += 10
    assert await passes.holder(DONE) == ""


@pytest.mark.usefixtures("held")
async def test_nobody_looks_at_leases_where_no_pod_is_replaced(kube: Kube, namespace: str) -> None:
    passes = Passes(kube, namespace)
    await kube.delete(kinds.POD, POD, namespace)
    assert await passes.holder(DONE) == f"{POD}_3a9f"
    passes.connection.replaced = 0.0
    passes.now = FOLLOWED
    assert await passes.holder(DONE) == f"{POD}_3a9f"
    assert await passes.holder(ROLLS) == ""


@pytest.mark.usefixtures("held")
async def test_the_lease_of_somebody_else_is_left_alone(kube: Kube, namespace: str) -> None:
    theirs = {"spec": {"holderIdentity": "their-own_1"}}
    await kube.patch(kinds.LEASE, CONTROLLER_MANAGER, NAMESPACE, theirs)
    assert await Passes(kube, namespace).holder(ROLLS) == "their-own_1"
