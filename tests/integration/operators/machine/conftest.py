"""The machine operator at work on a real API server; hosts are real shells behind a real sshd."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.at_work import at_work, chosen_in, settings_in
from tests.integration.conftest import PATIENCE, run_out
from tests.integration.operators.machine.business import KEY, LIMIT, to
from tests.integration.rights import in_force
from tests.unit.operators.machine.sshd import FakeHost, fake_host

from kok.api import Component, Host, KubeNode, Machine
from kok.api.meta import Kind, Manifest
from kok.api.names import operator_group, operator_user
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.kube.watch import WatchEvent
from kok.operators.cluster.businesscluster import rbac
from kok.operators.machine import operator
from kok.operators.machine.node.cluster_connections import ClusterConnection, ClusterConnections
from kok.pki import encode
from kok.runtime.process.main import Process

MACHINE, KUBENODE = Machine.info.kind, KubeNode.info.kind
COMPONENT, HOST = Component.info.kind, Host.info.kind


def condition(manifest: Manifest | None, type_: str = "Ready") -> dict[str, Any]:
    """One condition, or an empty mapping."""
    conditions = ((manifest or {}).get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == type_), {})


@asynccontextmanager
async def running(api_server: ApiServer, namespace: str) -> AsyncIterator[Process]:
    """The machine operator at work in a namespace, in this process."""
    wanted = settings_in(namespace)
    access = from_kubeconfig(api_server.kubeconfig())
    async with at_work([operator(wanted)], wanted, access) as process:
        yield process


class OperatorProcess:
    """The machine operator as a process of its own, which can be killed."""

    def __init__(self, kube: Kube, kubeconfig: Path, namespace: str, first: str = "pass") -> None:
        """`first` is run in the process before anything else."""
        self._kube = kube
        self._first = first
        self._namespace = namespace
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            # A successor looks at the Lease of one that was killed soon enough.
            **{
                f"KOK_{key.upper()}": namespace if key == "namespaces" else str(value)
                for key, value in chosen_in(namespace, lease_renew=2.0).items()
            },
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            f"{self._first}\nfrom kok.cli.main import app; app(['operator', 'machine'])",
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def ended(self) -> None:
        """Returns when it has ended by itself."""
        if self._process is not None:
            async with asyncio.timeout(LIMIT):
                await self._process.wait()
            self._process = None
            await run_out(self._kube, "machine", self._namespace)

    async def kill(self) -> None:
        """SIGKILL: nothing is put in order. Its Lease runs out soon."""
        if self._process is None:
            return
        # One that has killed itself has not given its Lease back either.
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._process = None
        await run_out(self._kube, "machine", self._namespace)


@pytest.fixture(autouse=True)
def hosts_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts and servers of artifacts are at loopback addresses, which are forbidden by default."""
    monkeypatch.setenv("KOK_FORBIDDEN_RANGES", "169.254.0.0/16")


@pytest.fixture
async def machine_operator(
    api_server: ApiServer, kok_crds: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Process]:
    """The machine operator at work in the test's namespace; it loses patience soon."""
    monkeypatch.setenv("KOK_SSH_LOGIN_TIMEOUT", "3")
    monkeypatch.setenv("KOK_SSH_KEEPALIVE", "1")
    async with running(api_server, namespace) as one:
        yield one


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[FakeHost]:
    """A bare host."""
    async with fake_host(tmp_path / "kok") as one:
        yield one


