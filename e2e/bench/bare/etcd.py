"""The same by hand: members of etcd as bare processes on this machine, with TLS."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import trustme

from e2e.bench.bare.control_plane import free_port
from e2e.polling import eventually

HOST = "127.0.0.1"
DEADLINE = 60.0


@dataclass
class Member:
    """One process: its name, its ports, and what it was started with."""

    name: str
    client: int = field(default_factory=free_port)
    peer: int = field(default_factory=free_port)
    metrics: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    @property
    def peer_url(self) -> str:
        """Where other members reach it."""
        return f"https://{HOST}:{self.peer}"

    @property
    def entry(self) -> str:
        """Its part of `--initial-cluster`."""
        return f"{self.name}={self.peer_url}"


class Bare:
    """A cluster of bare processes in a folder."""

    def __init__(self, home: Path, etcd: Path, etcdctl: Path) -> None:
        self.home, self.etcd, self.etcdctl = home, etcd, etcdctl
        authority = trustme.CA()
        issued = authority.issue_cert(HOST, "localhost")
        authority.cert_pem.write_to_path(home / "ca.crt")
        issued.private_key_pem.write_to_path(home / "tls.key")
        (home / "tls.crt").write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))
        self.members: list[Member] = []

    async def create(self, count: int) -> float:
        """Seconds until all members of a new cluster are ready."""
        self.members = [Member(f"m{n}") for n in range(count)]
        listed = ",".join(m.entry for m in self.members)
        begin = time.monotonic()
        await asyncio.gather(*(self.start(m, listed, "new") for m in self.members))
        await asyncio.gather(*(ready(m) for m in self.members))
        return time.monotonic() - begin

    async def grow(self) -> float:
        """Seconds until one more member was added as a learner and has its vote."""
        new = Member(f"m{len(self.members)}")
        begin = time.monotonic()
        added = await self._retried(
            "member", "add", new.name, "--learner", f"--peer-urls={new.peer_url}"
        )
        number = added.split()[1]
        listed = ",".join(m.entry for m in (*self.members, new))
        self.members.append(new)
        await self.start(new, listed, "existing")
        await self._retried("member", "promote", number)
        await ready(new)
        return time.monotonic() - begin

    async def restart(self, member: Member) -> float:
        """Seconds from a member's SIGKILL until it is ready again."""
        assert member.process is not None
        begin = time.monotonic()
        member.process.kill()
        await member.process.wait()
        await self.start(member, ",".join(m.entry for m in self.members), "existing")
        await ready(member)
        return time.monotonic() - begin

    async def start(self, member: Member, listed: str, state: str) -> None:
        """Starts a member's process."""
        tls = [
            f"--{prefix}{flag}={self.home / file}"
            for prefix in ("", "peer-")
            for flag, file in (
                ("cert-file", "tls.crt"),
                ("key-file", "tls.key"),
                ("trusted-ca-file", "ca.crt"),
            )
        ]
        with (self.home / f"{member.name}.log").open("ab") as log:
            member.process = await asyncio.create_subprocess_exec(
                str(self.etcd),
                f"--name={member.name}",
                f"--data-dir={self.home / member.name}",
                f"--listen-client-urls=https://{HOST}:{member.client}",
                f"--advertise-client-urls=https://{HOST}:{member.client}",
                f"--listen-peer-urls={member.peer_url}",
                f"--initial-advertise-peer-urls={member.peer_url}",
                f"--listen-metrics-urls=http://{HOST}:{member.metrics}",
                f"--initial-cluster={listed}",
                f"--initial-cluster-state={state}",
                *("--client-cert-auth", "--peer-client-cert-auth", *tls),
                stdout=log,
                stderr=log,
            )

    async def stop(self) -> None:
        """Ends all processes."""
        for member in self.members:
            if member.process is not None and member.process.returncode is None:
                member.process.kill()
                await member.process.wait()

    async def _retried(self, *argv: str) -> str:
        """etcdctl until it succeeds: etcd refuses changes until members are known to be well."""

        async def tried() -> tuple[str] | None:
            process = await asyncio.create_subprocess_exec(
                str(self.etcdctl),
                f"--endpoints=https://{HOST}:{self.members[0].client}",
                f"--cacert={self.home / 'ca.crt'}",
                f"--cert={self.home / 'tls.crt'}",
                f"--key={self.home / 'tls.key'}",
                *argv,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            out, _ = await process.communicate()
            return (out.decode(),) if process.returncode == 0 else None

        said = await eventually(tried, DEADLINE, every=0.1)
        return said[0] if said else ""


async def ready(member: Member) -> None:
    """Waits until a member says that it is ready, which needs a quorum."""
    url = f"http://{HOST}:{member.metrics}/readyz"
    async with aiohttp.ClientSession() as session:

        async def is_ready() -> bool:
            async with session.get(url) as answer:
                return answer.status == 200

        await eventually(is_ready, DEADLINE, every=0.02, unless=(aiohttp.ClientError,))


@asynccontextmanager
async def bare(etcd: Path, etcdctl: Path) -> AsyncIterator[Bare]:
    """A place for one cluster; its processes end with the block."""
    with tempfile.TemporaryDirectory(prefix="kok-bare-") as folder:
        found = Bare(Path(folder), etcd, etcdctl)
        try:
            yield found
        finally:
            await found.stop()
