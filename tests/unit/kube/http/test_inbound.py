"""A server that sends what nobody asked for is cut off where it arrives, and somebody pays."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kok import pki
from kok.kube import kinds
from kok.kube.budget.cpu_shares import NAMESPACE, CpuShares, shares
from kok.kube.budget.limits import META, TENANT, Limits
from kok.kube.client import Kube
from kok.kube.errors import KubeError, TooLarge, Unreachable
from kok.kube.http import inbound
from kok.kube.http.access import Access, ssl_context
from kok.kube.http.inbound import HANDSHAKE, HEAD, INTERIM, WRAPPING, Exchange, Handshakes
from kok.kube.watch import watch

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
NOW = datetime.now(UTC)
CA = pki.new_ca("somebody", NOW)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Does as a test says with each request; `cut` is set when a client ended a connection."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked = 0
        self.cut = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                await self._answer(writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            self.cut.set()
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    answer: Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Server, str]]:
    server = Server(answer)
    listening = await asyncio.start_server(server, "127.0.0.1", 0, ssl=tls)
    host, port = listening.sockets[0].getsockname()
    async with listening:
        yield server, f"{'https' if tls else 'http'}://{host}:{port}"
        listening.close()


def client(address: str, limits: Limits = TENANT, **options: Any) -> Kube:
    ca = CA.cert_pem if address.startswith("https") else None
    options = {"timeout": 60.0, **options}
    return Kube(Access(address, ca=ca), field_manager="test", limits=limits, **options)


async def ask(address: str, limits: Limits = TENANT) -> Any:
    async with asyncio.timeout(120), client(address, limits) as kube:
        return await kube.get(kinds.SECRET, "name", "ns")


def tls(tmp_path: Path, others: int = 0) -> ssl.SSLContext:
    """One that sends so many certificates of others along with its own."""
    spec = pki.LeafSpec("api", ip_addresses=["127.0.0.1"], usages=pki.Usage.SERVER)
    leaf = pki.issue(CA, spec, NOW)
    more = b"".join(pki.new_ca(f"other {n}", NOW).cert_pem for n in range(others))
    (tmp_path / "crt").write_bytes(leaf.cert_pem + more)
    (tmp_path / "key").write_bytes(leaf.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    return context


def endless(piece: bytes, before: bytes = b"") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while True:
            writer.write(piece * 2000)
            await writer.drain()

    return answer


FLOODS = {
    "interim answers": endless(CONTINUE),
    "blank lines": endless(b"\r\n"),
    "answers": endless(EMPTY, CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"),
    "extensions of a chunk": endless(b"a", CHUNKED + b"2;"),
    "trailers": endless(b"a: b\r\n", CHUNKED + b"2\r\n{}\r\n0\r\n"),
}


@pytest.mark.parametrize("way", ["plain", "tls"])
@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_beside_an_answer_is_cut_off(what: str, way: str, tmp_path: Path) -> None:
    async with serving(FLOODS[what], tls(tmp_path) if way == "tls" else None) as (server, address):
        began = time.thread_time()
        # Of some the answer itself is whole.
        with contextlib.suppress(TooLarge, Unreachable):
            await ask(address)
        async with asyncio.timeout(60):
            await server.cut.wait()
        # The server itself is a part of it.
        assert time.thread_time() - began < 1


async def test_who_floods_is_told_apart_from_who_does_not_answer() -> None:
    async with serving(FLOODS["interim answers"]) as (_, address):
        with pytest.raises(TooLarge, match=re.escape(f"more than {INTERIM} interim answers")):
            await ask(address)
    async with serving(FLOODS["extensions of a chunk"]) as (_, address):
        with pytest.raises(TooLarge, match=re.escape(f"more than {HEAD} bytes beside an answer")):
            await ask(address)


async def test_after_an_answer_nothing_is_read_from_a_connection_at_rest() -> None:
    answered = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(EMPTY)
        await writer.drain()
        await answered.wait()
        await endless(EMPTY)(writer)

    async with serving(answer) as (server, address), client(address) as kube:
        assert await kube.raw("GET", "/api") == {}
        answered.set()
        async with asyncio.timeout(60):
            await server.cut.wait()


async def test_an_interim_answer_or_two_do_no_harm() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(CONTINUE + b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + EMPTY)

    async with serving(answer) as (server, address), client(address) as kube:
        assert await kube.raw("GET", "/api") == {}
        assert await kube.raw("GET", "/api") == {}
        assert server.asked == 2
        assert not server.cut.is_set()


async def test_a_large_answer_comes_whole_however_it_is_wrapped(tmp_path: Path) -> None:
    text = b'"%s"' % (b"x" * (5 * 2**20))

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        for at in range(0, len(text), 128):
            piece = text[at : at + 128]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if at % 2**16 == 0:
                await writer.drain()
        writer.write(b"0\r\n\r\n")

    for secure in (None, tls(tmp_path)):
        async with serving(answer, secure) as (_, address), client(address) as kube:
            assert len(await kube.raw("GET", "/api")) == len(text) - 2


async def test_a_handshake_takes_a_few_certificates_and_no_more(tmp_path: Path) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(EMPTY)

    async with serving(answer, tls(tmp_path, others=5)) as (_, address), client(address) as kube:
        assert await kube.raw("GET", "/api") == {}
    async with serving(answer, tls(tmp_path, others=60)) as (server, address):
        with pytest.raises(
            TooLarge, match=re.escape(f"more than {HANDSHAKE} bytes of a TLS handshake")
        ):
            await ask(address)
        assert server.asked == 0
        # The meta cluster's is not measured.
        async with client(address, META) as kube:
            assert await kube.raw("GET", "/api") == {}


async def test_how_much_work_it_is_to_agree_on_keys_is_not_the_servers_choice(
    tmp_path: Path,
) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(EMPTY)

    dear = tls(tmp_path)
    dear.set_ecdh_curve("secp521r1")
    async with serving(answer, dear) as (_, address), client(address) as kube:
        with pytest.raises(Unreachable):
            await kube.raw("GET", "/api")
    context = inbound.with_bounded_handshake(ssl_context(Access("https://h", ca=CA.cert_pem)))
    kinds_of_keys = {one["kea"] for one in context.get_ciphers() if one["protocol"] != "TLSv1.3"}
    assert kinds_of_keys == {"kx-ecdhe"}
    assert context.options & ssl.OP_NO_RENEGOTIATION


# --- who pays


class Counting(CpuShares):
    """Notes what it is told, and who rested."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop().time)
        self.owed: defaultdict[str, float] = defaultdict(float)
        self.rested: list[str] = []

    def owe(self, namespace: str, seconds: float) -> None:
        self.owed[namespace] += seconds

    async def rest(self, namespace: str) -> None:
        self.rested.append(namespace)


