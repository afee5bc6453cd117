"""The S3 client before a server that says what a test wants; a real one is in the integration tests."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from kok.backup import spec
from kok.backup.commands import catalog
from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stores.s3 import http, sigv4
from kok.backup.stores.s3 import store as s3
from kok.backup.stores.s3.http import TRIES, S3Http
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


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_BACKOFF", 0.0)


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


async def test_a_list_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kok.backup.stores.s3.store._PAGES", 5)
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        return web.Response(text=f"<ListBucketResult>{more}</ListBucketResult>")

    async with bucket(answer, prefix="p") as store:
        with pytest.raises(WorkerError, match="its list does not end"):
            _ = [e async for e in store.entries("")]
    assert asked == 5


@pytest.mark.parametrize("suffix", [".snapshot", ".snapshot.json"])
async def test_of_a_list_without_end_no_more_is_held_than_anybody_has(suffix: str) -> None:
    """A page takes far fewer bytes than its list would."""
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        long = f"<Contents><Key>{'x' * 10_000}{suffix}</Key></Contents>"
        each = (f"<Contents><Key>{asked}-{i}{suffix}</Key></Contents>" for i in range(1000))
        return web.Response(
            text=f"<ListBucketResult>{more}{long}{''.join(each)}</ListBucketResult>"
        )

    async with bucket(answer) as store:
        with pytest.raises(WorkerError, match=r"s3://b/.* holds more than 20000 backups") as raised:
            await catalog.names(store, "team-a/shop")
    assert raised.value.reason is Reason.STORE_REFUSED
    assert asked == 21


async def test_an_answer_that_does_not_end_is_given_up() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    async with bucket(answer, prefix="p") as store:
        with pytest.raises(WorkerError, match="sends more than 4 MiB"):
            _ = [e async for e in store.entries("")]


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


def failing(*pieces: bytes, size: int) -> Source:
    """Content that breaks off after these pieces."""

    async def given() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        raise WorkerError(Reason.ETCD_SILENT, "etcd is silent")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Content]:
        yield Content(given(), size)

    return opened


@pytest.fixture
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_LINGER", 0.5)


@pytest.mark.usefixtures("short_linger")
async def test_a_content_that_breaks_off_disturbs_nothing_that_was_there(tmp_path: Path) -> None:
    server = Upload()
    server.left = {"Content-Length": "8"}

    async with bucket(server.answer, tmp_path) as store:
        with pytest.raises(WorkerError, match="etcd is silent"):
            await store.write("a.snapshot", failing(b"some", b"da", size=8))

    assert not server.kept
    assert not server.deleted


@pytest.mark.usefixtures("short_linger")
async def test_what_a_server_keeps_of_a_content_that_breaks_off_is_removed(tmp_path: Path) -> None:
    class Careless(Upload):
        async def answer(self, request: web.Request) -> web.Response:
            if self.looked == 1:
                self.left = {"Content-Length": "4"}
            return await super().answer(request)

    server = Careless()

    async with bucket(server.answer, tmp_path) as store:
        with pytest.raises(WorkerError, match="etcd is silent"):
            await store.write("a.snapshot", failing(b"some", b"da", size=8))

    assert server.deleted == ["/b/a.snapshot"]


@pytest.mark.usefixtures("short_linger")
async def test_a_server_that_answers_too_early_does_not_hold_up_a_failure(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(status=404)
        if request.method == "GET":
            return web.Response(text=NO_UPLOADS)
        response = web.StreamResponse(headers={"ETag": '"e"'})
        await response.prepare(request)
        await over.wait()
        return response

    async with bucket(answer, tmp_path) as store:  # type: ignore[arg-type]
        async with asyncio.timeout(4):  # less than the server may be silent
            with pytest.raises(WorkerError, match="etcd is silent"):
                await store.write("a.snapshot", failing(b"some", b"da", size=8))
        over.set()


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in parts"])
@pytest.mark.parametrize(
    ("mark", "replaced", "deleted"),
    [("own", False, 1), ("others", True, 0), ("", False, 0)],
    ids=["own", "of another try", "of a server that keeps no metadata"],
)
async def test_only_its_own_object_is_taken_back(
    tmp_path: Path, mark: str, *, replaced: bool, deleted: int, whole: bool
) -> None:
    class Marked(Upload):
        async def answer(self, request: web.Request) -> web.Response:
            given = request.headers.get("x-amz-meta-kok-write", "")
            if given:
                self.left = (
                    {"x-amz-meta-kok-write": given if mark == "own" else mark}
                    if mark
                    else {"ETag": "e"}
                )
            return await super().answer(request)

    server = Marked()
    async with bucket(server.answer, tmp_path) as store:
        known = await store.write("a.snapshot", source(b"data", size=4 if whole else None))
        assert await store.replaced("a.snapshot", known) is replaced
        await store.take_back("a.snapshot", known)

    assert len(server.deleted) == deleted


async def test_what_broke_off_of_another_try_stays(tmp_path: Path) -> None:
    """Shorter than this one would have been, but complete."""

    class Broken(Upload):
        async def take(self, request: web.Request) -> web.Response:
            self.left = {"Content-Length": "2", "x-amz-meta-kok-write": "another"}
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")

    async def fails() -> AsyncIterator[bytes]:
        yield b"da"
        raise WorkerError(Reason.ETCD_UNREACHABLE, "gone")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Content]:
        yield Content(fails(), 4)

    server = Broken()
    async with bucket(server.answer, tmp_path) as store:
        with pytest.raises(WorkerError):
            await store.write("a.snapshot", opened)

    assert not [path for path in server.deleted if "uploadId" not in path]
