"""Connections that never lead where an administrator forbids, whatever a name stands for by then.

An address is judged when a socket is made for it, so that a name server that answers otherwise the
second time gains nothing.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

from kok.kube.objects.addresses import enclosing_range

SAID = "is forbidden by the administrator of the meta cluster"
AddrInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
"""As `socket.getaddrinfo` gives it."""


class ForbiddenAddress(OSError):
    """A name or an address led into a forbidden range."""


def judge(address: str, closed: Sequence[str]) -> None:
    """Raises `ForbiddenAddress` for an address within a closed range."""
    found = enclosing_range(address, closed)
    if found is not None:
        raise ForbiddenAddress(errno.EACCES, f"{address} lies in {found}, which {SAID}")


def socket_factory(closed: Sequence[str]) -> Callable[[AddrInfo], socket.socket]:
    """For the `socket_factory` of aiohttp's connector."""

    def made(info: AddrInfo) -> socket.socket:
        family, kind, protocol, _, place = info
        judge(str(place[0]), closed)
        return socket.socket(family, kind, protocol)

    return made


def connect(host: str, port: int, closed: Sequence[str], timeout: float) -> socket.socket:
    """A TCP connection to the first address that takes it; `timeout` in seconds, for each.

    Raises `OSError`; `ForbiddenAddress` if none is left that may be asked.
    """
    failed: OSError | None = None
    for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        made = None
        try:
            judge(str(place[0]), closed)
            made = socket.socket(family, kind, protocol)
            made.settimeout(timeout)
            made.connect(place)
        except OSError as error:
            failed = error
            if made is not None:
                made.close()
        else:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
    raise failed or OSError(f"{host} has no address")


def was_forbidden(error: BaseException) -> bool:
    """Whether a failed connection was to a forbidden address, also where a library wrapped that."""
    return isinstance(error, ForbiddenAddress) or SAID in str(error)
