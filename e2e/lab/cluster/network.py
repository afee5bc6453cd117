"""Addresses: a subnet for the lab's hosts, and CIDRs for the meta cluster, free of collisions.

The choice depends on the lab's name and on what the machine uses at that moment; it is made once
and recorded in the lab's state, so that it never moves under a running lab.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from e2e.lab.errors import LabError
from e2e.lab.machine.commands import run

HOSTS_POOL = IPv4Network("172.16.0.0/12")
# Apart from the usual 10.244.0.0/16 and 10.96.0.0/12, which business clusters like to use.
CLUSTER_POOL = IPv4Network("10.192.0.0/11")

REGISTRY_OFFSET = 2
ARTIFACTS_OFFSET = 3
S3_OFFSET = 4
META_OFFSET = 10
WORKER_OFFSET = 100


def choose(pool: IPv4Network, prefix: int, name: str, used: Iterable[IPv4Network]) -> IPv4Network:
    """The first free subnet of the pool, starting where the lab's name points to.

    Starting at different places keeps labs that come up at the same moment apart.

    Raises LabError when nothing is free.
    """
    taken = [network for network in used if network.prefixlen > 0]
    count, size = 2 ** (prefix - pool.prefixlen), 2 ** (32 - prefix)
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    for step in range(count):
        offset = (start + step) % count * size
        subnet = IPv4Network((int(pool.network_address) + offset, prefix))
        if not any(subnet.overlaps(network) for network in taken):
            return subnet
    raise LabError(f"every /{prefix} of {pool} is in use on this machine; see `ip route`")


def addresses(subnet: IPv4Network, role: str, index: int) -> IPv4Address:
    """The address of the ``index``-th (from 1) host of a role, ``meta`` or ``worker``."""
    offset = {"meta": META_OFFSET, "worker": WORKER_OFFSET}[role]
    room = {"meta": WORKER_OFFSET - META_OFFSET, "worker": 254 - WORKER_OFFSET}[role]
    if not 0 < index <= room:
        raise LabError(f"a lab has room for {room} {role} hosts, not for number {index}")
    return subnet[offset + index]


def parse_routes(ip_route_json: str) -> list[IPv4Network]:
    """Networks of ``ip -json -4 route show table all``, the default route left out."""
    found = []
    for route in json.loads(ip_route_json or "[]"):
        destination = route.get("dst", "default")
        if destination != "default" and route.get("type", "unicast") == "unicast":
            found.append(IPv4Network(destination, strict=False))
    return found


def parse_podman(network_json: str) -> list[IPv4Network]:
    """Subnets of ``podman network inspect``, of networks that are down as well."""
    return [
        IPv4Network(subnet["subnet"])
        for network in json.loads(network_json or "[]")
        for subnet in network.get("subnets") or ()
        if ":" not in subnet["subnet"]
    ]


async def in_use() -> Sequence[IPv4Network]:
    """Every IPv4 network that the machine routes to or that podman has given away."""
    routes = parse_routes(await run("ip", "-json", "-4", "route", "show", "table", "all"))
    names = (await run("podman", "network", "ls", "--quiet")).split()
    if not names:
        return routes
    return routes + parse_podman(await run("podman", "network", "inspect", *names))
