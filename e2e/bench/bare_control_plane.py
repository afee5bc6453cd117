"""The floor: etcd and kube-apiserver as bare processes on this machine, until `/readyz` says ok."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
import time
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
            _start(etcd, *_etcd_flags(home, client, peer), log=home / "etcd.log"),
            _start(apiserver, *_apiserver_flags(home, client, secure), log=home / "api.log"),
        )
        try:
            await asyncio.wait_for(_ready(secure), DEADLINE)
            return time.monotonic() - begin
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()


def _etcd_flags(home: Path, client: int, peer: int) -> list[str]:
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


async def _start(program: Path, *flags: str, log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as out:
        return await asyncio.create_subprocess_exec(
            str(program), *flags, stdout=out, stderr=asyncio.subprocess.STDOUT
        )


async def _ready(port: int) -> None:
    # The certificate was made by the very process that is asked, on loopback, a second ago.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with aiohttp.ClientSession() as session:

        async def is_ready() -> bool:
            async with session.get(f"https://127.0.0.1:{port}/readyz", ssl=context) as answer:
                return answer.status == 200

        await eventually(is_ready, DEADLINE, every=0.02, unless=(aiohttp.ClientError,))
