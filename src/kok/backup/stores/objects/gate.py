"""The only way out for a client that resolves names by itself and follows redirects: a proxy.

obstore takes neither a resolver nor a socket factory, and sends what it signed wherever a redirect
points. It takes a proxy: one within the process, on loopback, that judges each address as it
connects, and leads to the store's own host alone.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from kok.kube.http import dial

_CONNECT = 10.0
_HEAD = 64 * 1024
_PIECE = 256 * 1024


class Gate:
    """A proxy to one host. `failed` is why its latest connection led nowhere."""

    def __init__(self, endpoint: str, closed: Sequence[str]) -> None:
        parts = urlsplit(endpoint)
        self._place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._closed = tuple(closed)
        self.failed: OSError | None = None
        self.elsewhere = ""
        """Another host that a redirect pointed to."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, name="gate", daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _HEAD:
                piece = near.recv(_HEAD)
                if not piece:
                    return
                head += piece
            method, target = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
            place = urlsplit(f"//{target}" if method == "CONNECT" else target)
            if (place.hostname, place.port or 80) != self._place:
                self.elsewhere = place.netloc
                near.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            try:
                far = dial.connect(*self._place, self._closed, _CONNECT)
            except OSError as error:
                self.failed = error
                near.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            far.settimeout(None)
            with far:
                if method == "CONNECT":
                    near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    far.sendall(head)
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                _pump(near, far)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    buffer = memoryview(bytearray(_PIECE))
    with suppress(OSError):
        while size := source.recv_into(buffer):
            target.sendall(buffer[:size])
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
