"""The operator as a process: killed, restarted, two at a time, without its API server."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any, ClassVar

import aiohttp
import pytest
from e2e.polling import eventually
from tests.integration.apiserver import ApiServer
from tests.integration.conftest import established
from tests.integration.rights import in_force
from tests.integration.runtime.conftest import (
    LIMIT,
    SOON,
    Operator,
    Start,
    World,
    ready,
    running,
    seen,
)
from tests.integration.runtime.toy import (
    DOLL,
    HOLD,
    TOY,
    Toy,
    ToyReconciler,
    crd,
    doll_operator,
    operator,
)

from kok.api.meta import Kind, KindInfo
from kok.kube import kinds
from kok.kube.client import Kube
from kok.runtime.controller.reconciler import OperatorSpec


async def test_a_killed_operator_goes_on_where_it_was(start: Start, world: World) -> None:
    first = await start()
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")
    await first.kill()
    await world.change("a", size=4)
    await world.kube.delete(kinds.CONFIGMAP, "a", world.namespace)
    await world.make("b", size=5)

    await start(lease_renew=SOON)

    await world.until(kinds.CONFIGMAP, "a", lambda c: c and c["data"]["size"] == "4")
    await world.until_ready("b", "Made", "True")


async def test_an_operator_killed_while_an_object_goes_lets_it_go_later(
    start: Start, world: World
) -> None:
    first = await start()
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")
    await first.kill()
    await world.kube.delete(TOY, "a", world.namespace)
    assert await world.kube.get(TOY, "a", world.namespace)

    await start(lease_renew=SOON)

    await world.until(TOY, "a", lambda t: t is None)
    assert await world.kube.get(kinds.CONFIGMAP, "a", world.namespace) is None


async def test_a_stopped_operator_leaves_in_order_and_its_lease_free(
    start: Start, world: World
) -> None:
    first = await start()
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")

    code = await first.end(signal.SIGTERM)

    assert code == 0
    lease = await world.kube.get(kinds.LEASE, "kok-toy-operator", world.namespace)
    assert lease is not None
    assert not lease["spec"].get("holderIdentity")
    assert [line for line in first.lines() if line["level"] in {"warning", "error"}] == []


async def test_only_one_of_two_works_and_the_other_takes_over(start: Start, world: World) -> None:
    async def holder() -> str:
        lease = await world.until(
            kinds.LEASE, "kok-toy-operator", lambda e: e and e["spec"].get("holderIdentity")
        )
        assert lease is not None
        return str(lease["spec"]["holderIdentity"])

    first = await start(identity="first")
    assert (await holder()).startswith("first")
    second = await start(identity="second", lease_renew=SOON)
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")
    await _until_ready(second)
    assert "ensured" not in {line["event"] for line in second.lines()}

    await first.kill()
    await world.change("a", size=9)

    await world.until(kinds.CONFIGMAP, "a", lambda c: c and c["data"]["size"] == "9")
    assert (await holder()).startswith("second")


async def test_an_operator_that_lost_its_lease_dies_at_once(start: Start, world: World) -> None:
    first = await start(lease_renew=SOON)
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")

    thief = {"spec": {"holderIdentity": "thief", "renewTime": "2030-01-01T00:00:00.000000Z"}}
    await world.kube.patch(kinds.LEASE, "kok-toy-operator", world.namespace, thief)

    async with asyncio.timeout(LIMIT):
        assert await first.process.wait() == 3


async def test_probes_and_metrics_tell_how_it_is(start: Start, world: World) -> None:
    operator = await start()
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")

    up, _ = await operator.probe("/readyz")
    async with asyncio.timeout(LIMIT):
        metrics, pending = "", {}
        # Counted when the pass is over, which is after its status can be seen; and its own child
        # asks for another one.
        while 'kok_passes_total{end="ok",kind="Toy",operator="toy"}' not in metrics:
            _, metrics = await operator.probe("/metrics")
        while pending != {"toy": 0.0}:
            alive, report = await operator.probe("/healthz")
            pending = json.loads(report)["pendingSeconds"]

    assert (alive, up) == (200, 200)
    assert 'kok_leader{operator="toy"} 1.0' in metrics
    assert 'kok_objects{kind="Toy",operator="toy"} 1.0' in metrics


async def test_logs_are_json_with_object_and_pass_and_without_secrets(
    start: Start, world: World
) -> None:
    operator = await start(log_level="debug")
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")
    await world.change("a", fail=True)
    await world.until_ready("a", "InternalError")
    await operator.end(signal.SIGTERM)

    lines = operator.lines()
    ensured = next(line for line in lines if line["event"] == "ensured")
    failed = [line for line in lines if line["event"] == "pass failed"]
    assert ensured.items() >= {"kind": "Toy", "namespace": world.namespace, "name": "a"}.items()
    assert len(ensured["reconcile"]) == 8
    assert len(failed) == 1, "a traceback is logged once, not at each try"
    assert "reconcile" in failed[0]["traceback"]
    text = operator.log.read_text()
    assert "hunter2" not in text
    assert "PRIVATE KEY" not in text


async def test_at_rest_nothing_is_written(
    api_server: ApiServer, toys: None, kube: Kube, world: World
) -> None:
    names = [f"t{number}" for number in range(5)]
    async with running(
        api_server, world.namespace, resync=0.05, lease_renew=60, lease_duration=300
    ):
        for name in names:
            await world.make(name, size=3)
        for name in names:
            await world.until_ready(name, "Made", "True")
            # The last that a pass writes, after the status.
            await world.until_event("Made", name)
        before = await _writes(kube, world)
        passes = _passes()
        # A counter wakes nobody.
        await eventually(lambda: _passes() >= passes + 50, LIMIT, every=0.01)
        after = await _writes(kube, world)
    assert after == before


@pytest.mark.parametrize("broken", ["kube-apiserver", "etcd"])
async def test_an_outage_is_survived(
    api_server: ApiServer, start: Start, world: World, broken: str
) -> None:
    toys_operator = await start(lease_renew=SOON, kube_timeout=2)
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")

    api_server.stop(broken)
    said = toys_operator.log.read_text
    await eventually(lambda: "cannot renew the Lease" in said(), LIMIT, every=0.1)
    api_server.start()
    await world.change("a", size=4)

    await world.until(kinds.CONFIGMAP, "a", lambda c: c and c["data"]["size"] == "4")
    assert toys_operator.process.returncode is None
    await world.until(TOY, "a", lambda t: ready(t)["status"] == "True" and seen(t, 2))


async def test_an_operator_told_to_stop_while_an_object_goes_ends_in_order(
    start: Start, world: World
) -> None:
    operator = await start()
    await world.make("a", size=3)
    await world.until_ready("a", "Made", "True")
    held = {"metadata": {"annotations": {HOLD: "yes"}}}
    await world.kube.patch(kinds.CONFIGMAP, "a", world.namespace, held)
    await world.kube.delete(TOY, "a", world.namespace)
    await world.until(TOY, "a", lambda t: "held back" in ready(t).get("message", ""))

    assert await operator.end(signal.SIGTERM) == 0

    assert [line for line in operator.lines() if line["level"] in {"warning", "error"}] == []
    assert await world.kube.get(TOY, "a", world.namespace), "the finalizer still holds it"


async def test_several_operators_run_in_one_process(
    api_server: ApiServer, toys: None, world: World
) -> None:
    both = [operator(), doll_operator()]
    async with running(api_server, world.namespace, operators=both) as process:
        await world.make("a", size=3)
        await world.make("b", kind=DOLL, size=4)
        await world.until_ready("a", "Made", "True")
        doll = await world.until_ready("b", "Made", "True", kind=DOLL)
        assert doll["metadata"]["finalizers"] == ["kok.dev/doll-operator"]
        await world.kube.delete(DOLL, "b", world.namespace)
        await world.until(DOLL, "b", lambda d: d is None)
        assert process.health.ready()[0]
    for name in ("toy", "doll"):
        lease = await world.kube.get(kinds.LEASE, f"kok-{name}-operator", world.namespace)
        assert lease is not None
        assert not lease["spec"].get("holderIdentity")


async def test_all_namespaces_are_looked_after_unless_some_are_named(
    api_server: ApiServer, toys: None, world: World
) -> None:
    async with running(api_server, world.namespace, namespaces=()):
        await world.make("a", size=3)
        await world.until_ready("a", "Made", "True")


class Late(Toy):
    """A kind that is defined when its operator already runs."""

    info: ClassVar[KindInfo] = KindInfo(
        kind=Kind("late.kok.dev", "v1alpha1", "Late", "lates"), short_names=(), columns=()
    )


async def test_a_kind_may_be_defined_after_the_start(
    api_server: ApiServer, kube: Kube, world: World
) -> None:
    spec = OperatorSpec("late", (ToyReconciler(Late),))
    late = Late.info.kind
    async with running(api_server, world.namespace, operators=[spec]) as process:
        await eventually(lambda: "lates.late.kok.dev" in str(process.health.waiting), LIMIT)
        assert not process.health.ready()[0]
        await kube.apply(crd(late))
        await established(kube, late.crd_name)
        await world.make("a", kind=late, size=3)
        await world.until_ready("a", "Made", "True", kind=late)


RIGHTS: list[dict[str, Any]] = [
    {
        "apiGroups": ["toys.kok.dev"],
        "resources": ["toys"],
        "verbs": ["get", "list", "watch", "patch"],
    },
    {"apiGroups": ["toys.kok.dev"], "resources": ["toys/status"], "verbs": ["patch"]},
    {"apiGroups": ["toys.kok.dev"], "resources": ["toys/finalizers"], "verbs": ["update"]},
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "verbs": ["get", "list", "watch", "create", "patch", "delete"],
    },
    {
        "apiGroups": ["events.k8s.io"],
        "resources": ["events"],
        "verbs": ["create", "get", "patch"],
    },
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "create", "update"],
    },
    {
        "apiGroups": ["apiextensions.k8s.io"],
        "resources": ["customresourcedefinitions"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
]
"""What the chart grants an operator for the runtime's sake, and no more."""


