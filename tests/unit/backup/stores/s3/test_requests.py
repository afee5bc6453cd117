"""How the S3 client asks, what it tries again, and which answers it does not believe."""

from __future__ import annotations

import pytest
from aiohttp import web
from tests.unit.backup.stores.s3.bucket import NO_UPLOADS, bucket, source

from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stores.s3.http import TRIES


async def test_server_side_encryption_is_asked_for_and_signed() -> None:
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(status=404)
        if request.method == "GET":
            return web.Response(text=NO_UPLOADS)
        asked.append(request)
        return web.Response(status=501, text="<Error><Code>NotImplemented</Code></Error>")

    async with bucket(answer, serverSideEncryption="aws:kms", kmsKeyId="key-1") as store:
        with pytest.raises(WorkerError, match="NotImplemented") as raised:
            await store.write("a.snapshot", source(b"data"))

    assert raised.value.reason is Reason.STORE_REFUSED
    headers = asked[0].headers
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
    assert "x-amz-server-side-encryption;" in headers["authorization"]
    assert len(asked) == 1


@pytest.mark.parametrize(("status", "tries"), [(503, TRIES), (429, TRIES), (403, 1), (400, 1)])
async def test_only_what_may_pass_is_tried_again_and_not_for_ever(status: int, tries: int) -> None:
    count = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response(status=status)

    async with bucket(answer) as store:
        with pytest.raises(WorkerError):
            await store.put("a.snapshot.json", b"{}")

    assert count == tries


async def test_a_server_that_ignores_ranges_does_not_mix_up_an_object() -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {"ETag": '"e"', "Content-Length": "1000"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return response  # type: ignore[return-value]

    async with bucket(answer) as store:
        with pytest.raises(WorkerError, match="whole object") as raised:
            [piece async for piece in store.read("a.snapshot")]

    assert raised.value.reason is Reason.STORE_REFUSED


async def test_an_error_in_place_of_an_object_is_no_object() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<Error><Code>InternalError</Code></Error>")

    async with bucket(answer) as store:
        with pytest.raises(WorkerError) as raised:
            await store.get("a.snapshot.json", 100)

    assert raised.value.reason is Reason.STORE_BUSY


async def test_an_answer_that_does_not_end_is_given_up() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    async with bucket(answer, prefix="p") as store:
        with pytest.raises(WorkerError, match="sends more than 4 MiB"):
            _ = [e async for e in store.entries("")]
