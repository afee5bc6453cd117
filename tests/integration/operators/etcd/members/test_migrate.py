"""Members move to other nodes, zones and volumes, one by one, and never one less takes part."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.operators.etcd.conftest import ETCD, Tune, World, at_rest, status
from tests.integration.operators.etcd.standin import StandIn
from tests.integration.operators.etcd.writer import writing

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.runtime.process.main import Process


@pytest.fixture(autouse=True)
def quickly(tune: Tune) -> None:
    """Nodes tell of nothing by themselves."""
    tune(look_healthy=0.5)


async def change(world: World, **spec: Any) -> None:
    """Changes the EtcdCluster's spec."""
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": spec})


def moved(etcd: Manifest | None, names: set[str]) -> bool:
    """Whether these are the members, and nothing is under way."""
    return at_rest(len(names))(etcd) and {m["name"] for m in status(etcd)["members"]} == names


async def test_all_members_move_to_another_storage_class_under_a_writer(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3, storage={"size": "1Gi", "className": "slow"})
    await world.until(at_rest(3))

    async with writing(await world.credentials(), standin.running):
        await change(world, storage={"className": "fast"})
        etcd = await world.until(lambda m: moved(m, {"e-3", "e-4", "e-5"}))

    for member in status(etcd)["members"]:
        claim = await world.there(kinds.PVC, member["name"])
        assert claim["spec"]["storageClassName"] == "fast"
    assert await world.get(kinds.PVC, "e-0") is None


async def test_a_single_member_moves_to_a_node_that_fits(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    names = [f"{world.namespace}-a", f"{world.namespace}-b"]
    for name, disk in zip(names, ("hdd", "ssd"), strict=True):
        standin.nodes[name] = {"disk": disk}
        meta = {"name": name, "labels": {"disk": disk}}
        await world.kube.create({"apiVersion": "v1", "kind": "Node", "metadata": meta})
    del standin.nodes["node-1"]
    await world.make(placement={"nodeSelector": {"disk": "hdd"}})
    etcd = await world.until(at_rest(1))
    assert status(etcd)["members"][0]["node"] == names[0]

    await change(world, placement={"nodeSelector": {"disk": "ssd"}})

    etcd = await world.until(lambda m: moved(m, {"e-1"}))
    assert status(etcd)["members"][0]["node"] == names[1]


async def test_members_move_on_request_and_only_once(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=1)
    await world.until(at_rest(1))

    await world.annotate("kok.dev/move-members", "all")

    etcd = await world.until(lambda m: moved(m, {"e-1"}))
    assert status(etcd)["moves"] == {"request": "all", "members": []}


async def test_a_member_whose_volume_is_to_go_is_moved_before_it_goes(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    await world.until(at_rest(3))

    await world.kube.delete(kinds.PVC, "e-1", world.namespace)

    await world.until(lambda m: moved(m, {"e-0", "e-2", "e-3"}))


async def test_a_move_that_is_not_wanted_any_more_is_given_up(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(storage={"size": "1Gi", "className": "slow"})
    await world.until(at_rest(1))
    await change(world, storage={"className": "missing"})
    await world.until(lambda m: len(status(m)["members"]) == 2)

    await change(world, storage={"className": "slow"})

    await world.until(lambda m: moved(m, {"e-0"}))
