"""What pods of an addon say of why they are not ready."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.operators.cluster.builders import NOW, a_cluster

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.operators.cluster.addon import bundle
from kok.operators.cluster.addon.bundle import BundleRenderer
from kok.operators.cluster.addon.crashes import CONTAINERS, PODS, pod_error, pod_error_of
from kok.operators.cluster.addon.health import selector_of, workloads
from kok.operators.cluster.addon.reconcile import ASK_PODS, AddonReconciler
from kok.operators.cluster.addon.sources.givenvalues import GivenValues
from kok.operators.cluster.businesscluster.connections import Connection
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.settings import Settings

DEPLOYMENT: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "coredns", "namespace": "kube-system", "generation": 1},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"k8s-app": "dns"}}},
    "status": {"observedGeneration": 1},
}
PATH = "/api/v1/namespaces/kube-system/pods"
BOOTSTRAP = "abcdef.0123456789abcdef"
LOOP = '[FATAL] plugin/loop: Loop (127.0.0.1:50454 -> :53) detected for zone "."'


@pytest.fixture
async def kube(api: FakeApi) -> AsyncIterator[Kube]:
    async with await Kube.from_kubeconfig(
        api.kubeconfig(), field_manager="t", limits=TENANT
    ) as client:
        yield client


def a_pod(name: str = "coredns-a", *statuses: Any, **status: Any) -> Manifest:
    meta = {"name": name, "namespace": "kube-system", "labels": {"k8s-app": "dns"}}
    return {"metadata": meta, "status": {"containerStatuses": list(statuses), **status}}


def crashed(**ended: Any) -> dict[str, Any]:
    return {
        "name": "coredns",
        "ready": False,
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", **ended}},
    }


def said_by(*pods: Manifest) -> str:
    found = pod_error_of(pods)
    return found.text if found is not None else ""


def a_log(text: str, asked: list[dict[str, str]]) -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        return web.Response(text=text)

    return answer


async def test_a_crashing_pod_is_quoted_from_its_previous_log(api: FakeApi, kube: Kube) -> None:
    api.put(f"{PATH}/coredns-a", a_pod("coredns-a", crashed()))
    api.put(f"{PATH}/other", {"metadata": {"name": "other", "namespace": "kube-system"}})
    asked: list[dict[str, str]] = []
    api.script("GET", "/log$", a_log(f".:53\n{LOOP}\n", asked))
    assert await pod_error(kube, workloads([DEPLOYMENT])) == (
        "pod coredns-a of Deployment coredns: container coredns exited with code 1, restarts: 4; "
        f"it said: {LOOP}"
    )
    assert [(q["container"], q["previous"]) for q in asked] == [("coredns", "true")]
    assert int(asked[0]["limitBytes"]) <= 8192


async def test_last_words_that_kubernetes_keeps_need_no_log(api: FakeApi, kube: Kube) -> None:
    api.put(f"{PATH}/coredns-a", a_pod("coredns-a", crashed(message="no such zone\n")))
    assert (await pod_error(kube, workloads([DEPLOYMENT]))).endswith("it said: no such zone")
    assert not [path for _, path in api.requests if path.endswith("/log")]


async def test_a_log_that_nobody_gives_away_leaves_the_exit_code(api: FakeApi, kube: Kube) -> None:
    async def away(_: web.Request) -> web.StreamResponse:
        return refusal(500, "InternalError", "the node does not answer")

    api.put(f"{PATH}/coredns-a", a_pod("coredns-a", crashed(reason="OOMKilled", exitCode=137)))
    api.script("GET", "/log$", away)
    said = await pod_error(kube, workloads([DEPLOYMENT]))
    assert said.endswith("container coredns exited with code 137 (OOMKilled), restarts: 4")


async def test_no_secret_and_no_flood_is_quoted(api: FakeApi, kube: Kube) -> None:
    api.put(f"{PATH}/coredns-a", a_pod("coredns-a", crashed()))
    api.script("GET", "/log$", a_log("password=hunter2 " + "x " * 100_000, []))
    said = await pod_error(kube, workloads([DEPLOYMENT]))
    assert "hunter2" not in said
    assert len(said) <= 400
    api.put(f"{PATH}/coredns-a", a_pod("coredns-a", crashed(message="token: abcdefg.hij")))
    assert "abcdefg" not in await pod_error(kube, workloads([DEPLOYMENT]))
    # Neither one in the middle of which the sentence ends.
    for begin in range(300, 400):
        words = pod_error_of([a_pod("a", crashed(message=f"{'x' * begin} {BOOTSTRAP}\n"))])
        assert words is not None
        assert "0123456" not in words.text


async def test_pods_of_what_is_up_are_not_asked_for(api: FakeApi, kube: Kube) -> None:
    ready = {"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2}
    assert (
        await pod_error(kube, workloads([{**DEPLOYMENT, "status": ready}, {"kind": "ConfigMap"}]))
        == ""
    )
    assert api.requests == []


async def test_few_pods_are_read_however_many_there_are(api: FakeApi, kube: Kube) -> None:
    async def endless(_: web.Request) -> web.StreamResponse:
        items = [a_pod(f"p-{number}") for number in range(PODS)]
        return web.json_response({"metadata": {"continue": "more"}, "items": items})

    api.script("GET", "/pods$", endless)
    assert await pod_error(kube, workloads([DEPLOYMENT])) == ""
    assert len(api.requests) == 1


def test_few_containers_of_a_pod_are_looked_at() -> None:
    ready = [{"ready": True}] * (CONTAINERS - 1)
    assert said_by(a_pod("a", *ready, crashed(), crashed())) != ""
    assert said_by(a_pod("a", *ready, {"ready": True}, crashed())) == ""


async def test_a_cluster_that_refuses_to_tell_costs_only_the_words(
    api: FakeApi, kube: Kube
) -> None:
    async def refused(_: web.Request) -> web.StreamResponse:
        return refusal(403, "Forbidden", "no")

    api.script("GET", "/pods$", refused)
    assert await pod_error(kube, workloads([DEPLOYMENT])) == ""


@pytest.mark.parametrize(
    ("pod", "text"),
    [
        (a_pod("a", crashed(message="why\n")), "exited with code 1, restarts: 4; it said: why"),
        (a_pod("a", crashed(exitCode=0, reason="Completed")), "code 0 (Completed), restarts: 4"),
        (
            a_pod("a", {"name": "c", "state": {"terminated": {"exitCode": 2, "message": "bad"}}}),
            "container c exited with code 2, restarts: unknown; it said: bad",
        ),
        (
            a_pod(
                "a",
                {
                    "name": "c",
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": 'image "x"'}},
                },
            ),
            'container c cannot start: ImagePullBackOff, image "x"',
        ),
        (a_pod("a", initContainerStatuses=[crashed(message="no disk")]), "it said: no disk"),
        (
            a_pod(
                "a",
                conditions=[
                    {"type": "PodScheduled", "status": "False", "message": "0/3 nodes available"}
                ],
            ),
            "no node takes it: 0/3 nodes available",
        ),
        (a_pod("a", {"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}), ""),
        (a_pod("a", {**crashed(), "ready": True}), ""),
    ],
)
def test_what_a_pod_complains_of(pod: Manifest, text: str) -> None:
    found = said_by(pod)
    assert found.endswith(text)
    assert bool(found) is bool(text)


@pytest.mark.parametrize("junk", [None, 5, "x", [1], [["a"]], {"a": 1}, [{"state": 3}]])
def test_pods_of_any_shape_do_no_harm(junk: Any) -> None:
    pod = {"metadata": {"name": "a"}, "status": {"containerStatuses": junk, "conditions": junk}}
    container = {
        "name": junk,
        "restartCount": junk,
        "lastState": {"terminated": {"exitCode": junk}},
    }
    pod_error_of([pod, a_pod("b", container)])
    assert selector_of({"selector": {"matchLabels": junk, "matchExpressions": junk}}) in (
        "",
        "a=1",
    )


def test_what_tells_most_comes_first() -> None:
    waits = {"name": "c", "state": {"waiting": {"reason": "ErrImagePull"}}}
    assert "it said: no" in said_by(a_pod("a", waits), a_pod("b", crashed(message="no")))


def test_selectors_are_written_as_kubernetes_does() -> None:
    chosen = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["x", "y"]},
            {"key": "d", "operator": "DoesNotExist"},
        ],
    }
    assert selector_of({"selector": chosen}) == "a=1,b=2,c in (x,y),!d"


class Meta:
    """A meta cluster that holds one Cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    async def get(self, *_: object, **__: object) -> Manifest:
        return self.cluster.manifest()


