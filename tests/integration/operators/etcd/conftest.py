"""The etcd operator at work on a real API server, with real etcd processes for pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.at_work import at_work, settings_in
from tests.integration.conftest import CRDS, install_crds
from tests.integration.operators.etcd import kv
from tests.integration.operators.etcd.standin import StandIn

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest
from kok.api.names import etcd_client_secret
from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import Credentials
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.operators.etcd import naming, operator
from kok.operators.etcd.handlers import EtcdClusters
from kok.operators.etcd.settings import Tuning
from kok.pki import decode, leaf_of
from kok.runtime.process.main import Process

LIMIT = 240.0
"""Seconds after which what a test waits for counts as not happening, on the slowest machine."""
ETCD = EtcdCluster.info.kind


def status(manifest: Manifest | None) -> dict[str, Any]:
    """The status, or an empty mapping."""
    return (manifest or {}).get("status") or {}


def condition(manifest: Manifest | None, type_: str = "Ready") -> dict[str, Any]:
    """One condition, or an empty mapping."""
    conditions = status(manifest).get("conditions") or ()
    return next((c for c in conditions if c["type"] == type_), {})


def at_rest(members: int) -> Callable[[Manifest | None], bool]:
    """Whether that many members are healthy and nothing is under way."""

    def holds(etcd: Manifest | None) -> bool:
        found = status(etcd)
        listed = found.get("members") or ()
        return (
            len(listed) == members
            and all(m["state"] == "Member" and m["ready"] for m in listed)
            and "operation" not in found
            and condition(etcd).get("status") == "True"
        )

    return holds


@pytest.fixture(scope="session")
def etcd_crd(api_server: ApiServer) -> None:
    """The kinds of the etcd operator are installed."""
    asyncio.run(install_crds(api_server, sorted(CRDS.glob("etcd*.yaml"))))


class Tune:
    """Changes by what EtcdClusters are looked after, by operators that run or begin later."""

    def __init__(self) -> None:
        self._tuning = Tuning()
        self._looking: list[EtcdClusters] = []

    def __call__(self, **changes: Any) -> None:
        """From the next passes on."""
        self._tuning = replace(self._tuning, **changes)
        for one in self._looking:
            one.tuning = self._tuning

    def also(self, reconcilers: Sequence[Any]) -> None:
        """Those of another operator."""
        self._looking += [one for one in reconcilers if isinstance(one, EtcdClusters)]
        self()


@pytest.fixture
def tune() -> Tune:
    """By what the operator of the test looks after its EtcdClusters."""
    return Tune()


@asynccontextmanager
async def running(
    api_server: ApiServer, namespace: str, tune: Tune | None = None, **settings: Any
) -> AsyncIterator[Process]:
    """The etcd operator at work in one namespace, in this process."""
    wanted = settings_in(namespace, **settings)
    etcd = operator(wanted)
    if tune is not None:
        tune.also(etcd.reconcilers)
    access = from_kubeconfig(api_server.kubeconfig())
    async with at_work([etcd], wanted, access) as process:
        yield process


@pytest.fixture
async def etcd_operator(
    api_server: ApiServer,
    etcd_crd: None,
    namespace: str,
    tune: Tune,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Process]:
    """The etcd operator at work in the test's namespace."""
    monkeypatch.setenv("KOK_WORKER_IMAGE", "kok:test")
    async with running(api_server, namespace, tune) as one:
        yield one


@pytest.fixture
async def standin(kube: Kube, namespace: str, etcd_crd: None) -> AsyncIterator[StandIn]:
    """Pods and volumes come to life."""
    async with StandIn(kube, namespace) as one:
        yield one


class World:
    """Short ways to the test's namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    async def make(self, name: str = "e", **spec: Any) -> Manifest:
        """Creates an EtcdCluster, small by default."""
        return await self.kube.create(
            {
                "apiVersion": ETCD.api_version,
                "kind": ETCD.kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"members": 1, "storage": {"size": "1Gi"}, **spec},
            }
        )

    async def get(self, kind: Kind, name: str) -> Manifest | None:
        """One object."""
        return await self.kube.get(kind, name, self.namespace)

    async def there(self, kind: Kind, name: str) -> Manifest:
        """One object that must exist."""
        found = await self.get(kind, name)
        assert found is not None, f"{kind.kind} {name} does not exist"
        return found

    async def annotate(self, key: str, value: str, name: str = "e", kind: Kind = ETCD) -> None:
        """Puts an annotation on the EtcdCluster, or on another object."""
        patch = {"metadata": {"annotations": {key: value}}}
        await self.kube.patch(kind, name, self.namespace, patch)

    async def until(
        self, holds: Callable[[Manifest | None], object], name: str = "e", kind: Kind = ETCD
    ) -> Manifest:
        """The object as soon as `holds` does; it is None while there is no such object."""
        last: Manifest | None = None
        try:
            async with asyncio.timeout(LIMIT):
                fields = {"metadata.name": name}
                async for event in self.kube.watch(kind, self.namespace, fields=fields):
                    if event.type in {"ADDED", "MODIFIED"}:
                        last = event.object
                    elif event.type == "DELETED":
                        last = None
                    else:
                        # After a gap nobody tells of what went meanwhile.
                        last = await self.get(kind, name)
                    if holds(last):
                        return last or {}
        except TimeoutError:
            raise AssertionError(f"{kind.kind} {name} stayed as it is: {last}") from None
        raise AssertionError("a watch never ends")

    async def until_ready(
        self,
        name: str = "e",
        reason: str = "Healthy",
        type_: str = "Ready",
        *,
        says: Sequence[str] = (),
    ) -> Manifest:
        """The EtcdCluster once a condition has that reason, and all these words in its message.

        A message changes while its reason stays, as more is seen: what a test wants to read there
        it has to wait for as well.
        """

        def holds(etcd: Manifest | None) -> bool:
            found = condition(etcd, type_)
            message = found.get("message", "")
            return found.get("reason") == reason and all(words in message for words in says)

        return await self.until(holds, name)

    async def until_gone(self, name: str = "e", kind: Kind = ETCD) -> None:
        """Returns once the object is gone."""
        await self.until(lambda m: m is None, name, kind)

    async def credentials(self, name: str = "e") -> Credentials:
        """What clients of the cluster use."""
        secret = await self.there(kinds.SECRET, etcd_client_secret(name))
        leaf, ca = leaf_of(secret), decode(secret, "ca.crt")
        assert leaf is not None
        assert ca is not None
        host = naming.client_host(name, self.namespace)
        return Credentials(ca, leaf.cert_pem, leaf.key_pem, host)

    @asynccontextmanager
    async def client(self, name: str = "e") -> AsyncIterator[EtcdClient]:
        """A client of the members, with more patience than the operator's."""
        async with EtcdClient(await self.credentials(name), deadline=kv.LIMIT) as one:
            yield one


@pytest.fixture
def world(kube: Kube, namespace: str) -> World:
    """See `World`."""
    return World(kube, namespace)


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)
