"""An API server that is not trusted gets no more of the process than its share; honest ones wait
for nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.kube.limited_client import always, lines, page, secret, told

from kok.kube import kinds
from kok.kube.budget.limits import META, TENANT, Limits
from kok.kube.budget.read_rate import CHUNK, LINE, REQUEST, ReadRate
from kok.kube.client import Kube
from kok.kube.errors import TooLarge

RATE = 10_000.0
SLOW = replace(TENANT, rate=RATE)
"""At which what is too much soon shows."""
BOOKMARK = ("BOOKMARK", {"metadata": {"resourceVersion": "7"}})
EXPIRED = ("ERROR", {"code": 410, "reason": "Expired", "message": "too old"})
MANY = 40


@dataclass
class Clock:
    """Goes on by what is slept, and by nothing else."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all clients that are made after it, and of all back-off."""
    clock, real = Clock(), asyncio.sleep

    async def sleeping(seconds: float) -> None:
        clock.now += seconds
        await real(0)

    monkeypatch.setattr("kok.kube.budget.read_rate.asyncio.sleep", sleeping)
    monkeypatch.setattr("kok.kube.http.transport.ReadRate", lambda rate, _: ReadRate(rate, clock))
    return clock


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection lasts long."""
    monkeypatch.setattr("kok.kube.watch.LASTING", math.inf)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections last long enough."""
    monkeypatch.setattr("kok.kube.watch.LASTING", 0.0)


@pytest.fixture(params=[SLOW])
async def tenant(api: FakeApi, clock: Clock, request: pytest.FixtureRequest) -> AsyncIterator[Kube]:
    limits: Limits = request.param
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=limits) as kube:
        yield kube


trusted = pytest.mark.parametrize("tenant", [META], indirect=True)


class Server:
    """Answers each list with nothing and each watch with the same, and then ends it."""

    def __init__(self, api: FakeApi, *changes: tuple[str, object]) -> None:
        self.lists = self.watches = 0
        self._changes = changes
        always(api, self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if max(self.lists, self.watches) >= MANY:
            return lines(("ADDED", secret("end"))) if self.watches else page([secret("end")])
        if "watch" not in request.query:
            self.lists += 1
            return page([])
        self.watches += 1
        return lines(*self._changes)


async def served(kube: Kube) -> None:
    """Watches until the server has done what it does as often as it wants."""
    await told(kube, "end")


# --- a server that keeps us busy


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("changes", [(BOOKMARK,), (BOOKMARK, EXPIRED), (EXPIRED,), ()])
async def test_watches_that_end_at_once_are_begun_ever_more_rarely_whatever_they_bring(
    api: FakeApi, tenant: Kube, clock: Clock, changes: tuple[tuple[str, object], ...]
) -> None:
    """Neither the watch nor, where it says that it has to be made anew, the list."""
    Server(api, *changes)
    await served(tenant)
    assert clock.now > (MANY - 10) * 15.0


@pytest.mark.usefixtures("long")
async def test_each_watch_that_is_begun_costs_its_server_something(
    api: FakeApi, tenant: Kube, clock: Clock
) -> None:
    Server(api, BOOKMARK)
    await served(tenant)
    assert clock.now >= MANY * REQUEST / RATE - ReadRate.BURST


@pytest.mark.usefixtures("long")
async def test_lists_that_watches_make_cost_their_server_something(
    api: FakeApi, tenant: Kube, clock: Clock
) -> None:
    big = page([secret("s", "x" * 200_000)])
    text = big.text
    assert text is not None
    lists = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal lists
        if "watch" in request.query:
            return lines(BOOKMARK, EXPIRED)
        lists += 1
        if lists > MANY:
            return page([secret("end")])
        return web.Response(text=text, content_type="application/json")

    always(api, answer)
    await served(tenant)
    assert clock.now >= MANY * (2 * REQUEST + len(text)) / RATE - ReadRate.LISTS


async def test_pages_that_are_too_large_and_asked_for_again_cost_their_server_something(
    api: FakeApi, clock: Clock
) -> None:
    limits = replace(SLOW, answer=150_000, alone=150_000, rate=RATE / 10)
    access = api.kubeconfig()
    huge = "x" * 200_000

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(huge.encode())
        return response

    always(api, answer)
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=limits) as kube:
        kube.turned = (turned := asyncio.Event()).set
        watching = asyncio.create_task(told(kube, "never"))
        await turned.wait()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    # Pages of 100, of 25, of 6 and of 1.
    assert clock.now >= 3 * (REQUEST + 150_000) / (RATE / 10) - ReadRate.LISTS


async def test_blank_lines_cost_as_much_as_others(api: FakeApi, tenant: Kube, clock: Clock) -> None:
    blank = 10_000

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return page([])
        return web.Response(text="\n" * blank + str(lines(("ADDED", secret("end"))).text))

    always(api, answer)
    await served(tenant)
    assert clock.now >= blank * LINE / RATE - ReadRate.BURST


