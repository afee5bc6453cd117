"""What lies at an address that a tenant wrote, fetched within bounds of size, time and place.

The operator asks where only it may be able to go. So no address is asked that the administrator has
closed, whatever a name or a redirection leads to; only over TLS; with the credentials that the
tenant gave and no others; and of an answer that is not what was hoped for nothing is told but its
status.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from kok.kube.http import dial, inbound
from kok.operators.cluster import reasons
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.redact import redact_text

AGAIN: Final = 30.0
"""Seconds until what could not be had is asked for again."""
MISSING_AGAIN: Final = 60.0
"""The same for what is not there."""
_PATIENCE: Final = aiohttp.ClientTimeout(total=30, sock_connect=5, sock_read=10)
_REDIRECTS: Final = 3
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({404, 410})
_REFUSED: Final = frozenset({400, 401, 403, 409})
"""400 and 409 are what some storages answer to those who have no signature."""
_USER: Final = re.compile(r"(?<=://)[^/]*@")
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks: whom a tenant's Secret names."""

    username: str
    password: str = field(repr=False)

    def header(self) -> str:
        """As a value of `Authorization`."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Server:
    """Whom one source asks, and how it is to prove who it is."""

    field: str
    """Field of the Addon by which it was named, for sentences."""
    trust: ssl.SSLContext
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Missing(Wait):
    """Nothing lies there."""

    def __init__(self, message: str) -> None:
        super().__init__(reasons.SOURCE_MISSING, message, MISSING_AGAIN)


class Web:
    """One session for all sources."""

    def __init__(self, closed: Sequence[str]) -> None:
        """`closed`: ranges of addresses that no tenant may name."""
        self._closed = tuple(closed)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self,
        server: Server,
        url: str,
        most: int,
        *,
        authorization: str | None = None,
        accept: str = "*/*",
        challenged: bool = False,
    ) -> Answer:
        """What lies at an address, `most` bytes of it at most.

        `challenged`: an answer 401 is returned. Raises `Wait` and `Invalid` with the reason of it.
        """
        headers = {"Accept": accept}
        if authorization is not None:
            headers["Authorization"] = authorization
        for _ in range(_REDIRECTS + 1):
            answer = await self._ask(server, url, most, headers)
            if answer.status not in _MOVED:
                if not (challenged and answer.status == 401):
                    _judge(server, url, answer)
                return answer
            onward = joined(url, answer.headers.get("Location", ""))
            if onward is None:
                raise _odd(server, url, "leads on to where is no https")
            if origin(onward) != origin(url):
                # What was given for one server is nothing for another.
                headers.pop("Authorization", None)
            url = onward
        raise _odd(server, url, f"leads on more than {_REDIRECTS} times")

    async def _ask(self, server: Server, url: str, most: int, headers: Mapping[str, str]) -> Answer:
        await inbound.rest()
        try:
            async with self._opened().get(
                URL(url, encoded=True),
                headers=headers,
                ssl=server.trust,
                timeout=_PATIENCE,
                allow_redirects=False,
            ) as answer:
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > most:
                        problem = f"is larger than {most // MIB or 1} MiB, which no source may be"
                        raise _odd(server, url, problem)
                return Answer(answer.status, answer.headers, bytes(body))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _broken(server, url, error) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = inbound.Connector(
                handshake=inbound.WEB, socket_factory=dial.socket_factory(self._closed)
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                # What is decompressed has no size that could be known before.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "kok"},
            )
        return self._session


@lru_cache(maxsize=32)
def trust(ca: str, field: str) -> ssl.SSLContext:
    """Whom to believe: the CA of a PEM, or those of the system. Raises `Invalid`."""
    try:
        return inbound.with_bounded_handshake(
            ssl.create_default_context(cadata=ca or None), curve=None
        )
    except (ssl.SSLError, ValueError):
        raise Invalid(
            reasons.SOURCE_INVALID,
            f"{field}.ca holds no certificates; write them as PEM, with the lines BEGIN and END "
            "CERTIFICATE",
        ) from None


def digest_of(content: bytes) -> str:
    """As registries write it."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def joined(base: str, written: str) -> str | None:
    """An address that was written at another one; None where that is none of https."""
    try:
        url = urljoin(base, written)
        parts = urlsplit(url)
        # A port that is none raises an error as it is read.
        fine = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return url if fine else None


def origin(url: str) -> tuple[str, int]:
    """Which server an address of https is of."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 443


def _judge(server: Server, url: str, answer: Answer) -> None:
    """Raises for an answer that is none."""
    status = answer.status
    if status == 200:
        return
    if status in _GONE:
        raise Missing(f"{shown(url)} does not exist (status {status}); correct {server.field}")
    if status in _REFUSED:
        how = "the Secret it names" if server.login else "its secret, which it has none of"
        raise Wait(
            reasons.SOURCE_REFUSED,
            f"{shown(url)} is refused (status {status}); correct {server.field}, or {how}",
            MISSING_AGAIN,
        )
    raise Wait(
        reasons.SOURCE_UNREACHABLE,
        f"{shown(url)} answers with status {status}; it is tried again",
        AGAIN,
    )


def _odd(server: Server, url: str, problem: str) -> Wait:
    return Wait(
        reasons.SOURCE_INVALID, f"{shown(url)} {problem}; correct {server.field}", MISSING_AGAIN
    )


def _broken(server: Server, url: str, error: Exception) -> Wait | Invalid:
    if dial.was_forbidden(error):
        inner = getattr(error, "os_error", error)
        gist = getattr(inner, "strerror", None) or str(inner)
        return Invalid(reasons.SOURCE_INVALID, f"{server.field}: {shown(url)} leads to {gist}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "it is not trusted"
        return Wait(
            reasons.SOURCE_UNREACHABLE,
            f"the certificate of {shown(url)} does not hold: {why}; give its CA in "
            f"{server.field}.ca",
            AGAIN,
        )
    # What aiohttp says of a connection holds an address in memory, another one each time.
    said = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    text = getattr(said, "strerror", None) or str(said) or "it does not answer in time"
    if isinstance(error, asyncio.TimeoutError):
        text = "it does not answer in time"
    return Wait(
        reasons.SOURCE_UNREACHABLE,
        f"{shown(url)} cannot be fetched by the operator: {text}; it is tried again",
        AGAIN,
    )


def shown(url: str) -> str:
    """An address for a sentence: without its query and user, which may be a signature or a token."""
    return redact_text(_USER.sub("", url.partition("?")[0]), 300)
