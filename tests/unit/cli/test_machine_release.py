"""`kok machine release` as a user sees it."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.test_machine_plan import BASE, put
from tests.unit.cli.things import Run
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders

MACHINE, KUBENODE = f"{BASE}/machines/shop-workers-w1", f"{BASE}/kubenodes/shop-workers"
SERVED = {"firstReady": "2026-11-02T11:00:00Z"}
HOSTS = [{"name": "w1", "address": "192.0.2.21"}, {"name": "w2", "address": "192.0.2.22"}]


def of_kubenode(api: FakeApi, **labels: str) -> None:
    put(api, "kubenodes", builders.kubenode(hosts=HOSTS))
    given: dict[str, Any] = {"kok.dev/kubenode": "shop-workers", **labels}
    put(api, "machines", builders.machine(status=SERVED), labels=given)


async def test_a_listed_host_leaves_its_kubenode_and_is_marked_before_that(
    api: FakeApi, run: Run
) -> None:
    of_kubenode(api)
    code, out, _ = await run("machine", "release", "shop-workers-w1", "-n", "team-a")
    assert code == 0
    assert "stays node w1 of Cluster shop" in out
    assert api.objects[MACHINE]["metadata"]["annotations"] == {"kok.dev/release": "true"}
    assert [h["name"] for h in api.objects[KUBENODE]["spec"]["hosts"]] == ["w2"]
    writes = [path for method, path in api.requests if method == "PATCH"]
    assert [path.rpartition("/")[2] for path in writes] == ["shop-workers-w1", "shop-workers"]


async def test_a_machine_of_nobody_is_marked_and_deleted(api: FakeApi, run: Run) -> None:
    put(api, "machines", builders.machine(status=SERVED), finalizers=["kok.dev/machine"])
    code, _, _ = await run("machine", "release", "shop-workers-w1", "-n", "team-a")
    assert code == 0
    meta = api.objects[MACHINE]["metadata"]
    assert meta["annotations"] == {"kok.dev/release": "true"}
    assert meta["deletionTimestamp"]


async def test_a_host_of_a_pool_is_not_released(api: FakeApi, run: Run) -> None:
    of_kubenode(api, **{"kok.dev/host": "w1"})
    code, _, err = await run("machine", "release", "shop-workers-w1", "-n", "team-a")
    assert code == 1
    assert "uses Host w1 of a pool" in err
    assert not api.objects[MACHINE]["metadata"].get("annotations")


async def test_one_that_is_cleaned_up_already_is_told(api: FakeApi, run: Run) -> None:
    gone = {"deletionTimestamp": "2026-11-02T12:00:00Z", "finalizers": ["kok.dev/machine"]}
    put(api, "machines", builders.machine(), **gone)
    code, _, err = await run("machine", "release", "shop-workers-w1", "-n", "team-a")
    assert code == 1
    assert "is being removed already" in err


async def test_what_never_was_a_node_is_not_released(api: FakeApi, run: Run) -> None:
    put(api, "machines", builders.machine())
    code, _, err = await run("machine", "release", "shop-workers-w1", "-n", "team-a")
    assert code == 1
    assert "has never been a node" in err


async def test_a_name_that_is_nobodys_is_told(api: FakeApi, run: Run) -> None:
    code, _, err = await run("machine", "release", "nobody", "-n", "team-a")
    assert code == 1
    assert "there is no Machine nobody in namespace team-a" in err
