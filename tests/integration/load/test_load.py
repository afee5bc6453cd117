"""The load of the upgrades' scenarios notices what is wrong, and nothing where all is in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from e2e.load import Load, faults, started
from e2e.polling import eventually
from tests.integration.apiserver import ETCD_VERSION, KUBERNETES_VERSION, find_binary
from tests.integration.load.pair import LIMIT, NAMES, Balancer, Pair, all_ready, balanced, ended

from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig

RATE = 25
"""Half of what it usually is: other tests run beside it."""
WATCHES = 8
LEADER = "kube-controller-manager"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two API servers on one etcd."""
    servers = Pair(
        find_binary("kube-apiserver", KUBERNETES_VERSION, "KOK_TEST_KUBE_APISERVER"),
        find_binary("etcd", ETCD_VERSION, "KOK_TEST_ETCD"),
    )
    try:
        servers.start()
        yield servers
    finally:
        servers.close()


@asynccontextmanager
async def loaded(pair: Pair, *leaders: str) -> AsyncIterator[tuple[Load, Balancer]]:
    """The pair behind one address, under load."""
    async with balanced(pair) as balancer:
        config = pair.kubeconfig().replace(pair.server, f"https://127.0.0.1:{balancer.port}")
        async with started(config, leaders=leaders, rate=RATE, watches=WATCHES) as load:
            yield load, balancer


async def test_nobody_notices_servers_that_end_in_order(pair: Pair) -> None:
    async with loaded(pair) as (load, balancer):
        for name in NAMES:
            await ended(pair.ends(name))
            pair.spawn()
            await all_ready(balancer)
        told = await load.finish()

    assert not told["failed"], told["failures"]
    # The balancer is late to pass on that a server has closed an idle connection, for which HTTP/1.1
    # has no word, and HTTP/2 has.
    torn = {kind for kind, count in told["kinds"].items() if count["torn"]}
    assert torn <= {"kept-http1-update", "kept-http1-renew"}
    assert told["done"] > 100
    watches = told["watches"]
    assert watches["ended"] + watches["broken"] >= WATCHES, "nothing ever ended"
    assert watches["seen"] == WATCHES * (watches["latest"] - _first(watches))
    assert [watches[name] for name in ("lost", "doubled", "behind", "relisted")] == [0] * 4
    assert {kind for kind, count in told["kinds"].items() if count["done"]} >= {
        f"{how}-http{version}-{what}"
        for how in ("fresh", "kept")
        for version in (1, 2)
        for what in ("list", "update", "renew")
    }


def _first(watches: dict[str, Any]) -> int:
    """The number before the first that watches saw: all of them began with the same."""
    seen, count = divmod(watches["seen"], watches["count"])
    assert count == 0, f"some saw more than others: {watches}"
    return int(watches["latest"]) - int(seen)


async def test_a_server_that_is_killed_is_noticed(pair: Pair) -> None:
    async with loaded(pair) as (load, balancer):
        await load.lap()
        pair.stop("second")
        await eventually(lambda: not balancer.ready["second"], LIMIT)
        await asyncio.sleep(1.0)
        told = await load.finish()
    pair.spawn()

    assert told["failed"] > 0
    assert told["failures"][0]["text"]
    assert "requests failed" in faults(told)[0]
    # The other one knows of all changes.
    assert [told["watches"][name] for name in ("lost", "doubled", "behind", "relisted")] == [0] * 4


async def test_changes_of_which_no_watch_is_told_are_noticed(pair: Pair) -> None:
    async with loaded(pair) as (load, balancer):
        pair.stop(*NAMES)
        # What the balancer knows is as old as its last look.
        await eventually(lambda: not any(balancer.ready.values()), LIMIT)
        # Somebody else writes meanwhile: what the new servers begin with is later than what any
        # watch has seen.
        await pair.touch()
        pair.spawn()
        await all_ready(balancer)
        told = await load.finish()

    assert told["watches"]["relisted"] > 0
    assert any("cannot be resumed" in one["text"] for one in told["failures"])
    assert any("relisted" in text for text in faults(told))


async def test_a_leader_that_does_not_renew_its_lease_is_noticed(pair: Pair) -> None:
    access = from_kubeconfig(pair.kubeconfig())
    async with Kube(access, field_manager="kok-test", timeout=LIMIT) as kube:
        await _renew(kube, "one")
        async with loaded(pair, LEADER, "kube-scheduler") as (load, _):
            for holder in ("one", "one", "other"):
                await _renew(kube, holder)
            await asyncio.sleep(2.5)
            await _renew(kube, "other")
            told = await load.finish()

    leader = told["leaders"][LEADER]
    assert leader["longest_s"] >= 2.5
    assert leader["holders"] == 2
    said = "; ".join(faults(told, leader_gap=2.0))
    assert f"{LEADER} did not renew its Lease" in said
    assert "kube-scheduler never had a leader" in said


async def _renew(kube: Kube, holder: str) -> None:
    meta = {"name": LEADER, "namespace": "kube-system"}
    spec = {
        "holderIdentity": holder,
        "renewTime": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}
    await kube.apply({**lease, "spec": spec})
