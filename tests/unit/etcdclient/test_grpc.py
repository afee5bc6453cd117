"""gRPC's messages in pieces of any size, and servers that are none of gRPC's."""

from __future__ import annotations

import asyncio
import struct
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pycurl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.etcdclient.grpc import Call, CallError, Failure, Messages, Server, Tls

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_messages_are_the_same_however_the_body_is_cut(
    messages: list[bytes], draw: st.DataObject
) -> None:
    body, found = b"".join(framed(m) for m in messages), []
    reader = Messages()
    while body:
        size = draw.draw(st.integers(1, len(body)))
        reader.feed(body[:size])
        body = body[size:]
        if draw.draw(st.booleans()):
            found += [bytes(m) for m in reader.take()]
    found += [bytes(m) for m in reader.take()]

    assert found == messages
    assert reader.size == 0


def test_what_is_left_of_a_message_counts() -> None:
    reader = Messages()
    reader.feed(framed(b"one") + framed(b"another")[:-1])

    assert [bytes(m) for m in reader.take()] == [b"one"]
    assert reader.size == len(framed(b"another")) - 1


@pytest.mark.parametrize(
    "prefix", [struct.pack(">BI", 1, 3), struct.pack(">BI", 0, 5 * 1024**2)], ids=["packed", "huge"]
)
def test_messages_that_nobody_asked_for_are_not_waited_for(prefix: bytes) -> None:
    reader = Messages()
    reader.feed(prefix + b"abc")

    with pytest.raises(CallError) as raised:
        reader.take()

    assert raised.value.failure is Failure.STRANGE


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def asked(endpoint: str, deadline: float = 10.0) -> CallError:
    async with pycurl.AsyncCurlMulti() as calls:
        with pytest.raises(CallError) as raised:
            await Call(Server(endpoint), "/etcdserverpb.KV/Range", b"").answer(calls, deadline)
    return raised.value


async def _ends(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


async def _speaks_http_1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("handler", [_ends, _resets, _speaks_http_1])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_server_that_ends_is_no_matter_of_trust(scheme: str, handler: Handler) -> None:
    async with listening(handler) as address:
        error = await asked(f"{scheme}://{address}")

    wrong_protocol = handler is _speaks_http_1 and scheme == "https"
    assert error.failure is (Failure.UNTRUSTED if wrong_protocol else Failure.BROKE_OFF), error.text


async def test_a_port_that_is_closed_is_told() -> None:
    async with listening(_ends) as address:
        pass

    assert (await asked(f"http://{address}")).failure is Failure.UNREACHABLE


async def test_a_mute_server_is_not_waited_for() -> None:
    over = asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with listening(mute) as address:
        error = await asked(f"http://{address}", deadline=0.2)
        over.set()

    assert error.failure is Failure.SILENT


@pytest.mark.parametrize("part", ["ca", "certificate", "key"])
def test_what_is_no_certificate_is_a_matter_of_trust(part: str) -> None:
    pem = {"ca": b"", "certificate": b"", "key": b"", part: b"rubbish"}

    with pytest.raises(CallError) as raised:
        Call(Server("https://127.0.0.1:1", Tls(**pem)), "/etcdserverpb.KV/Range", b"")

    assert raised.value.failure is not Failure.REFUSED
    assert "rubbish" not in raised.value.text


async def test_a_call_that_is_given_up_lets_go_of_all_that_it_had() -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await over.wait()
        writer.close()

    async with listening(mute) as address, pycurl.AsyncCurlMulti() as calls:
        call = Call(Server(f"http://{address}"), "/etcdserverpb.KV/Range", b"")
        waiting = asyncio.create_task(call.answer(calls, 60))
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        over.set()

    handle = weakref.ref(call.handle)
    del call, waiting
    await asyncio.sleep(0)
    assert handle() is None
