"""An API server that answers with bombs; it runs by itself, in a pod with nothing but Python.

Its arguments are the files of its certificate and key, and how the names of those begin whom it is
after: all others, such as kubelets, unpack what they get and are told to come again. Who asks whether
it works is told that it does. Lists of Nodes never end, everything else is 400 MiB in a few hundred KiB.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import sys
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = b"x" * 2**16
UNPACKED = 400 * 2**20
PROBED = "/api/v1/namespaces/kube-system"


def _bomb() -> bytes:
    packing = zlib.compressobj(9, wbits=31)
    parts = [packing.compress(b'{"metadata":{"resourceVersion":"1"},"items":[{"a":"')]
    parts += [packing.compress(CHUNK) for _ in range(UNPACKED // len(CHUNK))]
    return b"".join([*parts, packing.compress(b'"}]}'), packing.flush()])


BOMB = _bomb()


class Handler(BaseHTTPRequestHandler):
    """Any request."""

    protocol_version = "HTTP/1.1"
    wanted = ""

    def do_GET(self) -> None:
        """Answers with a bomb, to strangers with 503, and to a probe with what it asks for."""
        path = self.path.partition("?")[0]
        with contextlib.suppress(OSError):
            if not self.headers.get("User-Agent", "").startswith(self.wanted):
                self._send(b"{}", status=503)
            elif path == PROBED:
                self._send(json.dumps({"metadata": {"name": "kube-system"}}).encode())
            elif path == "/api/v1/nodes":
                self._for_ever()
            else:
                self._send(BOMB, "gzip")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the library

    def _send(self, body: bytes, encoding: str = "identity", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _for_ever(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"metadata":{"resourceVersion":"1"},"items":[{"a":"')
        while True:
            self.wfile.write(CHUNK)


def main(certificate: str, key: str, wanted: str) -> None:
    """Serves until it is ended."""
    Handler.wanted = wanted
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("", 6443), Handler)
    # Handshakes belong to the threads of their connections.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
