"""What kopf gets to see of the API: little of each object, and never much at a time.

kopf keeps the objects that it looks after for as long as they exist. All that it needs of them is
their metadata, which the API server sends alone if it is asked to: what tenants write into specs,
and what lies in Secrets, does not come into the process that way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from typing import Any, Final

import aiohttp
from pydantic_core import from_json, to_json

from kok.api.meta import Kind
from kok.kube.budget.cpu_shares import shares
from kok.kube.budget.cpu_time import cpu_seconds
from kok.kube.budget.limits import META, weight
from kok.kube.decoding.nesting import shallow
from kok.kube.decoding.truncation import truncated
from kok.kube.lists.pages import BARE, GROWS_AFTER
from kok.runtime.kopf.large_events import HeldBack

PAGE_BYTES: Final = META.answer
PAGE_WEIGHT: Final = META.weight // 2
"""Of one page of a list; a page beyond it is asked for again with fewer objects."""
_ALONE: Final = BARE.replace("MetadataList;", "Metadata;")


class PartialResponse(aiohttp.ClientResponse):
    """An answer whose objects, of a list or line by line, were made small before it is parsed."""

    _whole: bytes | None = None

    async def start(self, connection: Any) -> PartialResponse:
        """Reads the head of the answer; a watch's content is small, whole lines from then on."""
        await super().start(connection)
        if "watch" in self.url.query:
            self.content: Any = _Lines(self.content)
        return self

    async def read(self) -> bytes:
        """The body, made small, at once. Raises `aiohttp.ClientError`."""
        if self._body is None:
            whole, self._whole = self._whole, None
            self._body = await gist(await super().read() if whole is None else whole)
        return self._body

    async def fits(self, several: bool) -> bool:
        """Whether it is no more than one page may be, of several objects or of one.

        If not it is closed; one object alone may be of any weight.
        """
        most = META.size(several=several)
        raw = bytearray()
        async for chunk in self.content.iter_chunked(2**16):
            raw += chunk
            if len(raw) > most:
                self.close()
                return False
        whole = bytes(raw)
        self._whole = (
            await truncated(whole) if weight(whole) > PAGE_WEIGHT or not several else whole
        )
        return weight(self._whole) <= PAGE_WEIGHT or not several


class PartialObjects:
    """Middleware that asks for metadata alone, and for lists in pages that are not too large."""

    def __init__(self, metadata: Collection[Kind]) -> None:
        """`metadata`: kinds of which nothing else is needed."""
        self._alone = {f"{_root(kind)}/{kind.plural}" for kind in metadata}
        self._sizes: dict[str, int] = {}
        """By path of a collection: how many objects are asked for, where all were too large."""
        self._held: dict[tuple[str, str], HeldBack] = {}
        """Events of each watch that wait, from one stream to the next."""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Called by aiohttp with each request: asks for what is needed alone, in pages that fit."""
        listing = request.method == "GET" and "limit" in request.url.query
        collection, alone = self._collection(request.url.path)
        if alone:
            request.headers["Accept"] = BARE if listing else _ALONE
        watch = request.url.path, request.url.query.get("labelSelector", "")
        if not (listing and collection):
            response = await handler(request)
            if isinstance(lines := response.content, _Lines):
                lines.held = self._held.setdefault(watch, lines.held)
            return response
        if (held := self._held.get(watch)) is not None:
            held.drop()  # What comes now is newer.
        return await self._listed(request, handler)

    async def _listed(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A page of a list, made smaller until it is not too large."""
        path, asked = request.url.path, int(request.url.query["limit"])
        # kopf asks for as many of each page, whatever the page before had to be.
        size = min(asked, self._sizes.pop(path, asked))
        while True:
            if size != asked:
                request.url = request.url.update_query(limit=str(size))
            response = await handler(request)
            if response.status >= 400 or not isinstance(response, PartialResponse):
                return response
            if await response.fits(size > 1):
                if size < asked:
                    self._sizes[path] = size + max(1, size // GROWS_AFTER)
                return response
            if size <= 1:
                # Which kopf says and tries again, ever more slowly.
                raise aiohttp.ClientConnectionError(f"an object of {META.alone} bytes and more")
            size = max(1, size // 4)

    def _collection(self, path: str) -> tuple[bool, bool]:
        """Whether it is a path of a collection or below one; and of one that needs no more."""
        parts = path.strip("/").split("/")
        root, rest = (parts[:2], parts[2:]) if parts[0] == "api" else (parts[:3], parts[3:])
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            rest = rest[2:]
        return bool(rest), "/".join([*root, *rest[:1]]) in self._alone


def _root(kind: Kind) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


async def gist(text: bytes) -> bytes:
    """The same JSON without what is too much, nested too deep, or a record of who wrote what."""
    text = await truncated(text)
    try:
        found = from_json(text)
    except ValueError:
        return shallow(text)
    if not isinstance(found, dict):
        return text
    empty = "items" in found and found["items"] is None
    if empty:
        found["items"] = []  # Of metadata alone an empty list is null, which kopf cannot read.
    listed = found.get("items")
    objects = [found, found.get("object"), *(listed if isinstance(listed, list) else ())]
    metas = [one.get("metadata") for one in objects if isinstance(one, dict)]
    dropped = [m.pop("managedFields", None) for m in metas if isinstance(m, dict)]
    return to_json(found) if empty or any(dropped) else text


class _Lines:
    """A stream whose chunks are whole lines."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content
        self._shares = shares()
        self.held = HeldBack(self._shares)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """The stream's lines one by one, each made small; `size` bytes are read at a time."""
        async with aclosing(self._told(size)) as lines:
            async for line in lines:
                before = cpu_seconds()
                small = await gist(line) + b"\n"
                if (account := self.held.account(line)) is not None:
                    # kopf reads it once more, and tells all that wait for it.
                    self._shares.owe(account, 2 * (cpu_seconds() - before))
                del line
                yield small

    async def _told(self, size: int) -> AsyncGenerator[bytes, None]:
        """The lines, but those that are held back when their time has come.

        What still waits when the stream ends is told by the next one: kopf goes on behind what it
        was told of last, which may be newer.
        """
        lines = self._split(size)
        coming: asyncio.Task[bytes | None] | None = None
        try:
            while True:
                coming = coming or asyncio.create_task(_next(lines))
                await asyncio.wait({coming}, timeout=self.held.wait())
                if coming.done():
                    task, coming = coming, None
                    if (line := task.result()) is None:
                        break
                    if not self.held.takes(line):
                        yield line
                    del line, task
                for held in self.held.due():
                    yield held
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            await lines.aclose()

    async def _split(self, size: int) -> AsyncGenerator[bytes, None]:
        parts: list[bytes] = []
        async for chunk in self._content.iter_chunked(size):
            *whole, rest = chunk.split(b"\n")
            for line in whole:
                yield b"".join((*parts, line))
                parts.clear()
            parts.append(rest)
        if any(parts):
            yield b"".join(parts)


async def _next(lines: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(lines, None)
