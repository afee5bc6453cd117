"""What an API server does by a way into its cluster: exec, logs and an aggregated API, each timed.

By the API itself: the start of a kubectl takes longer than what is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp

from e2e.fixtures import inside
from kok.kube.client import Kube
from kok.kube.http.access import ssl_context

MEBIBYTE = 2**20
_PODS = f"/api/v1/namespaces/{inside.SPACE}/pods"
_PROTOCOL = "v5.channel.k8s.io"
_OUT, _STATUS = 1, 3
"""The first byte of a message: what the program prints, and how it ended, which comes last."""
_LIMIT = aiohttp.ClientTimeout(total=120.0)


class Requests:
    """One client of the business cluster's API."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def execute(self, pod: str, *command: str) -> tuple[float, int]:
        """Seconds until a program has ended, and how many bytes it printed."""
        words = [("stdout", "true"), *(("command", word) for word in command)]
        begin, count = time.perf_counter(), 0
        async with (
            asyncio.timeout(_LIMIT.total),
            self._session.ws_connect(
                f"{self._server}{_PODS}/{pod}/exec",
                params=words,
                protocols=(_PROTOCOL,),
                max_msg_size=0,
            ) as channel,
        ):
            async for message in channel:
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    continue
                if message.data[0] == _STATUS:
                    _succeeded(message.data[1:])
                    return time.perf_counter() - begin, count
                if message.data[0] == _OUT:
                    count += len(message.data) - 1
        raise AssertionError(f"{command[0]} in {pod} ended without a status")

    async def delays(self, pod: str, lines: int) -> list[float]:
        """Seconds from when a line was written, by the node's clock, until it is here: `logs -f`."""
        found: list[float] = []
        words = {"follow": "true", "timestamps": "true", "tailLines": "0"}
        async with self._get(f"{_PODS}/{pod}/log", words) as answer:
            async for line in answer.content:
                now = datetime.now(UTC)
                found.append((now - _moment(line)).total_seconds())
                if len(found) == lines:
                    return found
        raise AssertionError(f"the log of {pod} ended")

    async def whole_log(self, pod: str) -> tuple[float, int]:
        """Seconds until all that a pod said is here, and how many bytes."""
        return await self._whole(f"{_PODS}/{pod}/log", {"follow": "true"})

    async def aggregated(self, path: str) -> tuple[float, int]:
        """The same of an answer of an aggregated API."""
        return await self._whole(path, {})

    async def _whole(self, path: str, words: Mapping[str, str]) -> tuple[float, int]:
        begin, count = time.perf_counter(), 0
        async with self._get(path, words) as answer:
            async for part in answer.content.iter_any():
                count += len(part)
        return time.perf_counter() - begin, count

    @asynccontextmanager
    async def _get(
        self, path: str, words: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"{self._server}{path}"
        async with self._session.get(url, params=words, timeout=_LIMIT) as answer:
            if answer.status != 200:
                raise AssertionError(f"{path}: {answer.status} {(await answer.text())[:300]}")
            yield answer


@asynccontextmanager
async def requests(kube: Kube) -> AsyncIterator[Requests]:
    """A client with the same identity as another."""
    connector = aiohttp.TCPConnector(ssl=ssl_context(kube.access))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Requests(session, kube.server)


def _succeeded(status: bytes) -> None:
    if b'"Success"' not in status:
        raise AssertionError(f"exec: {status.decode(errors='replace')[:300]}")


def _moment(line: bytes) -> datetime:
    """When a line of a log was written: nanoseconds, of which Python reads six digits."""
    whole, _, rest = line.split(b" ", 1)[0].decode().rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{rest[:6]:0<6}+00:00")