class World:
    """Short ways to the test's namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    async def make(self, kind: Kind, name: str, spec: Any, **meta: Any) -> Manifest:
        """Creates an object of ours."""
        return await self.kube.create(
            {
                "apiVersion": kind.api_version,
                "kind": kind.kind,
                "metadata": {"name": name, "namespace": self.namespace, **meta},
                "spec": spec,
            }
        )

    async def secret(self, name: str, **data: str | bytes) -> None:
        """Creates or replaces a Secret; `_` in names of keys stands for `-`."""
        await self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace},
                "data": encode({key.replace("_", "-"): value for key, value in data.items()}),
            }
        )

    async def key_of(self, host: FakeHost) -> None:
        """The Secret `ops-ssh` with which the host lets us in."""
        await self.secret("ops-ssh", ssh_privatekey=host.client.export_private_key())

    async def component(self, name: str, version: str = "1.0", **spec: Any) -> Manifest:
        """Creates a Component of a user's own."""
        body = {"name": name, "version": version, **spec}
        return await self.make(COMPONENT, f"{name}-{version}", body)

    async def machine(
        self, host: FakeHost, *components: str, name: str = "w1", **spec: Any
    ) -> Manifest:
        """Creates a Machine for a host; components are given as `name-version`."""
        listed = [dict(zip(("name", "version"), c.rsplit("-", 1), strict=True)) for c in components]
        base = {
            "cluster": "shop",
            "node": name,
            "address": "127.0.0.1",
            "port": host.port,
            "ssh": {"user": "root", "secret": "ops-ssh"},
            "components": listed,
        }
        return await self.make(MACHINE, name, {**base, **spec})

    async def patch(self, kind: Kind, name: str, **patch: Any) -> Manifest:
        """Changes an object."""
        return await self.kube.patch(kind, name, self.namespace, patch)

    async def scale(self, name: str, replicas: int) -> None:
        """What `kubectl scale` does to a KubeNode."""
        change = {"spec": {"replicas": replicas}}
        await self.kube.patch(KUBENODE, name, self.namespace, change, subresource="scale")

    @asynccontextmanager
    async def _following(self, kind: Kind) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """What is there of a kind and what changes, for as long as a test may wait."""
        watch = self.kube.watch(kind, self.namespace)
        async with asyncio.timeout(LIMIT), aclosing(watch) as events:
            yield events

    async def until(
        self, kind: Kind, name: str, holds: Callable[[Manifest], bool], what: str = ""
    ) -> Manifest:
        """The object once it is as asked for."""
        last: Manifest = {}
        try:
            async with self._following(kind) as events:
                async for event in events:
                    if event.object.get("metadata", {}).get("name") != name:
                        continue
                    last = event.object
                    if event.type != "DELETED" and holds(last):
                        return last
        except TimeoutError:
            pass
        raise AssertionError(f"{kind.kind} {name} did not become {what}: {last.get('status')}")

    async def reason(self, kind: Kind, name: str, reason: str, type_: str = "Ready") -> str:
        """The message of a condition once it has that reason."""
        found = await self.until(
            kind, name, lambda m: condition(m, type_).get("reason") == reason, f"{type_} {reason}"
        )
        return str(condition(found, type_)["message"])

    async def named(self, kind: Kind, *names: str) -> None:
        """Returns once the objects of a kind are these."""
        found: set[str] = set()
        synced = False
        try:
            async with self._following(kind) as events:
                async for event in events:
                    if event.type == "SYNCED":
                        synced = True
                    elif event.type == "DELETED":
                        found.discard(event.object["metadata"]["name"])
                    else:
                        found.add(event.object["metadata"]["name"])
                    if synced and found == set(names):
                        return
        except TimeoutError:
            raise AssertionError(f"{kind.plural} are {sorted(found)}") from None

    async def gone(self, kind: Kind, name: str) -> None:
        """Returns once there is no such object."""
        async with self._following(kind) as events:
            async for event in events:
                named = event.object.get("metadata", {}).get("name") == name
                if event.type == "DELETED" and named:
                    return
                if event.type == "SYNCED" and await self.get(kind, name) is None:
                    return

    async def get(self, kind: Kind, name: str) -> Manifest | None:
        """The object as it is."""
        return await self.kube.get(kind, name, self.namespace)


@pytest.fixture
def world(kube: Kube, namespace: str, kok_crds: None) -> World:
    """Short ways to the test's namespace."""
    return World(kube, namespace)


@pytest.fixture
async def connection(api_server: ApiServer, kube: Kube) -> AsyncIterator[ClusterConnection]:
    """The API server as somebody's business cluster, with no more rights than there."""
    given = rbac.objects()
    for manifest in given:
        await kube.apply(manifest)
    user, group = operator_user("machine"), operator_group("machine")
    await in_force(kube, given, {"kind": "Group", "name": group}, user, group)
    clusters = ClusterConnections(timeout=PATIENCE)
    yield await clusters.connect(KEY, to(api_server.kubeconfig(user, (group,))))
    await clusters.close()
