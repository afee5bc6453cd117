"""Nodes that belong to no Machine, with a real API server as meta and as business cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import structlog
from tests.integration.apiserver import ApiServer
from tests.integration.conftest import PATIENCE
from tests.unit.operators.cluster.builders import a_cluster
from tests.unit.workload.csrs import csr, node

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.operators.cluster.businesscluster.unmanaged_nodes import UnmanagedNodes, handle_requests
from kok.operators.cluster.businesscluster.watches import Watches
from kok.runtime.clock import SystemClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

RBAC = "rbac.authorization.k8s.io"
NODE = f"foreign-{os.getpid()}"
OWN, FORBIDDEN = f"csr-own-{NODE}", f"csr-apis-{NODE}"
"""Requests for the node's own address, and for one that is the API's."""


def only(watches: Watches) -> Any:
    """What is known of this test's node: others have nodes in the same API server, which ask, too."""
    known = watches.requests
    requests = known and SimpleNamespace(
        nodes=lambda: known.nodes() & {NODE}, of=known.of, decided=known.decided
    )
    return SimpleNamespace(nodes=watches.nodes, addresses=watches.addresses, requests=requests)


async def _may_ask(kube: Kube) -> None:
    """What the cluster operator sets up in a business cluster: nodes may ask."""
    rule = {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests"],
        "verbs": ["create"],
    }
    role = {"kind": "ClusterRole", "metadata": {"name": "test-foreign"}, "rules": [rule]}
    binding = {
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "test-foreign"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "test-foreign"},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": "system:nodes"}],
    }
    for manifest in (role, binding):
        await kube.apply({"apiVersion": f"{RBAC}/v1", **manifest})


async def _ask(api_server: ApiServer, name: str, address: str) -> None:
    """`NODE` asks as its kubelet does; who asked is what the API server found out."""
    asked = csr(NODE, name=name, hosts=[NODE], addresses=[address])
    asked["spec"] = {k: v for k, v in asked["spec"].items() if k not in {"username", "groups"}}
    access = from_kubeconfig(api_server.kubeconfig())
    async with Kube(access, field_manager="kubelet", timeout=PATIENCE) as kubelet:
        await kubelet.raw(
            "POST",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            asked,
            headers={
                "Impersonate-User": f"system:node:{NODE}",
                "Impersonate-Group": "system:nodes",
            },
        )


async def _decision(kube: Kube, name: str) -> list[str]:
    live = await kube.get(kinds.CSR, name)
    assert live
    return [c["type"] for c in (live.get("status") or {}).get("conditions") or ()]


async def _until(changed: asyncio.Event, check: Callable[[], object]) -> None:
    """Returns once the watches told of something and it is as asked for."""
    async with asyncio.timeout(PATIENCE):
        while not check():
            await changed.wait()
            changed.clear()


async def test_a_foreign_node_gets_what_is_its_own_where_the_spec_says_so(
    api_server: ApiServer, kube: Kube, kok_crds: None
) -> None:
    await _may_ask(kube)
    seen = node(NODE, "192.0.2.77", NODE)
    await kube.create({"apiVersion": "v1", "kind": "Node", "metadata": seen["metadata"]})
    await kube.patch(kinds.NODE, NODE, None, {"status": seen["status"]}, subresource="status")
    await _ask(api_server, OWN, "192.0.2.77")
    await _ask(api_server, FORBIDDEN, "10.65.0.1")
    changed = asyncio.Event()
    watches = Watches(kube, changed.set, changed.set, on_requests=changed.set)

    async def attended(policy: str) -> UnmanagedNodes | None:
        cluster, clock = a_cluster(nodes={"foreign": policy}), SystemClock()
        p: Any = Pass(
            obj=cluster,
            status=cluster.status.model_copy(deep=True),
            kube=kube,
            clock=clock,
            now=clock.now(),
            log=structlog.stdlib.get_logger(),
            settings=Settings(),
        )
        connection: Any = SimpleNamespace(kube=kube)
        return await handle_requests(p, connection, only(watches), ())

    def waiting() -> int:
        return len(watches.requests.of(f"system:node:{NODE}")) if watches.requests else 0

    try:
        await _until(changed, lambda: waiting() == 2 and watches.addresses.get(NODE))
        assert await attended("Manual") == UnmanagedNodes((NODE,))
        assert await _decision(kube, OWN) == []
        found = await attended("Approve")
        assert found is not None
        assert found.waiting == (NODE,)
        assert f"{FORBIDDEN} of Node {NODE}, which belongs to no Machine, is not approved" in str(
            found
        )
        assert await _decision(kube, OWN) == ["Approved"]
        assert await _decision(kube, FORBIDDEN) == []
        await kube.delete(kinds.CSR, FORBIDDEN)
        await _until(changed, lambda: waiting() == 0)
        assert await attended("Approve") == UnmanagedNodes()
    finally:
        await watches.close()
        await kube.delete(kinds.NODE, NODE)
