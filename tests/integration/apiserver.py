"""A real kube-apiserver on a real etcd, as bare processes on loopback, for tests.

Nothing else of Kubernetes runs: no controller, scheduler or kubelet. So Deployments make no pods,
owners' children are not garbage-collected, and a deleted namespace stays `Terminating`; tests take
a fresh namespace each instead of cleaning up. Everything vanishes with the test session.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from e2e.polling import eventually_now

KUBERNETES_VERSION = "v1.37.1"
ETCD_VERSION = "v3.6.10"
START_LIMIT = 180.0
"""Seconds that a busy machine may need; all workers of a test run start one at the same time."""
PREFIX = "kok-apiserver-"
PORTS = range(20000, 30000)
NODE_PORTS, NODE_PORTS_EACH = range(30000, 32760), 230
TIED = ("setpriv", "--pdeathsig", "KILL", "--")
"""In front of a program: a test run that is killed leaves no process behind.

Not by something that Python runs in the child before it: gRPC's threads make that crash at times.
"""


@cache
def find_binary(name: str, version: str, variable: str) -> str:
    """The path of a program: from the environment, else from the lab's cache."""
    given = os.environ.get(variable)
    if given:
        if not Path(given).is_file():
            raise RuntimeError(f"{variable} names {given}, which does not exist")
        return given
    command = [sys.executable, "-m", "e2e.lab", "binary", name, "--version", version]
    asked = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    lines = asked.stdout.strip().splitlines()
    if asked.returncode == 0 and lines and Path(lines[-1]).is_file():
        return lines[-1]
    said = (asked.stderr.strip().splitlines() or ["nothing was printed"])[-1]
    raise RuntimeError(
        f"integration tests need {name} {version}: `{' '.join(command[1:])}` did not provide it "
        f"({said}); set {variable} to the path of the program instead"
    )


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on now.

    Not of those that the kernel hands out: between this look and the moment at which a program
    listens, a connection of anybody's could get such a port. Nor of those of Services.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            one = socket.socket()
            held.append(one)
            try:
                one.bind(("127.0.0.1", random.choice(PORTS)))  # noqa: S311 - nothing secret
            except OSError:
                held.pop().close()
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def own_node_ports() -> tuple[socket.socket, range]:
    """Ports for Services that no other API server of this machine hands out; ours till the close.

    Test runs put real processes behind them, all of them in this one network.
    """
    for number in range(0, len(NODE_PORTS), NODE_PORTS_EACH):
        claim = socket.socket(socket.AF_UNIX)
        try:
            # An abstract name: the kernel takes it back with the process, however that ends.
            claim.bind(f"\0kok-test-node-ports-{number}")
        except OSError:
            claim.close()
        else:
            return claim, NODE_PORTS[number : number + NODE_PORTS_EACH]
    raise RuntimeError("too many test runs at the same time: each needs ports of its own")


def sweep(base: Path) -> None:
    """Removes what test runs left behind that were killed."""
    for left in base.glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class Files:
    """Where certificates, keys and logs of one API server lie."""

    directory: Path

    def __getattr__(self, name: str) -> Path:
        """`ca_crt` is the file `ca.crt`."""
        return self.directory / name.replace("_", ".")