@pytest.fixture
async def counting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counting]:
    made = Counting()
    monkeypatch.setattr("kok.kube.budget.cpu_shares._shares", {asyncio.get_running_loop(): made})
    NAMESPACE.set("evil")
    yield made
    NAMESPACE.set("")


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> float:
    """All that is done for a connection takes so many seconds of processor time."""
    now = iter(range(10**9))
    monkeypatch.setattr("kok.kube.http.inbound.cpu_seconds", lambda: float(next(now)))
    return 1.0


async def simple(writer: asyncio.StreamWriter) -> None:
    writer.write(EMPTY)


@pytest.mark.parametrize("secure", [False, True])
async def test_who_has_a_server_asked_pays_for_what_it_makes_us_do(
    counting: Counting, dear: float, secure: bool, tmp_path: Path
) -> None:
    free = inbound.FREE + CpuShares.SMALL + 0.001
    async with serving(simple, tls(tmp_path) if secure else None) as (_, address):
        async with client(address) as kube:
            await kube.raw("GET", "/api")
            once = counting.owed["evil"]
            assert once >= dear - free
            NAMESPACE.set("another")
            await kube.raw("GET", "/api")
            NAMESPACE.set("evil")
        if secure:
            # The handshake goes to whoever the connection was made for, to the last bit.
            assert once >= 2 * dear - free
        assert counting.owed["another"] >= dear - free
        counting.owed.clear()
        async with client(address, META) as kube:
            await kube.raw("GET", "/api")
    assert not counting.owed


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
async def test_who_is_in_debt_rests_before_he_has_his_own_servers_asked(
    counting: Counting, method: str
) -> None:
    async with serving(simple) as (_, address):
        async with client(address) as kube:
            await kube.raw(method, "/api", {})
        assert counting.rested == ["evil"]
        counting.rested.clear()
        async with client(address, META) as kube:
            await kube.raw(method, "/api/v1/namespaces/evil/secrets", {})
        assert counting.rested == (["evil"] if method == "GET" else [])


