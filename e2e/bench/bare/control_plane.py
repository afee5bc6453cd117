"""etcd and kube-apiserver as bare processes on this machine; how long until `/readyz` says ok is the floor."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from e2e.polling import eventually

DEADLINE = 60.0


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def measure(etcd: Path, apiserver: Path) -> float:
    """Seconds from the start of both processes until the API server is ready."""
    with tempfile.TemporaryDirectory(prefix="kok-floor-") as folder:
        home = Path(folder)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (home / "sa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        client, peer, secure = free_port(), free_port(), free_port()
        begin = time.monotonic()
        processes = await asyncio.gather(
            start(etcd, *etcd_flags(home, client, peer), log=home / "etcd.log"),
            start(apiserver, *_apiserver_flags(home, client, secure), log=home / "api.log"),
        )
        try:
            await ready(secure)
            return time.monotonic() - begin
        finally:
            await end(*processes)


def etcd_flags(home: Path, client: int, peer: int) -> list[str]:
    """For one member without TLS at these ports of loopback."""
    return [
        f"--data-dir={home / 'data'}",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
    ]


def _apiserver_flags(home: Path, client: int, secure: int) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{client}",
        f"--cert-dir={home / 'certs'}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={secure}",
        "--service-cluster-ip-range=10.65.0.0/20",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={home / 'sa.key'}",
        f"--service-account-signing-key-file={home / 'sa.key'}",
        "--authorization-mode=Node,RBAC",
    ]


async def start(
    program: Path, *flags: str, log: Path, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """A process that does not outlive this one; `env` is added to the environment."""
    with log.open("wb") as out:
        return await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--", str(program), *flags),
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )


async def end(*processes: asyncio.subprocess.Process) -> None:
    """Kills those that run."""
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ready(port: int) -> None:
    """Waits until the API server at a port of loopback is ready."""
    # The certificate was made by the very process that is asked, on loopback, a second ago.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with aiohttp.ClientSession() as session:

        async def is_ready() -> bool:
            async with session.get(f"https://127.0.0.1:{port}/readyz", ssl=context) as answer:
                return answer.status == 200

        await eventually(is_ready, DEADLINE, every=0.02, unless=(aiohttp.ClientError,))
