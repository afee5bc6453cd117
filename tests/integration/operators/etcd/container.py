"""One pod's container in the stand-in for the kubelet: a real process, and what is told of it."""

from __future__ import annotations

import functools
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from tests.integration.apiserver import TIED, find_binary

from kok.api.meta import Manifest
from kok.operators.etcd import naming

GRACE = 30.0
FAILURES = 3
"""Of the readiness probe; so many are in the StatefulSets as well."""


@dataclass
class Container:
    """The process of one pod."""

    pod_uid: str
    address: str
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    ended: dict[str, Any] | None = None
    ready: bool = False
    failures: int = 0
    """Of the readiness probe, in a row."""
    reported: Manifest | None = None
    secrets: str = ""
    unsettled: Manifest | None = None
    """Annotations of the pod when a variable was missing."""
    log: Path = field(default_factory=Path)

    def spawn(self, path: str, arguments: list[str], variables: dict[str, str]) -> None:
        """Starts the process."""
        self.log = self.directory / f"log-{self.restarts}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*TIED, path, *arguments, "--unsafe-no-fsync=true"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=variables,
            )

    def end(self, how: signal.Signals) -> None:
        """Ends the process, also a frozen one, and waits for that; it has a time of grace."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(how)
        try:
            self.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=GRACE)

    async def probe(self) -> None:
        """The readiness probe: as in a cluster, once it held, only some failures in a row count."""
        if await self._answers():
            self.failures, self.ready = 0, True
            return
        self.failures += 1
        self.ready = self.ready and self.failures < FAILURES

    async def _answers(self) -> bool:
        url = f"http://{self.address}:{naming.METRICS_PORT}/readyz"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
                session.get(url) as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False


def pod_status(container: Container, what: str) -> Manifest:
    """The pod's status while its container is `waiting`, `pulling` its image, `unsettled` (it lacks a
    variable), `running` or has `ended`.
    """
    state: Manifest = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    if what == "waiting":
        state = {"waiting": {"reason": "ContainerCreating"}}
    elif what == "pulling":
        state = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    elif what == "unsettled":
        state = {"waiting": {"reason": "CreateContainerConfigError", "message": "no such key"}}
    elif what == "ended":
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    ready, waits = (
        what == "running" and container.ready,
        what in {"waiting", "pulling", "unsettled"},
    )
    return {
        "phase": "Pending" if waits else "Running",
        "podIP": None if waits else container.address,
        "podIPs": None if waits else [{"ip": container.address}],
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": [
            {
                "name": "etcd",
                "image": "etcd",
                "imageID": "",
                "ready": ready,
                "restartCount": container.restarts,
                "state": state,
                "lastState": {"terminated": container.ended} if container.ended else {},
            }
        ],
    }


@functools.cache
def program(version: str, name: str = "etcd") -> str:
    """The path of a program of etcd of that version."""
    variable = f"KOK_TEST_{name.upper()}_{version.replace('.', '_')}"
    return find_binary(name, f"v{version}", variable)