async def in_pieces(request: web.Request, text: str) -> web.StreamResponse:
    """An answer byte by byte."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for one in text.encode():
        await response.write(bytes([one]))
    return response


async def test_each_piece_of_a_watch_costs_its_server_something(
    api: FakeApi, tenant: Kube, clock: Clock
) -> None:
    text = str(lines(("ADDED", secret("end", "x" * 5000))).text)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await in_pieces(request, text) if "watch" in request.query else page([])

    always(api, answer)
    await served(tenant)
    assert clock.now >= len(text) * CHUNK / RATE - ReadRate.BURST


PIECES = str(page([secret("end", "x" * 5000)]).text)


async def test_an_answer_byte_by_byte_is_given_up(api: FakeApi, tenant: Kube) -> None:
    always(api, lambda request: in_pieces(request, PIECES))
    with pytest.raises(TooLarge, match="pieces of less than 64 bytes"):
        await tenant.list(kinds.SECRET, "ns")


# --- those who may do so, and those who do nothing bad


@trusted
async def test_a_trusted_server_may_answer_as_it_likes(
    api: FakeApi, tenant: Kube, clock: Clock
) -> None:
    always(api, lambda request: in_pieces(request, PIECES))
    assert len(await tenant.list(kinds.SECRET, "ns")) == 1
    assert clock.now == 0.0


@trusted
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("changes", [(BOOKMARK,), (BOOKMARK, EXPIRED)])
async def test_a_trusted_server_is_asked_again_at_once(
    api: FakeApi, tenant: Kube, clock: Clock, changes: tuple[tuple[str, object], ...]
) -> None:
    Server(api, *changes)
    await served(tenant)
    assert clock.now == 0.0


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("changes", [(BOOKMARK,), (BOOKMARK, EXPIRED), ()])
@pytest.mark.parametrize("tenant", [TENANT], indirect=True)
async def test_watches_that_lasted_go_on_at_once(
    api: FakeApi, tenant: Kube, clock: Clock, changes: tuple[tuple[str, object], ...]
) -> None:
    Server(api, *changes)
    await served(tenant)
    assert clock.now == 0.0


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("tenant", [TENANT], indirect=True)
async def test_a_server_that_restarts_is_waited_for_no_longer_than_it_takes(
    api: FakeApi, tenant: Kube, clock: Clock
) -> None:
    watches = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal watches
        if "watch" not in request.query:
            return page([])
        watches += 1
        if watches == 2:
            return refusal(503, "ServiceUnavailable", "starting")
        return lines(BOOKMARK) if watches < 5 else lines(("ADDED", secret("end")))

    always(api, answer)
    await served(tenant)
    assert clock.now <= 0.5


async def test_all_nodes_of_a_large_cluster_are_listed_without_a_pause(clock: Clock) -> None:
    pace = ReadRate(TENANT.rate, clock)
    for _ in range(5000 // TENANT.page):
        assert await pace.list_on() == 0.0
        for _ in range(TENANT.page * 10 // 4):
            pace.owe(4096 + CHUNK)
    await pace.keep(REQUEST)
    await pace.keep(10_000)
    assert clock.now == 0.0  # What changes then is told at once.


async def test_a_flood_of_events_is_read_at_a_bounded_rate(clock: Clock) -> None:
    pace = ReadRate(RATE, clock)
    for _ in range(1000):
        await pace.keep(9_000)
    assert clock.now == pytest.approx(1000 * 9_000 / RATE - ReadRate.BURST, rel=0.01)
    clock.now += 3600.0
    before = clock.now
    await pace.keep(9_000)
    assert clock.now == before  # Who was quiet may send a burst again.


async def test_streams_and_lists_together_are_read_at_a_bounded_rate(clock: Clock) -> None:
    pace = ReadRate(RATE, clock)
    for _ in range(1000):
        await pace.keep(9_000)
        await pace.list_on()
        pace.owe(9_000)
    assert clock.now >= 1000 * (2 * 9_000 + REQUEST) / RATE - ReadRate.LISTS - 1.0


async def test_a_list_that_has_to_wait_is_not_slow_for_that(
    api: FakeApi, tenant: Kube, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages have a deadline, which is for the server."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    monkeypatch.setattr(loop, "time", lambda: start + clock.now)
    left = 100

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal left
        left -= 1
        return page([secret(f"s{left}")], more="more" if left else "")

    always(api, answer)
    events = tenant.watch(kinds.SECRET, "ns")
    assert [(await anext(events)).type for _ in range(101)] == ["ADDED"] * 100 + ["SYNCED"]
    await events.aclose()
    assert clock.now > 2 * SLOW.seconds
