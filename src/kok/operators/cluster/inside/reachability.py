"""Asks a business cluster whether it works for its users."""

from __future__ import annotations

import asyncio
import socket

from kok.kube.client import Kube
from kok.kube.errors import Barred, Forbidden, KubeError, NotFound, Unauthorized
from kok.operators.cluster.cluster.conditions.findings import Reach
from kok.operators.cluster.cluster.endpoint import is_address

ASKED = "/api/v1/namespaces/kube-system"
"""Something that only an admin may read: the answer proves address, certificate and rights."""
DEADLINE = 3.0


async def ask(admin: Kube, *, tries: int = 1) -> Reach:
    """A request with the admin kubeconfig; never raises.

    More tries for an API that answered the last time: one lost request is no outage.
    """
    found = await _ask(admin)
    for _ in range(tries - 1):
        if found.outcome != "unreachable":
            break
        found = await _ask(admin)
    return found


async def _ask(admin: Kube) -> Reach:
    try:
        await admin.raw("GET", ASKED, timeout=DEADLINE)
    except NotFound:
        pass  # A server so young that it has not made the namespace yet.
    except Forbidden as error:
        return Reach("forbidden", error.message)
    except Unauthorized:
        return Reach(
            "unauthorized",
            f"{admin.server} does not accept the admin kubeconfig; if the CA was changed, its API "
            "servers have to restart",
        )
    except Barred as error:
        return Reach(
            "barred", f"{error.message}; have spec.endpoint.host stand for another address"
        )
    except KubeError as error:
        return Reach("unreachable", f"{admin.server} {error.told}")
    return Reach("ok")


async def resolve(host: str) -> tuple[str, ...]:
    """Addresses behind a host, sorted; itself if it is one, none if it cannot be resolved."""
    if is_address(host):
        return (host,)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(DEADLINE):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return ()
    return tuple(sorted({str(entry[4][0]) for entry in found}))
