"""A small API server in memory, at the HTTP level, for tests where a pure one is not enough.

It stores, versions, lists, patches and deletes any objects, honours resource versions and
finalizers, and lets a test answer chosen requests otherwise (`script`). Server-side apply is a
merge. It knows no schema and has no defaults: what real defaulting does is tried against a real
API server in the integration tests.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Manifest = dict[str, Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>\w+))?$"
)


class FakeApi:
    """`objects` by path; `requests` lists method and path of all that was asked."""

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}
        self.requests: list[tuple[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self._scripts: list[tuple[str, re.Pattern[str], Answer]] = []
        self._versions = itertools.count(1)
        self._watchers: list[asyncio.Queue[Manifest | None]] = []
        self._server = TestServer(self._app())

    async def start(self, tls: ssl.SSLContext | None = None) -> FakeApi:
        """Starts to listen."""
        await self._server.start_server(ssl=tls)
        return self

    async def close(self) -> None:
        """Ends all connections."""
        for queue in self._watchers:
            queue.put_nowait(None)
        await self._server.close()

    @property
    def address(self) -> str:
        """Base URL."""
        return str(self._server.make_url("")).rstrip("/")

    def kubeconfig(self, **user: Any) -> dict[str, Any]:
        """A kubeconfig for this server."""
        return {
            "current-context": "c",
            "contexts": [
                {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}
            ],
            "clusters": [{"name": "c", "cluster": {"server": self.address}}],
            "users": [{"name": "u", "user": user}],
        }

    def script(self, method: str, path: str, answer: Answer) -> None:
        """Answers requests whose path matches a pattern; None falls through to the store."""
        self._scripts.append((method, re.compile(path), answer))

    def put(self, path: str, manifest: Manifest) -> Manifest:
        """Stores an object as a user would, and tells the watches of it."""
        known = path in self.objects
        old = self.objects.get(path, {})
        meta = {"name": path.rpartition("/")[2], "uid": f"uid-{next(self._versions)}"}
        meta |= {"generation": 1} | old.get("metadata", {})
        meta |= manifest.get("metadata", {})
        meta["resourceVersion"] = str(next(self._versions))
        stored = copy.deepcopy({**manifest, "metadata": meta})
        self.objects[path] = stored
        self._tell("MODIFIED" if known else "ADDED", stored)
        return copy.deepcopy(stored)

    def drop(self, path: str) -> None:
        """Removes an object."""
        self._tell("DELETED", self.objects.pop(path))

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The requests that could change something."""
        return [one for one in self.requests if one[0] != "GET"]

    def _tell(self, what: str, manifest: Manifest) -> None:
        for queue in self._watchers:
            queue.put_nowait({"type": what, "object": copy.deepcopy(manifest)})

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.headers.append(dict(request.headers))
        for method, pattern, answer in self._scripts:
            if method in {request.method, "*"} and pattern.search(request.path):
                found = await answer(request)
                if found is not None:
                    return found
        match = _PATH.match(request.path)
        if match is None:
            return refusal(404, "NotFound", "the server could not find the requested resource")
        if request.method == "GET" and "watch" in request.query:
            return await self._watch(request)
        handler = {
            "GET": self._get,
            "POST": self._post,
            "PUT": self._put,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }[request.method]
        body = await request.json() if request.body_exists else None
        return handler(request, match, body)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[Manifest | None] = asyncio.Queue()
        self._watchers.append(queue)
        while (event := await queue.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    def _get(self, request: web.Request, match: re.Match[str], _body: Any) -> web.Response:
        path = request.path
        if match["name"]:
            return self._found(path, match["name"])
        inside = re.compile(
            re.escape(path) + "/[^/]+$"
            if match["namespace"]
            else path.replace(
                f"/{match['plural']}", f"(/namespaces/[^/]+)?/{match['plural']}/[^/]+$"
            )
        )
        items = [o for p, o in sorted(self.objects.items()) if inside.match(p)]
        for term in filter(None, request.query.get("labelSelector", "").split(",")):
            key, _, value = term.partition("=")
            other, key = key.endswith("!"), key.removesuffix("!")
            items = [
                o for o in items if (o["metadata"].get("labels", {}).get(key) == value) != other
            ]
        only, _, name = request.query.get("fieldSelector", "").partition("=")
        if only == "metadata.name":
            items = [o for o in items if o["metadata"]["name"] == name]
        version = str(next(self._versions))
        return web.json_response({"metadata": {"resourceVersion": version}, "items": items})

    def _found(self, path: str, name: str) -> web.Response:
        if path not in self.objects:
            return refusal(404, "NotFound", f'"{name}" not found', {"name": name})
        return web.json_response(self.objects[path])

    def _post(self, request: web.Request, match: re.Match[str], body: Any) -> web.Response:
        path = f"{request.path}/{body['metadata']['name']}"
        if path in self.objects:
            return refusal(409, "AlreadyExists", f"{path} already exists")
        return web.json_response(self.put(path, body), status=201)

    def _put(self, request: web.Request, match: re.Match[str], body: Any) -> web.Response:
        if (missing := self._absent(request.path, match, body)) is not None:
            return missing
        return web.json_response(self.put(request.path, body))

    def _patch(self, request: web.Request, match: re.Match[str], body: Any) -> web.Response:
        path = request.path.removesuffix(f"/{match['sub']}") if match["sub"] else request.path
        if request.content_type.startswith("application/apply") and path not in self.objects:
            return web.json_response(self.put(path, body), status=201)
        if (missing := self._absent(path, match, body)) is not None:
            return missing
        return web.json_response(self.put(path, merge(self.objects[path], body)))

    def _delete(self, request: web.Request, match: re.Match[str], body: Any) -> web.Response:
        path = request.path
        preconditions = {"metadata": (body or {}).get("preconditions") or {}}
        if (missing := self._absent(path, match, preconditions)) is not None:
            return missing
        stored = self.objects[path]
        if stored["metadata"].get("finalizers"):
            self.put(
                path, merge(stored, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
            )
        else:
            self.drop(path)
        return web.json_response({"kind": "Status", "status": "Success"})

    def _absent(self, path: str, match: re.Match[str], body: Any) -> web.Response | None:
        if path not in self.objects:
            return refusal(404, "NotFound", f'"{match["name"]}" not found', {"name": match["name"]})
        have, want = self.objects[path]["metadata"], body.get("metadata") or {}
        for key in ("uid", "resourceVersion"):
            if want.get(key) and want[key] != have[key]:
                return refusal(409, "Conflict", f"{key} is {have[key]}, not {want[key]}")
        return None


def refusal(
    status: int, reason: str, message: str, details: Mapping[str, Any] | None = None
) -> web.Response:
    """An answer as an API server refuses."""
    body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason}
    return web.json_response({**body, "message": message, "details": details}, status=status)


def merge(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out
