"""What API servers do not reach inside a business cluster: what is found, and when it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Any, cast

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.operators.cluster.builders import NOW, a_cluster

from kok.kube.client import Kube
from kok.operators.cluster.businesscluster.reach import Reach, ReachWatch, look
from kok.operators.cluster.cluster.conditions.reachable import cluster_reachable
from kok.operators.cluster.cluster.operations.tunnels import decide
from kok.operators.cluster.cluster.spec.resolved import resolve

APISERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/policy"


def healthz(node: str) -> str:
    return f"/api/v1/nodes/{node}/proxy/healthz"


def unavailable(**spec: Any) -> dict[str, Any]:
    condition = {"type": "Available", "status": "False", "message": "no response from 10.65.0.9"}
    return {"spec": spec, "status": {"conditions": [condition]}}


def hook(**changes: Any) -> dict[str, Any]:
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "apiVersions": ["v1"],
        "operations": ["UPDATE"],
        "resources": ["leases"],
    }
    service = {"namespace": "guard", "name": "guard"}
    usual = {
        "name": "guard.example.org",
        "failurePolicy": "Fail",
        "clientConfig": {"service": service},
        "rules": [rule],
    }
    return {"webhooks": [{**usual, **changes}]}


def refuse(api: FakeApi, node: str, message: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return refusal(503, "ServiceUnavailable", message)

    api.script("GET", f"{healthz(node)}$", answer)


async def test_a_kubelet_that_is_not_reached_is_named_with_the_reason(
    api: FakeApi, kube: Kube
) -> None:
    refuse(api, "w2", "No agent available")
    found = await look(kube, ["w2", "w1"])
    assert found == Reach(2, kubelets=("node w2: No agent available",))


async def test_a_kubelet_without_a_certificate_is_reached(api: FakeApi, kube: Kube) -> None:
    refuse(api, "w1", "error trying to reach service: remote error: tls: internal error")
    assert (await look(kube, ["w1"])).whole


async def test_of_many_nodes_few_are_asked_and_always_the_same(api: FakeApi, kube: Kube) -> None:
    found = await look(kube, [f"w{n}" for n in range(100, 200)])
    asked = {path for _, path in api.requests if path.endswith("healthz")}
    assert found.asked == len(asked) == 4
    assert asked == {healthz(f"w{n}") for n in range(100, 104)}


async def test_aggregated_apis_that_do_not_answer_are_named(api: FakeApi, kube: Kube) -> None:
    api.put(APISERVICE, unavailable(service={"namespace": "kube-system", "name": "metrics"}))
    api.put("/apis/apiregistration.k8s.io/v1/apiservices/v1.apps", unavailable())
    assert (await look(kube, [])).apis == (
        "APIService v1beta1.metrics.k8s.io: no response from 10.65.0.9",
    )


async def test_webhooks_for_which_nobody_answers_are_named(api: FakeApi, kube: Kube) -> None:
    for name in ("kube-system", "default"):
        api.put(f"/api/v1/namespaces/{name}", {})
    api.put(HOOKS, hook())
    assert (await look(kube, [])).webhooks == (
        "webhook policy/guard.example.org, asked about leases: Service guard/guard does not exist",
    )


async def test_a_webhook_without_which_nodes_are_lost_is_warned_of_while_it_answers(
    api: FakeApi, kube: Kube
) -> None:
    for name in ("kube-system", "default"):
        api.put(f"/api/v1/namespaces/{name}", {})
    api.put(HOOKS, hook())
    api.put("/api/v1/namespaces/guard/services/guard", {"spec": {}})
    ready = {
        "metadata": {"namespace": "guard", "labels": {"kubernetes.io/service-name": "guard"}},
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    }
    api.put("/apis/discovery.k8s.io/v1/namespaces/guard/endpointslices/guard-1", ready)
    found = await look(kube, [])
    assert found.whole
    assert found.risks == ("webhook policy/guard.example.org has to be asked about leases",)
    verdict = cluster_reachable(a_cluster(), found)
    assert (verdict.holds, verdict.reason) == (True, "WebhooksAtNodes")


DNS = "/api/v1/namespaces/kube-system/pods/coredns-1"


def dns_answers(api: FakeApi, message: str | None) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    meta = {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
    api.put(DNS, {"metadata": meta, "status": ready})

    async def answer(_: web.Request) -> web.Response:
        if message is None:
            return web.Response(text="OK")
        return refusal(503, "ServiceUnavailable", message)

    api.script("GET", r"pods/coredns-1:8181/proxy/ready$", answer)


@pytest.mark.parametrize(
    ("message", "pods"),
    [
        (None, ()),
        ("dial tcp 10.64.0.2:8181: connect: connection refused", ()),
        (
            "dial tcp 10.64.0.2:8181: i/o timeout",
            ("pod kube-system/coredns-1: dial tcp 10.64.0.2:8181: i/o timeout",),
        ),
    ],
)
async def test_whether_a_pod_is_reached_is_asked_of_the_clusters_dns(
    api: FakeApi, kube: Kube, message: str | None, pods: tuple[str, ...]
) -> None:
    dns_answers(api, message)
    found = await look(kube, ["w1"])
    assert found.pods == pods
    assert found.whole, "not everybody needs it"


def test_auto_comes_to_a_tunnel_once_and_for_all() -> None:
    auto = a_cluster(network={"tunnel": "Auto"})
    why = ("pod kube-system/coredns-1: i/o timeout",)
    lost = Reach(1, pods=why, lasting=why)
    assert decide(auto, None, NOW) is None
    assert decide(auto, Reach(1), NOW) is None
    assert decide(auto, Reach(4, kubelets=("node w1: timeout",)), NOW) is None, "it may have died"
    found = decide(auto, lost, NOW)
    assert found is not None
    assert found.why == lost.pods[0]
    auto.status.tunnel = found
    assert decide(auto, Reach(1), NOW) == found, "with the tunnel everything is reached"
    assert resolve(auto).tunnel
    for word, there in (("Never", False), ("Always", True)):
        other = a_cluster(network={"tunnel": word}, status={"tunnel": found.manifest()})
        assert decide(other, lost, NOW) is None
        assert resolve(other).tunnel is there


# --- when it is told


class Turns:
    """Stands for the time between looks: each ends when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[float] = []
        self._waits: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def pause(self, what: Awaitable[Any], most: float) -> None:
        """Until `next`, whatever is waited for."""
        cast("Any", what).close()
        self.asked.append(most)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits.put_nowait(future)
        await future

    async def over(self) -> asyncio.Future[None]:
        """Once a look is over: what begins the next one."""
        return await self._waits.get()


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
async def watch(kube: Kube, turns: Turns) -> AsyncIterator[ReachWatch]:
    one = ReachWatch(
        kube,
        lambda: {"w1": True, "w2": False},
        lambda: None,
        pause=turns.pause,
        clock=lambda: turns.now,
    )
    yield one
    await one.close()


