"""What stands in the way of an EtcdCluster: told in a sentence, and mended without us."""

from __future__ import annotations

import pytest
from tests.integration.operators.etcd.conftest import Tune, World, condition, status
from tests.integration.operators.etcd.kv import put
from tests.integration.operators.etcd.standin import StandIn

from kok.etcdclient.model import Credentials, EtcdError
from kok.kube import kinds
from kok.kube.errors import InvalidObject
from kok.operators.etcd.naming import pod_endpoint
from kok.runtime.process.main import Process


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"members": 2}, "spec.members must be 1, 3, 5 or 7"),
        ({"version": "3.4.1"}, "spec.version: 3.4.1 is not an etcd version"),
        ({"storage": {"size": "100Mi"}}, "spec.storage.size must be at least 1Gi"),
    ],
)
async def test_what_cannot_be_is_refused_at_once(
    world: World, etcd_crd: None, spec: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InvalidObject) as refused:
        await world.make(**spec)

    assert sentence in refused.value.message


async def test_a_version_that_is_too_old_is_told(etcd_operator: Process, world: World) -> None:
    await world.make(version="3.5.3")

    await world.until_ready(
        reason="UnsupportedVersion", says=["write 3.5.11 or a later patch level"]
    )

    assert await world.get(kinds.STATEFULSET, "e-0") is None


async def test_a_name_that_is_taken_is_told_and_nothing_is_overwritten(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    tune(look_healthy=0.5)
    mine = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "e-ca", "namespace": world.namespace},
        "data": {"precious": "eA=="},
    }
    await world.kube.create(mine)
    await world.make()

    await world.until_ready(reason="NameTaken", says=["Secret e-ca"])

    assert (await world.there(kinds.SECRET, "e-ca"))["data"] == {"precious": "eA=="}
    assert await world.get(kinds.STATEFULSET, "e-0") is None
    await world.kube.delete(kinds.SECRET, "e-ca", world.namespace)
    await world.until_ready()


async def test_a_missing_storage_class_is_named(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(storage={"size": "1Gi", "className": "missing"})

    told = await world.until(
        lambda m: "StorageClass missing does not exist" in condition(m).get("message", "")
    )

    assert condition(told)["reason"] == "Forming"
    assert told["status"]["phase"] == "Creating"


async def test_a_full_database_raises_an_alarm_that_is_shown(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    tune(look_healthy=0.5)
    # Otherwise the operator might have freed it before anybody looks.
    await world.make(storage={"size": "1Gi", "quota": "1%"}, maintenance={"onFull": "Manual"})
    await world.until_ready()
    credentials, address = await world.credentials(), pod_endpoint(standin.address("e-0"))

    with pytest.raises(EtcdError, match="database space exceeded"):
        await _fill(credentials, address)

    told = await world.until_ready(reason="NoSpace")
    assert told["status"]["alarms"] == ["e-0: NOSPACE"]
    assert status(told)["dbSize"].endswith("MB")


async def _fill(credentials: Credentials, address: str) -> None:
    for number in range(40):
        await put(credentials, address, f"key-{number}", "x" * 500_000)
