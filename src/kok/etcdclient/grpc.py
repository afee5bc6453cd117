"""gRPC by libcurl: one question, and one answer or a stream of them.

gRPC's own library costs a core 3.3 s a GB of a snapshot over TLS, and libcurl 1.0 s; see `snapshot`.
What is needed of gRPC is little: a prefix of five bytes before each message, and how the call ended
in the trailers. Sources: gRPC's "PROTOCOL-HTTP2" and "statuscodes".
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import pycurl

from kok.kube.budget.cpu_time import cpu_seconds

OK, UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, UNAVAILABLE, UNAUTHENTICATED = 0, 2, 4, 7, 14, 16
_PREFIX = struct.Struct(">BI")
_CONNECT = 10_000
"""Milliseconds for a connection and its TLS."""
_MOST_ANSWER = 4 * 1024**2
"""Most bytes of a message; etcd's largest are the 32 KiB of a snapshot's."""
_BUFFER = 512 * 1024
_PORTS = {"http": 80, "https": 443}
_UNREACHABLE = {pycurl.E_COULDNT_CONNECT, pycurl.E_COULDNT_RESOLVE_HOST}
_UNTRUSTED = {
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_CIPHER,
}
_TLS_TEXTS = ("alert", "certificate", "private key", "wrong version number", "tls connect error")
_GONE_TEXTS = ("reset", "unexpected eof")
"""Of whoever went down in the middle of a handshake."""


class Failure(StrEnum):
    """Why a call came to nothing."""

    REFUSED = "Refused"
    """The server's word: its code and text tell more."""
    UNREACHABLE = "Unreachable"
    UNTRUSTED = "Untrusted"
    """One of the two does not accept the other's certificate."""
    SILENT = "Silent"
    BROKE_OFF = "BrokeOff"
    STRANGE = "Strange"
    """Whoever answered does not speak gRPC."""


