"""Reading and writing keys of an etcd, for tests: the operator itself never touches them."""

from __future__ import annotations

import base64

from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import Credentials

LIMIT = 60.0
"""Seconds for an answer: etcd itself gives up after 7 s, and machines are slow at times."""


async def put(credentials: Credentials, address: str, key: str, value: str) -> None:
    """Writes a key; raises `EtcdError` unless a quorum has it."""
    body = {"key": _encode(key), "value": _encode(value)}
    async with EtcdClient(credentials) as client:
        await client._ask(address, "kv/put", body, LIMIT)


async def get(credentials: Credentials, address: str, key: str) -> str | None:
    """Reads a key, as a quorum has it."""
    async with EtcdClient(credentials, deadline=LIMIT) as client:
        found = await client.read(address, key.encode())
    return found.decode() if found is not None else None


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
