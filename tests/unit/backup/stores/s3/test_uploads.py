"""What is stored in S3 goes whole where it can, and in parts elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from tests.unit.backup.stores.s3.bucket import NO_UPLOADS, Upload, bucket, source

from kok.backup.errors import WorkerError
from kok.backup.stores.store import Content


async def test_an_upload_whose_completion_was_answered_into_the_void_is_done() -> None:
    completions = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal completions
        if request.method == "HEAD":
            return web.Response(status=404)
        if request.method == "GET":
            return web.Response(text=NO_UPLOADS)
        if request.method == "PUT":
            return web.Response(headers={"ETag": '"e"'})
        if "uploads" in request.query:
            return web.Response(text="<R><UploadId>u</UploadId></R>")
        completions += 1
        if completions == 1:
            return web.Response(status=504)
        return web.Response(status=404, text="<Error><Code>NoSuchUpload</Code></Error>")

    async with bucket(answer) as store:
        await store.write("a.snapshot", source(b"data"))

    assert completions == 2


async def test_what_has_a_known_size_goes_in_one_request(tmp_path: Path) -> None:
    server = Upload()

    async with bucket(server.answer, tmp_path, serverSideEncryption="AES256") as store:
        await store.write("a.snapshot", source(b"some", b"data", size=8))

    (request,) = server.whole
    assert server.kept == b"somedata"
    assert request.headers["content-length"] == "8"
    assert request.headers["x-amz-server-side-encryption"] == "AES256"
    assert request.headers["if-none-match"] == "*"


@pytest.mark.parametrize(
    ("size", "tries"), [(9, 2), (7, 2), (4, 2), (None, 1), (5 * 1024**3 + 1, 1)]
)
async def test_what_is_not_as_announced_goes_in_parts(
    tmp_path: Path, size: int | None, tries: int
) -> None:
    server, opened = Upload(), 0

    @asynccontextmanager
    async def counted() -> AsyncIterator[Content]:
        nonlocal opened
        opened += 1
        async with source(b"some", b"data", size=size)() as content:
            yield content

    async with bucket(server.answer, tmp_path) as store:
        await store.write("a.snapshot", counted)

    assert opened == tries
    assert server.kept == b"somedata"


async def test_a_confirmation_that_comes_before_the_end_is_none(tmp_path: Path) -> None:
    class Hasty(Upload):
        async def take(self, request: web.Request) -> web.Response:
            response = web.Response(headers={"ETag": '"e"'})
            await response.prepare(request)
            await response.write_eof()
            assert request.transport is not None
            request.transport.close()
            return response

    server, pieces = Hasty(), [bytes(1024**2)] * 16

    async with bucket(server.answer, tmp_path) as store:
        await store.write("a.snapshot", source(*pieces, size=16 * 1024**2))

    assert len(server.whole) == 1
    assert server.kept == b"".join(pieces)


@pytest.mark.parametrize(
    ("status", "code"),
    [(413, ""), (400, "EntityTooLarge"), (400, ""), (412, ""), (501, ""), (503, "")],
)
async def test_what_is_refused_whole_goes_in_parts(tmp_path: Path, status: int, code: str) -> None:
    class Narrow(Upload):
        async def take(self, request: web.Request) -> web.Response:
            await request.read()
            return web.Response(
                status=status, text=f"<Error><Code>{code}</Code></Error>" if code else ""
            )

    server = Narrow()

    async with bucket(server.answer, tmp_path) as store:
        await store.write("a.snapshot", source(b"data", size=4))

    assert server.kept == b"data"


@pytest.mark.parametrize("status", [401, 403, 507])
async def test_a_refusal_that_parts_would_meet_as_well_ends_it(tmp_path: Path, status: int) -> None:
    class Closed(Upload):
        async def take(self, request: web.Request) -> web.Response:
            await request.read()
            return web.Response(status=status)

    server = Closed()

    async with bucket(server.answer, tmp_path) as store:
        with pytest.raises(WorkerError):
            await store.write("a.snapshot", source(b"data", size=4))

    assert not server.kept
