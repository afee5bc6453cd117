"""HTTP to one API server: deadlines, limits, errors. Knows nothing of kinds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp

from kok.kube.budget.cpu_shares import BYTE, FREE, NAMESPACE, shares
from kok.kube.budget.in_flight import AnswersInFlight
from kok.kube.budget.limits import META, Limits, weight
from kok.kube.budget.read_rate import CHUNK, LINE, ReadRate
from kok.kube.decoding.nesting import parse
from kok.kube.decoding.truncation import truncated
from kok.kube.errors import Barred, KubeError, TooLarge, Unreachable, error_of
from kok.kube.http import dial, inbound
from kok.kube.http.access import Access
from kok.kube.http.connection_slots import ConnectionSlots
from kok.kube.http.paths import namespace_of
from kok.kube.http.session import CONNECTIONS, new_session

JSON = "application/json"
ERROR_BODY = 2**16
"""Bytes of a refusal that are read; the sentence in it is cut much shorter."""
_CHUNK = 2**16
LONGEST_LINE, MATCHES = 2**14, 1000
"""Bytes of a line, and lines, that are looked at or kept of a text of any length."""
_TINY = 1024
"""Chunks of an answer that may be of any size."""

Observer = Callable[[str, int], None]
"""Told the method and the HTTP status (0: there was no answer) of every request, as soon as that
is known; nothing of one that was given up by whoever asked."""


class Transport:
    """Sends requests to one API server and turns every failure into a `KubeError`."""

    def __init__(
        self,
        access: Access,
        *,
        timeout: float,
        user_agent: str,
        observer: Observer | None = None,
        connections: int = CONNECTIONS,
        limits: Limits = META,
        closed: Sequence[str] = (),
    ) -> None:
        self.access = access
        self.timeout = timeout
        self.limits = limits
        self.pace = ReadRate(limits.rate, asyncio.get_running_loop().time)
        self.listed = 0
        """Bytes that the pages of all lists take which are not complete yet."""
        self._headers = {"Accept": JSON, "User-Agent": user_agent}
        self._observer = observer
        self._reading = AnswersInFlight(limits.reading)
        self.sizes: dict[str, int] = {}
        """By path: how many objects of a list are asked for, where more were too large."""
        self._closed = closed
        self._session = new_session(
            access, limit=connections, closed=closed, trusted=limits.accounts
        )
        self._turns = ConnectionSlots(connections)

    async def close(self) -> None:
        """Closes all connections; requests under way fail."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The parsed answer: JSON where the server says so, else text.

        Raises `KubeError`; `TooLarge` for an answer beyond the limits.
        """
        await self.rest(path, method)
        answer, _ = await self.measured(
            method, path, body, query=query, headers=headers, timeout=timeout
        )
        return answer

    async def measured(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        several: bool = False,
        pace: ReadRate | None = None,
    ) -> tuple[Any, int]:
        """What `request` returns, and about how much memory it takes, in bytes; does not `rest`.

        `several`: of a list, in which no object is cut without need, and which could be asked for
        again with fewer. `pace` is told of what came.
        """
        limit, namespace = aiohttp.ClientTimeout(total=timeout or self.timeout), self._whose(path)
        async with self._exchange(
            method, path, body, query=query, headers=headers, timeout=limit
        ) as response:
            if response.status >= 400:
                refusal = await self._beginning(response)
                self._turns.answered()
                raise error_of(response.status, refusal)
            raw = await self._read(response, several, pace, namespace)
            self._turns.answered()
            if not response.content_type.endswith("json"):
                return raw.decode("utf-8", "replace"), len(raw)
            if not several or weight(raw) > self.limits.weight:
                raw = await self._cut(raw)
            return (self._parsed(raw, several), weight(raw)) if raw else (None, 0)

    async def rest(self, path: str, method: str = "GET") -> float:
        """Waits until something there may be asked for, see `kok.kube.budget.cpu_shares`; for how long.

        Only in the namespace's own work: nobody waits for what another one owes. What is written
        into the meta cluster is not waited with; its API server makes little work of it.
        """
        begun, namespace = asyncio.get_running_loop().time(), self._whose(path)
        if self.limits.accounts and method != "GET":
            return 0.0
        if namespace is not None and namespace == NAMESPACE.get():
            await shares().rest(namespace)
        return asyncio.get_running_loop().time() - begun

    async def lines(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        idle: float,
        whole: float,
        opened: Callable[[], None] = lambda: None,
        accept: str | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The objects of a stream of JSON lines; ends when the server ends it.

        `idle` is how many seconds of silence mean that the connection is dead, `whole` after how
        many it ought to have been ended: a byte now and then could keep it up for ever. `opened` is
        called when the stream begins, for which it has as long as any other answer; it goes no
        faster than `pace` allows.
        """
        limit = aiohttp.ClientTimeout(total=whole, sock_connect=self.timeout, sock_read=idle)
        headers = {"Accept": accept} if accept is not None else None
        if not self.limits.accounts:
            await self.rest(path)
        async with self._exchange(
            "GET", path, None, query=query, headers=headers, timeout=limit
        ) as response:
            if response.status >= 400:
                raise error_of(response.status, await self._beginning(response))
            _refuse_encoded(response)
            opened()
            try:
                async with aclosing(self._split(response.content)) as lines:
                    async for line in lines:
                        yield self._parsed_object(await self._cut(line))
                        del line
            finally:
                # Whoever stops to listen does not wait for the server's farewell.
                transport = response.connection.transport if response.connection else None
                if transport is not None:
                    transport.abort()

    async def matching(
        self, path: str, beginnings: tuple[bytes, ...], *, most: int, timeout: float
    ) -> list[str]:
        """The lines of a text that begin so; of the rest nothing is kept, however long it is.

        Raises `TooLarge` for more than `most` bytes, for a line that is too long to be one, and for
        too many lines that are wanted.
        """
        await self.rest(path)
        found: list[str] = []
        rest, size = b"", 0
        async with self._exchange(
            "GET",
            path,
            None,
            query=None,
            headers={"Accept": "text/plain"},
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            if response.status >= 400:
                refusal = await self._beginning(response)
                self._turns.answered()
                raise error_of(response.status, refusal)
            _refuse_encoded(response)
            async with aclosing(self._body(response)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    *lines, rest = (rest + chunk).split(b"\n")
                    if size > most or len(rest) > LONGEST_LINE:
                        raise self.too_large(f"more than {most} bytes, or a line without an end")
                    found += (
                        line.decode("utf-8", "replace")
                        for line in lines
                        if line.startswith(beginnings)
                    )
                    if len(found) > MATCHES:
                        raise self.too_large(f"more than {MATCHES} lines of what was asked for")
            self._turns.answered()
        if rest.startswith(beginnings):
            found.append(rest.decode("utf-8", "replace"))
        return found

    async def _split(self, content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
        """The lines of a stream but for blank ones; raises `TooLarge` before one is too long."""
        line = bytearray()
        async for chunk in self._chunks(content):
            await self.pace.keep(len(chunk) + CHUNK + LINE * chunk.count(b"\n"))
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                line += end
                if line.strip():
                    yield bytes(line)
                line.clear()
            line += rest
            if len(line) > self.limits.line:
                raise self.too_large(f"a line of more than {self.limits.line} bytes")
        if line.strip():
            yield bytes(line)

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        body: object,
        *,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        sent = {**self._headers, **(headers or {})}
        data: bytes | None = None
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", JSON)
        answered = False
        try:
            async with (
                self._turns.one(timeout.sock_connect or timeout.total or self.timeout),
                # A stream may last, but not keep us waiting for its beginning.
                asyncio.timeout(self.timeout if timeout.sock_read else None) as beginning,
                self._session.request(
                    method,
                    self.access.server + path,
                    params=query,
                    data=data,
                    headers=sent,
                    timeout=timeout,
                    server_hostname=self.access.tls_server_name,
                    allow_redirects=False,
                ) as response,
            ):
                # Now, and not at the end, which for a watch is minutes away.
                answered = True
                beginning.reschedule(None)
                self._tell(method, response.status)
                yield response
        except KubeError:
            raise
        except inbound.Flooded as error:
            if not answered:
                self._tell(method, 0)
            raise self.too_large(str(error)) from error
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            if not answered:
                self._tell(method, 0)
            barred = bool(self._closed) and dial.was_forbidden(error)
            kind = Barred if barred else Unreachable
            raise kind(_sentence(self.access.server, error)) from error

    def _chunks(self, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        """What comes, in chunks as the server made them where it is not trusted to make few."""
        return _as_sent(content) if self.limits.chunk else content.iter_chunked(_CHUNK)

    async def _body(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """The chunks of an answer; raises `TooLarge` as soon as they are too small."""
        least, count, size = self.limits.chunk, 0, 0
        async for chunk in self._chunks(response.content):
            count, size = count + 1, size + len(chunk)
            if least and count > _TINY + size // least:
                raise self.too_large(f"pieces of less than {least} bytes")
            yield chunk

    async def _beginning(self, response: aiohttp.ClientResponse) -> bytes:
        """As much of an answer as its message may take."""
        raw = bytearray()
        async with aclosing(self._body(response)) as chunks:
            async for chunk in chunks:
                raw += chunk
                if len(raw) >= ERROR_BODY:
                    break
        return bytes(raw[:ERROR_BODY])

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        several: bool,
        pace: ReadRate | None,
        namespace: str | None,
    ) -> bytes:
        """All of an answer; raises `TooLarge` as soon as it is known to be more than it may."""
        _refuse_encoded(response)
        most = self.limits.size(several=several)
        if (response.content_length or 0) > most:
            raise self.too_large(f"more than {most} bytes")
        raw = bytearray()
        try:
            with self._reading.one() as answer:
                async with aclosing(self._body(response)) as chunks:
                    async for chunk in chunks:
                        raw += chunk
                        if pace is not None:
                            pace.owe(len(chunk) + CHUNK)
                        if len(raw) > most:
                            raise self.too_large(f"more than {most} bytes")
                        await self._reading.more(answer, len(chunk))
        finally:
            # What comes from servers of others is paid for where it arrives.
            if self.limits.accounts and namespace is not None and len(raw) > FREE:
                shares().owe(namespace, len(raw) * BYTE)
        return bytes(raw)

    async def _cut(self, raw: bytes) -> bytes:
        return await truncated(raw) if self.limits.cuts else raw

    def _whose(self, path: str) -> str | None:
        """The namespace that has to pay for what is read there.

        In the meta cluster whose it is; of another server, who has it asked.
        """
        return namespace_of(path) if self.limits.accounts else NAMESPACE.get() or None

    def _parsed(self, raw: bytes, several: bool) -> Any:
        most = self.limits.parsed(several=several)
        if weight(raw) > most:
            raise self.too_large(f"more values than {most} bytes of memory hold")
        return parse(raw)

    def _parsed_object(self, raw: bytes) -> dict[str, Any]:
        found = self._parsed(raw, several=False)
        if not isinstance(found, dict):
            raise Unreachable(f"{self.access.server} did not answer with Kubernetes objects")
        return found

    def too_much(self, listed: int, *, everywhere: bool) -> bool:
        """Whether a list takes too many bytes of memory, by itself or together with others.

        `everywhere`: it is of no one namespace.
        """
        together = self.limits.together
        most = self.limits.everywhere if everywhere else self.limits.listed
        return listed > most or (together is not None and self.listed > together)

    def too_large(self, what: str) -> TooLarge:
        """The error for an answer that is more than is taken from this server."""
        return TooLarge(f"{self.access.server} answered with {what}, which is not read")

    def _tell(self, method: str, status: int) -> None:
        if self._observer is not None:
            self._observer(method, status)


async def _as_sent(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    async for chunk, _ in content.iter_chunks():
        yield chunk


def _refuse_encoded(response: aiohttp.ClientResponse) -> None:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        host = response.url.origin()
        raise Unreachable(f"{host} answers in an encoding that it was not asked for")


def _sentence(server: str, error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"{server} did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {server} is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {server}: {error.os_error or error}"
    if isinstance(error, json.JSONDecodeError | RecursionError | UnicodeDecodeError):
        return f"{server} did not answer with JSON"
    return f"{server}: {error or type(error).__name__}"
