"""Sessions that carry an identity: to one API server, and to no other."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import aiohttp
from yarl import URL

from kok.kube.http import dial, inbound
from kok.kube.http.access import Access, AccessError, Bearer, ssl_context

CONNECTIONS = 32
"""Requests to one API server under way at once; the others wait for their turn."""
TRIES = 4
"""How often something is asked of servers that are about to end, each time over another connection."""
_MOVED = frozenset({301, 302, 303, 307, 308})


class WrongServer(aiohttp.ClientConnectionError):
    """An identity was about to go where it is not for."""


def new_session(
    access: Access,
    *,
    limit: int = CONNECTIONS,
    response_class: type[aiohttp.ClientResponse] = aiohttp.ClientResponse,
    middlewares: Sequence[aiohttp.ClientMiddlewareType] = (),
    closed: Sequence[str] = (),
    trusted: bool = True,
) -> aiohttp.ClientSession:
    """A session that adds the identity to each request; needs a running event loop.

    The identity goes nowhere but to the server that it is for: a request to another one, and an
    answer that leads on, also to the same one, is an error of the connection, whoever asks.
    `closed`: address ranges into which no connection is made. `trusted` is False for a server of
    somebody else, whose connections are those of `kok.kube.http.inbound`.
    """
    bearer, home = Bearer(access), _origin(access.server)

    async def authorise(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.url.origin() != home:
            raise WrongServer(f"a request to {request.url.origin()} with the identity for {home}")
        for name, what in access.headers:
            request.headers.add(name, what)
        value = await bearer.header()
        if value is not None:
            request.headers["Authorization"] = value
        response = await handler(request)
        if response.status == 401 and value is not None:
            renewed = await bearer.header(fresh=True)
            if renewed != value and renewed is not None:
                response.release()
                request.headers["Authorization"] = renewed
                response = await handler(request)
        if response.status in _MOVED:
            response.close()
            raise WrongServer(f"{home} leads to another address, which is not followed")
        return response

    context: ssl.SSLContext | bool = True
    if home.scheme == "https":
        context = (
            ssl_context(access) if trusted else inbound.with_bounded_handshake(ssl_context(access))
        )
    connector = (aiohttp.TCPConnector if trusted else inbound.Connector)(
        limit=limit,
        ssl=context,
        socket_factory=dial.socket_factory(closed) if closed else None,
    )
    return aiohttp.ClientSession(
        connector=connector,
        middlewares=(*middlewares, _elsewhere, authorise),
        response_class=response_class,
        # No API server has a use for them, and nothing bounds how many one may set.
        cookie_jar=aiohttp.DummyCookieJar(),
        # What is decompressed has no size that could be known before. Nobody who uses this session
        # asks for it either: kopf could not read it.
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
        proxy=access.proxy,
        # A proxy or password of the environment or of ~/.netrc is not for servers of others.
        trust_env=False,
    )


async def _elsewhere(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """One of several API servers that is about to end has not looked at a request, and ends the
    connection with its answer: the next one leads to another server."""
    for _ in range(TRIES - 1):
        response = await handler(request)
        if response.status != 429 or response.headers.get("Connection") != "close":
            return response
        response.close()
    return await handler(request)


def _origin(server: str) -> URL:
    try:
        return URL(server).origin()
    except ValueError:
        raise AccessError(f"{server!r} is no address of an API server") from None
