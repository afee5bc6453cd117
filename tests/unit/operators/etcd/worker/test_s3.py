"""The S3 client before a server that says what a test wants; a real one is in the integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kok.operators.etcd.worker import s3http, sigv4, spec
from kok.operators.etcd.worker.errors import WorkerError
from kok.operators.etcd.worker.reasons import Reason
from kok.operators.etcd.worker.s3 import BucketStore
from kok.operators.etcd.worker.s3http import TRIES, S3Http

WHO = sigv4.Credentials("id", "secret")
Handler = Callable[[web.Request], Awaitable[web.Response]]
NO_UPLOADS = "<ListMultipartUploadsResult/>"


@asynccontextmanager
async def bucket(handler: Handler, **changes: object) -> AsyncIterator[BucketStore]:
    """A store whose server answers so."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    async with TestServer(app) as server:
        given = spec.S3Store.model_validate(
            {"endpoint": str(server.make_url("")).rstrip("/"), "bucket": "b", **changes}
        )
        store = BucketStore(given, S3Http(given, WHO, None, stall=5.0))
        try:
            yield store
        finally:
            await store.close()


async def some() -> AsyncIterator[bytes]:
    yield b"data"


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3http, "_BACKOFF", 0.0)


async def test_server_side_encryption_is_asked_for_and_signed() -> None:
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(text=NO_UPLOADS)
        asked.append(request)
        return web.Response(status=501, text="<Error><Code>NotImplemented</Code></Error>")

    async with bucket(answer, serverSideEncryption="aws:kms", kmsKeyId="key-1") as store:
        with pytest.raises(WorkerError, match="NotImplemented") as raised:
            await store.write("a.snapshot", some())

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


async def test_an_upload_whose_completion_was_answered_into_the_void_is_done() -> None:
    completions = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal completions
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
        await store.write("a.snapshot", some())

    assert completions == 2


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


async def test_lists_are_read_to_their_end() -> None:
    async def answer(request: web.Request) -> web.Response:
        token = request.query.get("continuation-token", "")
        more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        return web.Response(
            text=f"<ListBucketResult>{'' if token else more}<Contents><Key>p/{token or 'first'}"
            "</Key><Size>1</Size></Contents></ListBucketResult>"
        )

    async with bucket(answer, prefix="p") as store:
        assert [e.key async for e in store.entries("")] == ["first", "t"]
