"""Which members are to be elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.operators.etcd.builders import a_world, an_etcd, formed

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members.placement import misfits, take_request

NODES = {f"node-{n}": {"disk": "ssd", "zone": f"z{n}"} for n in range(3)}


def asking(value: str | None) -> EtcdCluster:
    return formed(annotations={naming.ANNOTATION_MOVE: value} if value is not None else {})


@pytest.mark.parametrize(
    ("value", "members"),
    [
        ("all", ["shop-etcd-0", "shop-etcd-1", "shop-etcd-2"]),
        ("shop-etcd-1", ["shop-etcd-1"]),
        (" shop-etcd-2, shop-etcd-0,nobody", ["shop-etcd-0", "shop-etcd-2"]),
    ],
)
def test_a_request_names_its_members_once(value: str, members: list[str]) -> None:
    obj = asking(value)

    assert take_request(obj)
    assert obj.status.moves is not None
    assert obj.status.moves.members == members
    assert not take_request(obj)
    assert set(misfits(obj, a_world(obj))) == set(members)


def test_successors_are_not_moved_again_by_the_same_request() -> None:
    obj = asking("all")
    take_request(obj)
    obj.status.members[0].name = "shop-etcd-3"

    assert take_request(obj)
    assert obj.status.moves is not None
    assert obj.status.moves.members == ["shop-etcd-1", "shop-etcd-2"]


def test_a_request_ends_with_the_annotation() -> None:
    obj = asking("all")
    take_request(obj)
    obj.metadata.annotations.clear()

    assert take_request(obj)
    assert obj.status.moves is None


def test_a_request_waits_until_there_is_a_cluster() -> None:
    obj = an_etcd(annotations={naming.ANNOTATION_MOVE: "all"})

    assert not take_request(obj)
    assert obj.status.moves is None


def test_members_fit_where_the_spec_says_nothing() -> None:
    assert misfits(formed(), a_world(formed())) == {}


def test_a_node_must_carry_what_the_selector_wants() -> None:
    obj = formed(placement={"nodeSelector": {"disk": "ssd"}})
    nodes = {**NODES, "node-1": {"disk": "hdd"}}

    found = misfits(obj, replace(a_world(obj), nodes=nodes))

    assert list(found) == ["shop-etcd-1"]
    assert "node node-1 does not carry disk=ssd" in found["shop-etcd-1"]


def test_what_cannot_be_known_counts_as_fitting() -> None:
    obj = formed(placement={"nodeSelector": {"disk": "ssd"}, "requireSpread": True})

    assert misfits(obj, a_world(obj)) == {}


def test_members_that_must_be_spread_do_not_share() -> None:
    obj = formed(placement={"requireSpread": True, "spread": "zone"})
    nodes = {**NODES, "node-2": {"zone": "z0"}}

    found = misfits(obj, replace(a_world(obj), nodes=nodes))

    assert found == {"shop-etcd-2": "it shares zone=z0 with shop-etcd-0"}


def test_a_volume_must_be_of_the_class_if_the_spec_names_one() -> None:
    obj = formed(storage={"className": "slow"})
    world = a_world(obj)
    assert misfits(obj, world) == {}

    obj.spec.storage.class_name = ""
    assert misfits(obj, world) == {}
    obj.spec.storage.class_name = "fast"
    assert len(misfits(obj, world)) == 3


def test_a_volume_that_was_deleted_moves_its_member_before_it_goes() -> None:
    obj = formed()
    world = a_world(obj)
    claim = world.children["PersistentVolumeClaim", "shop-etcd-1"]
    claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert list(misfits(obj, world)) == ["shop-etcd-1"]