async def test_what_fails_once_is_not_told_and_looked_at_again_soon(
    api: FakeApi, watch: ReachWatch, turns: Turns
) -> None:
    answers = [True, False, True, False, False, True]
    told = []

    async def answer(_: web.Request) -> web.Response | None:
        return None if answers[len(told)] else refusal(503, "ServiceUnavailable", "lost")

    api.script("GET", healthz("w1"), answer)
    for _ in answers:
        begin = await turns.over()
        found = watch.found
        told.append(found is not None and found.whole)
        begin.set_result(None)
    assert told == [True, True, True, True, False, True]
    assert turns.asked[:6] == [120.0, 20.0, 120.0, 20.0, 20.0, 120.0]


@pytest.mark.parametrize("what", ["kubelet", "pod"])
async def test_what_is_not_reached_for_a_minute_is_no_node_that_dies(
    api: FakeApi, watch: ReachWatch, turns: Turns, what: str
) -> None:
    if what == "kubelet":
        refuse(api, "w1", "dial tcp 10.0.0.1:10250: i/o timeout")
    else:
        dns_answers(api, "dial tcp 10.244.0.2:8181: i/o timeout")
    told: list[bool] = []
    for _ in range(5):
        begin = await turns.over()
        told.append(watch.found is not None and bool(watch.found.lasting))
        turns.now += turns.asked[-1]
        begin.set_result(None)
    assert told == [False, False, False, True, True]
    assert turns.asked[:3] == [20.0, 20.0, 20.0]


