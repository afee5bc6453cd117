"""Fixtures with a real API server; see `apiserver.py` for what it is and is not.

    api_server   (session)  the `ApiServer`: `.kubeconfig()`, `.stop()`, `.start()`, `.log()`
    kok_crds     (session)  KOK's own kinds are installed
    kube         (test)     a `Kube` that may do anything
    namespace    (test)     the name of a fresh namespace

Other directories of tests take them over by importing them in their `conftest.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import yaml
from e2e.polling import eventually
from tests.integration.apiserver import ETCD_VERSION, KUBERNETES_VERSION, ApiServer, find_binary

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import NotFound, TooManyRequests

CRDS = Path(__file__).parents[2] / "crds"
PATIENCE = 60.0
"""Seconds for one request of a test: a busy machine is slow, and no test is about that."""
LEASE = {"lease_duration": 300.0, "lease_renew": 15.0}
"""Settings of an operator in the test's own process: longer than a busy machine may stall us, since
a lost Lease would end the whole test run, and one not given back would keep the next one waiting."""
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """A running API server, the same for all tests of the session (and worker)."""
    server = ApiServer(
        find_binary("kube-apiserver", KUBERNETES_VERSION, "KOK_TEST_KUBE_APISERVER"),
        find_binary("etcd", ETCD_VERSION, "KOK_TEST_ETCD"),
    )
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def kok_crds(api_server: ApiServer) -> None:
    """Installs the CustomResourceDefinitions of `crds/` and waits until they are served."""
    asyncio.run(install_crds(api_server, sorted(CRDS.glob("*.yaml"))))


async def install_crds(api_server: ApiServer, files: list[Path]) -> None:
    """Applies files of CustomResourceDefinitions; returns when their kinds can be used."""
    async with await Kube.from_kubeconfig(
        api_server.kubeconfig(), field_manager="setup", timeout=PATIENCE
    ) as kube:
        found = [m for file in files for m in yaml.safe_load_all(file.read_text()) if m]
        await asyncio.gather(*(kube.apply(manifest) for manifest in found))
        await asyncio.gather(*(established(kube, m["metadata"]["name"]) for m in found))


async def established(kube: Kube, crd: str) -> None:
    """Returns when the kind of a CustomResourceDefinition is served."""
    watch = kube.watch(kinds.CUSTOMRESOURCEDEFINITION, fields={"metadata.name": crd})
    async with asyncio.timeout(2 * PATIENCE), aclosing(watch) as events:
        async for event in events:
            if event.object.get("metadata", {}).get("name") != crd:
                continue
            conditions = event.object.get("status", {}).get("conditions") or ()
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                break
        # Nothing tells of it.
        await eventually(partial(_served, kube, event.object["spec"]), 2 * PATIENCE)


async def _served(kube: Kube, crd: Manifest) -> bool:
    """Whether objects of a kind can be asked for, and whoever asks for kinds is told of it."""
    group = f"/apis/{crd['group']}/{crd['versions'][0]['name']}"
    plural = crd["names"]["plural"]
    try:
        await kube.raw("GET", f"{group}/{plural}")
        listed = await kube.raw("GET", group)
    except (NotFound, TooManyRequests):
        return False
    return any(entry["name"] == plural for entry in listed["resources"])


@pytest.fixture
async def kube(api_server: ApiServer) -> AsyncIterator[Kube]:
    """A client with all rights."""
    async with await Kube.from_kubeconfig(
        api_server.kubeconfig(), field_manager="kok-test", timeout=PATIENCE
    ) as client:
        yield client


@pytest.fixture
async def namespace(kube: Kube) -> str:
    """A namespace of the test's own."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


async def run_out(kube: Kube, operator: str, namespace: str) -> None:
    """Lets the Lease of an operator that was killed run out a second from now.

    It is given for much longer, so that no operator loses it only because the machine is busy.
    """
    lease = {"leaseDurationSeconds": 1, "renewTime": datetime.now(UTC).isoformat()}
    name = f"kok-{operator}-operator"
    await kube.patch(kinds.LEASE, name, namespace, {"spec": lease})
