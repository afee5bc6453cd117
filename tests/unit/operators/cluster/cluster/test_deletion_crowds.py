"""What somebody makes by the hundred that looks like a deleted Cluster's own children."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.decoding.nesting import parse
from kok.kube.objects.children import LEAVING
from kok.kube.objects.ownership import owned
from kok.operators.cluster.cluster.delete import Deletion
from kok.runtime.clock import SystemClock
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE, Pass

CROWD = LEAVING + 44
LARGE = b'{"f:data":{' + b",".join(b'"f:a%d":{}' % n for n in range(500)) + b"}}"


class Crowded:
    """Holds a crowd of pods of the Cluster's, or of one kind of its children, until it is deleted."""

    def __init__(self, cluster: Cluster, kind: Kind) -> None:
        self._cluster = cluster
        self._kind = kind
        self.left = {f"x{number}" for number in range(CROWD)}
        self.most = 0

    async def list(
        self,
        kind: Kind,
        _: str,
        *,
        keep: Callable[[Manifest], Manifest] | None = None,
        **__: Any,
    ) -> list[Manifest]:
        if kind != self._kind:
            return []
        before = tracemalloc.get_traced_memory()[0]
        made = (self._one(name) for name in sorted(self.left))
        found = [one if keep is None else keep(one) for one in made]
        self.most = max(self.most, tracemalloc.get_traced_memory()[0] - before)
        return found

    async def get(self, *_: Any, **__: Any) -> None:
        """There are no keys and no EtcdCluster."""

    async def delete(self, kind: Kind, name: str, *_: Any, uid: str, **__: Any) -> bool:
        assert (kind, name) == (self._kind, uid)
        self.left.remove(name)
        return True

    def _one(self, name: str) -> Manifest:
        bare = {"apiVersion": self._kind.api_version, "kind": self._kind.kind}
        made = owned({**bare, "metadata": {"name": name}}, self._cluster)
        made["metadata"] |= {
            "uid": name,
            "managedFields": [{"manager": "x", "fieldsV1": parse(LARGE)}],
        }
        if self._kind == kinds.POD:
            made["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "controller": True}]
        return made


@pytest.mark.parametrize(
    "kind", [kinds.DEPLOYMENT, kinds.POD, kinds.SERVICE, kinds.NETWORKPOLICY, kinds.SECRET]
)
async def test_a_crowd_takes_little_memory_and_goes_as_a_whole(kind: Kind) -> None:
    cluster = Cluster.parse(
        {
            "apiVersion": "kok.dev/v1alpha1",
            "kind": "Cluster",
            "metadata": {"name": "shop", "namespace": "t", "uid": "u"},
            "spec": {"version": "1.37.1"},
        }
    )
    kube = Crowded(cluster, kind)
    around = SimpleNamespace(obj=cluster, now=SystemClock().now(), kube=kube)
    deletion = Deletion(cast("Pass[Cluster]", around))
    tracemalloc.start()
    try:
        while kube.left:
            # There is nobody to wait for but those that were asked to go just now.
            with pytest.raises(Wait):
                await deletion.step()
        assert await deletion.step() == DONE
    finally:
        tracemalloc.stop()
    assert kube.most < 2 * 2**20
