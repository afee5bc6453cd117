"""What is done about nodes that belong to no Machine."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import NOW, a_cluster
from tests.unit.operators.machine.builders import machine
from tests.unit.workload.csrs import csr, node

from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.operators.cluster.businesscluster.unmanaged_nodes import UnmanagedNodes, handle_requests
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings
from kok.workload import unmanaged_nodes as common
from kok.workload.csr import Pending

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
META = ("203.0.113.1", "10.244.0.0/24")


async def attended(
    api: FakeApi,
    policy: str,
    *asked: Manifest,
    known: bool = True,
    wake: Callable[[], None] = lambda: None,
    **limits: int,
) -> UnmanagedNodes | None:
    """What a pass finds where these requests wait, after it did what the policy says."""
    cluster = a_cluster(nodes={"foreign": policy})
    seen = [node("w1", "192.0.2.21"), node("w7", "192.0.2.77"), node("w8", "192.0.2.78")]
    pending = Pending()
    for one in asked:
        api.put(f"{CSRS}/{one['metadata']['name']}", one)
        pending.take(one, gone=False)
    watches: Any = SimpleNamespace(
        nodes={one["metadata"]["name"]: True for one in seen},
        addresses={one["metadata"]["name"]: common.addresses(one) for one in seen},
        requests=pending if known else None,
    )
    of_machine = machine().manifest() | {"apiVersion": "kok.dev/v1alpha1", "kind": "Machine"}
    api.put("/apis/kok.dev/v1alpha1/namespaces/team-a/machines/shop-workers-w1", of_machine)
    async with Kube(from_kubeconfig(api.kubeconfig()), field_manager="test") as kube:
        p: Any = Pass(
            obj=cluster,
            status=cluster.status.model_copy(deep=True),
            kube=kube,
            clock=FakeClock(NOW),
            now=NOW,
            log=structlog.stdlib.get_logger(),
            settings=Settings(),
            wake=wake,
        )
        connection: Any = SimpleNamespace(kube=kube)
        return await handle_requests(p, connection, watches, META, **limits)


def approved(api: FakeApi) -> list[str]:
    """Names of requests that were approved."""
    return [
        path.rpartition("/")[2]
        for path, found in api.objects.items()
        if path.startswith(CSRS) and (found.get("status") or {}).get("conditions")
    ]


W1 = csr("w1", hosts=["w1"], addresses=["192.0.2.21"])
W7 = csr("w7", hosts=["w7"], addresses=["192.0.2.77"])
W8 = csr("w8", hosts=["w8"], addresses=["192.0.2.78"])


async def test_by_default_foreign_nodes_are_told_and_nothing_is_approved(api: FakeApi) -> None:
    assert a_cluster().spec.nodes.foreign == "Manual"
    assert await attended(api, "Manual", W8, W1, W7) == UnmanagedNodes(("w7", "w8"))
    assert approved(api) == []


async def test_where_the_spec_says_so_they_are_approved(api: FakeApi) -> None:
    assert await attended(api, "Approve", W7, W8) == UnmanagedNodes()
    assert approved(api) == ["csr-w7", "csr-w8"]
    condition = api.objects[f"{CSRS}/csr-w7"]["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("Approved", "MatchesNode")


async def test_very_many_are_approved_in_more_passes_than_one(api: FakeApi) -> None:
    woken: list[int] = []
    told = await attended(api, "Approve", W7, W8, wake=lambda: woken.append(1), at_once=1)
    assert told == UnmanagedNodes()
    assert approved(api) == ["csr-w7"]
    assert woken == [1]


async def test_who_has_no_name_of_a_node_is_not_told_of(api: FakeApi) -> None:
    """The condition has a command that people copy."""
    asked = [
        csr("w7", hosts=["w7"], asker=f"system:node:{name}", name=f"csr-{number}")
        for number, name in enumerate(["", "x; reboot", "$(reboot)", "-n", "x" * 254, "W7"])
    ]
    assert await attended(api, "Manual", *asked) == UnmanagedNodes()
    assert await attended(api, "Approve", *asked) == UnmanagedNodes()
    assert approved(api) == []


async def test_the_node_of_a_machine_is_never_approved_here(api: FakeApi) -> None:
    assert await attended(api, "Approve", W1) == UnmanagedNodes()
    assert approved(api) == []


@pytest.mark.parametrize("address", ["203.0.113.1", "192.0.2.21", "192.0.2.78", "10.65.0.1"])
async def test_what_is_somebody_elses_is_refused_and_told(api: FakeApi, address: str) -> None:
    found = await attended(api, "Approve", csr("w7", hosts=["w7"], addresses=[address]), W8)
    assert found is not None
    assert found.waiting == ("w7",)
    assert "csr-w7 of Node w7, which belongs to no Machine, is not approved" in str(found.refused)
    assert approved(api) == ["csr-w8"]


async def test_nothing_is_said_until_all_requests_are_known(api: FakeApi) -> None:
    assert await attended(api, "Approve", W7, known=False) is None
    assert approved(api) == []
