"""Real servers for the worker's tests: single etcds, versitygw, and a connection that goes bad."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from e2e.lab.services.s3 import PROGRAM, S3
from e2e.polling import eventually_now
from tests.integration.apiserver import ETCD_VERSION, TIED, find_binary, free_ports

from kok.backup.commands.member import Member

LIMIT = 60.0
"""Seconds after which what a test waits for counts as not happening."""
HOST = "127.0.0.1"
NAME = "shop-etcd-client.team-a.svc"
"""The name in the members' certificate, which is none for `HOST`."""


@contextmanager
def process(command: list[str], log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends with the block, and with the test run."""
    with log.open("wb") as out:
        one = subprocess.Popen(
            [*TIED, *command],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
        )
    try:
        yield one
    finally:
        one.send_signal(signal.SIGCONT)
        one.kill()
        one.wait()


def until_it_listens(port: int, log: Path) -> None:
    """Returns when somebody takes connections at the port."""

    def listens() -> bool:
        with socket.create_connection((HOST, port), 1):
            return True

    try:
        eventually_now(listens, LIMIT, every=0.02, unless=(OSError,))
    except TimeoutError:
        raise RuntimeError(f"nobody listens on {port}: {log.read_text()[-2000:]}") from None


@dataclass(frozen=True)
class Etcd:
    """A single etcd. `certificates` is None for a plain one."""

    endpoint: str
    directory: Path
    process: subprocess.Popen[bytes]
    certificates: Path | None

    def ctl(self, *arguments: str, user: str = "etcd-client") -> str:
        """Runs `etcdctl` as the user of a certificate."""
        command = [find_binary("etcdctl", ETCD_VERSION, "KOK_TEST_ETCDCTL")]
        command += ["--endpoints", self.endpoint]
        if self.certificates is not None:
            files = issue(self.certificates, user)
            command += ["--cert", str(files / "tls.crt"), "--key", str(files / "tls.key")]
            # The certificate has no address in it, and etcdctl cannot be told its name.
            command.append("--insecure-skip-tls-verify")
        return subprocess.run(
            [*command, *arguments], check=True, capture_output=True, text=True
        ).stdout


def issue(authority: Path, user: str) -> Path:
    """The directory of a client certificate of that name, made if it is not there."""
    files = authority / user
    if not files.exists():
        ca = trustme.CA.from_pem(
            (authority / "ca.crt").read_bytes(), (authority / "ca.key").read_bytes()
        )
        issued = ca.issue_cert("client.test", common_name=user)
        files.mkdir()
        ca.cert_pem.write_to_path(files / "ca.crt")
        issued.cert_chain_pems[0].write_to_path(files / "tls.crt")
        issued.private_key_pem.write_to_path(files / "tls.key")
    return files


@contextmanager
def etcd(directory: Path, *, tls: bool, data: Path | None = None) -> Iterator[Etcd]:
    """An etcd on loopback, empty or on a data directory that is there."""
    directory.mkdir(parents=True, exist_ok=True)
    client, peer = free_ports(2)
    endpoint = f"{'https' if tls else 'http'}://{HOST}:{client}"
    peer_url = f"http://{HOST}:{peer}"
    command = [
        find_binary("etcd", ETCD_VERSION, "KOK_TEST_ETCD"),
        f"--data-dir={data or directory / 'data'}",
        "--unsafe-no-fsync=true",
        f"--listen-client-urls={endpoint}",
        f"--advertise-client-urls={endpoint}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--log-level=error",
        "--max-request-bytes=4194304",
    ]
    if data is not None:
        command.append("--force-new-cluster")
    if tls:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(directory / "ca.crt")
        ca.private_key_pem.write_to_path(directory / "ca.key")
        issued = ca.issue_cert(NAME)
        issued.cert_chain_pems[0].write_to_path(directory / "server.crt")
        issued.private_key_pem.write_to_path(directory / "server.key")
        command += [
            f"--cert-file={directory / 'server.crt'}",
            f"--key-file={directory / 'server.key'}",
            f"--trusted-ca-file={directory / 'ca.crt'}",
            "--client-cert-auth",
        ]
    log = directory / "etcd.log"
    with process(command, log) as one:
        until_it_listens(client, log)
        yield Etcd(endpoint, directory, one, directory if tls else None)


async def fill(member: Member, count: int, size: int) -> None:
    """Writes so many keys of so many bytes, which cannot be compressed."""
    for number in range(count):
        key, value = b"/registry/%06d" % number, os.urandom(size)
        pair = {"key": b64encode(key).decode(), "value": b64encode(value).decode()}
        await member._ask("kv/put", pair, LIMIT)


@contextmanager
def versitygw(directory: Path, program: str) -> Iterator[S3]:
    """An S3 server over TLS, under a CA of its own."""
    keys, root = directory / "keys", directory / "root"
    keys.mkdir()
    root.mkdir()
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    issued = ca.issue_cert(HOST)
    ca.cert_pem.write_to_path(keys / "ca.crt")
    ca.private_key_pem.write_to_path(keys / "ca.key")
    issued.cert_chain_pems[0].write_to_path(keys / "tls.crt")
    issued.private_key_pem.write_to_path(keys / "tls.key")
    (port,) = free_ports(1)
    command = [
        *(program, "--port", f"{HOST}:{port}", "--region", "here-1", "--keep-alive", "--quiet"),
        *("--cert", str(keys / "tls.crt"), "--key", str(keys / "tls.key"), "posix", str(root)),
    ]
    log = directory / "versitygw.log"
    secret = "a secret"
    with process(command, log, ROOT_ACCESS_KEY_ID="access", ROOT_SECRET_ACCESS_KEY=secret):
        until_it_listens(port, log)
        yield S3(
            endpoint=f"https://{HOST}:{port}",
            access_key="access",
            secret_key=secret,
            ca=(keys / "ca.crt").read_text(),
            root=root,
            keys=keys,
            region="here-1",
        )


def find_versitygw() -> str:
    """Its path, from the lab's cache."""
    return find_binary("versitygw", PROGRAM.version, "KOK_TEST_VERSITYGW")


class Line:
    """A TCP connection to a server, of which a bit, the rest or the flow can be lost on the way.

    For etcd without TLS: nothing in HTTP/2 notices a bit that flipped.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.endpoint = ""
        self.flip_at: int | None = None
        self.cut_at: int | None = None
        self.hang_at: int | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        there, back = await asyncio.open_connection(HOST, self._to)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, back))
                group.create_task(self._answer(there, writer))
        except* (OSError, EOFError):
            pass
        finally:
            back.close()
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        raise EOFError

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while data := await reader.read(65536):
            if self.flip_at is not None and 0 <= self.flip_at - sent < len(data):
                at = self.flip_at - sent
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            sent += len(data)
            if self.cut_at is not None and sent > self.cut_at:
                raise EOFError
            if self.hang_at is not None and sent > self.hang_at:
                await asyncio.Event().wait()
            writer.write(data)
            await writer.drain()
        raise EOFError


@asynccontextmanager
async def line(endpoint: str) -> AsyncIterator[Line]:
    """A `Line` to a plain etcd, sound at first."""
    one = Line(int(endpoint.rpartition(":")[2]))
    server = await asyncio.start_server(one.serve, HOST, 0)
    one.endpoint = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield one
    finally:
        server.close()


def restore(snapshot: str, data: Path) -> None:
    """Makes a data directory of a snapshot, as it is."""
    program = find_binary("etcdutl", ETCD_VERSION, "KOK_TEST_ETCDUTL")
    command = [program, "snapshot", "restore", snapshot, "--data-dir", str(data)]
    subprocess.run(command, check=True, capture_output=True)
