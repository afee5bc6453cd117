"""What operators make of a business cluster's answers stays small, however many large ones come.

Each answer is within the limit of one answer: it is their number that matters here, and their shape.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.integration.operators.test_hostile_apis import ROOT, memory_limit

from kok.kube.budget.limits import TENANT, weight

PATIENCE = 400.0
SERVERS = 3
WIDE = "\N{GRINNING FACE}"
"""One of these, and every other character of a string takes four bytes as well."""
Answer = Callable[[web.Request], bytes]


def named(request: web.Request) -> dict[str, Any]:
    name = request.path.rpartition("/")[2]
    return {"name": name, "namespace": "default", "uid": f"u-{name}", "resourceVersion": "1"}


FILLER = (b"{}," * ((TENANT.weight - 2**17) // weight(b"{},"))).rstrip(b",")


def heavy(meta: dict[str, Any]) -> bytes:
    """An object that takes as much memory as one answer may."""
    return json.dumps({"metadata": meta})[:-1].encode() + b',"data":{"a":[' + FILLER + b"]}}"


KINDS = json.dumps(
    {"resources": [{"kind": "Thing", "name": "things", "namespaced": True}]}
).encode()


def discovers(request: web.Request) -> bool:
    return request.path.count("/") == 3


def objects(request: web.Request) -> bytes:
    """Whatever is asked for is as heavy as it may be."""
    if discovers(request):
        return KINDS
    if request.path.endswith("/pods"):
        return b'{"metadata":{"resourceVersion":"1"},"items":[' + heavy({"name": "p"}) + b"]}"
    return heavy(named(request))


def broken(request: web.Request) -> bytes:
    """As long as it may be, and no JSON at its end."""
    return KINDS if discovers(request) else b'"' + b"x" * (TENANT.answer - 100)


def taken(request: web.Request) -> bytes:
    """Everything belongs to ever another Addon that is no more."""
    if discovers(request):
        return KINDS
    return heavy({**named(request), "labels": {"kok.dev/addon": f"other-{id(request)}"}})


ENTRY = '{"kind":"K%07d","name":"k%07d","namespaced":true}'
OTHERS = (TENANT.weight - 2**17) // (weight((ENTRY % (0, 0)).encode()) + 72)
MANY_KINDS = KINDS[:-2] + b"," + ",".join(ENTRY % (n, n) for n in range(OTHERS)).encode() + b"]}"


def many_kinds(request: web.Request) -> bytes:
    """Of the one kind that is looked for no more is told than of very many others."""
    return MANY_KINDS if discovers(request) else heavy(named(request))


class Nodes:
    """Endless pages of Nodes that say very much in a place of which that is not expected."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.numbers = 0

    def __call__(self, request: web.Request) -> bytes:
        if not request.path.endswith("/nodes"):
            return b'{"metadata":{"resourceVersion":"1"},"items":[]}'
        items = []
        for _ in range(40 if self.size < 2**15 else 1):
            self.numbers += 1
            text = WIDE + "x" * self.size
            labels = {f"{self.numbers}-{n}": "" for n in range(500)}
            items.append(
                {
                    "metadata": {
                        "name": f"n{self.numbers}",
                        "uid": f"u{self.numbers}",
                        "resourceVersion": "1",
                        "labels": labels,
                    },
                    "spec": {"taints": [{"key": text, "effect": "NoExecute"}]},
                    "status": {
                        "conditions": [
                            {
                                "type": "Ready",
                                "status": "True",
                                "message": text,
                                "lastHeartbeatTime": text,
                            }
                        ],
                        "nodeInfo": {"kubeletVersion": text, "machineID": text},
                    },
                }
            )
        more = "c" if self.numbers < self.limit else ""
        meta = {"resourceVersion": "1", "continue": more}
        return json.dumps({"metadata": meta, "items": items}, ensure_ascii=False).encode()

    @property
    def limit(self) -> int:
        return 60 if self.size >= 2**15 else 2000


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.Event().wait()
        return web.Response(body=answer(request), content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.0)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


async def taking(work: str, answers: list[Answer]) -> dict[str, Any]:
    """What the process of `answering` tells."""
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(serving(one)) for one in answers]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.operators.answering", work, *addresses),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            out, _ = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert child.returncode == 0
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.mark.parametrize(
    ("work", "answer", "ends"),
    [
        ("addon", objects, "120 objects, 60 workloads"),
        ("addon", broken, "Unreachable: "),
        ("addon", taken, "ObjectTaken: "),
        ("discovery", many_kinds, "40 objects"),
        ("objects", objects, "0 refused"),
        ("pods", objects, ""),
    ],
)
async def test_the_sum_of_large_answers_is_not_kept(work: str, answer: Answer, ends: str) -> None:
    found = await taking(work, [answer] * SERVERS)
    assert found["memory"] < memory_limit() * 3 // 4
    assert all(ended.startswith(ends) for ended in found["ended"]), found["ended"]


async def test_long_fields_of_nodes_are_not_kept() -> None:
    found = await taking("nodes", [Nodes(5 * 2**20) for _ in range(SERVERS)])
    assert found["memory"] < memory_limit() * 3 // 4


async def test_of_nodes_that_all_tell_much_the_last_are_known_by_name_alone() -> None:
    found = await taking("nodes", [Nodes(2000) for _ in range(SERVERS)])
    assert found["memory"] < memory_limit() * 3 // 4
    assert found["ended"] == ["2000 nodes, whole: False"] * SERVERS


SHAPES: list[Any] = [
    None,
    [],
    [[]],
    "text",
    7,
    {},
    {"metadata": None},
    {"metadata": []},
    {"metadata": {"name": {}}},
    {"metadata": {"name": "o", "labels": []}},
    {"metadata": {"name": "o", "labels": {"a": 1}}},
    {"metadata": {"name": "o", "annotations": "a"}},
    {"metadata": {"name": "o", "ownerReferences": ["a"]}},
    {"metadata": {"name": "o"}, "items": {}, "resources": {}},
    {"metadata": {"name": "o"}, "items": [[]], "resources": [[], {"kind": []}]},
    {"metadata": {"name": "o"}, "spec": [], "status": "x", "items": [{"metadata": {"name": 1}}]},
    {"metadata": {"name": "o"}, "status": {"observedGeneration": "x", "readyReplicas": []}},
]


@pytest.mark.parametrize("work", ["addon", "discovery", "objects", "pods"])
async def test_answers_of_any_shape_end_like_a_lost_connection_or_are_read(work: str) -> None:
    """Also where the kinds that are served are told as they should be."""
    texts = [json.dumps(shape).encode() for shape in SHAPES]

    def always(text: bytes) -> Answer:
        return lambda _: text

    def honest_of_kinds(text: bytes) -> Answer:
        return lambda request: KINDS if discovers(request) else text

    answers = [make(text) for text in texts for make in (always, honest_of_kinds)]
    found = await taking(work, answers)
    known = ("Unreachable", "KindUnknown", "ApplyFailed", "NotFound")
    for ended in found["ended"]:
        assert ended == "" or ended[0].isdigit() or ended.startswith(known), ended
