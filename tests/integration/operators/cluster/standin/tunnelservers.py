"""The servers of a tunnel: one for each replica of the API server, of which there is one process.

The first is beside that, and listens on the node port of the Service; the others have ports of their
own, and whoever stands for the Service in a test leads to all of them.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.apiserver import find_binary, free_ports
from tests.integration.operators.cluster.standin.podfiles import bring_files
from tests.integration.operators.cluster.standin.processes import end, spawn

from kok.api import names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.naming import konnectivity
from kok.operators.cluster.tunnel import FILES, SOCKET, SOCKETS

KONNECTIVITY_VERSION = "v0.34.0"
_OURS = ("admin-port", "agent-port", "health-port", "uds-name")


@dataclass
class TunnelServers:
    """Those of one Deployment."""

    arguments: list[str]
    """Of all of them, without what each has for itself."""
    first_port: int
    home: Path
    ports: list[int] = field(default_factory=list)
    """Where each takes agents."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _leaving: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def scale(self, count: int) -> None:
        """Begins or ends some, the last ones first; those that end are asked to."""
        while len(self.processes) > count:
            self.ports.pop()
            leaving = self.processes.pop()
            leaving.terminate()
            self._leaving.append(leaving)
        while len(self.processes) < count:
            self._begin()

    def kill(self) -> None:
        """Ends all of them."""
        for process in (*self.processes, *self._leaving):
            end(process)
        self.processes.clear()
        self._leaving.clear()
        self.ports.clear()

    def _begin(self) -> None:
        number = len(self.processes)
        admin, health, agents = free_ports(3)
        socket = SOCKET.replace(SOCKETS, str(self.home))
        values = {
            "admin-port": admin,
            "agent-port": agents if number else self.first_port,
            "health-port": health,
            "uds-name": f"{socket}-{number}" if number else socket,
        }
        program = find_binary("proxy-server", KONNECTIVITY_VERSION, "KOK_TEST_PROXY_SERVER")
        flags = [f"--{flag}={value}" for flag, value in values.items()]
        log = self.home.with_suffix(".tunnel.log")
        self.processes.append(spawn([program, *self.arguments, *flags], log))
        self.ports.append(values["agent-port"])


async def tunnel_servers(kube: Kube, live: Manifest, home: Path) -> TunnelServers | None:
    """Those of a Deployment, none of them begun; None while their Service or their Secret is missing."""
    meta, pod = live["metadata"], live["spec"]["template"]["spec"]
    [container] = pod["initContainers"]
    cluster, directory = meta["labels"][names.LABEL_CLUSTER], home / "tunnel"
    service = await kube.get(kinds.SERVICE, konnectivity(cluster), meta["namespace"])
    there = await bring_files(kube, pod, meta["namespace"], directory, volume=1)
    if service is None or not there:
        return None
    arguments = [
        word.replace(FILES, str(directory))
        for word in container["command"][1:]
        if word.removeprefix("--").partition("=")[0] not in _OURS
    ]
    return TunnelServers(arguments, int(service["spec"]["ports"][0]["nodePort"]), home)
