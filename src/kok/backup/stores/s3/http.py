"""Requests to a server that speaks S3: signed, with deadlines, tried again within bounds.

No library does it as it is needed here. Besides obstore, of which docs/developing/decisions.md tells, there were
tried (512 MiB to a server over TLS, parts of 8 MiB, two in flight; resident memory at the peak):

    boto3 1.43      121 MiB/s  1.0 s CPU  88 MiB; 31 MiB more in the image; blocking
    minio 7.2        75 MiB/s  2.0 s CPU  88 MiB; a second library of cryptography; blocking
    aiobotocore     as boto3, and ties its version

The worker may take 100 MiB. What it needs of S3 is eight requests that have not changed for ten
years.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.spec import S3_CA_FILE, S3Store
from kok.backup.stores.s3 import answers, sigv4
from kok.backup.stores.s3.answers import Refusal
from kok.backup.stores.s3.upload import Misannounced, Target, upload
from kok.kube.http import dial

TRIES = 5
"""How often a request is made at most."""
_BACKOFF = 0.25
"""Seconds before the second try; the delay doubles, and is jittered."""
_CONNECT = 10.0
_ANSWER = 4 * 1024**2
"""Most bytes of an answer that is not an object."""
_SLICE = 64 * 1024
_FINAL = {Reason.STORE_UNTRUSTED, Reason.STORE_FORBIDDEN}
"""Nothing of this changes by trying again at once."""
Body = bytes | bytearray | memoryview


class Retry(Exception):
    """A try failed in a way that may pass. Holds what to raise if it was the last one."""

    def __init__(self, error: WorkerError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: int
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `key` is the whole key in the bucket; empty for the bucket itself."""

    method: str
    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""