async def test_a_list_rests_once_for_each_page_also_of_the_meta_cluster(counting: Counting) -> None:
    async def page(writer: asyncio.StreamWriter) -> None:
        more = b"more" if server.asked == 1 else b""
        body = b'{"metadata":{"resourceVersion":"1","continue":"%s"},"items":[%s]}' % (
            more,
            b'{"metadata":{"name":"a","uid":"u"}}',
        )
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)

    for limits in (META, TENANT):
        async with serving(page) as (server, address), client(address, limits) as kube:
            assert len(await kube.list(kinds.SECRET, "evil")) == 2
        assert counting.rested == ["evil", "evil"]
        counting.rested.clear()


async def test_a_watch_begins_in_the_time_that_any_answer_has() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        if server.asked == 1:
            body = b'{"metadata":{"resourceVersion":"1"},"items":[]}'
            head = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            )
            writer.write(head % len(body) + body)

    failed: asyncio.Queue[KubeError | None] = asyncio.Queue()

    async def follow(kube: Kube) -> None:
        async for _ in watch(kube._transport, kinds.SECRET, "ns", {}, failed.put_nowait):
            pass

    async with serving(answer) as (server, address), client(address, timeout=0.2) as kube:
        watching = asyncio.create_task(follow(kube))
        async with asyncio.timeout(60):
            assert await failed.get() is None
            error = await failed.get()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert isinstance(error, Unreachable)
    assert "did not answer in time" in error.message


def test_what_little_honest_servers_take_makes_no_account() -> None:
    now = 0.0
    made = CpuShares(lambda: now)
    made.served("honest", CpuShares.SMALL)
    assert not made._accounts
    for _ in range(1000):
        now += 1.0
        made.served("honest", CpuShares.SMALL_RATE)
    assert not made._accounts
    made.served("honest", 0.01)
    assert made._accounts["honest"].due - made._now == pytest.approx(0.01)


# --- turns


async def test_handshakes_take_turns_by_namespace_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    at: list[int] = []
    turns = Handshakes()
    over = asyncio.Event()
    turn = 0

    def step(whose: str) -> None:
        done.append(whose)
        at.append(turn)
        if len(done) == 7:
            over.set()

    for whose in ("a", "a", "a", "b", "c", "debtor", "debtor"):
        turns.add(whose, lambda whose=whose: step(whose))  # type: ignore[misc]
    owing = {"debtor": 0.001}
    monkeypatch.setattr(shares(), "left", lambda whose: owing.get(whose, 0.0), raising=False)
    while len(done) < 5:
        turn += 1
        await asyncio.sleep(0)
    assert done == ["a", "b", "c", "a", "a"]
    assert len(set(at)) == 5
    owing.clear()
    async with asyncio.timeout(60):
        await over.wait()
    assert done[5:] == ["debtor", "debtor"]


def test_what_is_too_much_of_an_exchange() -> None:
    one = Exchange(arrived=HEAD)
    assert one.excess(0, ended=False) is None
    one.arrived += 1
    assert one.excess(0, ended=False) == f"more than {HEAD} bytes before an answer"
    one.told(200)
    assert one.excess(1, ended=False) is None
    one.arrived = HEAD + 1000 * WRAPPING + 1
    assert one.excess(1000, ended=False) == f"more than {HEAD} bytes beside an answer"
    assert one.excess(1001, ended=True) is None
    one.arrived += HEAD + 1
    assert one.excess(1001, ended=True) == f"more than {HEAD} bytes beside an answer"
    one.told(200)
    assert one.excess(1001, ended=True) == "more answers than one"
