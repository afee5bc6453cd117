"""HTTP to one API server: credentials, deadlines, errors. Knows nothing of kinds."""

from __future__ import annotations

import json
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from kok.kube.access import Access, Bearer, ssl_context
from kok.kube.errors import KubeError, Unreachable, error_of
from kok.kube.nesting import parse

JSON = "application/json"
READ_BUFFER = 2**21
"""Bytes of one line of a watch: an object of the largest size that etcd takes."""

Observer = Callable[[str, int], None]
"""Told the method and the HTTP status (0: there was no answer) of every request, as soon as that
is known; nothing of one that was given up by whoever asked."""


# asyncio sets aside 256 KiB for every TLS connection, and OpenSSL as much as it is then handed at
# once. An operator holds dozens of watches that say little: a quarter of that saves it 15 MB.
SSLProtocol.max_size = 64 * 1024

CONNECTIONS = 32
"""Requests to one API server under way at once; the others wait for their turn."""


def new_session(
    access: Access,
    *,
    limit: int = CONNECTIONS,
    response_class: type[aiohttp.ClientResponse] = aiohttp.ClientResponse,
) -> aiohttp.ClientSession:
    """A session that adds the identity to each request; needs a running event loop."""
    bearer = Bearer(access)

    async def authorise(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        value = bearer.header()
        if value is not None:
            request.headers["Authorization"] = value
        response = await handler(request)
        if response.status == 401 and value is not None:
            renewed = bearer.header(fresh=True)
            if renewed != value and renewed is not None:
                response.release()
                request.headers["Authorization"] = renewed
                response = await handler(request)
        return response

    secure = access.server.startswith("https:")
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit, ssl=ssl_context(access) if secure else True),
        middlewares=(authorise,),
        response_class=response_class,
        read_bufsize=READ_BUFFER,
        proxy=access.proxy,
    )


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
    ) -> None:
        self.access = access
        self.timeout = timeout
        self._headers = {"Accept": JSON, "User-Agent": user_agent}
        self._observer = observer
        self._session = new_session(access, limit=connections)

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
        """The parsed answer: JSON where the server says so, else text. Raises `KubeError`."""
        limit = aiohttp.ClientTimeout(total=timeout or self.timeout)
        async with self._exchange(
            method, path, body, query=query, headers=headers, timeout=limit
        ) as response:
            raw = await response.read()
            if response.status >= 400:
                raise error_of(response.status, raw)
            if response.content_type.endswith("json"):
                return parse(raw) if raw else None
            return raw.decode("utf-8", "replace")

    async def lines(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The objects of a stream of JSON lines; ends when the server ends it.

        `idle` is how many seconds of silence mean that the connection is dead.
        """
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self.timeout, sock_read=idle)
        async with self._exchange(
            "GET", path, None, query=query, headers=None, timeout=limit
        ) as response:
            if response.status >= 400:
                raise error_of(response.status, await response.read())
            try:
                async for line in response.content:
                    if line.strip():
                        yield parse(line)
            finally:
                # Whoever stops to listen does not wait for the server's farewell.
                transport = response.connection.transport if response.connection else None
                if transport is not None:
                    transport.abort()

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
            async with self._session.request(
                method,
                self.access.server + path,
                params=query,
                data=data,
                headers=sent,
                timeout=timeout,
                server_hostname=self.access.tls_server_name,
                allow_redirects=False,
            ) as response:
                # Now, and not at the end, which for a watch is minutes away.
                answered = True
                self._tell(method, response.status)
                yield response
        except KubeError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if not answered:
                self._tell(method, 0)
            raise Unreachable(_sentence(self.access.server, error)) from error

    def _tell(self, method: str, status: int) -> None:
        if self._observer is not None:
            self._observer(method, status)


def _sentence(server: str, error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"{server} did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {server} is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {server}: {error.os_error or error}"
    if isinstance(error, json.JSONDecodeError):
        return f"{server} did not answer with JSON"
    return f"{server}: {error or type(error).__name__}"
