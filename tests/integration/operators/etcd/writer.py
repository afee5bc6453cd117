"""A small writer: keeps writing, remembers what was confirmed, and checks all of it in the end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.integration.operators.etcd.bare import Bare
from tests.integration.operators.etcd.conftest import World
from tests.integration.operators.etcd.kv import LIMIT

from kok.api.names import etcd_client_secret
from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import Credentials, EtcdError
from kok.kube import kinds

EVERY, RETRY = 0.01, 0.002
DEADLINE = 0.5


class Writer:
    """Writes one key after the other to whichever member takes it, as clients with several
    endpoints do.
    """

    def __init__(self, client: EtcdClient, addresses: Callable[[], Sequence[str]]) -> None:
        self._client = client
        self._clients: list[EtcdClient] = []
        self._addresses = addresses
        self.confirmed: dict[str, str] = {}
        self.longest = 0.0
        """Seconds of the longest time between two confirmed writes."""

    async def restart(self, credentials: Credentials) -> None:
        """Goes on as one does that was restarted: only then it reads whom to trust."""
        self._clients.append(self._client)
        self._client = await EtcdClient(credentials, deadline=DEADLINE).__aenter__()

    async def close(self) -> None:
        """Closes all connections that it ever had but for those of its first client."""
        for client in [*self._clients, self._client][1:]:
            await client.__aexit__(None, None, None)

    async def run(self) -> None:
        """Until it is cancelled."""
        last, turn = time.monotonic(), 0
        for number in itertools.count():
            key, value = f"writer/{number}", str(number)
            while not await self._put(turn, key, value):
                turn += 1
                await asyncio.sleep(RETRY)
            now = time.monotonic()
            self.longest = max(self.longest, now - last)
            last = now
            self.confirmed[key] = value
            await asyncio.sleep(EVERY)

    async def lost(self) -> list[str]:
        """Keys whose confirmed value is not there any more."""
        return [key for key, value in self.confirmed.items() if await self._get(key) != value]

    async def _put(self, turn: int, key: str, value: str) -> bool:
        addresses = self._addresses()
        if not addresses:
            return False
        body = {"key": _encode(key), "value": _encode(value)}
        try:
            await self._client._ask(addresses[turn % len(addresses)], "kv/put", body)
        except EtcdError:
            return False
        return True

    async def _get(self, key: str) -> str | None:
        body = {"key": _encode(key)}
        answer = await self._client._ask(self._addresses()[0], "kv/range", body, LIMIT)
        found = answer.get("kvs") or ()
        return base64.b64decode(found[0]["value"]).decode() if found else None


@asynccontextmanager
async def writing(
    credentials: Credentials, addresses: Callable[[], Sequence[str]]
) -> AsyncIterator[Writer]:
    """A writer at work; at the end nothing that was confirmed may be lost."""
    async with EtcdClient(credentials, deadline=DEADLINE) as client:
        writer = Writer(client, addresses)
        task = asyncio.create_task(writer.run())
        try:
            yield writer
        finally:
            await _ended(task)
        try:
            assert writer.confirmed
            assert await writer.lost() == []
        finally:
            await writer.close()


@asynccontextmanager
async def following(world: World, writer: Writer) -> AsyncIterator[None]:
    """The writer takes up each change of its Secret, as a client does that reads files anew."""

    async def follow() -> None:
        fields = {"metadata.name": etcd_client_secret("e")}
        async for event in world.kube.watch(kinds.SECRET, world.namespace, fields=fields):
            # The first one as well: it may have changed since the writer began.
            if event.type in {"ADDED", "MODIFIED"}:
                await writer.restart(await world.credentials())

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        await _ended(task)


@asynccontextmanager
async def calm(credentials: Credentials) -> AsyncIterator[Writer]:
    """A writer of the same kind to an etcd of one member to which nothing happens.

    Where it has to wait, the machine is to blame: so much longer another may have to wait, too.
    Its etcd does without TLS and looks at no credentials.
    """
    bare = Bare()
    try:
        async with EtcdClient(credentials, deadline=DEADLINE) as client:
            await bare.form(client, 1)
            writer = Writer(client, lambda: [bare.address(0)])
            task = asyncio.create_task(writer.run())
            try:
                yield writer
            finally:
                await _ended(task)
    finally:
        bare.close()


async def _ended(task: asyncio.Task[None]) -> None:
    """Ends what goes on for ever; raises if it ended before, by an error."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