async def test_nodes_that_are_not_ready_are_not_asked(
    api: FakeApi, watch: ReachWatch, turns: Turns
) -> None:
    await turns.over()
    assert {path for _, path in api.requests if path.endswith("healthz")} == {healthz("w1")}


async def test_an_api_that_is_away_changes_nothing_of_what_was_said(
    api: FakeApi, watch: ReachWatch, turns: Turns
) -> None:
    begin = await turns.over()
    before = watch.found
    assert before is not None

    async def away(_: web.Request) -> web.Response:
        return refusal(500, "InternalError", "etcdserver: no leader")

    api.script("GET", "apiservices", away)
    begin.set_result(None)
    await turns.over()
    assert watch.found is before


@pytest.mark.parametrize(
    ("tunnel", "reach", "reason", "words"),
    [
        ("Never", Reach(1, kubelets=("node w1: x",)), "KubeletsUnreachable", "set spec.network"),
        ("Always", Reach(1, kubelets=("node w1: x",)), "KubeletsUnreachable", "konnectivity-agent"),
        ("Never", Reach(1, webhooks=("w",)), "WebhooksFail", "failurePolicy: Ignore"),
        ("Never", Reach(1, apis=("APIService a: b",)), "APIsUnavailable", "no namespace"),
        ("Never", Reach(1, pods=("pod a/b: c",)), "PodsUnreachable", "set"),
        ("Never", Reach(0), "WaitingForNodes", "no node"),
        ("Never", Reach(1), "AsWanted", "reach all"),
    ],
)
def test_the_condition_says_what_to_do(tunnel: str, reach: Reach, reason: str, words: str) -> None:
    verdict = cluster_reachable(a_cluster(network={"tunnel": tunnel}), reach)
    assert verdict.reason == reason
    assert words in verdict.message
    assert verdict.holds is reach.whole


@pytest.mark.parametrize(
    "reach", [Reach(0), Reach(0, webhooks=("w",)), Reach(0, apis=("APIService a: b",))]
)
def test_with_a_tunnel_and_no_node_the_condition_says_why_nothing_is_reached(reach: Reach) -> None:
    why = "without a Ready node no agent runs"
    for tunnel, said in (("Always", True), ("Never", False)):
        verdict = cluster_reachable(a_cluster(network={"tunnel": tunnel}), reach)
        assert (why in verdict.message) is said
    asked = replace(reach, asked=1)
    assert why not in cluster_reachable(a_cluster(network={"tunnel": "Always"}), asked).message


async def test_without_a_node_an_aggregated_api_of_a_tunnels_cluster_is_named_with_the_reason(
    api: FakeApi, kube: Kube
) -> None:
    api.put(APISERVICE, unavailable(service={"namespace": "kube-system", "name": "metrics"}))
    verdict = cluster_reachable(a_cluster(network={"tunnel": "Always"}), await look(kube, []))
    assert not verdict.holds
    assert "v1beta1.metrics.k8s.io" in verdict.message
    assert "no agent runs" in verdict.message
    assert "set spec.network.tunnel" not in verdict.message


def test_of_many_entries_three_are_named() -> None:
    reach = Reach(9, apis=tuple(f"APIService a{n}" for n in range(9)))
    assert "a2; and 6 more" in cluster_reachable(a_cluster(), reach).message
