"""A registry of the OCI distribution specification: tags, manifests and blobs.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md, and for how it asks for a
token https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from kok.kube.decoding.nesting import parse
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.sources.web import (
    MISSING_AGAIN,
    Answer,
    Server,
    Web,
    digest_of,
    joined,
    origin,
    shown,
)
from kok.runtime.controller.errors import Wait

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CHART: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_PACKED: Final = "tar+gzip"
"""End of the media type of what is packed so, whoever defined it."""
MANIFEST_MOST: Final = 256 * 1024
_TOKEN_MOST: Final = 64 * 1024
_TAGS_MOST: Final = 2**20
_PAGES: Final = 20
"""Pages of tags that are read, of 1000 each."""
_DOCKER_HUB: Final = ("docker.io", "registry-1.docker.io")
_PARAMETER: Final = re.compile(r'([a-z_]{1,32})="([^"]{0,900})"')
_NEXT: Final = re.compile(r'<([^<>]{1,900})>\s{0,4};\s{0,4}rel="?next"?')


@dataclass(frozen=True, slots=True)
class Blob:
    """What a manifest's one layer of a kind is."""

    manifest: str
    """Digest of the manifest."""
    digest: str


@dataclass(slots=True)
class Registry:
    """One repository in a registry, asked as one server is."""

    web: Web
    server: Server
    host: str
    """With its port."""
    repository: str
    _authorization: str | None = field(default=None, repr=False)

    async def tags(self) -> list[str]:
        """All tags, of some thousands at most."""
        url: str | None = self._url("tags/list?n=1000")
        found: list[str] = []
        for _ in range(_PAGES):
            if url is None:
                break
            answer = await self._get(url, _TAGS_MOST, "application/json")
            tags = self._json(url, answer.body).get("tags")
            found += [one for one in tags or () if isinstance(one, str)]
            following = _NEXT.search(answer.headers.get("Link", ""))
            onward = joined(url, following.group(1)) if following else None
            url = onward if onward and origin(onward) == origin(url) else None
        return found

    async def layer(self, reference: str, wanted: str = _PACKED) -> Blob:
        """The layer of a media type that ends so, of what a tag or digest stands for."""
        url = self._url(f"manifests/{reference}")
        answer = await self._get(url, MANIFEST_MOST, MANIFEST)
        digest = digest_of(answer.body)
        if ":" in reference and digest != reference:
            raise self._odd(url, "is not what its digest says")
        manifest = self._json(url, answer.body)
        layers = manifest.get("layers")
        if not isinstance(layers, list):
            raise self._odd(url, "is no artifact, but perhaps a list of images")
        for one in layers:
            media = one.get("mediaType") if isinstance(one, dict) else None
            if isinstance(media, str) and media.endswith(wanted):
                blob = one.get("digest")
                if isinstance(blob, str) and re.fullmatch(r"sha256:[a-f0-9]{64}", blob):
                    return Blob(digest, blob)
        raise self._odd(url, f"has no layer of the type {wanted}")

    async def blob(self, digest: str, most: int) -> bytes:
        """The content of a digest."""
        url = self._url(f"blobs/{digest}")
        answer = await self._get(url, most, "*/*")
        if digest_of(answer.body) != digest:
            raise self._odd(url, "is not what its digest says")
        return answer.body

    def _url(self, path: str) -> str:
        host = _DOCKER_HUB[1] if self.host == _DOCKER_HUB[0] else self.host
        return f"https://{host}/v2/{self.repository}/{path}"

    async def _get(self, url: str, most: int, accept: str) -> Answer:
        first = self._authorization is None
        answer = await self.web.get(
            self.server,
            url,
            most,
            authorization=self._authorization,
            accept=accept,
            challenged=first,
        )
        if answer.status != 401:
            return answer
        self._authorization = await self._authorized(url, answer.headers)
        return await self.web.get(
            self.server, url, most, authorization=self._authorization, accept=accept
        )

    async def _authorized(self, url: str, headers: Mapping[str, str]) -> str:
        """What to answer a challenge with."""
        kind, _, rest = headers.get("WWW-Authenticate", "").partition(" ")
        login = self.server.login
        if kind.lower() == "basic" and login is not None:
            return login.header()
        asked = dict(_PARAMETER.findall(rest[:4096]))
        realm = joined("", asked.get("realm", ""))
        if kind.lower() != "bearer" or realm is None:
            raise Wait(
                reasons.SOURCE_REFUSED,
                f"{shown(url)} is refused (status 401); give {self.server.field} a secret with "
                "username and password",
                MISSING_AGAIN,
            )
        query = {"scope": f"repository:{self.repository}:pull"}
        if "service" in asked:
            query["service"] = asked["service"]
        where = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        answer = await self.web.get(
            self.server, where, _TOKEN_MOST, authorization=login.header() if login else None
        )
        found = self._json(realm, answer.body)
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise self._odd(realm, "gives no token")
        return f"Bearer {token}"

    def _json(self, url: str, text: bytes) -> dict[str, Any]:
        try:
            found = parse(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._odd(url, "does not answer as a registry does")
        return found

    def _odd(self, url: str, problem: str) -> Wait:
        return Wait(
            reasons.SOURCE_INVALID,
            f"{shown(url)} {problem}; correct {self.server.field}",
            MISSING_AGAIN,
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to an artifact, taken apart."""

    host: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """By which the registry finds it; a digest wins over a tag."""
        return self.digest or self.tag


def reference(text: str) -> Reference:
    """`host/path[:tag][@digest]`; the tag is `latest` where neither is given."""
    place, _, digest = text.partition("@")
    host, _, path = place.partition("/")
    repository, _, tag = path.partition(":")
    return Reference(host, repository, tag or ("" if digest else "latest"), digest)


def login_of(data: Mapping[str, bytes], host: str) -> tuple[str, str] | None:
    """Name and password for a host in a Secret's data, of either type; None if there is none."""
    if "username" in data or "password" in data:
        return data.get("username", b"").decode(), data.get("password", b"").decode()
    try:
        found = json.loads(data.get(".dockerconfigjson", b"{}"))
        entry = next((v for k, v in found["auths"].items() if _host(k) == host), None)
        if entry is None:
            return None
        return str(entry["username"]), str(entry["password"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _host(written: str) -> str:
    """The host of an entry of a docker config, which may be written as an address."""
    host = (written.partition("://")[2] or written).partition("/")[0]
    return _DOCKER_HUB[0] if host == "index.docker.io" else host
