"""`python -m e2e.bench.machine.simulated PORT HOSTKEY CLIENTKEY`: simulated hosts at all addresses of loopback.

Says `ready`, and after each line that it reads how many surveys it has answered so far.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from pathlib import Path

import asyncssh

from e2e.bench.machine.simulated.answers import SimulatedHost


class Hosts:
    """All of them, by their addresses."""

    def __init__(self) -> None:
        self.surveys = 0
        self._known: dict[str, SimulatedHost] = {}
        self.problems: dict[str, int] = defaultdict(int)

    async def run(self, process: asyncssh.SSHServerProcess[str]) -> None:
        """Answers one script, once it is there as a whole."""
        address = str(process.get_extra_info("sockname")[0])
        host = self._known.setdefault(address, SimulatedHost(address))
        script = await process.stdin.read()
        try:
            output, surveyed = host.answer(script)
        except ValueError as error:
            self.problems[str(error)] += 1
            process.stderr.write(f"{error}\n")
            process.exit(1)
            return
        self.surveys += surveyed
        process.stdout.write(output)
        process.exit(0)


class _Server(asyncssh.SSHServer):
    def __init__(self, client: asyncssh.SSHKey) -> None:
        self._client = client

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        del username
        return key == self._client


async def work(port: int, host_key: Path, client: Path) -> None:
    """Until standard input ends."""
    hosts, public = Hosts(), asyncssh.read_public_key(str(client))
    server = await asyncssh.create_server(
        lambda: _Server(public),
        "0.0.0.0",
        port,
        server_host_keys=[str(host_key)],
        process_factory=hosts.run,
        backlog=1024,
    )
    async with server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while await asyncio.to_thread(sys.stdin.readline):
            for text, times in hosts.problems.items():
                sys.stderr.write(f"{times} times: {text}\n")
            hosts.problems.clear()
            sys.stdout.write(f"{hosts.surveys}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
