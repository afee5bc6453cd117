"""API servers that each do one bad thing, for ever, to whoever asks them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache

from aiohttp import web
from aiohttp.test_utils import TestServer

from kok.kube.budget.limits import TENANT
from kok.workload import csr

ENOUGH = 8
"""Times after which a server has done what it can: as many as operators watch of a cluster."""
UNPACKED = 400 * 2**20
"""Bytes of what comes compressed."""
CHUNK = b"x" * 2**16
DRIP = 0.2
"""Seconds between two bytes."""
JSON = {"Content-Type": "application/json"}
WIDE = "\N{GRINNING FACE}"
"""One of these, and every other character of a string takes four bytes as well."""

Worst = Callable[["Hostile", web.Request], Awaitable[web.StreamResponse]]


class Hostile:
    """An API server that does one bad thing, for ever."""

    def __init__(self, worst: Worst) -> None:
        self.answered = 0
        self.done = asyncio.Event()
        self._worst = worst
        self._numbers = itertools.count()

    def count(self) -> None:
        """One more time its client was done to what it does."""
        self.answered += 1
        if self.answered >= ENOUGH:
            self.done.set()

    @property
    def number(self) -> int:
        """Another one each time."""
        return next(self._numbers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        try:
            return await self._worst(self, request)
        except (ConnectionResetError, asyncio.CancelledError) as left:
            # Its client had enough; there is nobody any more to answer to.
            self.count()
            if isinstance(left, asyncio.CancelledError):
                raise
            return web.Response()


@asynccontextmanager
async def serving(hostile: Hostile) -> AsyncIterator[str]:
    """The address of one."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hostile.handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.0)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


# --- what they say


def listed(items: bytes, more: str = "") -> web.Response:
    meta = json.dumps({"resourceVersion": "1", "continue": more}).encode()
    return web.Response(body=b'{"metadata":' + meta + b',"items":[' + items + b"]}", headers=JSON)


def node(name: str, spec: bytes = b"{}") -> bytes:
    meta = f'{{"name":"{name}","uid":"{name}","resourceVersion":"1"}}'.encode()
    return b'{"metadata":' + meta + b',"spec":' + spec + b"}"


def event(item: bytes, what: str = "ADDED") -> bytes:
    return b'{"type":"' + what.encode() + b'","object":' + item + b"}\n"


def watches(request: web.Request) -> bool:
    return "watch" in request.query


async def opened(request: web.Request, status: int = 200) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=JSON)
    await response.prepare(request)
    return response


async def silence(server: Hostile) -> None:
    """Whoever listens has all that there is."""
    server.count()
    await asyncio.Event().wait()


