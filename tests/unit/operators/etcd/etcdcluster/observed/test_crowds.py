"""Somebody makes objects by the hundred that look like an EtcdCluster's own children."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import NOW, UID, an_etcd, children, formed

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.status import EtcdRestoreProgress
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.apply.serverside import covers, index, stamped
from kok.kube.client import Kube
from kok.kube.decoding.nesting import parse
from kok.kube.objects.children import SURPLUS
from kok.kube.objects.ownership import owned, owner_labels, owner_reference
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.conditions.obstacles import names_taken
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.children import (
    CHILD_KINDS,
    expected,
    known,
    read_children,
    stranger,
)
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.jobs import owned as workers
from kok.operators.etcd.settings import Tuning

CROWD = 40
VOLUMES = Tuning().unknown_volumes
LARGE = b'{"x":[' + b"{}," * 3_000 + b"{}]}"
"""A value that takes some 200 KiB as Python's objects."""


class Crowded:
    """Lists a crowd of large objects, and gives what it is asked for by name."""

    def __init__(self, owner: EtcdCluster, named: Mapping[str, list[str]]) -> None:
        self._owner = owner
        self._named = named

    async def list(
        self,
        kind: Kind,
        namespace: str,
        *,
        labels: Mapping[str, str],
        keep: Callable[[Manifest], Manifest] | None = None,
        **_: Any,
    ) -> list[Manifest]:
        assert namespace == self._owner.namespace
        assert labels.items() >= owner_labels(self._owner).items()
        crowd = [f"shop-etcd-{number}" for number in range(100, 100 + CROWD)]
        wanted = [*self._named.get(kind.kind, ()), *crowd]
        made = (self._one(kind, name) for name in wanted)
        return [one if keep is None else keep(one) for one in made]

    async def get(self, *_: Any, **__: Any) -> None:
        return None

    def _one(self, kind: Kind, name: str) -> Manifest:
        bare = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}
        made = owned(bare, self._owner)
        record = [{"manager": "x", "fieldsV1": {"f:spec": parse(LARGE)}}]
        made["metadata"] |= {"uid": name, "managedFields": record}
        return {**made, "spec": parse(LARGE), "status": parse(LARGE)}


async def _taken(of: Kind | None, etcd: EtcdCluster) -> tuple[int, Observed]:
    api = cast("Kube", Crowded(etcd, {of.kind: ["shop-etcd-0"]} if of else {}))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        world = Observed(await read_children(etcd, ["shop-etcd-0"], api, volumes=VOLUMES))
        return tracemalloc.get_traced_memory()[0] - before, world
    finally:
        tracemalloc.stop()


async def test_a_crowd_of_children_takes_little_memory_whatever_their_kind() -> None:
    etcd = an_etcd()
    taken, world = await _taken(None, etcd)
    assert taken < 4 * 2**20
    for kind in CHILD_KINDS:
        found = world.all(kind)
        assert 0 < len(found) <= (VOLUMES if kind == kinds.PVC else SURPLUS)
        assert all("managedFields" not in one["metadata"] for one in found)


@pytest.mark.parametrize("kind", [kinds.STATEFULSET, kinds.PVC])
async def test_members_are_seen_among_any_number_of_others(kind: Kind) -> None:
    _, world = await _taken(kind, an_etcd())
    live = world.get(kind, "shop-etcd-0")
    assert live is not None
    assert len(live["spec"]["x"]) > 3_000
    # Who wrote what is only read of kinds of which nobody else has a say.
    assert ("managedFields" in live["metadata"]) == (kind == kinds.STATEFULSET)


async def test_volumes_that_a_restore_keeps_are_seen_among_any_number_of_others() -> None:
    etcd = an_etcd()
    etcd.status.restore = EtcdRestoreProgress.model_construct(
        before=["shop-etcd-139"], member="shop-etcd-138"
    )
    _, world = await _taken(None, etcd)
    assert world.get(kinds.PVC, "shop-etcd-139") is not None
    assert world.get(kinds.PVC, "shop-etcd-138") is not None


async def test_jobs_and_pods_of_a_crowd_take_little_memory() -> None:
    etcd = an_etcd()
    api = cast("Kube", Crowded(etcd, {kinds.JOB.kind: ["mine"]}))
    tracemalloc.start()
    try:
        jobs = await workers.jobs_of(api, etcd)
        pods = await workers.pods_of(api, etcd, lambda _: True)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 2**20
    assert len(jobs) == CROWD + 1
    assert len(pods) == SURPLUS


