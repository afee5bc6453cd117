"""An EtcdCluster sleeps with its data, and wakes as it was."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.integration.operators.etcd.backups.builders import (
    BACKUP,
    STORE,
    ask,
    until_phase,
    volume,
)
from tests.integration.operators.etcd.backups.test_restores import (
    RESTORE,
    backed_up,
    endpoint,
    restore,
    until_restore,
)
from tests.integration.operators.etcd.conftest import (
    ETCD,
    Tune,
    World,
    at_rest,
    condition,
    status,
)
from tests.integration.operators.etcd.killing import FINALIZER, Mortal
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.etcd.naming import ANNOTATION_SLEEP_WITHOUT_BACKUP, pod_endpoint
from kok.runtime.process.main import Process

NEVER = "0 0 29 2 *"
"""A schedule by which nothing is due within a test."""


@pytest.fixture(autouse=True)
def _quick(tune: Tune) -> None:
    tune(look_healthy=2.0, look_troubled=1.0)


async def change(world: World, **spec: Any) -> None:
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": spec})


async def names(world: World, kind: Any) -> set[str]:
    return {m["metadata"]["name"] for m in await world.kube.list(kind, world.namespace)}


def ids(etcd: Manifest) -> dict[str, str]:
    return {m["name"]: m["id"] for m in etcd["status"]["members"]}


async def test_members_sleep_and_wake_with_their_data_and_nothing_is_begun_meanwhile(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    before = await world.until_ready()
    await put(await world.credentials(), pod_endpoint(standin.address("e-0")), "k", "v")

    await change(world, hibernate=True)

    told = await world.until_ready(reason="Hibernated")
    assert told["status"]["phase"] == "Hibernated"
    for type_ in ("Available", "MembersHealthy", "Ready"):
        assert condition(told, type_)["status"] == "False"
        assert condition(told, type_)["reason"] == "Hibernated"
    assert condition(told, "UpToDate")["status"] == "Unknown"
    assert condition(told, "CertificatesReady")["status"] == "True"
    assert {m["message"] for m in told["status"]["members"]} == {
        "is stopped, as spec.hibernate is true"
    }
    assert await names(world, kinds.POD) == set()
    assert await names(world, kinds.PVC) == {"e-0", "e-1", "e-2"}
    # What is asked of it meanwhile waits until it is awake.
    await change(world, members=1, tuning={"snapshotCount": 20000})
    seen = await world.until(lambda m: status(m).get("observedGeneration", 0) >= 3)
    assert "operation" not in seen["status"]
    assert await names(world, kinds.STATEFULSET) == set()
    await change(world, members=3)

    await change(world, hibernate=False)

    after = await world.until(at_rest(3))
    assert ids(after) == ids(before)
    assert after["status"]["clusterID"] == before["status"]["clusterID"]
    assert "hibernation" not in after["status"]
    address = pod_endpoint(standin.address("e-0"))
    assert await get(await world.credentials(), address, "k") == "v"


async def test_a_backup_comes_first_where_backups_are_made(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await world.make(backup={"schedule": NEVER, "store": STORE})
    await world.until_ready()
    await ask(world, "earlier")
    await until_phase(world, "Complete", "earlier")
    standin.jobs.held.add("backup")

    await change(world, hibernate=True)

    told = await world.until_ready(reason="Hibernating", says=["is waited for"])
    (name,) = re.findall(r"EtcdBackup (\S+) is waited for", condition(told)["message"])
    assert condition(told, "Available")["status"] == "True"
    await world.until(lambda m: m is not None, name, BACKUP)
    assert await names(world, kinds.POD) >= {"e-0-0"}
    standin.jobs.held.discard("backup")
    await world.until_ready(reason="Hibernated")
    made = await world.there(BACKUP, name)
    assert made["status"]["phase"] == "Complete"
    assert "e-0-0" not in await names(world, kinds.POD)


async def test_the_backup_can_be_waived_and_sleep_be_called_off(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    # Nothing can be stored: the volume does not exist.
    await world.make(backup={"schedule": NEVER, "store": STORE})
    await world.until_ready()
    await change(world, hibernate=True)
    await world.until_ready(reason="Hibernating", says=[f"{ANNOTATION_SLEEP_WITHOUT_BACKUP}=true"])

    await change(world, hibernate=False)
    await world.until_ready()
    await world.annotate(ANNOTATION_SLEEP_WITHOUT_BACKUP, "true")
    await change(world, hibernate=True)

    await world.until_ready(reason="Hibernated")


async def test_a_restore_that_is_asked_for_in_its_sleep_says_so_and_happens_when_it_wakes(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    before = await world.until_ready()
    await change(world, hibernate=True)
    await world.until_ready(reason="Hibernated")

    await restore(world)

    told = await world.until(
        lambda m: condition(m).get("reason") == "EtcdHibernates", "back", RESTORE
    )
    assert told["status"]["phase"] == "Verified"
    assert "set its spec.hibernate to false" in condition(told)["message"]
    assert await names(world, kinds.STATEFULSET) == set()
    asleep = await world.there(ETCD, "e")
    assert "restore" not in asleep["status"]
    assert condition(asleep)["reason"] == "Hibernated"

    await change(world, hibernate=False)

    await until_restore(world, "Complete")
    after = await world.until(at_rest(1))
    assert after["status"]["clusterID"] != before["status"]["clusterID"]
    there = endpoint(standin, after["status"]["members"][0]["name"])
    assert await get(await world.credentials(), there, "k0") == "v" * 100
    assert await get(await world.credentials(), there, "late") is None


async def test_one_that_is_made_asleep_forms_when_it_wakes(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(hibernate=True)
    await world.until_ready(reason="Hibernated")
    assert await names(world, kinds.STATEFULSET) == set()

    await change(world, hibernate=False)

    await world.until(at_rest(1))


async def test_an_operator_that_is_killed_everywhere_puts_it_to_sleep_and_wakes_it(
    kube: Kube, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    patch = {"metadata": {"finalizers": [FINALIZER]}}
    await kube.patch(ETCD, "e", world.namespace, patch)
    mortal = Mortal(kube, world.namespace, iter([1] * 1000))
    await mortal.work(at_rest(3))
    await put(await world.credentials(), pod_endpoint(standin.address("e-0")), "k", "v")
    before = ids(await world.there(ETCD, "e"))

    await change(world, hibernate=True)
    await mortal.work(lambda m: condition(m).get("reason") == "Hibernated")
    assert await mortal.rest() == [], "asleep nothing is written"
    await change(world, hibernate=False)
    await mortal.work(at_rest(3))

    assert ids(await world.there(ETCD, "e")) == before
    assert "hibernation" not in (await world.there(ETCD, "e"))["status"]
    address = pod_endpoint(standin.address("e-0"))
    assert await get(await world.credentials(), address, "k") == "v"