HEAVY = b'{"a":[' + b",".join([b'{"a":1}'] * (TENANT.weight // 290)) + b"]}"
"""As much memory as one answer may take, in a few hundred KiB."""


# --- what they do


async def flood(server: Hostile, request: web.Request) -> web.StreamResponse:
    """Events as heavy as they may be, as fast as they are taken."""
    if not watches(request):
        return listed(b"")
    response = await opened(request)
    while True:
        await response.write(event(node(f"n{server.number % 1000}", HEAVY)))
        server.count()


async def kept(server: Hostile, request: web.Request) -> web.StreamResponse:
    """One heavy event on each watch, and then silence: it should not be kept meanwhile."""
    if not watches(request):
        return listed(node("n", HEAVY))
    response = await opened(request)
    await response.write(event(node("n", HEAVY)))
    await silence(server)
    return response


async def stalled(server: Hostile, request: web.Request) -> web.StreamResponse:
    """One heavy page, and then silence: nor should that be kept meanwhile."""
    if watches(request):
        return web.Response(text="")
    if "continue" in request.query:
        await silence(server)
    return listed(node("n", HEAVY), more="more")


async def packed(server: Hostile, _request: web.Request) -> web.StreamResponse:
    """Little that becomes very much for whoever unpacks it."""
    server.count()
    return web.Response(body=BOMB, headers={**JSON, "Content-Encoding": "gzip"})


def _bomb() -> bytes:
    """A block of compressed data over and over again, which takes no time to make."""
    packing = zlib.compressobj(9, wbits=-15)
    block = packing.compress(CHUNK * 64) + packing.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + block * (UNPACKED // (len(CHUNK) * 64))


BOMB = _bomb()


async def endless(server: Hostile, request: web.Request) -> web.StreamResponse:
    """After each page of a list there is another one."""
    server.count()
    if watches(request):
        return web.Response(text="")
    names = [f"n{server.number}" for _ in range(int(request.query.get("limit", 1)))]
    return listed(b",".join(map(node, names)), more="more")


async def giant(server: Hostile, request: web.Request) -> web.StreamResponse:
    """A list that is one answer without an end; every other one says so beforehand."""
    response = web.StreamResponse(headers=JSON)
    if server.number % 2:
        response.content_length = UNPACKED
    await response.prepare(request)
    await response.write(b'{"metadata":{"resourceVersion":"1"},"items":[{"a":"')
    while True:
        await response.write(CHUNK)


async def drips(_server: Hostile, request: web.Request) -> web.StreamResponse:
    """A byte now and then, so that it is never silent."""
    response = await opened(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(DRIP)


async def fat(server: Hostile, request: web.Request) -> web.StreamResponse:
    """Objects of which every part that somebody might keep is as large as it can be."""
    if watches(request):
        response = await opened(request)
        await silence(server)
        return response
    kind = request.path.rpartition("/")[2]
    start = int(request.query.get("continue") or 0)
    _, many, at_once = _FAT.get(kind, _OTHERS)
    end = start + min(int(request.query.get("limit", 1)), at_once)
    return listed(_fat(kind, start, end), str(end) if end < many else "")


@cache
def _fat(kind: str, start: int, end: int) -> bytes:
    made = [_FAT.get(kind, _OTHERS)[0](f"n{number}") for number in range(start, end)]
    return b",".join(json.dumps(one, ensure_ascii=False).encode() for one in made)


_WORD = f"{'x' * 249}{WIDE}"


def _labelled(name: str) -> Mapping[str, object]:
    """Very many labels, and an annotation that is large."""
    labels = {f"{n:x}": "" for n in range(10_000)}
    return {"metadata": {"name": name, "labels": labels, "annotations": {"a": "x" * 2**14}}}


def _node(name: str) -> Mapping[str, object]:
    taints = [{"key": f"{n}{_WORD}", "value": _WORD, "effect": _WORD} for n in range(256)]
    heard = {"type": "Ready", "status": "True", "lastHeartbeatTime": "x" * 50_000 + WIDE}
    addresses = [{"type": "InternalIP", "address": f"{n}{_WORD}"} for n in range(16)]
    status = {"conditions": [heard], "addresses": addresses}
    return {**_labelled(name), "spec": {"taints": taints}, "status": status}


def _request(name: str) -> Mapping[str, object]:
    words = [f"{n}{'x' * 500}{WIDE}" for n in range(16)]
    spec = {
        "signerName": csr.SERVING,
        "username": f"system:node:{name}",
        "request": base64.b64encode(b"x" * 12_000).decode(),
        "usages": words,
        "groups": words,
    }
    return {"metadata": {"name": name}, "spec": spec}


_FAT: Mapping[str, tuple[Callable[[str], Mapping[str, object]], int, int]] = {
    "nodes": (_node, 12, 4),
    "certificatesigningrequests": (_request, 100, 25),
}
"""What is made of objects of a kind, how many there are, and how many at once can be taken."""
_OTHERS = (_labelled, 1, 1)


async def lines(server: Hostile, request: web.Request) -> web.StreamResponse:
    """Watches whose lines have no end, or stop just before it would be noticed that they have."""
    if not watches(request):
        return listed(b"")
    response = await opened(request)
    if server.number % 2:
        for _ in range(TENANT.line // len(CHUNK) - 1):
            await response.write(CHUNK)
        await silence(server)
    while True:
        await response.write(CHUNK)


async def nested(server: Hostile, request: web.Request) -> web.StreamResponse:
    """Objects in objects in objects, with an end or without."""
    depth = 20_000
    deep = node("n", b'{"a":' * depth + b"{}" + b"}" * depth)
    server.count()
    if not watches(request):
        return listed(deep) if server.number % 2 else listed(b"[" * 2**20)
    response = await opened(request)
    while True:
        await response.write(event(deep))


async def refusals(server: Hostile, request: web.Request) -> web.StreamResponse:
    """Reasons for a refusal that nobody can read to the end."""
    server.count()
    if watches(request):
        details = b'{"code":500,"message":"' + b"x" * 2**20 + b'","details":' + HEAVY + b"}"
        return web.Response(body=event(details, "ERROR"), headers=JSON)
    response = await opened(request, status=403)
    await response.write(b'{"kind":"Status","code":403,"message":"')
    while True:
        await response.write(CHUNK)


async def honest(server: Hostile, request: web.Request) -> web.StreamResponse:
    """A business cluster as it should be."""
    if not watches(request):
        return listed(node("n"))
    response = await opened(request)
    await silence(server)
    return response


def all_of(worst: Iterable[Worst]) -> list[Hostile]:
    """One server for each."""
    return [Hostile(one) for one in worst]
