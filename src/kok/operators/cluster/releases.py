"""Where knowledge of releases comes from: a ConfigMap beside the operators, or a URL that is cached there.

    ConfigMap kok-releases
      releases.yaml   the document (`kok.versions.knowledge`)
      signature       base64 of the Ed25519 signature of exactly these bytes, where a key is set

Without a URL a person keeps the ConfigMap, as where there is no way out of a site. With one the
document is fetched from there now and then, and its signature from the same URL with `.sig` behind
it. Where there is a key, what does not fit it is not taken, whoever sent or wrote it; neither is what
was issued before the one in use, nor does that go with the ConfigMap: who may write there must not
bring back a time before a CVE was known.

What was there before is kept in memory: an operator that starts while the ConfigMap holds what cannot
be used knows no more than its release does, until that is mended, or fetched again. Which of them is in
use is told by an event of the ConfigMap, by metrics, and by the Clusters' condition `Vulnerable`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Final

import aiohttp
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kok.api.meta import KindInfo, Manifest, Resource
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound
from kok.kube.events import Event, Recorder
from kok.operators.cluster import metrics, reasons
from kok.versions.knowledge import SIZE_MOST, KnowledgeError, Releases

NAME: Final = "kok-releases"
DOCUMENT, SIGNATURE = "releases.yaml", "signature"
SIGNATURE_MOST = 256
"""Bytes of a signature in base64, with white space."""
COMPONENT = "kok-cluster"
"""Who tells of it in events."""
PATIENCE = aiohttp.ClientTimeout(total=30, sock_connect=5)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of releases now."""

    releases: Releases = field(default_factory=Releases)
    problem: str | None = None
    """Why a document that is there is not used, as a sentence."""


class _ConfigMap(Resource):
    """For events about it."""

    info: ClassVar[KindInfo] = KindInfo(kinds.CONFIGMAP, (), ())


