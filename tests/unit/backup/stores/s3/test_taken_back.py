"""What breaks off on its way to S3 leaves nothing behind, and nothing of others is removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from tests.unit.backup.stores.s3.bucket import NO_UPLOADS, Upload, bucket, source

from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stores.s3 import store as s3
from kok.backup.stores.store import Content, Source


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
