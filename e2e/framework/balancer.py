"""The load balancer that the lab does not have: it gives a Service an address, and brings it there.

As those do that announce an address on the network of the nodes: one node answers for it, and its
kube-proxy passes on what arrives.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from e2e.framework.environment import Environment
from e2e.lab.errors import LabError

NODE = "meta-1"
_OFFSET = 250
"""Of the address in the lab's network; hosts have lower ones."""


@dataclass(frozen=True)
class Balancer:
    """One address on offer."""

    environment: Environment
    address: str

    async def promise(self, namespace: str, service: str) -> None:
        """The Service's status names the address, which leads nowhere yet."""
        # As a proxy, which kube-proxy leaves to do its work; but there is none.
        await self._write(namespace, service, "Proxy")

    async def serve(self, namespace: str, service: str) -> None:
        """What is sent to the address arrives at the Service, from wherever it comes."""
        await self._write(namespace, service, "VIP")
        await self.environment.lab.exec(NODE, "ip", "address", "replace", *_on(self.address))

    async def _write(self, namespace: str, service: str, mode: str) -> None:
        ingress = [{"ip": self.address, "ipMode": mode}]
        patch = json.dumps({"status": {"loadBalancer": {"ingress": ingress}}})
        await self.environment.lab.kubectl(
            *("patch", "service", service, "-n", namespace, "--subresource=status"),
            *("--type=merge", "-p", patch),
        )


@asynccontextmanager
async def balancer(w: Environment) -> AsyncIterator[Balancer]:
    """A balancer with an address that is free; it is taken back at the end of the block."""
    found = Balancer(w, str(w.lab.state.subnet[_OFFSET]))
    try:
        yield found
    finally:
        with contextlib.suppress(LabError):
            await w.lab.exec(NODE, "ip", "address", "delete", *_on(found.address))


def _on(address: str) -> tuple[str, ...]:
    return (f"{address}/32", "dev", "eth0")
