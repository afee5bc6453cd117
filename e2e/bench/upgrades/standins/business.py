"""A stand-in for the API of a business cluster: it takes what it is given, and tells it again.

It knows who asks as little as what an object means, and nothing ever changes by itself: a watch has no
events but bookmarks. Who has another one in its place, as after a restart, finds all objects again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from kok.api.meta import Manifest

BOOKMARKS = 50.0
"""Seconds between two; a real API server sends about one a minute."""
GOES = 0.2
"""Seconds that connections get at a restart."""
METRICS = "process_start_time_seconds 1.0\n"
WRITES = "standin_writes_total"
"""How often it was asked to store something, among its metrics."""
_KEPT = ("uid", "creationTimestamp", "generation")
Place = tuple[str, str]
"""Namespace, empty where there is none, and name."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a path leads to."""

    collection: str
    """Group, version and plural."""
    namespace: str = ""
    name: str = ""

    @classmethod
    def of(cls, path: str) -> Target | None:
        """None for what is neither an object nor a collection of them; subresources are the object."""
        parts = path.strip("/").split("/")
        base = 3 if parts[0] == "apis" else 2
        head, rest = parts[:base], parts[base:]
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        if not rest or parts[0] not in {"api", "apis"}:
            return None
        return cls("/".join([*head, rest[0]]), namespace, rest[1] if len(rest) > 1 else "")


@dataclass
class Objects:
    """What one business cluster has stored."""

    _stored: dict[str, dict[Place, Manifest]] = field(default_factory=lambda: defaultdict(dict))
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        """With the namespaces that every cluster has."""
        for name in ("default", "kube-system", "kube-public"):
            self.put(Target("api/v1/namespaces", name=name), {"metadata": {"name": name}})

    def get(self, target: Target) -> Manifest | None:
        """One object."""
        return self._stored[target.collection].get((target.namespace, target.name))

    def put(self, target: Target, manifest: Manifest) -> Manifest:
        """In place of the one that is there, which only gives its identity."""
        version = str(next(self._versions))
        made = {
            "uid": f"uid-{version}",
            "creationTimestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "generation": 1,
        }
        before = (self.get(target) or {}).get("metadata") or made
        kept = {key: before[key] for key in _KEPT}
        meta = {**manifest["metadata"], **kept, "resourceVersion": version}
        stored = self._stored[target.collection]
        stored[target.namespace, target.name] = {**manifest, "metadata": meta}
        return stored[target.namespace, target.name]

    def take(self, target: Target) -> Manifest | None:
        """Removes one."""
        return self._stored[target.collection].pop((target.namespace, target.name), None)

    def among(self, target: Target, selector: str) -> list[Manifest]:
        """Those of a collection, of all namespaces if none is named, with the labels asked for."""
        return [
            one
            for (namespace, _), one in self._stored[target.collection].items()
            if target.namespace in ("", namespace)
            and _selects(selector, one["metadata"].get("labels") or {})
        ]


def _selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Terms `key=value` and `key`, of which others are not used here."""
    for term in filter(None, selector.split(",")):
        key, equals, value = term.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


class BusinessAPI:
    """One business cluster's API on one port."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self.objects = Objects()
        self.writes = 0
        self._host, self._port, self._context = host, port, context
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listens from now on."""
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=GOES)
        await runner.setup()
        await web.TCPSite(runner, self._host, self._port, ssl_context=self._context).start()
        self._runner = runner

    async def stop(self) -> None:
        """Ends all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def restart(self) -> None:
        """As another API server in the place of the one before: clients have to connect anew."""
        await self.stop()
        await self.start()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/metrics":
            return web.Response(text=f"{METRICS}{WRITES} {self.writes}\n")
        target = Target.of(request.path)
        if target is None:
            return _refusal(404, "NotFound", request.path)
        if request.method == "GET" and not target.name:
            return await self._list(target, request)
        if request.method in {"GET", "DELETE"}:
            do = self.objects.get if request.method == "GET" else self.objects.take
            return _answer(do(target), target)
        self.writes += 1
        return self._write(request.method, target, json.loads(await request.read()), request)

    def _write(
        self, method: str, target: Target, sent: Any, request: web.BaseRequest
    ) -> web.StreamResponse:
        if method == "POST":
            place = Target(target.collection, target.namespace, sent["metadata"]["name"])
            if self.objects.get(place) is not None:
                return _refusal(409, "AlreadyExists", place.name)
            return _answer(self.objects.put(place, sent), place, 201)
        known = self.objects.get(target)
        if method == "PATCH" and "apply" not in request.content_type:
            if known is None or "merge" not in request.content_type:
                return _refusal(404 if known is None else 415, "NotFound", target.name)
            sent = _merged(known, sent)
        return _answer(self.objects.put(target, sent), target)

    async def _list(self, target: Target, request: web.BaseRequest) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request)
        items = self.objects.among(target, request.query.get("labelSelector", ""))
        return web.json_response(
            {"kind": "List", "apiVersion": "v1", "metadata": _AT, "items": items}
        )

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        bookmark = {"type": "BOOKMARK", "object": {"kind": "Bookmark", "metadata": _AT}}
        ends = asyncio.get_running_loop().time() + float(request.query.get("timeoutSeconds", 300))
        with contextlib.suppress(ConnectionResetError):
            while asyncio.get_running_loop().time() < ends:
                await asyncio.sleep(BOOKMARKS)
                await response.write(f"{json.dumps(bookmark)}\n".encode())
        return response


_AT = {"resourceVersion": "1"}


def _answer(found: Manifest | None, target: Target, status: int = 200) -> web.Response:
    if found is None:
        return _refusal(404, "NotFound", target.name)
    return web.json_response(found, status=status)


def _refusal(status: int, reason: str, name: str) -> web.Response:
    return web.json_response(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f"{name}: {reason}",
            "reason": reason,
            "details": {"name": name},
            "code": status,
        },
        status=status,
    )


def _merged(known: Any, patch: Any) -> Any:
    """As of RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    out = dict(known) if isinstance(known, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merged(out.get(key), value)
    return out