async def test_an_operator_needs_few_rights(
    api_server: ApiServer, toys: None, kube: Kube, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    group = "rbac.authorization.k8s.io"
    user = f"operator-{world.namespace}"
    role = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": user},
        "rules": RIGHTS,
    }
    subject = {"apiGroup": group, "kind": "User", "name": user}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": user},
        "subjects": [subject],
    }
    for manifest in (role, binding):
        await kube.create(manifest)
    await in_force(kube, [role, binding], subject, user)
    async with running(api_server, world.namespace, namespaces=(), user=user):
        await world.make("a", size=3)
        await world.until_ready("a", "Made", "True")
        await world.change("a", size=4)
        await world.until(kinds.CONFIGMAP, "a", lambda c: c and c["data"]["size"] == "4")
        events = await world.until_event("Resized")
        await world.kube.delete(TOY, "a", world.namespace)
        await world.until(TOY, "a", lambda t: t is None)
    assert events
    assert "forbidden" not in caplog.text


async def _until_ready(operator: Operator) -> None:
    """Returns when the process says that it is ready: it takes a moment to listen and to ask."""

    async def ready() -> bool:
        return (await operator.probe("/readyz"))[0] == 200

    await eventually(ready, LIMIT, unless=(aiohttp.ClientConnectionError,))


def _passes() -> float:
    from prometheus_client import REGISTRY  # noqa: PLC0415 - only here

    labels = {"operator": "toy", "kind": "Toy", "end": "ok"}
    return REGISTRY.get_sample_value("kok_passes_total", labels) or 0.0


async def _writes(kube: Kube, world: World) -> dict[str, str]:
    """The versions of all objects that the operator could write to."""
    found: dict[str, str] = {}
    for kind in (TOY, kinds.CONFIGMAP, kinds.EVENT, kinds.LEASE):
        for item in await kube.list(kind, world.namespace):
            found[f"{kind.kind}/{item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
    return found