async def test_what_another_owns_is_not_among_the_children() -> None:
    etcd = an_etcd()
    other = etcd.model_copy(update={"metadata": etcd.metadata.model_copy(update={"uid": "other"})})
    api = await FakeApi().start()
    base = f"/apis/networking.k8s.io/v1/namespaces/{etcd.namespace}/networkpolicies"
    for owner, name in ((etcd, "aaa"), (other, "bbb")):
        bare = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        api.put(f"{base}/{name}", owned({**bare, "metadata": {"name": name}}, owner))
    try:
        async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="test") as kube:
            world = Observed(await read_children(etcd, [], kube, volumes=VOLUMES))
    finally:
        await api.close()
    assert [one["metadata"]["name"] for one in world.all(kinds.NETWORKPOLICY)] == ["aaa"]


async def test_retained_volumes_are_seen_with_what_tells_whose_data_they_hold() -> None:
    etcd = an_etcd()
    api = await FakeApi().start()
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "shop-etcd-7",
            "namespace": etcd.namespace,
            "labels": {**owner_labels(etcd), naming.LABEL_OWNER_UID: "earlier"},
            "annotations": {naming.ANNOTATION_CLUSTER_ID: "c", naming.ANNOTATION_MEMBER_ID: "m"},
        },
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}},
    }
    api.put(f"/api/v1/namespaces/{etcd.namespace}/persistentvolumeclaims/shop-etcd-7", claim)
    try:
        async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="test") as kube:
            world = Observed(await read_children(etcd, ["shop-etcd-0"], kube, volumes=VOLUMES))
    finally:
        await api.close()
    (seen,) = world.all(kinds.PVC)
    assert seen["metadata"]["labels"] == claim["metadata"]["labels"]  # type: ignore[index]
    assert seen["metadata"]["annotations"] == claim["metadata"]["annotations"]  # type: ignore[index]
    assert seen["spec"] == claim["spec"]
    assert seen["status"] == claim["status"]
    assert names.LABEL_OWNER_NAME in seen["metadata"]["labels"]


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_at_the_end_only_volumes_that_are_still_to_be_dealt_with_are_seen(
    policy: str,
) -> None:
    etcd = an_etcd(deletionPolicy=policy)
    etcd.metadata.deletion_timestamp = NOW
    api = await FakeApi().start()
    for name, freed, uid in (
        ("shop-etcd-7", True, UID),
        ("shop-etcd-8", False, UID),
        ("shop-etcd-9", True, "earlier"),
    ):
        bare = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}}
        claim = owned(bare, etcd)
        claim["metadata"]["labels"][naming.LABEL_OWNER_UID] = uid
        if freed:
            del claim["metadata"]["ownerReferences"]
        api.put(f"/api/v1/namespaces/{etcd.namespace}/persistentvolumeclaims/{name}", claim)
    try:
        async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="test") as kube:
            world = Observed(await read_children(etcd, ["shop-etcd-0"], kube, volumes=VOLUMES))
    finally:
        await api.close()
    seen = [one["metadata"]["name"] for one in world.all(kinds.PVC)]
    assert seen == (["shop-etcd-8"] if policy == "Retain" else ["shop-etcd-7", "shop-etcd-8"])


def test_what_hangs_on_a_child_is_not_kept_and_changes_nothing() -> None:
    """Else a megabyte of it would be held by each pass, or the child be written anew by each."""
    etcd = formed()
    members = roles.members_of(etcd)
    for (kind, name), intent in children(etcd).items():
        if kind == kinds.POD.kind:
            continue
        [of] = [one for one in CHILD_KINDS if one.kind == kind]
        child = owned(stamped(intent), etcd)
        child["metadata"]["annotations"]["somebody"] = "n" * 200_000
        if kind == kinds.SECRET.kind:
            child["data"] = {**child["data"], "somebody": "c29t" * 50_000}
        for keep in (known(of, etcd, expected(etcd, members), SURPLUS), stranger(of, etcd)):
            found = keep(child)
            assert covers(found, owned(stamped(intent), etcd)), name
            assert len(str(found)) < 50_000, name


async def test_namesakes_of_another_projects_kind_are_no_earlier_ones() -> None:
    """Of these it would be said that they are being removed, and that for ever."""
    etcd = formed()
    secret = children(etcd)["Secret", names.etcd_ca_secret(etcd.name)]
    for group, said in (("etcd.example", "exist already"), ("kok.dev", "are still being removed")):
        owner = owner_reference(etcd) | {"apiVersion": f"{group}/v1alpha1", "uid": "other"}
        theirs = {**secret, "metadata": {**secret["metadata"], "ownerReferences": [owner]}}
        problem = names_taken(etcd, Observed(index([theirs])))
        assert problem is not None
        assert said in problem.message
