"""What an API server may make us read: nothing that it sends may grow without bound."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import time
import tracemalloc
from dataclasses import replace

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi
from tests.unit.kube.limited_client import SMALL, always, page, secret

from kok.kube import kinds
from kok.kube.budget.limits import memory_of, weight
from kok.kube.client import Kube
from kok.kube.decoding.nesting import parse
from kok.kube.errors import LONGEST, KubeError, TooLarge, Unreachable, error_of
from kok.kube.http.access import from_kubeconfig
from kok.kube.http.session import new_session


async def test_a_compressed_answer_is_refused_without_being_unpacked(
    api: FakeApi, tenant: Kube
) -> None:
    bomb = gzip.compress(b" " * 50 * 2**20)

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=bomb, headers=headers)

    always(api, answer)
    tracemalloc.start()
    try:
        with pytest.raises(Unreachable, match="an encoding that it was not asked for"):
            await tenant.get(kinds.SECRET, "a", "ns")
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


async def test_nobody_who_uses_our_sessions_asks_for_compressed_answers(api: FakeApi) -> None:
    """Those of kopf as well, which could not read them."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Accept-Encoding", ""))
        return web.json_response({})

    always(api, answer)
    session = new_session(from_kubeconfig(api.kubeconfig()), limit=0)
    url = f"{api.address}/api/v1/secrets"
    async with session, session.get(url, headers={"Accept": "*/*"}):
        pass
    assert asked == ["identity"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_long_answer_is_given_up_where_the_limit_is(
    api: FakeApi, tenant: Kube, announced: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if announced:
            return web.Response(body=b" " * (SMALL.answer + 1), content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):  # 64 MB
            await response.write(b" " * 65536)
        return response

    always(api, answer)
    with pytest.raises(TooLarge, match="more than 20000 bytes"):
        await tenant.get(kinds.SECRET, "a", "ns")
    assert "20000 bytes" in str(tenant.excess)


async def test_what_was_too_large_is_forgotten_once_it_is_not(api: FakeApi, tenant: Kube) -> None:
    texts = itertools.chain(["x" * SMALL.answer], itertools.repeat("x"))

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(secret("a", next(texts)))

    always(api, answer)
    with pytest.raises(TooLarge):
        await tenant.get(kinds.SECRET, "a", "ns")
    assert tenant.excess is not None
    assert await tenant.get(kinds.SECRET, "a", "ns") is not None
    assert tenant.excess is None


@pytest.mark.parametrize(
    "body",
    [
        "[" * 15_000,
        '{"a":' * 3000 + "1" + "}" * 3000,
        "[" + ",".join(["{}"] * 6000) + "]",
        '{"a": ' + "9" * 6000 + "}",
        '"no object"',
        "\\xff\\xfe",
    ],
)
async def test_what_is_made_to_break_a_parser_is_an_error_like_any_other(
    api: FakeApi, tenant: Kube, body: str
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body.encode(), content_type="application/json")

    always(api, answer)
    with pytest.raises(Unreachable):
        await tenant.get(kinds.SECRET, "a", "ns")
    with pytest.raises(Unreachable):
        await tenant.list(kinds.SECRET, "ns")


async def test_a_list_that_never_ends_is_given_up(api: FakeApi, tenant: Kube) -> None:
    numbers = itertools.count()

    async def answer(_: web.Request) -> web.StreamResponse:
        return page([secret(f"s{next(numbers)}")], more="more")

    always(api, answer)
    with pytest.raises(TooLarge, match="a list of more than 50 objects"):
        await tenant.list(kinds.SECRET, "ns")


async def test_a_list_of_empty_pages_is_given_up(api: FakeApi, tenant: Kube) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return page([], more="more")

    always(api, answer)
    with pytest.raises(Unreachable, match="empty page"):
        await tenant.list(kinds.SECRET, "ns")


async def test_large_objects_come_in_smaller_pages(api: FakeApi, tenant: Kube) -> None:
    asked: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        size, start = int(request.query["limit"]), int(request.query.get("continue", 0))
        asked.append(size)
        names = [f"s{n}" for n in range(start, min(start + size, 12))]
        more = str(start + size) if start + size < 12 else ""
        return page([secret(name, "x" * 5000) for name in names], more)

    always(api, answer)
    found = await tenant.list(
        kinds.SECRET, "ns", keep=lambda one: {"name": one["metadata"]["name"]}
    )
    assert [one["name"] for one in found] == [f"s{n}" for n in range(12)]
    assert asked[0] == 8
    assert set(asked[1:5]) == {2}


async def test_after_large_objects_pages_grow_again(api: FakeApi, tenant: Kube) -> None:
    asked: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        size, start = int(request.query["limit"]), int(request.query.get("continue", 0))
        asked.append(size)
        many = range(start, min(start + size, 50))
        more = str(start + size) if start + size < 50 else ""
        return page([secret(f"s{n}", "x" * (9000 if n < 3 else 10)) for n in many], more)

    always(api, answer)
    assert len(await tenant.list(kinds.SECRET, "ns")) == 50
    assert asked[-1] == SMALL.page
    assert len(asked) < 30


def test_what_stands_in_a_string_weighs_as_much_as_it_is_long() -> None:
    """An annotation full of brackets would make lists over all namespaces too large."""
    text = json.dumps(secret("a", "{" * 262_000)).encode()
    assert weight(text) < 2 * len(text)


def test_a_string_that_never_ends_is_read_in_linear_time() -> None:
    """It takes hours where each quote in it is looked at as the beginning of another one."""
    began = time.process_time()
    for end in (b"", b"\\"):
        with pytest.raises(ValueError, match="Unterminated"):
            parse(b'"' + b'\\"' * 500_000 + end)
    assert time.process_time() - began < 10.0


async def test_the_mark_of_a_cut_object_is_believed_of_nobody_who_is_not_trusted(
    api: FakeApi, tenant: Kube
) -> None:
    forged = {**secret("a"), "kok.dev/cut": "x" * 5000}

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(forged) if request.path.endswith("/a") else page([forged])

    always(api, answer)
    assert await tenant.get(kinds.SECRET, "a", "ns") is not None
    assert len(await tenant.list(kinds.SECRET, "ns")) == 1


def test_no_error_is_longer_than_a_few_sentences() -> None:
    assert len(str(KubeError(0, "Any", "x" * 10**6))) <= LONGEST


async def test_a_list_that_is_kept_whole_has_a_limit_of_its_own(api: FakeApi, tenant: Kube) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        start = int(request.query.get("continue", 0))
        return page([secret(f"s{start}", "[" * 1000)], str(start + 1))

    always(api, answer)
    with pytest.raises(TooLarge, match="a list of"):
        await tenant.list(kinds.SECRET, "ns")


async def test_what_is_kept_of_a_list_has_the_same_limit(api: FakeApi, tenant: Kube) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        start = int(request.query.get("continue", 0))
        more = str(start + 1) if start < 40 else ""
        return page([secret(f"s{start}", "x" * 15_000)], more)

    always(api, answer)
    with pytest.raises(TooLarge, match="a list of"):
        await tenant.list(kinds.SECRET, "ns", keep=lambda one: one)
    assert len(await tenant.list(kinds.SECRET, "ns", keep=lambda _: {})) == 41


async def test_a_list_of_one_namespace_may_be_shorter_than_one_of_all(api: FakeApi) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return page([secret("a", "x" * 10_000)])

    always(api, answer)
    limits = replace(SMALL, listed=5_000)
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=limits) as kube:
        with pytest.raises(TooLarge, match="a list of"):
            await kube.list(kinds.SECRET, "ns")
        assert len(await kube.list(kinds.SECRET)) == 1


@pytest.mark.parametrize(
    "value",
    [
        {f"k{n}": {} for n in range(1000)},
        {f"k{n}": f"v{n}" for n in range(1000)},
        [{"name": f"pod-{n}", "labels": {"app": "web"}} for n in range(500)],
        [[], {}, "x" * 1000, "\U0001f600" * 1000, 1.5, None] * 100,
    ],
)
def test_what_is_kept_never_counts_less_than_it_takes(value: object) -> None:
    raw = json.dumps(value)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = json.loads(raw)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= memory_of(found) <= 4 * taken


async def test_lists_that_wait_for_their_next_page_share_what_they_may_keep(
    api: FakeApi, tenant: Kube
) -> None:
    """Each of them alone keeps less than one list may."""
    waiting, goes_on = asyncio.Semaphore(0), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "continue" not in request.query:
            return page([secret("s", "[" * 1000)], "more")
        waiting.release()
        await goes_on.wait()
        return page([secret("t")])

    always(api, answer)
    first = [asyncio.create_task(tenant.list(kinds.SECRET, "ns")) for _ in range(2)]
    for _ in first:
        await waiting.acquire()
    with pytest.raises(TooLarge, match="a list of"):
        await tenant.list(kinds.SECRET, "ns")
    goes_on.set()
    assert [len(one) for one in await asyncio.gather(*first)] == [2, 2]
    assert len(await tenant.list(kinds.SECRET, "ns")) == 2


async def test_a_refusal_is_told_in_few_words() -> None:
    body = {"message": "m" * 100_000, "reason": "R" * 100, "details": {"retryAfterSeconds": 1e12}}
    error = error_of(429, json.dumps(body).encode())
    assert len(error.message) == 1024
    assert error.reason == "TooManyRequests"
    assert error.retry_after == 300.0


async def test_of_a_long_refusal_only_the_beginning_is_read(api: FakeApi, tenant: Kube) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x" * 65536)
        return response

    always(api, answer)
    with pytest.raises(KubeError) as caught:
        await tenant.get(kinds.SECRET, "a", "ns")
    assert caught.value.status == 403
    assert len(caught.value.message) <= 1024


@pytest.mark.parametrize(
    "text",
    [
        "[" + "{}," * 5000 + "{}]",
        "[" + "[]," * 5000 + "[]]",
        "{" + ",".join(f'"k{n}":{{}}' for n in range(5000)) + "}",
        "{" + ",".join(f'"k{n}":"v{n}"' for n in range(5000)) + "}",
        "[" + ",".join(f"{n}.5" for n in range(5000)) + "]",
        "[" + "[" * 500 + "]" * 500 + "]",
        json.dumps(["a" * 20_000 + "\U0001f600"]),
        json.dumps(["a" * 20_000 + "\U0001f600"], ensure_ascii=False),
        json.dumps([{"name": f"pod-{n}", "labels": {"app": "web"}} for n in range(500)]),
    ],
)
def test_the_weight_of_a_text_is_never_less_than_what_it_takes(text: str) -> None:
    raw = text.encode()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = json.loads(raw)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert found is not None
    assert taken <= weight(raw)
