"""Hosts that are nodes already: taken over as they are, changed later, and given back as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.machine.conftest import (
    MACHINE,
    OperatorProcess,
    World,
    condition,
    running,
)
from tests.integration.operators.machine.test_heard import AFTER, BEFORE, Node, through
from tests.integration.operators.machine.test_hosts import runs, scripts
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.sshd import FakeHost

from kok import pki
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

DIES = """
import os
from kok.operators.machine.machine.operations import {module}
from kok.operators.machine.remote import hosts
def dying(before, work):
    async def die(*given, **named):
        if not before:
            await work(*given, **named)
        os.kill(os.getpid(), 9)
    return die
"""
"""For an operator that is killed before or after one thing that it does."""
BEFORE_THE_MARK = "adoption.Adopt.run = dying(True, adoption.Adopt.run)"
AFTER_THE_MARK = "hosts.HostClient.adopt = dying(False, hosts.HostClient.adopt)"
BEFORE_THE_RELEASE = "release_calls.ReleaseHost.run = dying(True, None)"
AFTER_THE_RELEASE = "hosts.HostClient.release = dying(False, hosts.HostClient.release)"


def dies(module: str, how: str) -> str:
    return f"{DIES.format(module=module)}{how}\n"


@pytest.fixture
async def node(
    api_server: ApiServer,
    kube: Kube,
    world: World,
    host: FakeHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Node]:
    """A host that somebody made a node of the Cluster, and the Component of its kubelet."""
    made = Node(api_server, kube, tmp_path)
    made.joined(monkeypatch)
    await made.cluster(world, "1.36.2")
    await made.post(BEFORE, "1.36.2")
    await world.key_of(host)
    await world.component(
        "kubelet",
        "1.37.1",
        scripts=scripts(tmp_path),
        files=[{"path": f"{tmp_path}/kubelet.yaml", "content": "{{ params.text }}"}],
        parameters={"properties": {"text": {"type": "string", "default": "one"}}},
    )
    yield made
    # It stays a node, and other tests have one of that name.
    await kube.delete(kinds.NODE, "w1")


async def adopting(world: World, host: FakeHost) -> None:
    await world.machine(host, "kubelet-1.37.1", adopt=True, onRemove="Release")


def adopted(manifest: Manifest) -> bool:
    """Whether it serves as it was found."""
    found = condition(manifest, "UpToDate")
    current = found.get("observedGeneration") == manifest["metadata"]["generation"]
    ready = condition(manifest).get("status") == "True"
    return bool(ready and current and found.get("reason") == "Adopted")


def serves(manifest: Manifest) -> bool:
    """Whether it serves as the spec says."""
    found = condition(manifest, "UpToDate")
    current = found.get("observedGeneration") == manifest["metadata"]["generation"]
    return bool(current and found.get("reason") == "UpToDate")


async def given_back(world: World, host: FakeHost, kube: Kube) -> None:
    """Nothing of ours is left, and all else is."""
    await world.gone(MACHINE, "w1")
    assert not host.home.exists()
    left = await kube.get(kinds.NODE, "w1")
    assert left
    assert not left["spec"].get("unschedulable")


async def test_a_node_is_adopted_changed_and_given_back(
    api_server: ApiServer, kube: Kube, world: World, host: FakeHost, node: Node, tmp_path: Path
) -> None:
    async with running(api_server, world.namespace):
        await adopting(world, host)
        made = await world.until(MACHINE, "w1", adopted, "adopted")
        record = made["status"]["adopted"]
        assert record["kubelet"] == "1.36.2"
        (kubelet,) = record["components"]
        assert kubelet["differs"][0] == "version 1.36.2 is there in place of 1.37.1"
        assert [c["state"] for c in made["status"]["components"]] == ["Adopted"]
        assert [s["component"] for s in made["status"]["plan"]] == ["kubelet"]
        assert runs(tmp_path) == []
        assert not (tmp_path / "kubelet.yaml").exists()
        assert f"machine={world.namespace}/w1" in host.read("owner")

        changed: dict[str, Any] = {"name": "kubelet", "version": "1.37.1", "params": {"text": "2"}}
        await world.patch(MACHINE, "w1", spec={"components": [changed]})
        await world.until(MACHINE, "w1", through, "through")
        await node.post(AFTER)
        made = await world.until(MACHINE, "w1", serves, "changed")
        assert runs(tmp_path) == ["install"]
        assert (tmp_path / "kubelet.yaml").read_text() == "2"
        assert not made["status"]["adopted"].get("components")

        await world.kube.delete(MACHINE, "w1", world.namespace)
        await given_back(world, host, kube)
    assert runs(tmp_path) == ["install"]
    assert (tmp_path / "kubelet.yaml").read_text() == "2"


@pytest.mark.parametrize("how", [BEFORE_THE_MARK, AFTER_THE_MARK])
async def test_an_operator_killed_while_it_adopts_has_touched_nothing(
    api_server: ApiServer,
    kube: Kube,
    world: World,
    host: FakeHost,
    node: Node,
    tmp_path: Path,
    how: str,
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(api_server.kubeconfig())
    first = f"{node.first}\n{dies('adoption', how)}"
    process = OperatorProcess(kube, kubeconfig, world.namespace, first)
    await process.start()
    try:
        await adopting(world, host)
        await world.until(MACHINE, "w1", lambda m: "adopted" in m.get("status", {}), "recorded")
        await process.ended()
    finally:
        await process.kill()
    async with running(api_server, world.namespace):
        await world.until(MACHINE, "w1", adopted, "adopted")
        await world.kube.delete(MACHINE, "w1", world.namespace)
        await given_back(world, host, kube)
    assert runs(tmp_path) == []


@pytest.mark.parametrize("how", [BEFORE_THE_RELEASE, AFTER_THE_RELEASE])
async def test_an_operator_killed_while_it_releases_cleans_nothing_up(
    api_server: ApiServer,
    kube: Kube,
    world: World,
    host: FakeHost,
    node: Node,
    tmp_path: Path,
    how: str,
) -> None:
    async with running(api_server, world.namespace):
        await adopting(world, host)
        await world.until(MACHINE, "w1", adopted, "adopted")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(api_server.kubeconfig())
    first = f"{node.first}\n{dies('release_calls', how)}"
    process = OperatorProcess(kube, kubeconfig, world.namespace, first)
    await process.start()
    try:
        await world.kube.delete(MACHINE, "w1", world.namespace)
        await process.ended()
    finally:
        await process.kill()
    left = await world.get(MACHINE, "w1")
    assert left
    assert left["status"]["operation"]["type"] == "Release"
    # What was recorded holds, whatever the spec says by now.
    await world.patch(MACHINE, "w1", spec={"onRemove": "CleanUp"})
    async with running(api_server, world.namespace):
        await given_back(world, host, kube)
    assert runs(tmp_path) == []


async def test_a_node_of_another_cluster_is_left_alone(
    api_server: ApiServer,
    kube: Kube,
    world: World,
    host: FakeHost,
    node: Node,
    tmp_path: Path,
) -> None:
    spec = pki.LeafSpec("system:node:w1", ["system:nodes"])
    foreign = pki.issue(pki.new_ca("blog", NOW), spec, NOW).cert_pem
    (tmp_path / "PKI" / "kubelet-client-current.pem").write_bytes(foreign)
    async with running(api_server, world.namespace):
        await adopting(world, host)
        text = await world.reason(MACHINE, "w1", "JoinedElsewhere")
        assert "`kubeadm reset`" in text
        await world.kube.delete(MACHINE, "w1", world.namespace)
        await world.gone(MACHINE, "w1")
    assert runs(tmp_path) == []
    assert not host.home.exists()