class S3Http:
    """A bucket of a server. Raises `WorkerError` where it says nothing else."""

    def __init__(
        self,
        spec: S3Store,
        credentials: sigv4.Credentials,
        ca: Path | None,
        *,
        stall: float,
        closed: Sequence[str] = (),
    ) -> None:
        """`ca` is the directory that `S3_CA` names, or None for the public CAs.

        `stall` is how many seconds a server may take to take or give a piece of 5 MiB; `closed`
        are ranges that its address must not lie in.
        """
        self._spec = spec
        self._credentials = credentials
        self._stall = stall
        self._closed = tuple(closed)
        self.where = f"bucket {spec.bucket} at {spec.endpoint}"
        self.secure = spec.endpoint.startswith("https://")
        self._base = spec.endpoint
        self._path = f"/{spec.bucket}"
        if not spec.path_style:
            scheme, _, rest = spec.endpoint.partition("://")
            self._base, self._path = f"{scheme}://{spec.bucket}.{rest}", ""
        self._tls = tls(ca)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._tls, limit=8, socket_factory=dial.socket_factory(self._closed)
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT, sock_read=stall),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()

    async def ask(self, request: Request, *, fine: frozenset[str] = frozenset()) -> Answer:
        """The answer to a request, tried again while the server is busy or cannot be reached.

        Refusals whose code is in `fine` are returned; others raise.
        """
        for attempt in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(self._stall), self._sent(request) as response:
                    body = await _read(response)
                refusal = answers.refusal_of(response.status, body)
                if refusal is None or refusal.code in fine:
                    return Answer(response.status, response.headers, body, attempt, refusal)
                error = answers.error_of(refusal, self.where)
                if not refusal.busy:
                    raise error
            except (aiohttp.ClientError, OSError) as broken:  # TimeoutError is an OSError
                error = self._broken(broken)
                if error.reason in _FINAL:
                    raise error from broken
            if attempt < TRIES:
                await pause(attempt)
        raise error

    async def send(
        self, request: Request, pieces: AsyncIterator[bytes], size: int
    ) -> Refusal | None:
        """A request with a body of so many bytes; one try. None if it is done, or why it is not.

        Raises `Retry` if it breaks off in a way that may pass, and what `pieces` raises: then
        nobody knows what the server made of it.
        """
        path, headers = self._signed(request, sigv4.UNSIGNED, size)
        base = urlsplit(self._base)
        target = Target(
            base.hostname or "", base.port or 443, request.method, path, headers, self._closed
        )
        try:
            answer = await upload(target, self._tls, pieces, size, self._stall)
        except Misannounced as error:
            raise Retry(WorkerError(Reason.SNAPSHOT_INCOMPLETE, str(error))) from error
        except (OSError, HTTPException) as broken:
            raise Retry(self._broken(broken)) from broken
        refusal = answers.refusal_of(answer.status, answer.body)
        if refusal is None and "etag" not in answer.headers:
            raise self.strange("it confirmed an object without an ETag")
        if refusal is None and not answer.whole:
            raise Retry(self.strange("it confirmed an object before it had all of it"))
        return refusal

    @asynccontextmanager
    async def opened(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is an object, to be read in pieces; one try.

        Raises `Retry` for what may pass, also if it breaks off within the block.
        """
        try:
            async with self._sent(request) as response:
                # A server or proxy in trouble may answer 200 and tell the error in the body.
                if response.status >= 300 or "ETag" not in response.headers:
                    body = await response.content.read(_SLICE)
                    await self._refuse(response.status, body)
                yield response
        except (aiohttp.ClientError, OSError) as broken:
            error = self._broken(broken)
            if error.reason in _FINAL:
                raise error from broken
            raise Retry(error) from broken

    async def _refuse(self, status: int, body: bytes) -> None:
        refusal = answers.refusal_of(status, body) or Refusal(
            status, "NoObject", "an answer without ETag is no object of S3"
        )
        if refusal.code == "NoSuchKey" or (status == 404 and refusal.code == "HTTP404"):
            raise WorkerError(Reason.OBJECT_MISSING, f"the backup is not in {self.where} any more")
        error = answers.error_of(refusal, self.where)
        raise Retry(error) if refusal.busy else error

    @asynccontextmanager
    async def _sent(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        payload = sigv4.UNSIGNED if self.secure else hashlib.sha256(request.body).hexdigest()
        path, headers = self._signed(request, payload, len(request.body))
        async with self._session.request(
            request.method,
            URL(f"{self._base}{path}", encoded=True),
            headers=headers,
            data=_slices(request.body) if request.body else None,
            skip_auto_headers=("Content-Type", "Accept-Encoding"),
            allow_redirects=False,
        ) as response:
            yield response

    def _signed(self, request: Request, payload: str, size: int) -> tuple[str, dict[str, str]]:
        """The path with its query, and all headers."""
        path = sigv4.escape_path(
            f"{self._path}/{request.key}" if request.key else self._path or "/"
        )
        headers = sigv4.sign(
            self._credentials,
            self._spec.region,
            method=request.method,
            path=path,
            query=request.query,
            headers={"host": urlsplit(self._base).netloc, **request.headers},
            payload=payload,
            now=datetime.now(UTC),
        )
        headers["content-length"] = str(size)
        return f"{path}?{sigv4.query_string(request.query)}" if request.query else path, headers

    def strange(self, what: str) -> WorkerError:
        """An answer that is none of S3's."""
        return WorkerError(Reason.STORE_REFUSED, f"{self.where} does not answer as S3 does: {what}")

    def _broken(self, error: Exception) -> WorkerError:
        if dial.was_forbidden(error):
            return WorkerError(Reason.STORE_FORBIDDEN, f"{self._base} leads to {_gist(error)}")
        if isinstance(error, TimeoutError):
            return WorkerError(
                Reason.STORE_SILENT, f"{self.where} was silent or too slow for {self._stall:.0f} s"
            )
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = getattr(error.certificate_error, "verify_message", "") or "it is not trusted"
            return WorkerError(
                Reason.STORE_UNTRUSTED,
                f"the certificate of {self._base} does not hold: {why}; give its CA with the store",
            )
        if isinstance(error, aiohttp.ClientSSLError):
            return WorkerError(
                Reason.STORE_UNTRUSTED, f"{self._base} does not agree on TLS; does it speak https?"
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return WorkerError(Reason.STORE_UNREACHABLE, f"{self._base} cannot be reached")
        return WorkerError(Reason.STORE_UNREACHABLE, f"{self._base} broke the connection off")


def _gist(error: Exception) -> str:
    """The address and the range, from what a library may have wrapped."""
    inner = getattr(error, "os_error", error)
    return str(inner.strerror or inner) if isinstance(inner, OSError) else str(inner)


async def pause(attempt: int) -> None:
    """The delay after a failed try."""
    await asyncio.sleep(_BACKOFF * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # noqa: S311


def tls(ca: Path | None) -> ssl.SSLContext:
    """Whom to trust. Raises `WorkerError` for a CA that cannot be read."""
    if ca is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(ca / S3_CA_FILE))
    except (OSError, ssl.SSLError) as error:
        raise WorkerError(
            Reason.CREDENTIALS_UNUSABLE,
            f"the Secret of the store's CA holds no certificates in {S3_CA_FILE}",
        ) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _ANSWER:
            raise WorkerError(
                Reason.STORE_REFUSED,
                f"{response.url.origin()} does not answer as S3 does: it sends more than "
                f"{_ANSWER >> 20} MiB where that is never so",
            )
    return bytes(body)


async def _slices(body: Body) -> AsyncIterator[memoryview]:
    """A body in pieces, so that the connection's buffer stays small."""
    view = memoryview(body)
    for at in range(0, len(view), _SLICE):
        yield view[at : at + _SLICE]
