"""What is asked again, and what is not."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import TooManyRequests
from kok.kube.http.session import TRIES

PATH = "/api/v1/namespaces/team-a"


class Ending:
    """Answers as a server does that is about to end, so many times."""

    def __init__(self, times: int, connection: str = "close") -> None:
        self.left, self.asked = times, 0
        self._connection = connection

    async def __call__(self, _request: web.Request) -> web.StreamResponse | None:
        self.asked += 1
        if not self.left:
            return None
        self.left -= 1
        said = {"kind": "Status", "code": 429, "message": "The apiserver is shutting down"}
        headers = {"Retry-After": "5", "Connection": self._connection}
        return web.Response(
            text=json.dumps(said), status=429, headers=headers, content_type="application/json"
        )


async def test_a_server_that_is_about_to_end_leads_to_another(api: FakeApi, kube: Kube) -> None:
    api.put(PATH, {"apiVersion": "v1", "kind": "Namespace", "metadata": {}})
    ending = Ending(TRIES - 1)
    api.script("GET", PATH, ending)
    assert await kube.get(kinds.NAMESPACE, "team-a") is not None
    assert ending.asked == TRIES


@pytest.mark.parametrize(("connection", "asked"), [("close", TRIES), ("keep-alive", 1)])
async def test_others_that_ask_for_patience_get_it(
    api: FakeApi, kube: Kube, connection: str, asked: int
) -> None:
    """As does a server of somebody who says so for ever."""
    ending = Ending(100, connection)
    api.script("GET", PATH, ending)
    with pytest.raises(TooManyRequests, match="shutting down"):
        await kube.get(kinds.NAMESPACE, "team-a")
    assert ending.asked == asked
