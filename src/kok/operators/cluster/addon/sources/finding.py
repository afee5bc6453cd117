"""Finds what an Addon's source is in its repository, once, and fetches it when it is needed."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from kok.api.cluster.addon import Addon
from kok.api.cluster.addonsource import HelmSource, OCISource, ResolvedSource
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.sources import repository
from kok.operators.cluster.addon.sources.artifacts import ARTIFACT_MOST
from kok.operators.cluster.addon.sources.charts import CHART_MOST
from kok.operators.cluster.addon.sources.registry import (
    CHART,
    Reference,
    Registry,
    login_of,
    reference,
)
from kok.operators.cluster.addon.sources.web import (
    AGAIN,
    MISSING_AGAIN,
    Login,
    Missing,
    Server,
    Web,
    digest_of,
    joined,
    origin,
    shown,
    trust,
)
from kok.runtime.controller.errors import Invalid, ReconcileStop, Wait
from kok.runtime.policy import Policies, wrong_url
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.sandbox.process import Limits, TooMuch, Unfinished
from kok.versions.ranges import parse_range

ROOM: Final = 16 * 2**20
"""Bytes of archives that are kept in memory, those that were used last."""
INDEX: Final = Limits(cpu=30, memory=160, wall=90.0)
"""An index of 10 MB takes some seconds, whoever reads it."""


class Archives:
    """What was fetched last, by namespace and digest: no namespace gets what another one was given."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._known: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._size = 0
        self._under_way: dict[tuple[str, str], tuple[asyncio.Lock, list[None]]] = {}

    async def get(
        self, namespace: str, digest: str, fetch: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """An archive, fetched by whoever comes first."""
        key = (namespace, digest)
        async with self._turn(key):
            found = self._known.pop(key, None)
            if found is None:
                found = await fetch()
            else:
                self._size -= len(found)
            self._put(key, found)
            return found

    def _put(self, key: tuple[str, str], content: bytes) -> None:
        self._known[key] = content
        self._size += len(content)
        while self._size > self._room:
            _, gone = self._known.popitem(last=False)
            self._size -= len(gone)

    @asynccontextmanager
    async def _turn(self, key: tuple[str, str]) -> AsyncIterator[None]:
        lock, waiting = self._under_way.setdefault(key, (asyncio.Lock(), []))
        waiting.append(None)
        try:
            async with lock:
                yield
        finally:
            waiting.pop()
            if not waiting:
                self._under_way.pop(key, None)


class Sources:
    """Charts and artifacts in repositories."""

    def __init__(self, sandboxes: SandboxPool, policies: Policies | None = None) -> None:
        """`sandboxes`: where an index is read; `policies` say what addresses nobody may name."""
        self._sandboxes = sandboxes
        self._policies = policies or Policies()
        self._web = Web(self._policies.forbidden_ranges)
        self._archives = Archives()

    async def close(self) -> None:
        """Closes connections."""
        await self._web.close()

    async def find(self, kube: Kube, addon: Addon) -> ResolvedSource:
        """What the source is: as recorded, or looked up now. Raises `Wait`, `Invalid`."""
        source = addon.spec.source.helm or addon.spec.source.oci
        if source is None:
            raise AssertionError("only charts and artifacts are found in repositories")
        asked = asked_for(source)
        known = addon.status.source
        if known is not None and known.asked == asked:
            # Older versions recorded addresses as they stand in an index.
            return known.model_copy(update={"url": _public(known.url)})
        return await _Search(self, kube, addon.namespace).find(source, asked)

    async def archive(self, kube: Kube, addon: Addon, found: ResolvedSource) -> bytes:
        """What was found, packed. Raises `Wait`, `Invalid`."""
        source = addon.spec.source.helm or addon.spec.source.oci
        if source is None:
            raise AssertionError("only charts and artifacts are fetched from repositories")
        search = _Search(self, kube, addon.namespace)
        return await self._archives.get(
            addon.namespace, found.digest, lambda: search.fetch(source, found)
        )

    async def choose(self, namespace: str, index: bytes, chart: str, wanted: str) -> dict[str, str]:
        """The entry of an index, as of `repository.choose`, found aside."""
        digest = f"index {digest_of(index)} {chart} {wanted}"
        found: dict[str, str] = await self._sandboxes.run(
            namespace, repository.choose, (index, chart, wanted), digest=digest, limits=INDEX
        )
        return found

    async def keep(self, namespace: str, content: bytes) -> str:
        """Keeps an archive that was fetched to be looked up; its digest."""
        digest = digest_of(content)

        async def fetched() -> bytes:
            return content

        await self._archives.get(namespace, digest, fetched)
        return digest

    def judge(self, url: str, field: str) -> None:
        """Raises `Invalid` for an address that nobody may name."""
        if (problem := wrong_url(self._policies, url, field)) is not None:
            raise Invalid(reasons.SOURCE_INVALID, problem)

    @property
    def web(self) -> Web:
        """The way out."""
        return self._web


def asked_for(source: HelmSource | OCISource) -> str:
    """What is looked up, as one text: the same as long as the answer would be."""
    if isinstance(source, OCISource):
        return source.reference
    return f"{source.repository} {source.chart} {source.version}"


class _Search:
    """One look at one source, for one namespace."""

    def __init__(self, sources: Sources, kube: Kube, namespace: str) -> None:
        self._sources = sources
        self._kube = kube
        self._namespace = namespace

    async def find(self, source: HelmSource | OCISource, asked: str) -> ResolvedSource:
        if isinstance(source, OCISource):
            place = reference(source.reference)
            registry = await self._registry(source, place, "spec.source.oci")
            digest = place.digest or (await registry.layer(place.name)).manifest
            return ResolvedSource(asked=asked, version=place.tag, url=_url(place), digest=digest)
        try:
            wanted = parse_range(source.version)
        except ValueError as error:
            raise Invalid(reasons.SOURCE_INVALID, f"spec.source.helm.version: {error}") from None
        if not source.repository.startswith("oci://"):
            return await self._in_index(source, asked)
        place = _place(source)
        registry = await self._registry(source, place, "spec.source.helm")
        exact = source.version.strip().removeprefix("=").strip()
        # A tag has no `+`.
        tags = [exact.replace("+", "_")] if wanted.exact else await registry.tags()
        latest = wanted.latest(tag.replace("_", "+") for tag in tags)
        if latest is None:
            raise Missing(
                f"{source.repository}/{source.chart} has no version {source.version}, but "
                f"{', '.join(tags[-5:]) or 'none at all'}; correct spec.source.helm"
            )
        blob = await registry.layer(latest.replace("+", "_"), CHART)
        return ResolvedSource(asked=asked, version=latest, url=_url(place), digest=blob.manifest)

    async def _in_index(self, source: HelmSource, asked: str) -> ResolvedSource:
        found = await self._entry(source)
        resolved = ResolvedSource(
            asked=asked,
            version=found["version"],
            url=_public(found["url"]),
            digest=found["digest"],
        )
        if found["digest"]:
            return resolved
        # An index need not tell digests: then the first that comes is the one that counts. Without a
        # signature it could be a page that asks for a login.
        content = await self._get(source, resolved, found["url"])
        digest = await self._sources.keep(self._namespace, content)
        return resolved.model_copy(update={"digest": digest})

    async def _entry(self, source: HelmSource) -> dict[str, str]:
        """What the index of a repository says of a chart, with the address to be asked."""
        field = "spec.source.helm"
        server = await self._server(source, source.repository, field)
        where = repository.index_url(source.repository)
        login = server.login.header() if server.login else None
        index = await self._sources.web.get(
            server, where, repository.INDEX_MOST, authorization=login
        )
        try:
            found = await self._sources.choose(
                self._namespace, index.body, source.chart, source.version
            )
        except TooMuch as error:
            problem = f"reading {where} {error}; take a smaller repository, or one of oci://"
            raise Invalid(reasons.SOURCE_INVALID, problem) from None
        except Unfinished as error:
            text = f"reading {where} {error}; it is tried again"
            raise Wait(reasons.SOURCE_UNREACHABLE, text, AGAIN) from None
        if "problem" in found:
            text = f"{source.repository}: {found['problem']}; correct {field}"
            if found.get("missing"):
                raise Missing(text)
            raise Wait(reasons.SOURCE_INVALID, text, MISSING_AGAIN)
        url = joined(f"{source.repository.rstrip('/')}/", found["url"])
        if url is None:
            problem = f"{source.repository} leads to where is no https; {field} cannot be used"
            raise Invalid(reasons.SOURCE_INVALID, problem)
        return {**found, "url": url}

    async def fetch(self, source: HelmSource | OCISource, found: ResolvedSource) -> bytes:
        if isinstance(source, OCISource):
            registry = await self._registry(source, reference(source.reference), "spec.source.oci")
            blob = await registry.layer(found.digest)
            return await registry.blob(blob.digest, ARTIFACT_MOST)
        field = "spec.source.helm"
        if source.repository.startswith("oci://"):
            registry = await self._registry(source, _place(source), field)
            blob = await registry.layer(found.digest, CHART)
            return await registry.blob(blob.digest, CHART_MOST)
        return await self._chart(source, found)

    async def _chart(self, source: HelmSource, found: ResolvedSource) -> bytes:
        """From the address on record, or from the one that the index has now."""
        try:
            return await self._get(source, found, found.url)
        except ReconcileStop as stop:
            if stop.reason == reasons.SOURCE_UNREACHABLE:
                raise
            # A signature is not on record, and would have expired.
            version = found.version or source.version
            now = await self._entry(source.model_copy(update={"version": version}))
            if now["url"] == found.url:
                raise stop from None
            return await self._get(source, found, now["url"])

    async def _get(self, source: HelmSource, found: ResolvedSource, url: str) -> bytes:
        """What lies at one address of a chart; it has to be what was found, if that is known."""
        field = "spec.source.helm"
        # What was given for one server is nothing for another, nor for an address with its own.
        same = origin(url) == origin(source.repository) and "@" not in urlsplit(url).netloc
        server = await self._server(source, url, field, known=same)
        login = server.login.header() if server.login else None
        answer = await self._sources.web.get(server, url, CHART_MOST, authorization=login)
        if found.digest and digest_of(answer.body) != found.digest:
            raise Wait(
                reasons.SOURCE_INVALID,
                f"{shown(url)} is not what it was when version {found.version} was looked up: "
                f"its digest is another one; write another version in {field}",
                MISSING_AGAIN,
            )
        return answer.body

    async def _registry(
        self, source: HelmSource | OCISource, place: Reference, field: str
    ) -> Registry:
        server = await self._server(source, f"https://{place.host}", field)
        return Registry(self._sources.web, server, place.host, place.repository)

    async def _server(
        self, source: HelmSource | OCISource, url: str, field: str, *, known: bool = True
    ) -> Server:
        """`known`: whether the Secret is meant for it."""
        self._sources.judge(url, field)
        login = None
        if source.secret and known:
            host = urlsplit(url.replace("oci://", "https://", 1)).netloc
            login = await self._login(source.secret, host, field)
        return Server(field, trust(source.ca, field), login)

    async def _login(self, secret: str, host: str, field: str) -> Login:
        where = f"Secret {self._namespace}/{secret}"
        live = await self._kube.get(kinds.SECRET, secret, self._namespace)
        if live is None:
            text = f"{where} does not exist, which {field}.secret names; create it"
            raise Wait(reasons.SECRET_MISSING, text, MISSING_AGAIN)
        try:
            data = {k: base64.b64decode(str(v)) for k, v in (live.get("data") or {}).items()}
            found = login_of(data, host)
        except (binascii.Error, UnicodeDecodeError):
            found = None
        if found is None:
            raise Wait(
                reasons.SOURCE_REFUSED,
                f"{where} holds nothing for {host}; give it username and password, or a "
                ".dockerconfigjson with this host",
                MISSING_AGAIN,
            )
        return Login(*found)


def _place(source: HelmSource) -> Reference:
    host, _, path = source.repository.removeprefix("oci://").rstrip("/").partition("/")
    return Reference(host, f"{path}/{source.chart}".lstrip("/"), "", "")


def _public(url: str) -> str:
    """An address without what may be a credential: all who read Addons read their status."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _url(place: Reference) -> str:
    return f"oci://{place.host}/{place.repository}"
