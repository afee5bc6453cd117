"""A node whose kubelet is changed, with the operator at work: its API server has the last word."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.fifos import Gate
from tests.integration.apiserver import ApiServer
from tests.integration.operators.machine.conftest import MACHINE, World, condition, running
from tests.integration.operators.machine.test_hosts import prepared
from tests.integration.operators.machine.test_kubenodes import CLUSTER
from tests.unit.operators.machine.sshd import FakeHost
from tests.unit.operators.machine.views import BOOTSTRAPPED

from kok import pki
from kok.api import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.objects.ownership import owned
from kok.operators.machine.remote import host_paths, preflight

BEFORE, MEANWHILE, AFTER = (f"2026-11-02T12:00:0{n}Z" for n in (1, 2, 3))


class Node:
    """A host that has joined, and its Node; the API server is that of both clusters."""

    def __init__(self, api_server: ApiServer, kube: Kube, root: Path) -> None:
        self._kube = kube
        self._server = api_server.server
        self.root = root
        config = yaml.safe_load(api_server.kubeconfig("system:node:w1", ("system:nodes",)))
        self._ca = pki.decode({"data": config["clusters"][0]["cluster"]}, CA_DATA)
        self._certificate = pki.decode({"data": config["users"][0]["user"]}, CERT_DATA)
        admin = yaml.safe_load(api_server.kubeconfig())["users"][0]["user"]
        self._operator = {
            "ca.crt": config["clusters"][0]["cluster"][CA_DATA],
            "tls.crt": admin[CERT_DATA],
            "tls.key": admin["client-key-data"],
        }

    @property
    def first(self) -> str:
        """What has an operator of its own process find the host's files where they are."""
        moved = "; ".join(f"host_paths.{name} = {str(self.root / name)!r}" for name in MOVED)
        return (
            "from kok.operators.machine.remote import host_paths, preflight\n"
            f"{moved}\npreflight._CHECKS = ()"
        )

    def joined(self, patch: pytest.MonkeyPatch) -> None:
        """What lies on the host, and a service that runs."""
        for name in MOVED:
            patch.setattr(host_paths, name, str(self.root / name))
        folder = self.root / "PKI"
        folder.mkdir()
        (folder / "kubelet-client-current.pem").write_bytes(self._certificate)
        (self.root / "KUBECONFIG").write_text(f"    server: {self._server}\n")
        (self.root / "CA").write_bytes(self._ca)
        programs = self.root / "programs"
        programs.mkdir()
        (programs / "systemctl").write_text('#!/bin/sh\n[ "$1" != is-active ] || echo active\n')
        (programs / "systemctl").chmod(0o755)
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        # This machine cannot be a node, and none is started on it.
        patch.setattr(preflight, "_CHECKS", ())

    async def cluster(self, world: World, version: str = "1.37.1") -> None:
        """The Cluster that it is a node of, as its operator leaves it; a kubelet of that version has
        registered the node."""
        made = await world.make(CLUSTER, "shop", {"version": "1.37.1"})
        status = {
            "endpoint": self._server,
            "caFingerprints": {"shop-ca": pki.fingerprint(self._ca)},
            "conditions": [BOOTSTRAPPED],
        }
        patch = {"status": status}
        await self._kube.patch(CLUSTER, "shop", world.namespace, patch, subresource="status")
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "shop-operator-machine"},
            "data": self._operator,
        }
        await self._kube.create(owned(secret, Cluster.parse(made)))
        meta = {"name": "w1"}
        await self._kube.create({"apiVersion": "v1", "kind": "Node", "metadata": meta})
        told = {"status": {"nodeInfo": {"kubeletVersion": f"v{version}"}}}
        await self._kube.patch(kinds.NODE, "w1", None, told, subresource="status")

    async def post(self, heard: str, version: str = "1.37.1") -> None:
        """What a kubelet tells of itself every five minutes, and when it was started."""
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": heard}
        status = {"conditions": [ready], "nodeInfo": {"kubeletVersion": f"v{version}"}}
        await self._kube.patch(kinds.NODE, "w1", None, {"status": status}, subresource="status")


MOVED = ("PKI", "KUBECONFIG", "CA", "BOOTSTRAP", "REGISTER")
CA_DATA, CERT_DATA = "certificate-authority-data", "client-certificate-data"


def through(manifest: Manifest) -> bool:
    """Whether the kubelet was changed and has yet to be heard of."""
    return "after" in (manifest.get("status") or {}).get("kubeletChange", {})


def proven(manifest: Manifest) -> bool:
    good = {condition(manifest, kind).get("status") for kind in ("Ready", "UpToDate")}
    return good == {"True"} and prepared(manifest)


def compared(manifest: Manifest) -> bool:
    """Whether the host was compared with the spec of now."""
    found = condition(manifest, "UpToDate")
    current = found.get("observedGeneration") == manifest["metadata"]["generation"]
    return prepared(manifest) and current


async def test_neither_the_kubelet_before_nor_a_restart_of_the_operator_proves_a_changed_one(
    api_server: ApiServer,
    kube: Kube,
    world: World,
    host: FakeHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node(api_server, kube, tmp_path)
    node.joined(monkeypatch)
    await node.cluster(world)
    await world.key_of(host)
    gate, mark = Gate(tmp_path), tmp_path / "version"
    await world.component(
        "kubelet",
        "1.37.1",
        scripts={
            "probe": f"cat {mark} 2>/dev/null || true",
            "install": f"echo {{{{ version }}}} >{mark}",
            "restart": gate.script,
            "uninstall": f"rm -f {mark}",
        },
        files=[{"path": f"{tmp_path}/kubelet.yaml", "content": "{{ params.text }}"}],
        parameters={"properties": {"text": {"type": "string", "default": "one"}}},
    )
    async with running(api_server, world.namespace):
        await world.machine(host, "kubelet-1.37.1")
        await world.until(MACHINE, "w1", through, "installed")
        await node.post(BEFORE)
        made = await world.until(MACHINE, "w1", proven, "a node")
        assert "kubeletChange" not in made["status"]

        changed: dict[str, Any] = {"name": "kubelet", "version": "1.37.1", "params": {"text": "2"}}
        await world.patch(MACHINE, "w1", spec={"components": [changed]})
        await gate.reached()
        # The kubelet of before has not been stopped yet.
        await node.post(MEANWHILE)
        made = await world.until(MACHINE, "w1", lambda m: "kubeletChange" in m["status"], "begun")
        assert made["status"]["kubeletChange"]["before"] == BEFORE
        await gate.open()
        made = await world.until(MACHINE, "w1", through, "through")
        assert made["status"]["kubeletChange"]["after"] == MEANWHILE
        assert condition(made)["status"] == "True", "its Node is Ready still"
        assert condition(made, "UpToDate")["message"] == (
            "the kubelet was changed and has not posted its status since"
        )
    async with running(api_server, world.namespace):
        await world.patch(MACHINE, "w1", spec={"drainTimeout": "1s"})
        made = await world.until(MACHINE, "w1", compared, "compared")
        assert condition(made, "UpToDate")["status"] == "False"
        await node.post(AFTER)
        made = await world.until(MACHINE, "w1", proven, "proven")
        assert "kubeletChange" not in made["status"]
        await world.kube.delete(MACHINE, "w1", world.namespace)
        await world.gone(MACHINE, "w1")