class ReleaseSource:
    """Knowledge of releases as it is now; follows the ConfigMap from `follow` on."""

    def __init__(self, *, url: str = "", key: str = "", every: float = 3600.0) -> None:
        """`url`: where the document is fetched; `key`: of its signature, Ed25519 in base64; `every`:
        seconds between two looks there.

        Raises `ValueError` for a URL without a key, and for what is no key.
        """
        if url and not key:
            raise ValueError("KOK_RELEASES_URL needs KOK_RELEASES_KEY, by which it is believed")
        if url and not url.startswith("https://"):
            raise ValueError("KOK_RELEASES_URL does not begin with https://")
        self._url, self._every = url, every
        self._key = _public_key(key) if key else None
        self._known = Known()
        self._changed = asyncio.Event()
        self._live: Manifest | None = None
        self._log = structlog.stdlib.get_logger("releases")

    def now(self) -> Known:
        """What is known at this moment."""
        return self._known

    async def follow(self, kube: Kube, namespace: str) -> None:
        """Follows the ConfigMap for ever, and fetches what lies at the URL, if there is one."""
        recorder = Recorder(kube, COMPONENT, lambda: datetime.now(UTC))
        self._use(self._known)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(kube, namespace, recorder))
            if self._url:
                group.create_task(self._fetch_for_ever(kube, namespace, recorder))

    async def tell(self, everybody: Callable[[], Awaitable[None]]) -> None:
        """Calls `everybody` for ever, each time that other things are known than before."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await everybody()

    def _use(self, known: Known) -> None:
        if known != self._known:
            self._changed.set()
        self._known, document = known, known.releases.document
        metrics.RELEASES_UNUSABLE.labels("configmap").set(known.problem is not None)
        metrics.RELEASES_ISSUED.set(document.issued.timestamp() if document is not None else 0)

    async def _watch(self, kube: Kube, namespace: str, recorder: Recorder) -> None:
        watch = kube.watch(kinds.CONFIGMAP, namespace, fields={"metadata.name": NAME})
        async for event in watch:
            if event.type in {"ADDED", "MODIFIED"}:
                before = self._known.problem
                self._live = event.object
                self.take(event.object)
                await self._say(recorder, before)
            elif event.type == "DELETED":
                self._live = None
                self._without(f"ConfigMap {namespace}/{NAME} was deleted")
            del event

    async def _say(self, recorder: Recorder, before: str | None) -> None:
        """That it cannot be used, or can be again, where an operator looks."""
        problem = self._known.problem
        if problem == before:
            return
        if problem is not None:
            await self._tell_of(recorder, Event(reasons.RELEASES_UNUSABLE, problem, warning=True))
        else:
            text = f"it can be used again; {_in_use(self._known.releases)}"
            await self._tell_of(recorder, Event(reasons.RELEASES_USED, text))

    async def _tell_of(self, recorder: Recorder, event: Event) -> None:
        if self._live is not None:
            await recorder.record(_ConfigMap.bare(self._live), event)

    def take(self, live: Manifest) -> None:
        """Uses what the ConfigMap holds; what cannot be used leaves in place what was known before."""
        data = live.get("data") or {}
        where = f"ConfigMap {live['metadata'].get('namespace')}/{NAME}, {DOCUMENT}"
        text = data.get(DOCUMENT)
        if not text:
            self._without(f"{where}: it is empty")
            return
        try:
            fresh = self.read(text.encode(), str(data.get(SIGNATURE) or ""))
            if self._key is not None:
                self._require_newer(fresh)
            self._use(Known(fresh))
        except KnowledgeError as error:
            self._keep(f"{where}: {error}")

    def _without(self, problem: str) -> None:
        """There is no document any more: with a key that takes back nothing."""
        if self._key is None or self._known.releases.document is None:
            self._use(Known())
        else:
            self._keep(problem)

    def _keep(self, problem: str) -> None:
        kept = self._known.releases
        self._use(Known(kept, f"{problem}; {_in_use(kept)}"))
        self._log.warning("knowledge of releases cannot be used", problem=problem)

    def _require_newer(self, fresh: Releases) -> None:
        """Raises `KnowledgeError` for what was issued before the one in use."""
        before, document = self._known.releases.document, fresh.document
        if before is not None and document is not None and document.issued < before.issued:
            raise KnowledgeError(f"it was issued {document.issued}, before the one in use")

    def read(self, document: bytes, signature: str) -> Releases:
        """A document whose signature fits, if one is asked for. Raises `KnowledgeError`."""
        if len(document) > SIZE_MOST:
            raise KnowledgeError(f"it has {len(document)} bytes, more than {SIZE_MOST}")
        if self._key is not None:
            try:
                self._key.verify(base64.b64decode(signature[:SIGNATURE_MOST]), document)
            except (InvalidSignature, binascii.Error, ValueError):
                raise KnowledgeError("its signature does not fit KOK_RELEASES_KEY") from None
        return Releases.read(document)

    async def _fetch_for_ever(self, kube: Kube, namespace: str, recorder: Recorder) -> None:
        while True:
            trouble = ""
            try:
                await self.fetch(kube, namespace)
            except (KubeError, KnowledgeError, aiohttp.ClientError, TimeoutError) as error:
                trouble = str(error) or type(error).__name__
                self._log.warning(
                    "knowledge of releases was not fetched", url=self._url, error=trouble
                )
                text = f"{self._url}: {trouble}; {_in_use(self._known.releases)}"
                told = Event(reasons.RELEASES_NOT_FETCHED, text, warning=True)
                await self._tell_of(recorder, told)
            metrics.RELEASES_UNUSABLE.labels("url").set(bool(trouble))
            await asyncio.sleep(self._every)

    async def fetch(self, kube: Kube, namespace: str) -> None:
        """Fetches once; what fits is put into the ConfigMap. Raises what keeps it from that."""
        async with aiohttp.ClientSession(
            timeout=PATIENCE, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            document = await _get(session, self._url, SIZE_MOST)
            signed = await _get(session, f"{self._url}.sig", SIGNATURE_MOST)
        signature = signed.decode("ascii", errors="replace").strip()
        fresh, known = self.read(document, signature), self._known
        self._require_newer(fresh)
        if fresh == known.releases and known.problem is None:
            return
        # It counts also where the ConfigMap does not take it, which then goes on to be a problem.
        self._use(Known(fresh, known.problem))
        data = {DOCUMENT: document.decode(), SIGNATURE: signature}
        try:
            await kube.patch(kinds.CONFIGMAP, NAME, namespace, {"data": data})
        except NotFound:
            raise KnowledgeError(
                f"there is no ConfigMap {namespace}/{NAME} to keep it in, which `helm upgrade` makes"
            ) from None


def _in_use(releases: Releases) -> str:
    if releases.document is None:
        return "in use is no more than this release of KOK knows by itself"
    issued = releases.document.issued.astimezone(UTC)
    return f"in use is what was issued {issued:%Y-%m-%d %H:%M} UTC"


async def _get(session: aiohttp.ClientSession, url: str, most: int) -> bytes:
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise KnowledgeError(f"{url} answers {answer.status}")
        found = await answer.content.read(most + 1)
        while len(found) <= most and (more := await answer.content.read(most + 1 - len(found))):
            found += more
    if len(found) > most:
        raise KnowledgeError(f"{url} has more than {most} bytes")
    return found


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise ValueError(
            "KOK_RELEASES_KEY is no Ed25519 public key: write its 32 bytes in base64"
        ) from None