def a_pass(since: timedelta) -> Any:
    """Over coredns, whose pods have not been ready for some time."""
    at = {"lastTransitionTime": (NOW - since).isoformat()}
    reachable = {"type": "EndpointReachable", "status": "True", "reason": "AsWanted", **at}
    sick = {"type": "Healthy", "status": "False", "reason": "NotHealthy", **at}
    endpoint = {"endpoint": "https://192.0.2.10:31443", "conditions": [reachable]}
    addon = Addon.parse(
        {
            "metadata": {"name": "shop-coredns", "namespace": "team-a", "uid": "uid-2"},
            "spec": {"cluster": "shop", "source": {"builtin": "coredns"}},
            "status": {"conditions": [sick]},
        }
    )
    meta: Any = Meta(a_cluster(status=endpoint))
    return Pass(
        obj=addon,
        status=addon.status.model_copy(deep=True),
        kube=meta,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


@pytest.mark.parametrize(
    ("since", "asked"), [(ASK_PODS, True), (ASK_PODS - timedelta(seconds=1), False)]
)
async def test_the_condition_of_an_addon_quotes_its_pods_after_a_while(
    api: FakeApi, kube: Kube, since: timedelta, asked: bool
) -> None:
    labelled = a_pod("coredns-a", crashed(message="no such zone"))
    labelled["metadata"]["labels"] = {"k8s-app": "kube-dns"}
    api.put(f"{PATH}/coredns-a", labelled)
    api.put("/api/v1/nodes/worker-1", {"metadata": {"name": "worker-1"}})
    connection = Connection("", kube, kube)
    connections: Any = SimpleNamespace(get=lambda _key: connection)
    p = a_pass(since)
    result = await AddonReconciler(
        ClusterSettings(), connections, Wakeups(), BundleRenderer(SandboxPool())
    ).reconcile(p)
    for type_ in ("Healthy", "Ready"):
        found = p.status.condition(type_)
        assert found.reason == "NotHealthy"
        assert ("pod coredns-a of Deployment coredns: " in found.message) is asked
        assert found.message.endswith("it said: no such zone") is asked
    # A pod that crashes again changes nothing by which the addon would be woken.
    assert result.requeue_after is not None
    assert result.requeue_after <= 60
    await connection.unfollow()


async def test_what_a_pod_says_of_a_secret_that_it_was_given_is_not_told(
    api: FakeApi, kube: Kube
) -> None:
    labelled = a_pod("coredns-a", crashed(message="invalid API key abcdef123"))
    labelled["metadata"]["labels"] = {"k8s-app": "kube-dns"}
    api.put(f"{PATH}/coredns-a", labelled)
    api.put("/api/v1/nodes/worker-1", {"metadata": {"name": "worker-1"}})
    connection = Connection("", kube, kube)
    connections: Any = SimpleNamespace(get=lambda _key: connection)
    bundles = BundleRenderer(SandboxPool())
    p = a_pass(ASK_PODS)
    given = GivenValues({}, frozenset({"abcdef123"}))

    async def known(*_: object) -> GivenValues:
        return given

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "given_values", known)
        await AddonReconciler(ClusterSettings(), connections, Wakeups(), bundles).reconcile(p)
    for type_ in ("Healthy", "Ready"):
        assert p.status.condition(type_).message.endswith("it said: invalid API key ***")
    await connection.unfollow()
