"""`python -m e2e.writer`: the process that writes; see `e2e.writer`.

It takes commands as JSON lines and answers those that ask for something with one line each.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from dataclasses import asdict
from typing import Any

from e2e.writer.gateway import Gateway, GatewayError, Identity
from e2e.writer.ledger import Found, Ledger

LANES = 3
"""Writes under way at once, so that one that waits for a dead member does not stop the others."""
LINE_LIMIT = 1 << 20


class Work:
    """The lanes, and what they share."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.endpoints: list[str] = []
        self.prefix, self.size, self.patience, self.left = "", 0, 1.0, 0
        self._gateway: Gateway | None = None
        self._user: tuple[str, str] | None = None
        self._lanes: list[asyncio.Task[None]] = []

    async def identity(self, given: dict[str, Any]) -> None:
        """By which certificate to write from now on; connections under the old one end."""
        before, self._gateway = self._gateway, Gateway(Identity(**given))
        if before is not None:
            self._gateway.token = before.token
            await before.close()

    def start(self, given: dict[str, Any]) -> None:
        """Starts the lanes; together they write `rate` keys a second and `limit` in all."""
        self.prefix, self.size = given["prefix"], given["size"]
        self.patience, self.left = given["patience"], given["limit"]
        self._user = (given["user"], given["password"]) if given.get("user") else None
        self.ledger.begin(time.monotonic())
        pause = LANES / given["rate"]
        self._lanes = [asyncio.create_task(self._lane(n, pause)) for n in range(LANES)]

    async def stop(self) -> dict[str, Any]:
        """Ends the lanes; what was under way stays unconfirmed."""
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        return self.lap()

    def lap(self) -> dict[str, Any]:
        """Ends a stretch of time and begins the next; what it was, as JSON of a `Lap`."""
        return asdict(self.ledger.lap(time.monotonic()))

    async def fill(self, given: dict[str, Any]) -> dict[str, Any]:
        """Writes so many bytes in big values as fast as members take them; none is remembered.

        They go to `keys` keys, over and over; to one each if that is 0.
        """
        size, keys = given["size"], given.get("keys", 0)
        left = list(range(given["bytes"] // size))
        begin = time.monotonic()

        async def lane(turn: int) -> None:
            while left:
                number = left.pop()
                key = f"{given['prefix']}{number % keys if keys else number:07d}"
                value = secrets.token_hex(size // 2)
                while True:
                    address = self.endpoints[turn % len(self.endpoints)]
                    try:
                        assert self._gateway is not None
                        await self._gateway.put(address, key, value, 30.0)
                        break
                    except GatewayError:
                        turn += 1
                        await asyncio.sleep(0.5)

        await asyncio.gather(*(lane(n) for n in range(LANES)))
        return {"seconds": time.monotonic() - begin}

    async def read(self, prefix: str, within: float) -> dict[str, Any]:
        """How many keys there are below a prefix, and their highest revision of a change."""
        found = await self._read(prefix, within)
        if isinstance(found, str):
            return {"error": found}
        keys, revision = found
        highest = max((each.revision for each in keys.values()), default=0)
        return {"keys": len(keys), "highest": highest, "revision": revision}

    async def verify(self, within: float) -> dict[str, Any]:
        """Reads everything back and compares it with what was promised."""
        found = await self._read(self.prefix, within)
        if isinstance(found, str):
            return {"error": found}
        return self.ledger.judge(*found).as_json()

    async def _read(self, prefix: str, within: float) -> tuple[dict[str, Found], int] | str:
        """What whichever member answers has below a prefix; why there is nothing after a time."""
        said = "no member has an address"
        until = time.monotonic() + within
        while time.monotonic() < until:
            for address in list(self.endpoints):
                try:
                    if self._gateway is None:
                        break
                    await self._log_in(address)
                    return await self._gateway.read_all(address, prefix)
                except GatewayError as error:
                    said = str(error)
            await asyncio.sleep(0.2)
        return f"nothing could be read back within {within:.0f} s: {said}"

    async def _lane(self, lane: int, pause: float) -> None:
        """One write after another; a member that fails is left for the next one."""
        turn, due = lane, time.monotonic()
        while self.left > 0:
            due = max(due + pause, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            if not self.endpoints or self._gateway is None:
                self.ledger.fail("no member has an address")
                continue
            self.left -= 1
            key = f"{self.prefix}{lane}-{self.left:07d}"
            if not await self._write(self.endpoints[turn % len(self.endpoints)], key):
                turn += 1

    async def _write(self, address: str, key: str) -> bool:
        gateway = self._gateway
        assert gateway is not None
        value = key.ljust(self.size, ".")
        floor = self.ledger.send(key, value)
        try:
            if self._user is not None and gateway.token is None:
                await self._log_in(address)
            revision = await gateway.put(address, key, value, self.patience)
        except GatewayError as error:
            self.ledger.fail(str(error))
            if "token" in str(error):
                gateway.token = None
            return False
        self.ledger.confirm(key, revision, floor, time.monotonic())
        return True

    async def _log_in(self, address: str) -> None:
        if self._user is not None and self._gateway is not None:
            await self._gateway.log_in(address, *self._user)

    async def do(self, what: str, given: Any) -> dict[str, Any] | None:
        """One command; what to answer, if anything."""
        answer: dict[str, Any] | None = None
        match what:
            case "identity":
                await self.identity(given)
            case "endpoints":
                self.endpoints = list(given)
            case "start":
                self.start(given)
            case "lap":
                answer = self.lap()
            case "count":
                answer = {"count": len(self.ledger.promises)}
            case "fill":
                answer = await self.fill(given)
            case "read":
                answer = await self.read(given, 60.0)
            case "stop":
                answer = await self.stop()
            case "verify":
                answer = await self.verify(given)
        return answer


async def serve() -> None:
    """Takes commands until there are no more."""
    work = Work()
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        answer = await work.do(command["do"], command.get("with"))
        if answer is not None:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
