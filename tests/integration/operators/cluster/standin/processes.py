"""Processes on this machine that stand for pods."""

from __future__ import annotations

import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.apiserver import TIED, find_binary, free_ports

from kok.api.meta import Manifest


def own_address() -> str:
    """An address of this machine that is not loopback, which endpoints must not be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # Sends nothing: only a route is looked up.
        return str(probe.getsockname()[0])


def spawn(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Begins a program that ends with us, and adds what it says to a file."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [*TIED, *argv],
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Without asking it."""
    process.kill()
    process.wait()


@dataclass
class Running:
    """The process of one Deployment."""

    template: Manifest
    argv: list[str]
    log: Path
    port: int
    path: str
    ready: bool = False
    restarts: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Starts it."""
        self.process = spawn(self.argv, self.log)

    def kill(self) -> None:
        """Ends it."""
        end(self.process)

    def freeze(self) -> None:
        """It accepts connections and never answers."""
        self.process.send_signal(signal.SIGSTOP)

    def restart(self) -> None:
        """As kubelet does when a process has ended."""
        self.ready = False
        self.restarts += 1
        self.process = spawn(self.argv, self.log)


@dataclass
class Etcd:
    """The etcd behind all clusters of one test."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Starts it, without waiting."""
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_ports(1)[0]}"
        self.process = spawn(
            [
                find_binary("etcd", "v3.6.10", "KOK_TEST_ETCD"),
                f"--data-dir={self.directory / 'etcd'}",
                "--unsafe-no-fsync=true",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--log-level=error",
            ],
            self.directory / "etcd.log",
        )
