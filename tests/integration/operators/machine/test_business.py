"""Business clusters: nodes, certificate requests, tokens and drains on a real API server."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Self

from tests.integration.apiserver import ApiServer, free_ports
from tests.integration.operators.machine.business import KEY, a_pass, node, seen, to, told
from tests.integration.operators.machine.conftest import LIMIT
from tests.unit.operators.machine import builders

from kok import pki
from kok.api.machine.machine import Machine
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine.node import bootstrap_tokens, early_node, labels_and_taints, nodes
from kok.operators.machine.node.cluster_connections import ClusterConnection, ClusterConnections
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote.join import ClusterEndpoint
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.workload.availability import AvailabilityTimings


async def test_nodes_come_go_and_wake_their_machines(
    kube: Kube, connection: ClusterConnection
) -> None:
    woken = asyncio.Event()
    connection.on_node("n-1", "uid", woken.set)
    async with asyncio.timeout(LIMIT):
        await connection.synced.wait()
    await node(kube, "n-1")
    await told(woken, lambda: "n-1" in connection.nodes)
    assert connection.nodes["n-1"].ready is None
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    await kube.patch(kinds.NODE, "n-1", None, {"status": status}, subresource="status")
    await told(woken, lambda: connection.nodes["n-1"].ready)
    await kube.delete(kinds.NODE, "n-1")
    await told(woken, lambda: "n-1" not in connection.nodes)


async def test_a_node_is_there_before_its_kubelet_and_stays_the_one_that_it_made(
    kube: Kube, connection: ClusterConnection
) -> None:
    """With the rights that the operator has in business clusters, and no more."""
    taint = {"key": "gpu", "effect": "NoSchedule"}
    machine = builders.machine(node="n-early", taints=[taint])
    await early_node.make(connection.kube, machine, "amd64")
    made = await kube.get(kinds.NODE, "n-early")
    assert made is not None
    taints = [t["key"] for t in made["spec"]["taints"]]
    assert "gpu" in taints
    # Until its kubelet is there nothing is put on it.
    assert "node.kubernetes.io/not-ready" in taints
    await early_node.make(connection.kube, builders.machine(node="n-early"), "amd64")
    assert await kube.get(kinds.NODE, "n-early") == made
    await kube.delete(kinds.NODE, "n-early")


async def test_an_api_that_was_away_is_known_to_be_back_at_once(api_server: ApiServer) -> None:
    """A watch that goes on says nothing of it until it ends, minutes later."""
    clusters = ClusterConnections(5.0, AvailabilityTimings(silence=0.3))
    async with Network(api_server.port) as between:
        config = api_server.kubeconfig().replace(f":{api_server.port}", f":{between.port}")
        connection = await clusters.connect(KEY, to(config))
        async with asyncio.timeout(LIMIT):
            await connection.synced.wait()
        await between.cut()
        await seen(connection, "any", lambda: connection.answers is False)
        assert not connection.state().nodes_known
        await between.mend()
        await seen(connection, "any", lambda: connection.answers)
        assert connection.state().nodes_known
    await clusters.close()


async def test_who_gives_up_a_request_has_learnt_nothing(connection: ClusterConnection) -> None:
    async with asyncio.timeout(LIMIT):
        await connection.synced.wait()
    asking = asyncio.create_task(connection.kube.list(kinds.POD))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert connection.answers is True
    assert connection.state().silence == 0.0


async def test_machines_turn_to_the_new_connection_when_the_credentials_change(
    api_server: ApiServer,
) -> None:
    clusters, woken = ClusterConnections(timeout=5.0), asyncio.Event()
    old = await clusters.connect(KEY, to(api_server.kubeconfig()))
    old.on_node("n-9", "uid", woken.set)
    assert await clusters.connect(KEY, to(api_server.kubeconfig("renewed"))) is not old
    assert woken.is_set()
    await clusters.close()


class Network:
    """The network between the operator and an API server."""

    def __init__(self, target: int) -> None:
        (self.port,) = free_ports(1)
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def mend(self) -> None:
        """Connections can be made."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """All connections end and no more can be made."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(there[1])
        # It may have been cut in the meantime, of which the end of `reader` tells.
        await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        self._writers -= {writer, there[1]}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_labels_and_taints_reach_the_node(kube: Kube, connection: ClusterConnection) -> None:
    await node(kube, "n-2", taints=[{"key": "theirs", "effect": "NoExecute"}])
    await seen(connection, "n-2", lambda: "n-2" in connection.nodes)
    taint = {"key": "dedicated", "value": "shop", "effect": "NoSchedule"}
    machine = builders.machine(node="n-2", labels={"tier": "gold"}, taints=[taint])
    p = a_pass(kube, machine)
    # This pass has said that they are missing: only another one says that they are there.
    assert await after(p, connection, connection.nodes["n-2"]) == 0.0
    live = await kube.get(kinds.NODE, "n-2")
    assert live
    assert live["metadata"]["labels"]["tier"] == "gold"
    assert {t["key"] for t in live["spec"]["taints"]} >= {"theirs", "dedicated"}
    # What was just written is known without waiting for the watch.
    marks = p.status.node_marks
    assert (
        nodes.patch(connection.nodes["n-2"], machine.spec.labels, machine.spec.taints, marks)
        is None
    )
    assert await after(p, connection, connection.nodes["n-2"]) is None
    # What was set and is no longer wanted goes, and nothing else.
    bare = a_pass(kube, builders.machine(node="n-2", status={"nodeMarks": marks.manifest()}))
    assert await after(bare, connection, connection.nodes["n-2"]) == 0.0
    assert bare.status.node_marks is None
    assert "tier" not in connection.nodes["n-2"].labels
    assert "theirs" in {key for key, _, _ in connection.nodes["n-2"].taints}
    assert "dedicated" not in {key for key, _, _ in connection.nodes["n-2"].taints}


async def test_an_old_picture_of_a_node_overwrites_nothing(
    kube: Kube, connection: ClusterConnection
) -> None:
    await node(kube, "n-3")
    await seen(connection, "n-3", lambda: "n-3" in connection.nodes)
    old = connection.nodes["n-3"]
    await kube.patch(
        kinds.NODE, "n-3", None, {"spec": {"taints": [{"key": "new", "effect": "NoSchedule"}]}}
    )
    machine = builders.machine(node="n-3", taints=[{"key": "mine", "effect": "NoSchedule"}])
    assert await after(a_pass(kube, machine), connection, old) == labels_and_taints.CONFLICT_AGAIN
    live = await kube.get(kinds.NODE, "n-3")
    assert live
    assert "new" in {t["key"] for t in live["spec"]["taints"]}


async def after(p: Pass[Machine], connection: ClusterConnection, found: NodeView) -> float | None:
    """Seconds until the next pass, once labels and taints of the Node were seen to."""
    return (await labels_and_taints.apply(p, connection, found)).after


async def test_a_token_is_made_once_and_anew_when_it_is_spent(kube: Kube) -> None:
    clock = FakeClock(builders.NOW)
    access = ClusterEndpoint("https://192.0.2.10:6443", pki.new_ca("shop", builders.NOW).cert_pem)
    first = await bootstrap_tokens.ensure(kube, "abcd12", "team-a/w1", access, clock)
    assert await bootstrap_tokens.ensure(kube, "abcd12", "team-a/w1", access, clock) == first
    await clock.advance(timedelta(minutes=9).total_seconds())
    later = await bootstrap_tokens.ensure(kube, "abcd12", "team-a/w1", access, clock)
    assert later != first
    assert await kube.delete(kinds.SECRET, bootstrap_tokens.secret_name("abcd12"), "kube-system")
