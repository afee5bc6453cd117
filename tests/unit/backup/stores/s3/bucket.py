"""A store in S3 before a server that says what a test wants; a real one is in the integration tests."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from kok.backup import spec
from kok.backup.stores.s3 import sigv4
from kok.backup.stores.s3.http import S3Http
from kok.backup.stores.s3.store import BucketStore
from kok.backup.stores.store import Content, Source

WHO = sigv4.Credentials("id", "secret")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NO_UPLOADS = "<ListMultipartUploadsResult/>"


@asynccontextmanager
async def bucket(
    handler: Handler, ca: Path | None = None, **changes: object
) -> AsyncIterator[BucketStore]:
    """A store whose server answers so; by TLS if it gets a directory for its CA."""
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{rest:.*}", handler)
    server = TestServer(app, scheme="https" if ca else "http")
    await server.start_server(ssl=identity(ca) if ca else None)
    given = spec.S3Store.model_validate(
        {"endpoint": str(server.make_url("")).rstrip("/"), "bucket": "b", **changes}
    )
    store = BucketStore(given, S3Http(given, WHO, ca, stall=5.0))
    try:
        yield store
    finally:
        await store.close()
        await server.close()


def identity(ca: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca / spec.S3_CA_FILE)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def source(*pieces: bytes, size: int | None = None) -> Source:
    async def given() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    @asynccontextmanager
    async def opened() -> AsyncIterator[Content]:
        yield Content(given(), size)

    return opened


class Upload:
    """A server that keeps what it is sent, whole or in parts, and how it was asked."""

    def __init__(self) -> None:
        self.whole: list[web.Request] = []
        self.left: dict[str, str] = {}
        """What lies there beside, as the headers of an answer to HEAD; nothing if empty."""
        self.looked = 0
        self.deleted: list[str] = []
        self._parts: dict[int, bytes] = {}

    @property
    def kept(self) -> bytes:
        return b"".join(part for _, part in sorted(self._parts.items()))

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "HEAD":
            self.looked += 1
            return web.Response(headers=self.left) if self.left else web.Response(status=404)
        if request.method == "DELETE":
            self.deleted.append(request.path_qs)
        if request.method == "PUT" and "partNumber" not in request.query:
            self.whole.append(request)
            return await self.take(request)
        if request.method == "PUT":
            self._parts[int(request.query["partNumber"])] = await request.read()
        if request.method == "POST" and "uploads" in request.query:
            self._parts.clear()
            return web.Response(text="<R><UploadId>u</UploadId></R>")
        return web.Response(text=NO_UPLOADS, headers={"ETag": '"e"'})

    async def take(self, request: web.Request) -> web.Response:
        self._parts[0] = await request.read()
        return web.Response(headers={"ETag": '"e"'})
