"""The operators do their work with the chart's rights: nothing that they ask for is refused."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.crds import samples
from tests.crds.asking import kind_named
from tests.integration.apiserver import ApiServer
from tests.integration.at_work import at_work
from tests.integration.conftest import LEASE
from tests.integration.operators.etcd.standin import StandIn
from tests.integration.rights import operator_access, refused

from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.http.access import Access
from kok.runtime.process.main import Process
from kok.runtime.settings import Settings

pytestmark = pytest.mark.usefixtures("kok_crds")
LIMIT = 120.0
"""Seconds after which what a test waits for counts as not happening."""

CLUSTER = {"version": "1.37.1", "profile": "edge", "endpoint": {"host": "192.0.2.1"}}
Holds = Callable[[Manifest | None], object]


@asynccontextmanager
async def running(access: Access, *operators: str, **settings: Any) -> AsyncIterator[Process]:
    """Operators at work with these rights."""
    wanted = Settings(http_host="127.0.0.1", http_port=0, **LEASE, **settings)
    specs = [importlib.import_module(f"kok.operators.{o}").operator(wanted) for o in operators]
    async with at_work(specs, wanted, access) as process:
        yield process


@asynccontextmanager
async def installed(
    api_server: ApiServer, kube: Kube, namespace: str, *operators: str, everywhere: bool
) -> AsyncIterator[None]:
    """The operators run as the chart would let them; afterwards nothing may have been refused."""
    before = await refused(kube)
    only = {} if everywhere else {"watchNamespaces": [namespace]}
    single = len(operators) > 1
    account = "operator" if single else operators[0]
    access = await operator_access(
        api_server, kube, namespace, account, singleProcess=single, **only
    )
    namespaces = () if everywhere else (namespace,)
    async with running(access, *operators, namespaces=namespaces, lease_namespace=namespace):
        yield
    assert await refused(kube) == before


async def _until(kube: Kube, namespace: str, kind: str, name: str, holds: Holds) -> None:
    last: Manifest | None = None
    try:
        async with asyncio.timeout(LIMIT):
            fields = {"metadata.name": name}
            async with aclosing(kube.watch(kind_named(kind), namespace, fields=fields)) as events:
                async for event in events:
                    if event.type == "DELETED":
                        last = None
                    elif event.type != "SYNCED":
                        last = event.object
                    if (event.type != "SYNCED" or last is None) and holds(last):
                        return
    except TimeoutError:
        raise AssertionError(f"{kind} {name} stayed as it is: {last}") from None


def _ready(status: str, *words: str) -> Holds:
    """Whether the condition Ready has this status and, if given, one of these reasons."""

    def holds(manifest: Manifest | None) -> bool:
        conditions = ((manifest or {}).get("status") or {}).get("conditions") or ()
        return any(
            c["type"] == "Ready" and c["status"] == status and (not words or c["reason"] in words)
            for c in conditions
        )

    return holds


def _gone(manifest: Manifest | None) -> bool:
    return manifest is None


async def _create(kube: Kube, namespace: str, kind: str, spec: dict[str, Any]) -> None:
    manifest = samples.manifest(kind, spec)
    await kube.create({**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}})


@pytest.mark.parametrize("everywhere", [True, False], ids=["all-namespaces", "one-namespace"])
async def test_an_etcd_cluster_lives_and_dies(
    api_server: ApiServer, kube: Kube, namespace: str, standin: StandIn, everywhere: bool
) -> None:
    async with installed(api_server, kube, namespace, "etcd", everywhere=everywhere):
        await _create(kube, namespace, "EtcdCluster", {"members": 1})
        await _until(kube, namespace, "EtcdCluster", "sample", _ready("True"))
        await kube.delete(kind_named("EtcdCluster"), "sample", namespace)
        await _until(kube, namespace, "EtcdCluster", "sample", _gone)


@pytest.mark.parametrize("everywhere", [True, False], ids=["all-namespaces", "one-namespace"])
async def test_etcd_is_backed_up_and_restored(
    api_server: ApiServer,
    kube: Kube,
    namespace: str,
    standin: StandIn,
    everywhere: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KOK_WORKER_IMAGE", "kok:test")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": "backups", "namespace": namespace}
    await kube.create(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim}
    )
    backup = {"store": {"volume": {"claim": "backups"}}}
    async with installed(api_server, kube, namespace, "etcd", everywhere=everywhere):
        await _create(kube, namespace, "EtcdCluster", {"members": 1, "backup": backup})
        await _until(kube, namespace, "EtcdCluster", "sample", _ready("True"))
        await _create(kube, namespace, "EtcdBackup", {"etcdCluster": "sample"})
        await _until(kube, namespace, "EtcdBackup", "sample", _ready("True", "Stored"))
        spec = {"etcdCluster": "sample", "backup": "sample"}
        await _create(kube, namespace, "EtcdRestore", spec)
        await _until(kube, namespace, "EtcdRestore", "sample", _ready("True", "Restored"))
        for kind in ("EtcdRestore", "EtcdBackup", "EtcdCluster"):
            await kube.delete(kind_named(kind), "sample", namespace)
            await _until(kube, namespace, kind, "sample", _gone)


@pytest.mark.parametrize("everywhere", [True, False], ids=["all-namespaces", "one-namespace"])
async def test_a_cluster_begins_and_dies(
    api_server: ApiServer, kube: Kube, namespace: str, everywhere: bool
) -> None:
    """Without an etcd operator it gets no further; what it needs for that it may do."""
    async with installed(api_server, kube, namespace, "cluster", everywhere=everywhere):
        await _create(kube, namespace, "Cluster", CLUSTER)
        await _until(kube, namespace, "Cluster", "sample", _ready("False", "WaitingForEtcd"))
        await _until(kube, namespace, "Addon", "sample-coredns", _ready("False"))
        await kube.delete(kind_named("Cluster"), "sample", namespace)
        await _until(kube, namespace, "Cluster", "sample", _gone)


@pytest.mark.parametrize("everywhere", [True, False], ids=["all-namespaces", "one-namespace"])
async def test_a_kubenode_without_a_cluster_begins_and_dies(
    api_server: ApiServer, kube: Kube, namespace: str, everywhere: bool
) -> None:
    """It has a Machine that waits, and Hosts that are free."""
    async with installed(api_server, kube, namespace, "machine", everywhere=everywhere):
        await _create(kube, namespace, "Host", samples.MINIMAL["Host"] or {})
        await _create(kube, namespace, "Component", samples.MINIMAL["Component"] or {})
        await _create(kube, namespace, "Machine", samples.MINIMAL["Machine"] or {})
        await _create(kube, namespace, "KubeNode", samples.MINIMAL["KubeNode"] or {})
        await _until(kube, namespace, "Host", "sample", _ready("True", "Free"))
        await _until(kube, namespace, "Component", "tool-1.0", _ready("True", "Valid"))
        for kind in ("KubeNode", "Machine"):
            await _until(kube, namespace, kind, "sample", _ready("False"))
        for kind, name in (
            ("KubeNode", "sample"),
            ("Machine", "sample"),
            ("Component", "tool-1.0"),
            ("Host", "sample"),
        ):
            await kube.delete(kind_named(kind), name, namespace)
            await _until(kube, namespace, kind, name, _gone)


async def test_all_in_one_process(api_server: ApiServer, kube: Kube, namespace: str) -> None:
    """Each operator finds what it asks for under the one account."""
    operators = ("etcd", "cluster", "machine")
    async with installed(api_server, kube, namespace, *operators, everywhere=True):
        await _create(kube, namespace, "Cluster", CLUSTER)
        await _create(kube, namespace, "Host", samples.MINIMAL["Host"] or {})
        await _until(kube, namespace, "Host", "sample", _ready("True", "Free"))
        await _until(kube, namespace, "EtcdCluster", "sample-etcd", _ready("False", "Forming"))
