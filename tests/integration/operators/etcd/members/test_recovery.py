"""A majority lost for good: told, and with consent one member goes on alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.integration.operators.etcd.conftest import ETCD, Tune, World, condition, status
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd.naming import pod_endpoint
from kok.runtime.process.main import Process


@pytest.fixture(autouse=True)
def hurry(tune: Tune) -> None:
    """Nothing but the operator's patience is made shorter."""
    tune(recover_after=timedelta(seconds=1), look_troubled=0.5)


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch) -> None:
    """KOK's own image; the stand-in runs its commands here."""
    monkeypatch.setenv("KOK_WORKER_IMAGE", "kok")


async def allow(world: World, cluster_id: str) -> None:
    recovery = {"policy": "FromSurvivor", "allowDataLoss": cluster_id}
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"recovery": recovery}})


def whole(etcd: Manifest | None) -> bool:
    found = status(etcd)
    return (
        "operation" not in found
        and condition(etcd).get("reason") == "Healthy"
        and len(found["members"]) == 3
    )


async def test_one_member_goes_on_alone_with_consent_and_gets_company_again(
    standin: StandIn, image: None, etcd_operator: Process, world: World
) -> None:
    await world.make(members=3)
    formed = await world.until_ready()
    address = pod_endpoint(standin.address("e-1"))
    await put(await world.credentials(), address, "colour", "blue")
    standin.pause("e-0")
    standin.pause("e-2")
    cluster_id = formed["status"]["clusterID"]
    await world.until_ready(
        reason="QuorumLost", says=["e-1 up to index", f"allowDataLoss: {cluster_id}"]
    )

    await allow(world, "0123456789abcdef")
    await world.until(
        lambda m: m and m["metadata"]["generation"] == status(m)["observedGeneration"]
    )
    assert "operation" not in status(await world.get(ETCD, "e"))
    await allow(world, cluster_id)

    done = await world.until(whole)
    names = [m["name"] for m in done["status"]["members"]]
    assert names[0] == "e-1"
    assert not {"e-0", "e-2"} & set(names)
    assert done["status"]["clusterID"] == cluster_id
    assert await get(await world.credentials(), address, "colour") == "blue"
    kept = [path.name for path in (await standin.volume("e-1")).iterdir()]
    assert any(name.startswith("before-recovery-") and "part" not in name for name in kept)
    owner = await world.there(kinds.STATEFULSET, "e-1")
    assert "ETCD_FORCE_NEW_CLUSTER" not in str(owner)
    assert await world.get(kinds.PVC, "e-0") is None


async def test_a_consent_is_used_up_by_one_loss(
    standin: StandIn, image: None, etcd_operator: Process, world: World
) -> None:
    await world.make(members=3)
    cluster_id = (await world.until_ready())["status"]["clusterID"]
    await allow(world, cluster_id)
    standin.pause("e-0")
    standin.pause("e-2")
    done = await world.until(lambda m: whole(m) and "consentUsedAt" in status(m))
    survivor, *others = [m["name"] for m in done["status"]["members"]]

    for member in others:
        standin.pause(member)

    told = await world.until_ready(reason="QuorumLost", says=[f"{survivor} up to index", "void"])
    assert "operation" not in told["status"]
    await allow(world, "")
    await world.until(lambda m: "consentUsedAt" not in status(m))
    await allow(world, cluster_id)
    again = await world.until(lambda m: whole(m) and "consentUsedAt" in status(m))
    names = [m["name"] for m in again["status"]["members"]]
    assert names[0] == survivor
    assert not set(others) & set(names)


async def test_it_is_called_off_when_the_quorum_returns_by_itself(
    standin: StandIn,
    image: None,
    etcd_operator: Process,
    world: World,
    tune: Tune,
) -> None:
    tune(recover_after=timedelta(hours=1))
    await world.make(members=3)
    formed = await world.until_ready()
    await allow(world, formed["status"]["clusterID"])
    standin.pause("e-0")
    standin.pause("e-2")
    await world.until_ready(reason="QuorumLost")

    standin.resume("e-0")

    await world.until(lambda m: condition(m, "Available").get("status") == "True")
    standin.resume("e-2")
    again = await world.until_ready()
    assert [m["id"] for m in again["status"]["members"]] == [
        m["id"] for m in formed["status"]["members"]
    ]


async def test_it_is_called_off_while_the_others_are_being_stopped(
    standin: StandIn,
    image: None,
    etcd_operator: Process,
    world: World,
    tune: Tune,
) -> None:
    await world.make(members=3)
    formed = await world.until_ready()
    # Their nodes hang: nobody answers there, and no pod that is to go does.
    standin.hold_deletions = True
    standin.stop_answering("e-0")
    standin.stop_answering("e-2")
    await allow(world, formed["status"]["clusterID"])
    told = await world.until(lambda m: (status(m).get("operation") or {}).get("step") == "Fence")
    assert condition(told)["reason"] == "Recovering"
    for member in ("e-0", "e-2"):
        await world.until_gone(member, kinds.STATEFULSET)
    # While they are started anew there is no quorum for a moment.
    tune(recover_after=timedelta(hours=1))

    standin.answer_again("e-0")
    standin.answer_again("e-2")

    await world.until(lambda m: "operation" not in status(m))
    address = pod_endpoint(standin.address("e-0"))
    await put(await world.credentials(), address, "colour", "blue")
    standin.hold_deletions = False
    again = await world.until(lambda m: whole(m) and status(m)["readyMembers"] == 3)
    assert [(m["name"], m["id"]) for m in again["status"]["members"]] == [
        (m["name"], m["id"]) for m in formed["status"]["members"]
    ]
    assert await get(await world.credentials(), address, "colour") == "blue"
    assert "ETCD_FORCE_NEW_CLUSTER" not in str(await world.there(kinds.STATEFULSET, "e-1"))
