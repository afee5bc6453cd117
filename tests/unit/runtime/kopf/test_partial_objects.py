"""kopf sees little of each object, and never much at a time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web

from kok.api.cluster.addon import Addon
from kok.kube import kinds
from kok.kube.budget.cpu_shares import FREE, shares
from kok.kube.decoding.nesting import too_deep
from kok.kube.decoding.truncation import truncated_paths
from kok.runtime.kopf.partial_objects import PAGE_BYTES, PartialObjects, PartialResponse

ADDONS = "/apis/kok.dev/v1alpha1/addons"
METADATA = "as=PartialObjectMetadata;"
METADATA_LIST = "as=PartialObjectMetadataList;"


class Api:
    """Answers with what a test says and remembers what was asked."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.lines: list[str] = []
        self.asked: list[tuple[str, str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        limit = request.query.get("limit", "")
        self.asked.append((request.path, limit, request.headers.get("Accept", "")))
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            text = "\n".join(self.lines).encode()
            for start in range(0, len(text), 7001):
                await response.write(text[start : start + 7001])
            return response
        start = int(request.query.get("continue", 0))
        end = start + int(limit or 1)
        more = str(end) if end < len(self.items) else ""
        listed = ",".join(self.items[start:end])
        items = f"[{listed}]" if listed else "null"
        text = f'{{"kind":"L","metadata":{{"continue":"{more}"}},"items":{items}}}'
        return web.Response(text=text, content_type="application/json")


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def session(api: Api) -> AsyncIterator[ClientSession]:
    """Asks for metadata alone of Addons and Secrets."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gists = PartialObjects({Addon.info.kind, kinds.SECRET})
    try:
        async with ClientSession(
            f"http://127.0.0.1:{runner.addresses[0][1]}",
            response_class=PartialResponse,
            middlewares=(gists,),
        ) as made:
            yield made
    finally:
        await runner.cleanup()


async def get(session: ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        return await answer.json()


def named(name: str, more: str = "") -> str:
    fields = f'"name":"{name}","managedFields":[{{"manager":"x"}}]'
    return f'{{"kind":"Addon","metadata":{{{fields}}}{more}}}'


async def test_nothing_but_metadata_is_asked_for_where_it_is_enough(
    session: ClientSession, api: Api
) -> None:
    await get(session, f"{ADDONS}?limit=50")
    await get(session, "/api/v1/namespaces/t/secrets?limit=50")
    assert all(METADATA_LIST in accept for _, _, accept in api.asked)
    api.asked.clear()
    async with session.get(f"{ADDONS}?watch=true") as answer:
        await answer.read()
    async with session.patch("/apis/kok.dev/v1alpha1/namespaces/t/addons/a/status") as answer:
        await answer.read()
    assert all(METADATA in accept for _, _, accept in api.asked)
    api.asked.clear()
    for path in ("/api/v1/nodes?limit=50", "/api/v1/namespaces?limit=5", "/apis", "/api/v1"):
        await get(session, path)
    assert not any("Partial" in accept for _, _, accept in api.asked)


async def test_pages_are_bounded_in_bytes_and_values(session: ClientSession, api: Api) -> None:
    api.items = [named(f"a{n}", f',"x":"{"y" * (PAGE_BYTES // 10)}"') for n in range(60)]
    found = await get(session, f"{ADDONS}?limit=50")
    assert [limit for _, limit, _ in api.asked] == ["50", "12", "3"]
    assert (len(found["items"]), found["metadata"]["continue"]) == (3, "3")
    hostile = ',"spec":{"values":{"x":[' + ",".join(["{}"] * 40_000) + "]}}"
    api.items = [named(f"a{n}", hostile) for n in range(10)]
    found = await get(session, "/apis/kok.dev/v1alpha1/clusters?limit=50")
    assert [truncated_paths(one) for one in found["items"]] == [["spec.values"]] * 10


async def test_the_page_after_a_large_one_is_not_read_three_times(
    session: ClientSession, api: Api
) -> None:
    api.items = [named(f"a{n}", f',"x":"{"y" * (PAGE_BYTES // 4)}"') for n in range(12)]
    start, found = "0", []
    while start:
        page = await get(session, f"{ADDONS}?limit=50&continue={start}")
        found += [one["metadata"]["name"] for one in page["items"]]
        start = page["metadata"]["continue"]
    assert found == [f"a{n}" for n in range(12)]
    limits = [limit for _, limit, _ in api.asked]
    assert limits[:3] == ["50", "12", "3"]
    assert limits.count("50") == 1
    # Once they are small again, as many as before are asked for again.
    api.items = [named(f"a{n}") for n in range(5000)]
    api.asked.clear()
    for _ in range(30):
        await get(session, f"{ADDONS}?limit=50")
    assert api.asked[-1][1] == "50"


async def test_an_empty_list_is_one_for_kopf(session: ClientSession) -> None:
    assert (await get(session, f"{ADDONS}?limit=50"))["items"] == []


async def test_who_wrote_what_is_left_out(session: ClientSession, api: Api) -> None:
    api.items = [named("a"), named("b")]
    api.lines = [f'{{"type":"ADDED","object":{named("a")}}}', '{"type":"ERROR","object":{}}']
    listed = await get(session, f"{ADDONS}?limit=50")
    assert [one["metadata"] for one in listed["items"]] == [{"name": "a"}, {"name": "b"}]
    first, second = await watched(session)
    assert first == {"type": "ADDED", "object": {"kind": "Addon", "metadata": {"name": "a"}}}
    assert second == {"type": "ERROR", "object": {}}


async def test_a_stream_goes_on_behind_what_no_parser_bears(
    session: ClientSession, api: Api
) -> None:
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    values = ",".join(["{}"] * 300_000)
    large = f'{{"type":"ADDED","object":{{"spec":{{"values":{{"x":[{values}]}}}}}}}}'
    last = '{"n": 2, "x": "%s"}' % ("é" * 100_000)
    api.lines = ['{"n": 1}', deep, large, '{"x": "\\ud800"}', last]
    found = await watched(session)
    assert (found[0], found[3], found[4]) == ({"n": 1}, {"x": "\ud800"}, json.loads(last))
    assert too_deep(found[1])
    assert truncated_paths(found[2]["object"]) == ["spec.values"]


async def watched(session: ClientSession) -> list[Any]:
    async with session.get(f"{ADDONS}?watch=true") as answer:
        text = b"".join([chunk async for chunk in answer.content.iter_chunked(2**20)])
    return [json.loads(line) for line in text.splitlines()]


async def test_what_waits_is_told_by_the_next_stream_unless_all_is_listed_anew(
    session: ClientSession, api: Api
) -> None:
    accounts = shares()
    accounts.owe("bad", 1000)
    accounts.worked("good", 0.001)

    def event(version: int) -> str:
        meta = {"name": "a", "namespace": "bad", "uid": "u", "resourceVersion": str(version)}
        one = {"kind": "Addon", "apiVersion": "kok.dev/v1alpha1", "metadata": meta}
        found = {"type": "MODIFIED", "object": {**one, "spec": {"x": "y" * FREE}}}
        return json.dumps(found, separators=(",", ":"))

    api.lines = [event(1), event(2)]
    assert await watched(session) == []
    assert accounts.held > 0
    api.lines = ['{"type":"BOOKMARK","object":{}}']
    accounts._accounts.clear()
    told = await watched(session)
    assert {one["object"].get("metadata", {}).get("resourceVersion") for one in told} == {None, "2"}
    accounts.owe("bad", 1000)
    api.lines = [event(3)]
    assert await watched(session) == []
    await get(session, f"{ADDONS}?limit=50")
    assert accounts.held == 0
