"""A CA of the user's own: used as he wrote it, for everybody, and left behind as it was."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime

import pytest
from tests.integration.operators.cluster.conftest import CLUSTER, Workspace, condition, soon
from tests.integration.operators.cluster.standin import StandIn
from tests.unit.pki.chains import chain

from kok import pki
from kok.api.meta import Manifest
from kok.api.names import LABEL_OWNER_UID
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.endpoint import Endpoint
from kok.runtime.process.main import Process


async def bring(workspace: Workspace, data: dict[str, str], **labels: str) -> Manifest:
    """The user's Secret, made before the Cluster."""
    return await workspace.kube.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "shop-ca", "namespace": workspace.namespace, "labels": labels},
            "type": "kubernetes.io/tls",
            "data": data,
        }
    )


@pytest.mark.parametrize("where", ["tls.crt", "ca.crt", "nowhere"])
async def test_an_intermediate_ca_works_for_everybody(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, where: str
) -> None:
    standin.controllers = where == "tls.crt"
    root, signer = chain("root", "signer", now=datetime.now(UTC))
    data = {"tls.crt": signer.cert_pem, "tls.key": signer.key_pem}
    if where in {"tls.crt", "ca.crt"}:
        data[where] = data.get(where, b"") + root.cert_pem
    brought = await bring(workspace, pki.encode(data), team="a")
    await workspace.make()
    made = await workspace.until_ready()
    reason = "CAChainIncomplete" if where == "nowhere" else "AsWanted"
    told = condition(made, "CertificatesReady")
    assert (told["status"], told["reason"]) == ("True", reason)
    async with workspace.business() as admin:
        assert await admin.get(kinds.NAMESPACE, "default")
        if where != "nowhere":
            await asyncio.to_thread(_strict, admin, made)
        if standin.controllers:
            await soon(lambda: _told(admin, root.cert_pem))
    kept = await workspace.there(kinds.SECRET, "shop-ca")
    assert (kept["data"], kept["metadata"]["resourceVersion"]) == (
        brought["data"],
        brought["metadata"]["resourceVersion"],
    )


async def _told(admin: Kube, root: bytes) -> bool:
    """Whether pods are told of the root, which Python in them insists on."""
    found = await admin.get(kinds.CONFIGMAP, "kube-root-ca.crt", "default")
    return found is not None and root.decode().strip() in found["data"]["ca.crt"]


def _strict(admin: Kube, cluster: Manifest) -> None:
    """A client as strict as OpenSSL can be, which trusts roots only."""
    endpoint = Endpoint.parse(cluster["status"]["endpoint"])
    assert endpoint is not None
    context = ssl.create_default_context(cadata=(admin.access.ca or b"").decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    with (
        socket.create_connection((endpoint.host, endpoint.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=endpoint.host) as secure,
    ):
        assert secure.getpeercert()


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
async def test_what_a_user_brought_outlives_the_cluster_as_it_was(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, policy: str
) -> None:
    standin.serve = False
    ca = pki.new_ca("prepared", datetime.now(UTC))
    brought = await bring(workspace, pki.encode({"tls.crt": ca.cert_pem, "tls.key": ca.key_pem}))
    await workspace.make(deletionPolicy=policy)
    await workspace.until(lambda m: m, "shop-apiserver", kinds.DEPLOYMENT)
    await workspace.delete(CLUSTER, "shop")
    await workspace.until_gone()
    kept = await workspace.there(kinds.SECRET, "shop-ca")
    assert kept["metadata"]["uid"] == brought["metadata"]["uid"]
    assert kept["data"] == brought["data"]
    assert "ownerReferences" not in kept["metadata"]


async def test_what_an_earlier_version_took_is_given_back(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    """Also where the Cluster is deleted before anything else happens to it."""
    standin.serve = False
    await workspace.make()
    await workspace.until(lambda m: m, "shop-apiserver", kinds.DEPLOYMENT)
    ours = await workspace.there(kinds.SECRET, "shop-ca")
    assert ours["metadata"]["labels"][LABEL_OWNER_UID]
    # As if a user had made it and the operator had applied the same over it.
    note = {"tls.crt": ours["data"]["tls.crt"], "tls.key": ours["data"]["tls.key"]}
    theirs = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop-ca", "namespace": workspace.namespace},
        "type": "kubernetes.io/tls",
        "data": note,
    }
    await workspace.kube.apply(theirs)
    free = await workspace.until(
        lambda m: m is not None and LABEL_OWNER_UID not in m["metadata"].get("labels", {}),
        "shop-ca",
        kinds.SECRET,
    )
    assert free["data"]["tls.key"] == ours["data"]["tls.key"]
    await workspace.delete(CLUSTER, "shop")
    await workspace.until_gone()
    assert (await workspace.there(kinds.SECRET, "shop-ca"))["data"]["tls.key"] == note["tls.key"]
