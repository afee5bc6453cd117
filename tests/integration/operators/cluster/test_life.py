"""A business cluster from its first moment on: made, used, changed by hand, upgraded."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.conftest import (
    ADDON,
    Workspace,
    condition,
    running,
    soon,
    usable,
)
from tests.integration.operators.cluster.standin import StandIn, own_address
from tests.unit.workload.test_csr import FIRST, request

from kok import pki
from kok.api.names import ANNOTATION_TRUST_CA, MACHINE_BOOTSTRAPPERS
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Forbidden, Unauthorized
from kok.kube.http.paths import object_path
from kok.operators.cluster.cluster.observe import CHILDREN
from kok.runtime.metrics import PASSES
from kok.runtime.process.main import Process

JOINING = "system:bootstrappers:kubeadm:default-node-token"


async def test_a_cluster_comes_to_life_and_works(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    standin.controllers = True
    await workspace.make()
    # Nodes are counted from a watch, which begins when the API answers.
    made = await workspace.until(lambda m: usable(m) and "nodeSummary" in m["status"])
    status = made["status"]
    assert status["version"] == "1.37.1"
    assert status["phase"] == "Running"
    assert status["nodeSummary"] == "0/0"
    assert status["endpoint"].startswith(f"https://{own_address()}:3")
    assert {c["name"]: (c["ready"], c["desired"]) for c in status["components"]} == {
        "kube-apiserver": (1, 1),
        "kube-controller-manager": (1, 1),
        "kube-scheduler": (1, 1),
    }
    # The order: nothing can serve the controllers before the API answers.
    assert standin.started[0][0] == "shop-apiserver"
    async with workspace.business() as admin:
        await _nodes_can_join(admin)
        await _the_api_leads_to_itself(admin, status["endpoint"])
        await _addons_are_there(admin, workspace)
        await _secrets_are_encrypted(admin, standin)


async def _nodes_can_join(admin: Kube) -> None:
    """What `kubeadm join` reads is there for those who join with a token."""
    info = await admin.get(kinds.CONFIGMAP, "cluster-info", "kube-public")
    assert info is not None
    token = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": JOINING,
        },
    }
    await admin.create(token)
    await _no_node_is_let_in_by_itself(admin)
    await soon(lambda: _signed(admin))
    config = _as_token(admin)
    async with await Kube.from_kubeconfig(config, field_manager="joiner") as joiner:
        await soon(lambda: _let_in(joiner))
        for name in ("kubeadm-config", "kubelet-config", "kube-proxy"):
            assert await joiner.get(kinds.CONFIGMAP, name, "kube-system"), name
        assert await joiner.get(kinds.NODE, "new") is None
        try:
            await joiner.list(kinds.SECRET, "kube-system")
            raise AssertionError("a joining node may read Secrets")
        except Forbidden:
            pass


async def _no_node_is_let_in_by_itself(admin: Kube) -> None:
    """With a Machine's token, that is: kubeadm's tokens stand for any node."""
    users = {
        "machine": ("system:bootstrap:m0m0m0", MACHINE_BOOTSTRAPPERS),
        "kubeadm": ("system:bootstrap:abcdef", JOINING),
    }
    for name, (user, group) in users.items():
        asked = request(**{**FIRST, "common_name": f"system:node:{name}"})
        body = {
            "apiVersion": kinds.CSR.api_version,
            "kind": kinds.CSR.kind,
            "metadata": {"name": name},
            "spec": {
                "request": pki.encode({"x": asked.pem})["x"],
                "signerName": asked.signer,
                "usages": sorted(asked.usages),
            },
        }
        as_user = {"Impersonate-User": user, "Impersonate-Group": group}
        await admin.raw("POST", object_path(kinds.CSR), body, headers=as_user)
    await soon(lambda: _decided(admin, "kubeadm"))
    assert not await _decided(admin, "machine")


async def _decided(admin: Kube, name: str) -> bool:
    live = await admin.get(kinds.CSR, name)
    return live is not None and bool((live.get("status") or {}).get("conditions"))


async def _let_in(joiner: Kube) -> bool:
    """Whether the API server has heard of the token, too."""
    try:
        await joiner.raw("GET", "/version")
    except Unauthorized:
        return False
    return True


async def _signed(admin: Kube) -> bool:
    info = await admin.get(kinds.CONFIGMAP, "cluster-info", "kube-public")
    return info is not None and "jws-kubeconfig-abcdef" in info["data"]


def _as_token(admin: Kube) -> dict[str, Any]:
    ca = base64.b64encode(admin.access.ca or b"").decode()
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": admin.server, "certificate-authority-data": ca}}
        ],
        "users": [{"name": "u", "user": {"token": "abcdef.0123456789abcdef"}}],
    }


async def _the_api_leads_to_itself(admin: Kube, endpoint: str) -> None:
    slices = await admin.list(
        kinds.ENDPOINTSLICE, "default", labels={"kubernetes.io/service-name": "kubernetes"}
    )
    [only] = slices
    [address] = only["endpoints"][0]["addresses"]
    assert f"https://{address}:{only['ports'][0]['port']}" == endpoint


async def _addons_are_there(admin: Kube, workspace: Workspace) -> None:
    dns = await admin.get(kinds.SERVICE, "kube-dns", "kube-system")
    assert dns is not None
    assert dns["spec"]["clusterIP"] == "10.65.0.10"
    for kind, name, place in (
        (kinds.DEPLOYMENT, "coredns", "kube-system"),
        (kinds.DAEMONSET, "kube-proxy", "kube-system"),
        (kinds.DAEMONSET, "kube-flannel-ds", "kube-flannel"),
    ):
        assert await admin.get(kind, name, place), name
    coredns = await workspace.there(ADDON, "shop-coredns")
    assert condition(coredns)["status"] == "True"
    assert condition(coredns)["reason"] == "WaitingForNodes"
    assert coredns["status"]["version"] == "v1.14.7"


async def _secrets_are_encrypted(admin: Kube, standin: StandIn) -> None:
    plain = "in-the-clear-of-day"
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default"},
        "stringData": {"k": plain},
    }
    config = {**secret, "kind": "ConfigMap", "data": {"k": f"{plain}-config"}}
    del config["stringData"]
    await admin.create(secret)
    await admin.create(config)
    stored = await asyncio.to_thread(_read_etcd, standin)
    assert f"{plain}-config".encode() in stored
    assert stored.count(plain.encode()) == stored.count(f"{plain}-config".encode())


def _read_etcd(standin: StandIn) -> bytes:
    return b"".join(
        path.read_bytes() for path in (standin.root / "etcd").rglob("*") if path.is_file()
    )


async def test_at_rest_nothing_is_written(
    workspace: Workspace, api_server: ApiServer, namespace: str, standin: StandIn, kube: Kube
) -> None:
    async with running(api_server, namespace, resync=0.4) as process:
        await workspace.make()
        await workspace.until_ready()
        async with workspace.business() as admin:
            await soon(lambda: _quiet(kube, namespace, admin))
            before, inside = await _versions(kube, namespace), await _versions_inside(admin)
            await soon(_passes(6))
            assert await _versions_inside(admin) == inside
        assert await _versions(kube, namespace) == before
        assert not process.stop.is_set()


def _passes(more: int) -> Callable[[], Awaitable[bool]]:
    """Whether so many more passes over Clusters and over Addons went by."""

    def count() -> list[float]:
        kinds_ = ("Cluster", "Addon")
        return [PASSES.labels("cluster", kind, "ok")._value.get() for kind in kinds_]

    begin = count()

    async def went_by() -> bool:
        return all(now >= then + more for now, then in zip(count(), begin, strict=True))

    return went_by


async def _versions(kube: Kube, namespace: str) -> dict[str, str]:
    found = {}
    for kind in (*CHILDREN, kinds.EVENT):
        for live in await kube.list(kind, namespace):
            found[f"{kind.kind}/{live['metadata']['name']}"] = live["metadata"]["resourceVersion"]
    return found


async def _versions_inside(admin: Kube) -> dict[str, str]:
    found = {}
    for kind in (kinds.CONFIGMAP, kinds.DEPLOYMENT, kinds.DAEMONSET, kinds.ENDPOINTSLICE):
        for live in await admin.list(kind):
            found[f"{kind.kind}/{live['metadata']['name']}"] = live["metadata"]["resourceVersion"]
    return found


async def _quiet(kube: Kube, namespace: str, admin: Kube) -> bool:
    """Whether nothing changes any more; the API server inside also makes objects of its own."""
    before = await _versions(kube, namespace), await _versions_inside(admin)
    await soon(_passes(2))
    return before == (await _versions(kube, namespace), await _versions_inside(admin))


async def test_what_is_deleted_or_changed_by_hand_comes_back(
    workspace: Workspace, cluster_operator: Process, standin: StandIn, kube: Kube
) -> None:
    await workspace.make()
    made = await workspace.until_ready()
    keys = {"shop-ca", "shop-front-proxy-ca", "shop-sa", "shop-encryption"}
    secrets = {
        s["metadata"]["name"]: s["metadata"]["uid"]
        for s in await kube.list(kinds.SECRET, workspace.namespace)
        if s["metadata"]["name"] not in {*keys, "shop-etcd-client"}
    }
    for name, uid in secrets.items():
        await workspace.delete(kinds.SECRET, name)
        await workspace.until(
            lambda m, uid=uid: m and m["metadata"]["uid"] != uid, name, kinds.SECRET
        )
    for kind, name in (
        (kinds.DEPLOYMENT, "shop-scheduler"),
        (kinds.PDB, "shop-apiserver"),
        (kinds.SERVICE, "shop-apiserver"),
    ):
        old = (await workspace.there(kind, name))["metadata"]["uid"]
        await workspace.delete(kind, name)
        await workspace.until(lambda m, uid=old: m and m["metadata"]["uid"] != uid, name, kind)
    await workspace.patch({"spec": {"replicas": 0}}, "shop-scheduler", kinds.DEPLOYMENT)
    host = {"spec": {"template": {"spec": {"hostNetwork": True}}}}
    await workspace.patch(host, "shop-apiserver", kinds.DEPLOYMENT)
    await workspace.until(
        lambda m: m and m["spec"]["replicas"] == 1, "shop-scheduler", kinds.DEPLOYMENT
    )
    await workspace.until(
        lambda m: m and "hostNetwork" not in m["spec"]["template"]["spec"],
        "shop-apiserver",
        kinds.DEPLOYMENT,
    )
    await workspace.patch(
        {"metadata": {"labels": {"kok.dev/owner-kind": None}}}, "shop-apiserver", kinds.DEPLOYMENT
    )
    await workspace.until(
        lambda m: m and "kok.dev/owner-kind" in m["metadata"]["labels"],
        "shop-apiserver",
        kinds.DEPLOYMENT,
    )
    again = await workspace.until_ready()
    # Nodes and kubeconfigs hold the address: it must be the same as before.
    assert again["status"]["endpoint"] == made["status"]["endpoint"]


async def test_a_changed_ca_is_refused_and_taken_up_again_once_mended(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make()
    await workspace.until_ready()
    original = await workspace.there(kinds.SECRET, "shop-ca")
    admin = await workspace.there(kinds.SECRET, "shop-kubeconfig")
    copy = await workspace.there(kinds.SECRET, "shop-controller-manager")
    other = pki.new_ca("other", datetime.now(UTC))
    await workspace.patch({"data": pki.ca_secret_data(other)}, "shop-ca", kinds.SECRET)
    refused = await workspace.until_reason("CAChanged")
    text = condition(refused)["message"]
    assert pki.fingerprint(other.cert_pem) in text
    assert ANNOTATION_TRUST_CA in text
    # Nothing is signed by the wrong CA, and nobody gets to trust it.
    assert await workspace.there(kinds.SECRET, "shop-kubeconfig") == admin
    assert await workspace.there(kinds.SECRET, "shop-controller-manager") == copy
    assert condition(refused, "EndpointReachable")["status"] == "True"
    await workspace.delete(kinds.SECRET, "shop-ca")
    await workspace.until_reason("CAMissing")
    await workspace.kube.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "shop-ca", "namespace": workspace.namespace},
            "type": original["type"],
            "data": original["data"],
        }
    )
    await workspace.until_reason("Available")


async def test_another_ca_takes_over_once_it_is_trusted(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make()
    await workspace.until_ready()
    async with workspace.business() as before:
        other = pki.new_ca("other", datetime.now(UTC))
        await workspace.patch({"data": pki.ca_secret_data(other)}, "shop-ca", kinds.SECRET)
        await workspace.until_reason("CAChanged")
        trust = {ANNOTATION_TRUST_CA: pki.fingerprint(other.cert_pem)}
        await workspace.patch({"metadata": {"annotations": trust}})
        # The API answers also for a moment before the servers are restarted for the other CA.
        await workspace.until(
            lambda m: (
                m["status"]["caFingerprints"]["shop-ca"] == trust[ANNOTATION_TRUST_CA] and usable(m)
            )
        )
        async with workspace.business() as after:
            await after.get(kinds.NAMESPACE, "default")
        # What the former CA signed is worth nothing any more.
        config = {**_as_token(before)}
        config["clusters"][0]["cluster"]["certificate-authority-data"] = base64.b64encode(
            other.cert_pem
        ).decode()
        config["users"][0]["user"] = {
            "client-certificate-data": base64.b64encode(before.access.certificate or b"").decode(),
            "client-key-data": base64.b64encode(before.access.key or b"").decode(),
        }
        async with await Kube.from_kubeconfig(config, field_manager="old") as old:
            try:
                await old.get(kinds.NAMESPACE, "default")
                raise AssertionError("a certificate of the former CA is still accepted")
            except Unauthorized:
                pass
