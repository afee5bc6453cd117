"""A repository of Helm charts on this machine: away on command, with charts that are none."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import ssl
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import yaml
from aiohttp import web

from e2e.lab import Lab
from kok import pki

VERSION = "1.0.0"
MIB = 2**20
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  word: {{ .Values.word | quote }}
"""
SCHEMA = '{"type": "object", "properties": {"word": {"type": "string"}}}'


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """An archive of files by their paths, the same for the same files."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for path, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(path)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return out.getvalue()


def chart(name: str, more: Mapping[str, str | bytes] | None = None) -> bytes:
    """A chart of one ConfigMap, named after its release; `more` files by their paths within it."""
    usual: dict[str, str | bytes] = {
        "Chart.yaml": yaml.safe_dump({"apiVersion": "v2", "name": name, "version": VERSION}),
        "values.yaml": "word: hello\n",
        "values.schema.json": SCHEMA,
        "templates/config.yaml": TEMPLATE,
    }
    return packed({f"{name}/{path}": one for path, one in {**usual, **(more or {})}.items()})


class ChartRepository:
    """The server, by TLS with a certificate of a CA of its own; made by `repository`."""

    def __init__(self, address: str) -> None:
        now = datetime.now(UTC)
        authority = pki.new_ca("charts", now)
        spec = pki.LeafSpec("charts", ip_addresses=(address,), usages=pki.Usage.SERVER)
        self.ca = authority.cert_pem.decode()
        self.charts: dict[str, bytes] = {}
        """Archives by the charts' names."""
        self._address, self._port = address, 0
        self._tls = _context(pki.issue(authority, spec, now))
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """By which an Addon names it."""
        return f"https://{self._address}:{self._port}"

    def add(self, name: str, content: bytes | None = None) -> None:
        """A chart at `VERSION`, the usual one unless `content` is given."""
        self.charts[name] = chart(name) if content is None else content

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """As long as the block lasts nobody listens there."""
        await self.stop()
        try:
            yield
        finally:
            await self.start()

    async def start(self) -> None:
        """Serves, at the same port as before."""
        runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(
            runner, self._address, self._port, ssl_context=self._tls, reuse_address=True
        )
        await site.start()
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Closes all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.lstrip("/")
        if path == "index.yaml":
            return web.Response(body=self._index())
        found = self.charts.get(path.removesuffix(f"-{VERSION}.tgz"))
        return web.Response(status=404) if found is None else web.Response(body=found)

    def _index(self) -> bytes:
        entries = {
            name: [
                {
                    "version": VERSION,
                    "urls": [f"{name}-{VERSION}.tgz"],
                    "digest": hashlib.sha256(content).hexdigest(),
                }
            ]
            for name, content in self.charts.items()
        }
        return yaml.safe_dump({"apiVersion": "v1", "entries": entries}).encode()


@asynccontextmanager
async def repository(lab: Lab) -> AsyncIterator[ChartRepository]:
    """A repository at a free port of this machine, which the operators' pods reach."""
    server = ChartRepository(str(lab.state.machine))
    await server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            await server.stop()


def _context(leaf: pki.Leaf) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(leaf.cert_pem + leaf.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context
