"""A server that answers as a test says, to a client that takes little."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiohttp import web
from tests.unit.fakeapi import FakeApi

from kok.kube import kinds
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube

SMALL = replace(
    TENANT,
    answer=20_000,
    alone=20_000,
    line=10_000,
    weight=200_000,
    listed=400_000,
    together=400_000,
    items=50,
    page=8,
)


def always(api: FakeApi, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    api.script("GET", "secrets", answer)


def secret(name: str, text: str = "") -> dict[str, Any]:
    meta = {"name": name, "uid": name, "resourceVersion": "1"}
    return {"metadata": meta, "data": {"text": text}}


def page(items: list[dict[str, Any]], more: str = "") -> web.Response:
    return web.json_response(
        {"metadata": {"resourceVersion": "1", "continue": more}, "items": items}
    )


async def told(kube: Kube, until: str, limit: int = 1000) -> list[tuple[str, str]]:
    """What a watch tells until it tells of that name or type."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(60):
        async for event in kube.watch(kinds.SECRET, "ns"):
            found.append((event.type, event.object.get("metadata", {}).get("name", "")))
            if until in found[-1] or len(found) >= limit:
                break
    return found


def lines(*changes: tuple[str, Any]) -> web.Response:
    texts = [json.dumps({"type": what, "object": found}) for what, found in changes]
    return web.Response(text="".join(f"{text}\n" for text in texts))
