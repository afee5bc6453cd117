"""A server of the lab's artifacts that stalls, or is slow, on command: a server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from aiohttp import web

from e2e.lab import Lab

CHUNK = 256 * 1024


class ArtifactServer:
    """The server; made by `faulty`."""

    def __init__(self, root: Path) -> None:
        self.url = ""
        self.rate = 0.0
        """Bytes a second, for each file; 0: as fast as it goes."""
        self.served: list[str] = []
        """Paths that were served whole, one after the other."""
        self._root = root.resolve()
        self._stalls = ""
        self._free = asyncio.Event()

    @contextmanager
    def stalling(self, part: str) -> Iterator[None]:
        """As long as the block lasts, nothing comes of files with that in their path."""
        self._stalls, self._free = part, asyncio.Event()
        try:
            yield
        finally:
            self._stalls = ""
            self._free.set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        file = (self._root / request.path.lstrip("/")).resolve()
        if not file.is_file() or not file.is_relative_to(self._root):
            return web.Response(status=404 if request.path != "/" else 200)
        response = web.StreamResponse()
        response.content_length = file.stat().st_size
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        with file.open("rb") as content:
            while chunk := await asyncio.to_thread(content.read, CHUNK):
                await self._goes_on(request.path)
                await response.write(chunk)
                if self.rate:
                    await asyncio.sleep(len(chunk) / self.rate)
        self.served.append(request.path)
        return response

    async def _goes_on(self, path: str) -> None:
        if self._stalls and self._stalls in path:
            await self._free.wait()


@asynccontextmanager
async def faulty(lab: Lab) -> AsyncIterator[ArtifactServer]:
    """A server at a free port of this machine, which hosts reach."""
    async with served(lab.supplies.artifacts.root, str(lab.state.machine)) as server:
        yield server


@asynccontextmanager
async def served(root: Path, address: str) -> AsyncIterator[ArtifactServer]:
    """The files below a folder."""
    server = ArtifactServer(root)
    # Who gives up waiting for a file that does not come ends the request.
    serving = web.Server(server.handle, handler_cancellation=True)
    runner = web.ServerRunner(serving, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, 0).start()
        server.url = f"http://{address}:{runner.addresses[0][1]}"
        yield server
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await runner.cleanup()
