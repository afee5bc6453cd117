"""Certificates are renewed under a cluster that works: nothing restarts, nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from cryptography import x509
from tests.integration.operators.cluster.conftest import CLUSTER, Workspace, condition, soon
from tests.integration.operators.cluster.standin import StandIn

from kok import pki
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_CA_TRUSTED
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.operators.cluster.cluster.observe import ETCD
from kok.operators.cluster.endpoint import Endpoint
from kok.runtime.process.main import Process

ETCD_CA = "kok.dev/etcd-ca"
SINCE = "2026-11-01T00:00:00Z"
LEAVES = (
    "apiserver-tls",
    "controller-manager",
    "front-proxy-client",
    "kubelet-client",
    "scheduler",
)


async def test_renewed_certificates_are_taken_up_without_a_restart(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    standin.controllers = True
    await workspace.make()
    made = await workspace.until_ready()
    endpoint = Endpoint.parse(made["status"]["endpoint"])
    assert endpoint
    before, started = await _serials(workspace), list(standin.started)
    former = (await workspace.there(kinds.SECRET, "shop-kubeconfig"))["data"]
    async with workspace.business() as admin, _asking(admin) as failures:
        # A shorter life applies at once; what comes after is as when a certificate is due.
        await workspace.patch({"spec": {"certificates": {"leafDuration": "4380h"}}})
        await soon(lambda: _all_new(workspace, before))
        await workspace.until(lambda m: m and m["data"] != former, "shop-kubeconfig", kinds.SECRET)
        serial = (await _serials(workspace))["apiserver-tls"]
        await soon(lambda: _serves(endpoint, serial))
        # Users with the former kubeconfig notice nothing, nor do those with the new one.
        assert failures == []
        async with workspace.business() as renewed:
            assert renewed.access.certificate != admin.access.certificate
            await renewed.get(kinds.NAMESPACE, "default")
    assert standin.started == started
    assert condition(await workspace.there(CLUSTER, "shop"))["status"] == "True"


async def test_api_servers_are_restarted_for_another_ca_of_etcd_and_etcd_hears_of_it(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make()
    await workspace.until_ready()
    assert _notes(await workspace.there(kinds.DEPLOYMENT, "shop-apiserver")).get(ETCD_CA) is None
    before = list(standin.started)

    for clients in ("Trust-1", "Reissue-1"):
        standin.serve = False
        rotation = {"request": "once", "phase": "Trust", "since": SINCE, "clients": clients}
        await workspace.kube.patch(
            ETCD,
            "shop-etcd",
            workspace.namespace,
            {"status": {"caRotation": rotation}},
            subresource="status",
        )
        await workspace.until(
            lambda m, c=clients: _notes(m).get(ETCD_CA) == c, "shop-apiserver", kinds.DEPLOYMENT
        )
        etcd = await workspace.there(ETCD, "shop-etcd")
        assert etcd["metadata"]["annotations"].get(ANNOTATION_CA_TRUSTED) != clients
        standin.serve = True

        def confirmed(etcd: Manifest | None, clients: str = clients) -> bool:
            notes = (etcd or {"metadata": {}})["metadata"].get("annotations") or {}
            return notes.get(ANNOTATION_CA_TRUSTED) == clients

        await workspace.until(confirmed, "shop-etcd", ETCD)

    await workspace.until_ready()
    assert len(standin.started) > len(before)
    scheduler = await workspace.there(kinds.DEPLOYMENT, "shop-scheduler")
    assert ETCD_CA not in _notes(scheduler), "only API servers talk to etcd"


def _notes(deployment: Manifest | None) -> dict[str, str]:
    template = (deployment or {"spec": {"template": {"metadata": {}}}})["spec"]["template"]
    return template["metadata"].get("annotations") or {}


async def _serials(workspace: Workspace) -> dict[str, int]:
    found = {}
    for name in LEAVES:
        leaf = pki.leaf_of(await workspace.there(kinds.SECRET, f"shop-{name}"))
        assert leaf
        found[name] = x509.load_pem_x509_certificate(leaf.cert_pem).serial_number
    return found


async def _all_new(workspace: Workspace, before: dict[str, int]) -> bool:
    now = await _serials(workspace)
    return all(now[name] != before[name] for name in before)


async def _serves(endpoint: Endpoint, serial: int) -> bool:
    address = (endpoint.host, endpoint.port)
    text = await asyncio.to_thread(ssl.get_server_certificate, address)
    return x509.load_pem_x509_certificate(text.encode()).serial_number == serial


@contextlib.asynccontextmanager
async def _asking(kube: Kube) -> AsyncIterator[list[KubeError]]:
    """Asks all the time; what did not go through."""
    failures: list[KubeError] = []

    async def ask() -> None:
        while True:
            try:
                await kube.list(kinds.NAMESPACE)
            except KubeError as error:
                failures.append(error)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(ask())
    yield failures
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
