"""As whom operators work inside a business cluster, and that no tenant becomes an operator."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from aiohttp import web
from tests.integration.conftest import PATIENCE
from tests.integration.operators.cluster.conftest import CLUSTER, Workspace, condition, soon
from tests.integration.operators.cluster.standin import StandIn

from kok import pki
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.businesscluster import rbac
from kok.runtime.process.main import Process
from kok.workload.identity import identity_of

REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@asynccontextmanager
async def acting(workspace: Workspace, operator: str) -> AsyncIterator[Kube]:
    """A client with an operator's identity inside the Cluster, as the operator makes it."""
    cluster = Cluster.parse(await workspace.there(CLUSTER, "shop"))
    secret = await workspace.there(kinds.SECRET, names.operator_secret("shop", operator))
    access = identity_of(secret, cluster).at(str(cluster.status.endpoint))
    async with Kube(access, field_manager="test", timeout=PATIENCE) as kube:
        yield kube


async def may(kube: Kube, verb: str, resource: str, **attributes: str) -> bool:
    """What the API server says of an identity's rights."""
    name, _, sub = resource.partition("/")
    asked = {"verb": verb, "resource": name, "subresource": sub, **attributes}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    return bool((await kube.raw("POST", REVIEW, body))["status"]["allowed"])


async def test_each_operator_has_an_identity_and_just_its_rights(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make()
    await workspace.until_ready()
    async with acting(workspace, "machine") as machine:
        who = await machine.raw(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        assert who["status"]["userInfo"]["username"] == "kok:machine-operator"
        assert "kok:machine-operators" in who["status"]["userInfo"]["groups"]
        csr = {"group": "certificates.k8s.io"}
        signer = {**csr, "name": "kubernetes.io/kubelet-serving"}
        for verb, resource, more in (
            ("watch", "nodes", {}),
            ("create", "nodes", {}),
            ("patch", "nodes", {}),
            ("list", "pods", {}),
            ("create", "pods/eviction", {"namespace": "default"}),
            ("watch", "certificatesigningrequests", csr),
            ("patch", "certificatesigningrequests/approval", csr),
            ("approve", "signers", signer),
            ("create", "secrets", {"namespace": "kube-system"}),
        ):
            assert await may(machine, verb, resource, **more), (verb, resource)
        for verb, resource, more in (
            ("list", "secrets", {}),
            ("list", "secrets", {"namespace": "kube-system"}),
            ("get", "secrets", {"namespace": "default"}),
            ("create", "pods", {"namespace": "default"}),
            ("approve", "signers", {**csr, "name": "kubernetes.io/kube-apiserver-client"}),
            ("create", "clusterrolebindings", {"group": rbac.RBAC}),
            ("impersonate", "users", {}),
        ):
            assert not await may(machine, verb, resource, **more), (verb, resource)
    async with acting(workspace, "cluster") as cluster:
        assert await may(cluster, "*", "*", group="*")


@pytest.mark.parametrize("how", ["deleted", "redirected"])
async def test_rights_that_an_admin_takes_come_back(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, how: str
) -> None:
    await workspace.make()
    await workspace.until_ready()
    async with workspace.business() as admin:
        found = {name: await _binding(admin, name) for name in rbac.BINDINGS}
        for name in found:
            await admin.delete(kinds.CLUSTERROLEBINDING, name)
            if how == "redirected":
                role = {"apiGroup": rbac.RBAC, "kind": "ClusterRole", "name": "view"}
                taken = {**rbac.BINDINGS[name], "roleRef": role}
                await admin.create(taken)
        for name, before in found.items():

            async def back(name: str = name, before: Manifest | None = before) -> bool:
                live = await _binding(admin, name)
                return live is not None and live["roleRef"] == (before or {})["roleRef"]

            await soon(back)
    await workspace.until_ready()


async def _binding(admin: Kube, name: str) -> Manifest | None:
    return await admin.get(kinds.CLUSTERROLEBINDING, name)


async def test_a_cluster_of_the_version_before_goes_on(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    """Without rights, Secrets and names of today: all of it comes by itself, and no pod restarts."""
    await workspace.make()
    await workspace.until_ready()
    before = list(standin.started)
    async with workspace.business() as admin:
        await workspace.patch({"spec": {"paused": True}})
        for name in rbac.BINDINGS:
            await admin.delete(kinds.CLUSTERROLEBINDING, name)
        secret = await workspace.there(kinds.SECRET, "shop-kubeconfig-internal")
        ca = pki.ca_of(await workspace.there(kinds.SECRET, "shop-ca"))
        assert ca is not None
        spec = pki.LeafSpec("kok-operators", organizations=["system:masters"])
        old = pki.issue(ca, spec, datetime.now(UTC))
        text = pki.kubeconfig("shop", "https://x:1", ca.cert_pem, "kok-operators", old)
        await workspace.patch(
            {"data": pki.encode({"kubeconfig": text})}, secret["metadata"]["name"], kinds.SECRET
        )
        for operator in names.OPERATORS:
            await workspace.delete(kinds.SECRET, names.operator_secret("shop", operator))
        await workspace.patch({"spec": {"paused": False}})
        for name in rbac.BINDINGS:

            async def back(name: str = name) -> bool:
                return await _binding(admin, name) is not None

            await soon(back)
    await workspace.until_ready()
    found = await workspace.there(kinds.SECRET, "shop-kubeconfig-internal")
    assert b"kok-operators" not in (pki.decode(found, "kubeconfig") or b"")
    assert standin.started == before


class Trap:
    """A server that a tenant would like the operators to come to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.address = ""

    async def __aenter__(self) -> Trap:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.path} {request.headers.get('Authorization')}")
        return web.json_response({})


async def test_no_kubeconfig_of_a_tenant_leads_the_operator_anywhere(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, tmp_path: Any
) -> None:
    await workspace.make()
    await workspace.until_ready()
    (tmp_path / "token").write_text("operator")
    await workspace.patch({"spec": {"paused": True}})
    await workspace.until(lambda m: m is not None and m["spec"].get("paused"))
    async with Trap() as trap:
        for name in ("shop-kubeconfig", "shop-kubeconfig-internal"):
            secret = await workspace.there(kinds.SECRET, name)
            config = yaml.safe_load(base64.b64decode(secret["data"]["kubeconfig"]))
            config["clusters"][0]["cluster"] = {"server": trap.address}
            config["users"][0]["user"] = {"tokenFile": str(tmp_path / "token")}
            text = pki.encode({"kubeconfig": yaml.safe_dump(config)})
            await workspace.patch({"data": text}, name, kinds.SECRET)
        told = await workspace.until_reason("CredentialsRefused", type_="EndpointReachable")
        said = condition(told, "EndpointReachable")["message"]
        assert "Secret" in said
        assert "holds no kubeconfig with a client certificate" in said
        await workspace.patch({"spec": {"paused": False}})
        await workspace.until_ready()
        assert trap.asked == []


def test_nobody_is_a_master_for_longer_than_minutes() -> None:
    now = datetime.now(UTC)
    access = rbac.root_access(pki.new_ca("shop-ca", now), "https://192.0.2.10:6443", now)
    info = pki.certificate_info(access.certificate or b"")
    assert info.subject == "CN=kok:bootstrap,O=system:masters"
    assert info.not_after - now <= rbac.ROOT_LIFE
