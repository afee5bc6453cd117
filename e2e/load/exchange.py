"""One HTTP exchange by libcurl: a request, and what came of it, with each try of libcurl's own told.

libcurl speaks both versions of HTTP, and ends the streams of an HTTP/2 connection in order after a
GOAWAY, which other libraries do not. Where a kept connection ends before any byte of the answer it
tries again by itself, whatever the method is; a Go client does that only where nothing was sent, or
where sending it twice does no harm. What it says on its way tells one from the other.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pycurl

from kok.kube.http.access import Access

CONNECT, WHOLE = 30.0, 60.0
"""Seconds for a connection, as of a Go client, and for a whole request."""
HARMLESS = frozenset({"GET", "HEAD"})
"""Methods that a Go client sends twice."""
_HTTP2_STREAM = 92
"""libcurl's number, which pycurl has no name for."""
ENDED = frozenset(
    {
        pycurl.E_SEND_ERROR,
        pycurl.E_RECV_ERROR,
        pycurl.E_GOT_NOTHING,
        pycurl.E_HTTP2,
        _HTTP2_STREAM,
    }
)
"""What libcurl calls it when a connection has ended."""
AGAIN = "retrying a fresh connect"
"""What libcurl says before it tries again."""
UNTOUCHED = ("REFUSED_STREAM", "refused by server")
"""The same of a stream that the server says it never looked at, as after a GOAWAY."""
SENT = "the connection ended after the request had been sent"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes = field(repr=False, default=b"")
    retry_after: float | None = None
    """Seconds after which it is to be asked again."""
    races: int = 0
    """Kept connections that ended before, and were no fault: a Go client would not have told."""


class Broken(Exception):
    """No answer, or not a whole one."""

    def __init__(self, text: str, races: int = 0, *, again: bool = False) -> None:
        """`again`: a Go client would send it again, over another connection."""
        super().__init__(text)
        self.races = races
        self.again = again


class Torn(Broken):
    """A kept connection by HTTP/1.1 ended as idle while a write was on its way.

    Nothing of HTTP/1.1 tells a client beforehand, as GOAWAY does by HTTP/2: an API server that ends closes
    what is idle at that moment, and no flag of its changes that.
    """


class Talk:
    """What libcurl says of one exchange while it goes on."""

    def __init__(self, method: str) -> None:
        self._harmless = method in HARMLESS
        self._sent = self._untouched = False
        self.races = 0
        self.fault: str | None = None
        """Why a Go client would have told its caller of a failure where libcurl has tried again."""

    def hear(self, kind: int, data: bytes) -> None:
        """libcurl's debug function."""
        if kind == pycurl.INFOTYPE_HEADER_OUT:
            self._sent = True
        elif kind == pycurl.INFOTYPE_TEXT:
            self._told(data.decode("latin-1"))

    def _told(self, text: str) -> None:
        if any(words in text for words in UNTOUCHED):
            self._untouched = True
        if AGAIN not in text:
            return
        if self._harmless or self._untouched or not self._sent:
            self.races += 1
        else:
            self.fault = SENT
        self._sent = self._untouched = False


class Heard:
    """Headers and body as they come."""

    def __init__(self, take: Callable[[bytes], None] | None = None) -> None:
        self.body = bytearray()
        self.retry_after: float | None = None
        self.status = 0
        self._take = take

    def header(self, line: bytes) -> None:
        """libcurl's header function."""
        if line.startswith(b"HTTP/"):
            self.status = int(line.split()[1])
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "retry-after":
            with contextlib.suppress(ValueError):
                self.retry_after = max(0.0, float(value))

    def write(self, data: bytes) -> None:
        """libcurl's write function; what is no success is not handed on."""
        if self._take is not None and self.status == 200:
            self._take(data)
        else:
            self.body.extend(data)


class Client:
    """One identity at one server, by one version of HTTP, over connections that are kept or not."""

    def __init__(self, access: Access, *, http2: bool, fresh: bool = False) -> None:
        self._access, self._fresh = access, fresh
        over_tls = pycurl.CURL_HTTP_VERSION_2TLS
        self._version = over_tls if http2 else pycurl.CURL_HTTP_VERSION_1_1
        self._multi = pycurl.AsyncCurlMulti()

    async def close(self) -> None:
        """Closes all connections."""
        await self._multi.aclose()

    async def send(
        self, method: str, path: str, body: bytes | None = None, *, kind: str = "application/json"
    ) -> Answer:
        """One request and its answer. Raises `Broken`."""
        curl = self._prepared(method, path, WHOLE)
        if body is not None:
            curl.setopt(pycurl.POSTFIELDS, body)
            curl.setopt(pycurl.HTTPHEADER, [f"Content-Type: {kind}"])
        # It would be POST with a body.
        curl.setopt(pycurl.CUSTOMREQUEST, method)
        return await self._exchange(curl, method, Heard())

    async def follow(self, path: str, take: Callable[[bytes], None]) -> Answer:
        """A GET whose body is handed on as it comes until the server ends it. Raises `Broken`."""
        return await self._exchange(self._prepared("GET", path, 0.0), "GET", Heard(take))

    async def _exchange(self, curl: pycurl.Curl, method: str, heard: Heard) -> Answer:
        talk = Talk(method)
        curl.setopt(pycurl.DEBUGFUNCTION, talk.hear)
        curl.setopt(pycurl.HEADERFUNCTION, heard.header)
        curl.setopt(pycurl.WRITEFUNCTION, heard.write)
        try:
            await self._multi.perform(curl)
            status = int(curl.getinfo(pycurl.RESPONSE_CODE))
        except pycurl.error as error:
            kept = not curl.getinfo(pycurl.NUM_CONNECTS) and not heard.status
            again = kept and method in HARMLESS and error.args[0] in ENDED
            raise Broken(told(error), talk.races, again=again) from None
        finally:
            # It knows of this exchange, and this of it: only the collector would let go of both.
            curl.close()
        if talk.fault is not None:
            torn = self._version == pycurl.CURL_HTTP_VERSION_1_1
            raise (Torn if torn else Broken)(talk.fault, talk.races)
        return Answer(status, bytes(heard.body), heard.retry_after, talk.races)

    def _prepared(self, method: str, path: str, within: float) -> pycurl.Curl:
        access, curl = self._access, pycurl.Curl()
        options: Mapping[int, object] = {
            pycurl.URL: access.server + path,
            pycurl.NOBODY: method == "HEAD",
            # A proxy of the environment is not on the way to a business cluster.
            pycurl.PROXY: "",
            pycurl.NOSIGNAL: True,
            pycurl.VERBOSE: True,
            pycurl.HTTP_VERSION: self._version,
            pycurl.PIPEWAIT: True,
            pycurl.FRESH_CONNECT: self._fresh,
            pycurl.FORBID_REUSE: self._fresh,
            pycurl.SSL_SESSIONID_CACHE: not self._fresh,
            pycurl.CONNECTTIMEOUT_MS: math.ceil(CONNECT * 1000),
            pycurl.TIMEOUT_MS: math.ceil(within * 1000),
            pycurl.CAINFO_BLOB: access.ca,
            pycurl.SSLCERT_BLOB: access.certificate,
            pycurl.SSLKEY_BLOB: access.key,
        }
        for option, value in options.items():
            if value is not None:
                curl.setopt(option, value)
        return curl


def told(error: pycurl.error) -> str:
    """libcurl's sentence, with its number."""
    return f"curl {error.args[0]}: {error.args[-1]}"
