"""Members of an etcd cluster as bare processes on loopback, without TLS: for the client alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import aiohttp
from e2e.polling import eventually
from tests.integration.apiserver import TIED
from tests.integration.operators.etcd.container import program
from tests.integration.operators.etcd.network import own_network

from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import EtcdError, Trouble

LIMIT = 100.0
STARTING = {Trouble.NOT_LISTENING, Trouble.NO_QUORUM, Trouble.SILENT, Trouble.BROKE_OFF}


class Bare:
    """Members of one cluster, each on an address of its own within 127.0.0.0/8."""

    def __init__(self, version: str = "3.6.10", *options: str) -> None:
        self.version = version
        self.options = options
        self.root = Path(tempfile.mkdtemp(prefix="kok-bare-"))
        self._claim, self.network = own_network()
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def address(self, number: int) -> str:
        """Where clients reach a member."""
        return f"http://{self.network}.1.{number + 1}:2379"

    def peer(self, number: int) -> str:
        """Where other members reach a member."""
        return f"http://{self.network}.1.{number + 1}:2380"

    def start(self, number: int, members: list[int], state: str = "new") -> None:
        """Starts one member, which knows of `members`."""
        listed = ",".join(f"m{one}={self.peer(one)}" for one in members)
        with (self.root / f"log-{number}").open("ab") as log:
            self.processes[number] = subprocess.Popen(
                [
                    *TIED,
                    program(self.version),
                    f"--name=m{number}",
                    f"--data-dir={self.root}/m{number}",
                    f"--listen-client-urls={self.address(number)}",
                    f"--advertise-client-urls={self.address(number)}",
                    f"--listen-peer-urls={self.peer(number)}",
                    f"--initial-advertise-peer-urls={self.peer(number)}",
                    f"--initial-cluster={listed}",
                    f"--initial-cluster-state={state}",
                    "--unsafe-no-fsync=true",
                    *self.options,
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    async def form(self, client: EtcdClient, count: int) -> None:
        """Starts so many members and returns once they serve."""
        for number in range(count):
            self.start(number, list(range(count)))
        for number in range(count):
            await self.served(client, number)

    async def served(self, client: EtcdClient, number: int) -> None:
        """Returns once a member gets answers from a quorum."""

        async def answers() -> bool:
            try:
                await client.members(self.address(number))
            except EtcdError as error:
                if error.trouble not in STARTING:
                    raise
                return False
            return True

        await eventually(answers, LIMIT)

    async def missed(self, address: str, member_id: str) -> None:
        """Returns once the member at an address has noticed that another one is not there."""
        gone = re.compile(rf'(?m)^etcd_network_active_peers{{.*Remote="{member_id}"}} 0$')
        async with aiohttp.ClientSession() as session:

            async def noticed() -> bool:
                async with session.get(f"{address}/metrics") as answer:
                    return gone.search(await answer.text()) is not None

            await eventually(noticed, LIMIT, every=0.02)

    def kill(self, number: int) -> None:
        """Ends a member at once."""
        process = self.processes.pop(number)
        process.kill()
        process.wait(timeout=20)

    def close(self) -> None:
        """Ends all of them and removes their data."""
        for number in list(self.processes):
            self.kill(number)
        shutil.rmtree(self.root, ignore_errors=True)
        self._claim.close()
