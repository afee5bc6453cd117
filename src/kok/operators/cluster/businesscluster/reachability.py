"""Asks a business cluster whether it works for its users."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Literal

from kok.kube.client import Kube
from kok.kube.errors import Barred, Forbidden, KubeError, NotFound, Unauthorized
from kok.operators.cluster.endpoint import is_address

ASKED = "/api/v1/namespaces/kube-system"
"""Something that only an admin may read: the answer proves address, certificate and rights."""
DEADLINE = 3.0


@dataclass(frozen=True, slots=True)
class Reachability:
    """How the API answered through its public address, asked with the admin kubeconfig."""

    outcome: Literal["ok", "forbidden", "unauthorized", "unreachable", "barred"]
    """`forbidden`: it knows us, but the admins' rights are not there (yet). `barred`: it is not
    asked, since its name leads where the administrator forbids."""
    message: str = ""

    @property
    def answers(self) -> bool:
        """Whether requests get through and the credentials are known."""
        return self.outcome in {"ok", "forbidden"}


async def probe(admin: Kube, *, tries: int = 1) -> Reachability:
    """A request with the admin kubeconfig; never raises.

    More tries for an API that answered the last time: one lost request is no outage.
    """
    found = await _probe(admin)
    for _ in range(tries - 1):
        if found.outcome != "unreachable":
            break
        found = await _probe(admin)
    return found


async def _probe(admin: Kube) -> Reachability:
    try:
        await admin.raw("GET", ASKED, timeout=DEADLINE)
    except NotFound:
        pass  # A server so young that it has not made the namespace yet.
    except Forbidden as error:
        return Reachability("forbidden", error.message)
    except Unauthorized:
        return Reachability(
            "unauthorized",
            f"{admin.server} does not accept the admin kubeconfig; if the CA was changed, its API "
            "servers have to restart",
        )
    except Barred as error:
        return Reachability(
            "barred", f"{error.message}; have spec.endpoint.host stand for another address"
        )
    except KubeError as error:
        return Reachability("unreachable", f"{admin.server} {error.told}")
    return Reachability("ok")


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