class ApiServer:
    """One etcd and one kube-apiserver; `start` and `stop` may be repeated."""

    def __init__(self, kube_apiserver: str, etcd: str) -> None:
        shm = Path("/dev/shm")  # noqa: S108 - memory: etcd syncs every write
        base = shm if shm.is_dir() and os.access(shm, os.W_OK) else Path(tempfile.gettempdir())
        sweep(base)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))
        self._files = Files(self.directory)
        self._programs = {"etcd": etcd, "kube-apiserver": kube_apiserver}
        self._etcd_client, self._etcd_peer, self.port = free_ports(3)
        self._claim, self._node_ports = own_node_ports()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._authority = trustme.CA()
        self._write_files()

    @property
    def server(self) -> str:
        """Address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, user: str = "admin", groups: Sequence[str] = ("system:masters",)) -> str:
        """A kubeconfig, as text, for a user of that name; by default one who may do anything."""
        group = groups[0] if groups else "none"
        issued = self._authority.issue_cert(
            f"{user.replace(':', '-')}.test", common_name=user, organization_name=group
        )
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
                "clusters": [
                    {
                        "name": "test",
                        "cluster": {
                            "server": self.server,
                            "certificate-authority-data": _base64(self._authority.cert_pem.bytes()),
                        },
                    }
                ],
                "users": [
                    {
                        "name": user,
                        "user": {
                            "client-certificate-data": _base64(chain),
                            "client-key-data": _base64(issued.private_key_pem.bytes()),
                        },
                    }
                ],
            }
        )

    def start(self) -> None:
        """Starts what does not run and waits until the API server is ready.

        To be called from the main thread: the kernel ends the programs with the thread that
        started them.
        """
        self._spawn("etcd", self._etcd_arguments())
        self._spawn("kube-apiserver", self._apiserver_arguments())
        self._await_ready()

    def stop(self, *names: str) -> None:
        """Kills the programs named, or both (an orderly end would wait for open watches)."""
        for name in names or ("kube-apiserver", "etcd"):
            process = self._running.pop(name, None)
            if process is not None:
                process.kill()
                process.wait(timeout=30)

    def close(self) -> None:
        """Ends everything and removes all files."""
        self.stop()
        self._claim.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self, name: str = "kube-apiserver") -> str:
        """What a program has written so far."""
        return (self.directory / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        if name in self._running and self._running[name].poll() is None:
            return
        with (self.directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*TIED, self._programs[name], *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def _await_ready(self) -> None:
        context = ssl.create_default_context(cadata=self._authority.cert_pem.bytes().decode())
        context.load_cert_chain(self._files.admin_pem)

        def is_ready() -> bool:
            for name, process in self._running.items():
                if process.poll() is not None:
                    tail = "\n".join(self.log(name).splitlines()[-15:])
                    raise RuntimeError(f"{name} ended with {process.returncode}:\n{tail}")
            with urllib.request.urlopen(  # noqa: S310 - our own loopback address
                f"{self.server}/readyz", timeout=2, context=context
            ):
                return True

        try:
            eventually_now(is_ready, START_LIMIT, unless=(urllib.error.URLError, OSError))
        except TimeoutError as error:
            raise RuntimeError(f"the API server is not ready: {error}") from None

    def _write_files(self) -> None:
        files, authority = self._files, self._authority
        authority.cert_pem.write_to_path(files.ca_crt)
        serving = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default")
        serving.private_key_and_cert_chain_pem.write_to_path(files.server_pem)
        admin = authority.issue_cert(
            "admin.test", common_name="admin", organization_name="system:masters"
        )
        admin.private_key_and_cert_chain_pem.write_to_path(files.admin_pem)
        key = ec.generate_private_key(ec.SECP256R1())
        files.sa_key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )

    def _etcd_arguments(self) -> list[str]:
        client = f"http://127.0.0.1:{self._etcd_client}"
        peer = f"http://127.0.0.1:{self._etcd_peer}"
        return [
            f"--data-dir={self.directory / 'etcd'}",
            "--unsafe-no-fsync=true",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        ]

    def _apiserver_arguments(self) -> list[str]:
        files = self._files
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_client}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={files.server_pem}",
            f"--tls-private-key-file={files.server_pem}",
            f"--client-ca-file={files.ca_crt}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={files.sa_key}",
            f"--service-account-signing-key-file={files.sa_key}",
            "--service-cluster-ip-range=10.255.0.0/24",
            f"--service-node-port-range={self._node_ports.start}-{self._node_ports.stop - 1}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            # Without the controller that makes them, pods could not name a service account.
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--enable-priority-and-fairness=false",
            # Objects are watched at once: nothing waits for a bookmark.
            "--shutdown-delay-duration=0s",
        ]


def _base64(raw: bytes) -> str:
    import base64  # noqa: PLC0415 - one use

    return base64.b64encode(raw).decode()


Manifest = dict[str, Any]
