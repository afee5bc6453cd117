"""Hosts that are given back, or have to be left: what a clean-up needs, and who gets the host."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.machine.conftest import (
    HOST,
    MACHINE,
    World,
    condition,
    running,
)
from tests.integration.operators.machine.test_hosts import prepared, runs, scripts
from tests.unit.operators.machine.sshd import FakeHost

from kok.kube import kinds
from kok.operators.machine.host.ssh_secrets import FINALIZER
from kok.runtime.process.main import Process


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator loses patience with a silent host soon."""
    monkeypatch.setenv("KOK_SSH_LOGIN_TIMEOUT", "3")
    monkeypatch.setenv("KOK_SSH_KEEPALIVE", "1")


async def pooled(world: World, host: FakeHost, root: Path) -> None:
    """A Host and the Machine that a KubeNode would make for it, with software on the host."""
    await world.key_of(host)
    await world.component("tool", scripts=scripts(root))
    access = {"user": "root", "secret": "ops-ssh"}
    await world.make(HOST, "h1", {"address": "127.0.0.1", "port": host.port, "ssh": access})
    await machine(world, host)


async def machine(world: World, host: FakeHost) -> None:
    spec = {
        "cluster": "shop",
        "node": "h1",
        "address": "127.0.0.1",
        "port": host.port,
        "ssh": {"user": "root", "secret": "ops-ssh"},
        "components": [{"name": "tool", "version": "1.0"}],
    }
    await world.make(MACHINE, "w1", spec, labels={"kok.dev/host": "h1"})
    await world.until(MACHINE, "w1", prepared, "prepared")


async def test_a_namespace_deleted_while_the_operator_is_down_leaves_no_host_behind(
    api_server: ApiServer, world: World, host: FakeHost, tmp_path: Path
) -> None:
    """The Secret went first; the host kept a running node with its keys."""
    async with running(api_server, world.namespace):
        await pooled(world, host, tmp_path)
        await world.until(
            HOST, "h1", lambda m: "usedBy" in m.get("status", {}), "claimed for the record"
        )
        secret = await world.get(kinds.SECRET, "ops-ssh")
        assert secret
        assert secret["metadata"]["finalizers"] == [FINALIZER]
    # What the namespace controller of a whole cluster does: all at once, in any order.
    await world.kube.delete(kinds.NAMESPACE, world.namespace)
    for kind, name in ((kinds.SECRET, "ops-ssh"), (HOST, "h1"), (MACHINE, "w1")):
        await world.kube.delete(kind, name, world.namespace)
    assert await world.get(kinds.SECRET, "ops-ssh")
    async with running(api_server, world.namespace):
        await world.gone(MACHINE, "w1")
        await world.gone(HOST, "h1")
        await world.gone(kinds.SECRET, "ops-ssh")
    assert runs(tmp_path) == ["install", "uninstall"]
    assert not host.home.exists()


async def test_what_goes_with_its_namespace_and_without_its_secret_waits_for_nothing(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    """Somebody took the Secret away by force: nobody will ever reach that host from here again."""
    await pooled(world, host, tmp_path)
    await world.until(HOST, "h1", lambda m: "usedBy" in m.get("status", {}), "used")
    await world.kube.delete(kinds.NAMESPACE, world.namespace)
    await world.kube.delete(kinds.SECRET, "ops-ssh", world.namespace)
    await world.patch(kinds.SECRET, "ops-ssh", metadata={"finalizers": None})
    await world.gone(kinds.SECRET, "ops-ssh")
    for kind, name in ((HOST, "h1"), (MACHINE, "w1")):
        await world.kube.delete(kind, name, world.namespace)
    await world.gone(MACHINE, "w1")
    await world.gone(HOST, "h1")


async def test_a_secret_is_free_once_no_machine_needs_it(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await pooled(world, host, tmp_path)
    await world.kube.delete(kinds.SECRET, "ops-ssh", world.namespace)
    await world.kube.delete(MACHINE, "w1", world.namespace)
    await world.gone(MACHINE, "w1")
    await world.gone(kinds.SECRET, "ops-ssh")
    assert not host.home.exists()
    freed = await world.reason(HOST, "h1", "Free")
    assert freed == "no Machine uses it"


async def test_a_host_that_had_to_be_left_is_dirty_until_it_is_clean(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    await pooled(world, host, tmp_path)
    await world.until(HOST, "h1", lambda m: "usedBy" in m.get("status", {}), "used")
    host.flowing.clear()
    await world.kube.delete(MACHINE, "w1", world.namespace)
    await world.patch(MACHINE, "w1", metadata={"annotations": {"kok.dev/abandon-host": "true"}})
    await world.gone(MACHINE, "w1")
    dirty = await world.until(
        HOST,
        "h1",
        lambda m: "does not answer" in condition(m).get("message", ""),
        "known to be silent",
    )
    assert dirty["status"]["phase"] == "Dirty"
    assert condition(dirty)["reason"] == "HostNotClean"
    assert condition(dirty)["message"].startswith(
        "Machine w1 is gone and has not left the host clean: "
    )
    listed = await world.get(kinds.CONFIGMAP, "kok-abandoned-hosts")
    assert listed
    (entry,) = listed["data"].values()
    assert f'"port": {host.port}' in entry
    assert runs(tmp_path) == ["install"]
    # It comes back, and nobody has to do anything.
    host.flowing.set()
    clean = await world.until(HOST, "h1", lambda m: m["status"]["phase"] == "Free", "free again")
    assert "usedBy" not in clean["status"]
    assert runs(tmp_path) == ["install", "uninstall"]
    assert not host.home.exists()
    listed = await world.get(kinds.CONFIGMAP, "kok-abandoned-hosts")
    assert not (listed or {}).get("data")


async def test_a_machine_that_vanished_by_force_leaves_its_host_dirty_too(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    """Somebody took away its finalizers: nothing says that the host is clean, so it is looked at."""
    await pooled(world, host, tmp_path)
    await world.until(HOST, "h1", lambda m: "usedBy" in m.get("status", {}), "used")
    host.flowing.clear()
    await world.kube.delete(MACHINE, "w1", world.namespace)
    await world.patch(MACHINE, "w1", metadata={"finalizers": None})
    await world.until(HOST, "h1", lambda m: m["status"]["phase"] == "Dirty", "dirty")
    host.flowing.set()
    await world.until(HOST, "h1", lambda m: m["status"]["phase"] == "Free", "free again")
    assert not host.home.exists()
