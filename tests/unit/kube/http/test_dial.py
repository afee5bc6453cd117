"""No connection leads where an administrator forbids, whatever a name stands for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kok.kube.client import Kube
from kok.kube.errors import Barred, Unreachable
from kok.kube.http import dial
from kok.kube.http.access import Access

LOOPBACK = ("127.0.0.0/8", "::1/128")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def listener(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def came(server: socket.socket) -> bool:
    """Whether anybody has connected."""
    server.setblocking(False)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_a_connection_is_made_to_what_is_not_forbidden(listener: int) -> None:
    with dial.connect("127.0.0.1", listener, ["169.254.0.0/16"], 5.0) as made:
        assert made.getpeername() == ("127.0.0.1", listener)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "::ffff:127.0.0.1"])
def test_neither_an_address_nor_a_name_leads_into_a_forbidden_range(
    listener: int, host: str
) -> None:
    with pytest.raises(dial.ForbiddenAddress, match="which is forbidden"):
        dial.connect(host, listener, LOOPBACK, 5.0)


def test_a_name_that_changes_its_mind_is_judged_by_what_it_stands_for_now(
    listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: a harmless answer when the spec is judged, another one at the connection."""

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "s3.attacker.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(dial.ForbiddenAddress):
        dial.connect("s3.attacker.example", listener, LOOPBACK, 5.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_http_clients_are_kept_from_it_as_well(host: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="secret")

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server:
        factory = dial.socket_factory(LOOPBACK)
        connector = aiohttp.TCPConnector(socket_factory=factory)
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientConnectorError) as raised:
                await session.get(f"http://{host}:{server.port}/")
        assert dial.was_forbidden(raised.value)
        free = aiohttp.TCPConnector(socket_factory=dial.socket_factory([]))
        async with aiohttp.ClientSession(connector=free) as session:
            assert (await session.get(f"http://{host}:{server.port}/")).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "x@127.0.0.1"])
async def test_nor_does_an_api_server_lead_there(
    server: socket.socket, listener: int, host: str
) -> None:
    access = Access(f"https://{host}:{listener}")
    async with Kube(access, field_manager="t", closed=LOOPBACK) as kube:
        with pytest.raises(Barred, match="which is forbidden by the administrator"):
            await kube.raw("GET", "/version")
    assert not came(server)


async def test_an_api_server_elsewhere_is_asked(server: socket.socket, listener: int) -> None:
    access, closed = Access(f"http://127.0.0.1:{listener}"), ("169.254.0.0/16",)
    async with Kube(access, field_manager="t", timeout=0.2, closed=closed) as kube:
        with pytest.raises(Unreachable) as raised:
            await kube.raw("GET", "/version")
    assert not isinstance(raised.value, Barred)
    assert came(server)
