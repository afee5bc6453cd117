"""Settings and versions reach the members one by one, while a client keeps writing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.integration.operators.etcd.conftest import ETCD, Tune, World, condition, status
from tests.integration.operators.etcd.container import program
from tests.integration.operators.etcd.standin import StandIn
from tests.integration.operators.etcd.writer import calm, writing

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.etcd.naming import pod_endpoint
from kok.operators.etcd.pods import is_ready
from kok.runtime.process.main import Process

GAP = 1.5
"""Seconds that a writer may wait at most while members are restarted."""
ALL = ("e-0", "e-1", "e-2")


@pytest.fixture(scope="module", autouse=True)
def versions() -> None:
    """Looked up beforehand, since that stops everything in this process for a while."""
    for version in ("3.5.21", "3.6.8", "3.6.10", "3.6.11", "3.7.3"):
        program(version)


async def change(world: World, **spec: Any) -> None:
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": spec})


def rolled(version: str):
    """Whether all members are healthy at that version and nothing is under way."""

    def holds(etcd: Manifest | None) -> bool:
        found = status(etcd)
        return (
            "operation" not in found
            and condition(etcd, "UpToDate").get("status") == "True"
            and condition(etcd).get("status") == "True"
            and all(m["version"] == version for m in found["members"])
        )

    return holds


def endpoints(standin: StandIn) -> list[str]:
    return [pod_endpoint(standin.address(name)) for name in ALL]


async def pods(world: World) -> dict[str, str]:
    found = await world.kube.list(kinds.POD, world.namespace)
    return {m["metadata"]["name"]: m["metadata"]["uid"] for m in found}


async def test_a_patch_upgrade_goes_member_by_member_and_writers_hardly_notice(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3, version="3.6.8")
    formed = await world.until_ready()
    leaders: list[str | None] = []
    order: list[str] = []

    def watch(etcd: Manifest | None) -> bool:
        found = status(etcd).get("operation") or {}
        if found:
            leaders.append(status(etcd).get("leader"))
        if found.get("step") == "Restart" and found["member"] not in order:
            order.append(found["member"])
        healthy = sum(m["ready"] for m in status(etcd)["members"])
        assert healthy >= 2, "two members were down at the same time"
        return rolled("3.6.10")(etcd)

    addresses, credentials = endpoints(standin), await world.credentials()
    async with calm(credentials) as calm_one, writing(credentials, lambda: addresses) as writer:
        await change(world, version="3.6.10")
        done = await world.until(watch)

    assert writer.longest < GAP + 2 * calm_one.longest
    assert sorted(order) == list(ALL)
    assert order[-1] == leaders[0]
    assert done["status"]["version"] == "3.6.10"
    assert {m["id"] for m in done["status"]["members"]} == {
        m["id"] for m in formed["status"]["members"]
    }


async def test_changed_settings_restart_each_member_once(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    await world.until_ready()
    before = await pods(world)

    await change(world, tuning={"snapshotCount": 20000})

    await world.until(lambda m: condition(m, "UpToDate").get("status") == "False")
    await world.until(rolled("3.6.10"))
    after = await pods(world)
    assert not set(before.values()) & set(after.values())
    for name in ALL:
        pod = await world.there(kinds.POD, f"{name}-0")
        assert "--snapshot-count=20000" in pod["spec"]["containers"][0]["command"]


async def test_a_minor_upgrade_moves_the_form_of_the_data_only_in_the_end(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    tune(look_healthy=1.0)
    await world.make(members=3, version="3.6.11")
    await world.until_ready()
    await world.until(lambda m: status(m).get("storageVersion") == "3.6.0")
    addresses, credentials = endpoints(standin), await world.credentials()

    async with calm(credentials) as calm_one, writing(credentials, lambda: addresses) as writer:
        await change(world, version="3.7.3")
        await world.until(rolled("3.7.3"))

    assert writer.longest < GAP + 2 * calm_one.longest
    await world.until(lambda m: status(m).get("storageVersion") == "3.7.0")


async def test_a_gate_keeps_an_upgrade_from_beginning_and_says_which_version_comes_first(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(version="3.5.21")
    await world.until_ready()
    before = await pods(world)

    await change(world, version="3.6.10")

    first = "3.5.21 -> 3.6.10 is not safe; upgrade every member to at least 3.5.26 first"
    told = await world.until_ready(
        reason="RollBlocked", type_="UpToDate", says=[f"spec.version: {first}"]
    )
    assert condition(told)["status"] == "True"
    # A pod that dies meanwhile comes back as it was.
    await world.kube.delete(kinds.POD, "e-0-0", world.namespace)
    await world.until(
        lambda m: m and m["metadata"]["uid"] not in before.values() and is_ready(m),
        "e-0-0",
        kinds.POD,
    )
    again = await world.until_ready()
    assert again["status"]["version"] == "3.5.21"
    await change(world, version="3.5.21")
    await world.until_ready(reason="Current", type_="UpToDate")


async def test_a_member_that_fails_stops_the_roll_and_the_way_back_is_open(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    tune(roll_stuck_after=timedelta(seconds=1))
    standin.missing.add("3.6.10")
    await world.make(members=3, version="3.6.8")
    await world.until_ready()
    before = await pods(world)
    addresses, credentials = endpoints(standin), await world.credentials()

    async with calm(credentials) as calm_one, writing(credentials, lambda: addresses) as writer:
        await change(world, version="3.6.10")
        stuck = await world.until(
            lambda m: (
                condition(m, "UpToDate").get("reason") == "RollStuck"
                and "ImagePullBackOff" in condition(m, "UpToDate")["message"]
            )
        )

        message = condition(stuck, "UpToDate")["message"]
        assert "back to version 3.6.8" in message
        assert sum(m["ready"] for m in stuck["status"]["members"]) == 2
        after = await pods(world)
        assert len(set(before.values()) - set(after.values())) == 1
        await change(world, version="3.6.8")
        await world.until(rolled("3.6.8"))

    assert writer.longest < GAP + 2 * calm_one.longest


async def test_a_sick_follower_keeps_an_upgrade_from_beginning(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3, version="3.6.8")
    etcd = await world.until_ready()
    sick = next(m["name"] for m in etcd["status"]["members"] if m["role"] == "Follower")
    standin.pause(sick)
    await world.until(lambda m: status(m).get("readyMembers") == 2)

    await change(world, version="3.6.10")

    await world.until_ready(reason="RollBlocked", type_="UpToDate", says=[f"{sick} is not healthy"])
    standin.resume(sick)
    await world.until(rolled("3.6.10"))


async def test_settings_that_no_member_can_live_with_are_taken_back(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    standin.missing.add("3.6.8")
    await world.make(version="3.6.8")
    await world.until(
        lambda m: "ImagePullBackOff" in condition(m).get("message", ""),
    )

    await change(world, version="3.6.10")

    etcd = await world.until_ready()
    assert etcd["status"]["version"] == "3.6.10"


async def test_a_volume_grows_and_the_quota_follows(
    etcd_operator: Process, standin: StandIn, world: World, growing_class: str
) -> None:
    await world.make(storage={"size": "1Gi", "className": growing_class})
    await world.until_ready()
    assert f"--quota-backend-bytes={512 * 1024**2}" in await command(world)

    await change(world, storage={"size": "2Gi"})

    await world.until(lambda m: condition(m, "UpToDate").get("reason") == "VolumesGrowing")
    standin.grow_volumes = True
    await world.until(rolled("3.6.10"))
    claim = await world.there(kinds.PVC, "e-0")
    assert claim["status"]["capacity"]["storage"] == "2Gi"
    assert f"--quota-backend-bytes={1536 * 1024**2}" in await command(world)


async def test_a_volume_that_cannot_grow_is_told_and_nothing_is_restarted(
    etcd_operator: Process, standin: StandIn, world: World, fixed_class: str
) -> None:
    await world.make(storage={"size": "1Gi", "className": fixed_class})
    await world.until_ready()
    before = await pods(world)

    await change(world, storage={"size": "2Gi"})

    words = f"StorageClass {fixed_class} cannot expand"
    await world.until_ready(reason="VolumesFixed", type_="UpToDate", says=[words])
    assert await pods(world) == before


async def command(world: World) -> list[str]:
    pod = await world.there(kinds.POD, "e-0-0")
    return list(pod["spec"]["containers"][0]["command"])


@pytest.fixture
async def growing_class(kube: Kube) -> str:
    return await storage_class(kube, "growing", grows=True)


@pytest.fixture
async def fixed_class(kube: Kube) -> str:
    return await storage_class(kube, "fixed", grows=False)


async def storage_class(kube: Kube, name: str, *, grows: bool) -> str:
    await kube.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "example.com/none",
            "allowVolumeExpansion": grows,
        }
    )
    return name
