"""A server of charts and artifacts: a chart repository by HTTPS, and a registry beside it.

It is as strict as real ones where clients get it wrong: a registry asks for a token, and gives it for
the right name and password.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from dataclasses import dataclass, field
from typing import Self

import trustme
import yaml
from aiohttp import web
from e2e.faults.chart_repository import packed

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
ARTIFACT = "application/vnd.example.addon.v1.tar+gzip"
DEPLOYMENT = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-config
data:
  replicas: {{ .Values.replicas | quote }}
  word: {{ .Values.word | quote }}
  kubernetes: {{ .Capabilities.KubeVersion.Version }}
  found: {{ lookup "v1" "Secret" "kube-system" "" | toJson | quote }}
"""
SCHEMA = {
    "type": "object",
    "properties": {"replicas": {"type": "integer", "minimum": 1}, "word": {"type": "string"}},
}


def chart(version: str = "1.2.0", name: str = "demo", **files: str | bytes) -> bytes:
    """A small chart; `files` by their paths within it, over its usual ones."""
    about = {"apiVersion": "v2", "name": name, "version": version}
    usual: dict[str, str | bytes] = {
        "Chart.yaml": yaml.safe_dump(about),
        "values.yaml": "replicas: 2\nword: hello\nimage: {}\n",
        "values.schema.json": json.dumps(SCHEMA),
        "templates/config.yaml": DEPLOYMENT,
    }
    return packed({f"{name}/{path}": content for path, content in {**usual, **files}.items()})


def sha256(content: bytes) -> str:
    """As registries write it."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Repositories:
    """The server; what it serves may be changed at any time."""

    charts: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """Archives of the HTTPS repository `/charts`, by name and version."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    """Of the registry, by digest and by `repository:tag`."""
    login: tuple[str, str] | None = None
    """Who alone may read."""
    down: bool = False
    """Answers 503."""
    index: bytes | None = None
    """In place of what the charts come to."""
    asked: list[str] = field(default_factory=list)
    """Paths, in order."""
    signature: str = ""
    """By which alone the repository gives charts away; its index has it in their addresses."""
    unsigned: tuple[int, bytes] = (403, b"")
    """Status and content for who has no such signature, or another one."""
    users: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Who alone may read single paths."""
    moved: dict[str, str] = field(default_factory=dict)
    """Where paths lead on to."""
    ca: str = ""
    port: int = 0
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        authority = trustme.CA()
        self.ca = authority.cert_pem.bytes().decode()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def host(self) -> str:
        """With its port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Of the chart repository."""
        return f"https://{self.host}/charts"

    def add(self, content: bytes, version: str = "1.2.0", name: str = "demo") -> None:
        """A chart, in the repository and in the registry (below `charts`)."""
        self.charts[name, version] = content
        self.push(f"charts/{name}", version.replace("+", "_"), content, CHART)

    def push(self, repository: str, tag: str, content: bytes, media: str = ARTIFACT) -> str:
        """An artifact of one layer; the digest of its manifest."""
        layer = {"mediaType": media, "digest": sha256(content), "size": len(content)}
        manifest = json.dumps({"mediaType": MANIFEST, "layers": [layer]}).encode()
        self.blobs[sha256(content)] = content
        digest = sha256(manifest)
        self.manifests[digest] = self.manifests[f"{repository}:{tag}"] = manifest
        return digest

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.path
        self.asked.append(path)
        if self.down:
            return web.Response(status=503, text="secret words of an inner server")
        if path in self.moved:
            return web.Response(status=302, headers={"Location": self.moved[path]})
        if path == "/token":
            given = self._basic(request)
            wrong = self.login is not None and given != self.login
            return web.Response(status=401) if wrong else web.json_response({"token": "t0k3n"})
        if path.startswith("/v2/"):
            return self._registry(request, path.removeprefix("/v2/"))
        login = self.users.get(path, self.login)
        if login is not None and self._basic(request) != login:
            return web.Response(status=401)
        return self._repository(path.removeprefix("/charts/"), request.query.get("sig", ""))

    def _repository(self, path: str, signature: str) -> web.Response:
        if path == "index.yaml":
            return web.Response(body=self._index() if self.index is None else self.index)
        if signature != self.signature:
            status, body = self.unsigned
            return web.Response(status=status, body=body)
        for (name, version), content in self.charts.items():
            if path == f"{name}-{version}.tgz":
                return web.Response(body=content)
        return web.Response(status=404)

    def _index(self) -> bytes:
        entries: dict[str, list[object]] = {"another": [{"version": "9.9.9", "urls": ["x"]}]}
        for (name, version), content in self.charts.items():
            digest = sha256(content).removeprefix("sha256:")
            signed = f"?sig={self.signature}" if self.signature else ""
            urls = [f"{name}-{version}.tgz{signed}"]
            entry = {"version": version, "urls": urls, "digest": digest}
            entries.setdefault(name, []).append(entry)
        return yaml.safe_dump({"apiVersion": "v1", "entries": entries}).encode()

    def _registry(self, request: web.Request, path: str) -> web.Response:
        if request.headers.get("Authorization") != "Bearer t0k3n":
            challenge = f'Bearer realm="https://{self.host}/token",service="registry"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        repository, kind, name = path.rsplit("/", 2)
        found: bytes | None
        if kind == "tags":
            prefix = f"{repository}:"
            tags = [one.removeprefix(prefix) for one in self.manifests if one.startswith(prefix)]
            return web.json_response({"tags": tags})
        if kind == "manifests":
            key = name if name.startswith("sha256:") else f"{repository}:{name}"
            found = self.manifests.get(key)
        else:
            found = self.blobs.get(name)
        return web.Response(status=404) if found is None else web.Response(body=found)

    @staticmethod
    def _basic(request: web.Request) -> tuple[str, str] | None:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return None
        name, _, password = base64.b64decode(given).decode().partition(":")
        return name, password