class CallError(Exception):
    """A call came to nothing. `code` is gRPC's, and says something only of refusals."""

    def __init__(self, failure: Failure, text: str, code: int = UNKNOWN) -> None:
        super().__init__(text)
        self.failure = failure
        self.text = text
        self.code = code


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to trust and how to prove who asks, in PEM."""

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """Who is asked. `name` stands in its certificate, if not the host of its URL does."""

    endpoint: str
    tls: Tls | None = None
    name: str | None = None


class Messages:
    """The messages of a body that comes in pieces of any size."""

    def __init__(self) -> None:
        self._came: list[bytes] = []
        self.size = 0
        """Bytes that have come and not been taken."""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._came.append(data)
        self.size += len(data)

    def take(self) -> list[memoryview]:
        """Those that are whole. Raises `CallError` for what is none."""
        came, at = b"".join(self._came), 0
        view, whole = memoryview(came), []
        while len(came) - at >= _PREFIX.size:
            compressed, size = _PREFIX.unpack_from(came, at)
            if compressed or size > _MOST_ANSWER:
                raise CallError(Failure.STRANGE, "it sends messages that nobody asked for")
            begin = at + _PREFIX.size
            if len(came) < begin + size:
                break
            at = begin + size
            whole.append(view[begin:at])
        self._came, self.size = [came[at:]], len(came) - at
        return whole

    def feed_one(self, data: bytes) -> int | None:
        """Takes the next bytes of a single message; 0, which ends the call, if they are too many."""
        self.feed(data)
        return None if self.size <= _MOST_ANSWER + _PREFIX.size else 0

    def only(self) -> bytes:
        """The single one that the body was to be. Raises `CallError`."""
        found = self.take()
        if len(found) != 1:
            raise CallError(Failure.BROKE_OFF, "the answer is not whole")
        return bytes(found[0])


class Call:
    """One call on a handle of libcurl: what goes out, and what is heard of how it ended."""

    def __init__(self, server: Server, method: str, message: bytes) -> None:
        """`method` is such as `/etcdserverpb.KV/Range`, `message` its request.

        Raises `CallError` for certificates or keys that are none.
        """
        self.handle = pycurl.Curl()
        self._status: int | None = None
        self._text = ""
        self._lock, self._stopped = threading.Lock(), False
        # More than one while a name's addresses are tried side by side.
        self._sockets: list[socket.socket] = []
        try:
            self._prepare(server, method, message)
        except pycurl.error as error:
            self._broken(error)

    async def answer(self, multi: pycurl.AsyncCurlMulti, deadline: float) -> bytes:
        """The one answer, within so many seconds. Raises `CallError`."""
        messages = Messages()
        self.handle.setopt(pycurl.WRITEFUNCTION, messages.feed_one)
        self.handle.setopt(pycurl.TIMEOUT_MS, max(round(deadline * 1000), 1))
        try:
            await multi.perform(self.handle)
        except pycurl.error as error:
            self._broken(error)
        except BaseException:
            self._close()
            raise
        self._finish()
        return messages.only()

    def whole(self, deadline: float, effort: float) -> bytes:
        """The one answer, within so many seconds, also of a processor's time. Blocks.

        `stop` ends it from another thread. Raises `CallError`.
        """
        messages, begun = Messages(), cpu_seconds()

        def beyond(*_: object) -> int:
            return int(cpu_seconds() - begun > effort)

        self.handle.setopt(pycurl.TIMEOUT_MS, max(round(deadline * 1000), 1))
        self.handle.setopt(pycurl.NOPROGRESS, False)
        self.handle.setopt(pycurl.XFERINFOFUNCTION, beyond)
        self.stream(messages.feed_one)
        return messages.only()

    def stream(self, take: Callable[[bytes], int | None]) -> None:
        """Hands on the body as it comes until it ends, or until `take` gives 0. Blocks.

        Raises `CallError`.
        """
        self.handle.setopt(pycurl.WRITEFUNCTION, take)
        self.handle.setopt(pycurl.OPENSOCKETFUNCTION, self._open)
        try:
            self.handle.perform()
        except pycurl.error as error:
            self._broken(error)
        finally:
            self.stop()
        self._finish()

    def stop(self) -> None:
        """Ends a stream at once, from another thread."""
        with self._lock:
            self._stopped = True
            for one in self._sockets:
                with suppress(OSError), one:
                    one.shutdown(socket.SHUT_RDWR)
            self._sockets.clear()

    def _open(self, _purpose: int, address: tuple[int, int, int, Any]) -> socket.socket | int:
        """libcurl gets a duplicate of the socket, which it closes by itself."""
        family, kind, protocol, _ = address
        with self._lock:
            if self._stopped:
                return pycurl.SOCKET_BAD
            try:
                self._sockets.append(socket.socket(family, kind, protocol))
            except OSError:
                return pycurl.SOCKET_BAD
            return self._sockets[-1]

    def _prepare(self, server: Server, method: str, message: bytes) -> None:
        curl, parts = self.handle, urlsplit(server.endpoint)
        url = server.endpoint
        if server.name:
            port = parts.port or _PORTS[parts.scheme]
            url = f"{parts.scheme}://{server.name}:{port}"
            where = parts.netloc if parts.port else f"{parts.netloc}:{port}"
            curl.setopt(pycurl.CONNECT_TO, [f"{server.name}:{port}:{where}"])
        curl.setopt(pycurl.URL, url + method)
        # A proxy of the environment is not on the way to a member.
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.NOSIGNAL, True)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, _CONNECT)
        curl.setopt(pycurl.BUFFERSIZE, _BUFFER)
        curl.setopt(pycurl.POSTFIELDS, _PREFIX.pack(0, len(message)) + message)
        curl.setopt(pycurl.HTTPHEADER, ["content-type: application/grpc", "te: trailers"])
        curl.setopt(pycurl.HEADERFUNCTION, self._header)
        if server.tls is not None:
            for option, data in (
                (pycurl.CAINFO_BLOB, server.tls.ca),
                (pycurl.SSLCERT_BLOB, server.tls.certificate),
                (pycurl.SSLKEY_BLOB, server.tls.key),
            ):
                curl.setopt(option, data)

    def _header(self, line: bytes) -> None:
        """Headers and trailers alike: a server that refuses at once says so in the former."""
        name, _, value = line.decode("latin-1").strip().partition(": ")
        if name.lower() == "grpc-status" and value.isdecimal():
            self._status = int(value)
        elif name.lower() == "grpc-message":
            self._text = unquote(value)

    def _finish(self) -> None:
        http = self._close()
        if self._status is None:
            if http not in {0, 200}:
                raise CallError(Failure.STRANGE, f"it answers with HTTP status {http}")
            raise CallError(Failure.BROKE_OFF, "the answer is not whole")
        if self._status != OK:
            raise CallError(Failure.REFUSED, self._text, self._status)

    def _broken(self, error: pycurl.error) -> NoReturn:
        self._close()
        number, text = int(error.args[0]), str(error.args[-1])
        # What the server said before the connection ended says more than that it ended.
        if self._status:
            raise CallError(Failure.REFUSED, self._text, self._status) from error
        raise CallError(_failure(number, text), text) from error

    def _close(self) -> int:
        """Lets go of the handle, which knows of this call: only the collector would. HTTP's status."""
        status = int(self.handle.getinfo(pycurl.RESPONSE_CODE))
        self.handle.close()
        return status


def _failure(number: int, text: str) -> Failure:
    """From libcurl's error; a client certificate is refused only after the handshake."""
    if number in _UNREACHABLE:
        return Failure.UNREACHABLE
    if number == pycurl.E_OPERATION_TIMEDOUT:
        return Failure.SILENT
    if number in {pycurl.E_WRITE_ERROR, pycurl.E_ABORTED_BY_CALLBACK}:
        # More came than an answer can have.
        return Failure.STRANGE
    if number in _UNTRUSTED:
        return Failure.UNTRUSTED
    low = text.lower()
    if any(word in low for word in _GONE_TEXTS):
        return Failure.BROKE_OFF
    return Failure.UNTRUSTED if any(word in low for word in _TLS_TEXTS) else Failure.BROKE_OFF
