"""etcd's JSON gateway, as far as a writer needs it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from e2e.writer.ledger import Found
from kok.kube.http.access import Access, ssl_context

PAGE = 2000
"""Keys of one answer."""


class GatewayError(Exception):
    """A request was not answered, or not with success; says why in a few words."""


@dataclass(frozen=True)
class Identity:
    """A client certificate, whom to trust (PEM), and the name that members must show."""

    ca: str
    certificate: str
    key: str
    server_name: str

    def __repr__(self) -> str:
        """Without the key."""
        return f"Identity({self.server_name})"


class Gateway:
    """Requests to members by their client addresses, such as `https://10.0.0.7:2379`."""

    def __init__(self, identity: Identity) -> None:
        access = Access(
            server="etcd",
            ca=identity.ca.encode(),
            certificate=identity.certificate.encode(),
            key=identity.key.encode(),
        )
        connector = aiohttp.TCPConnector(ssl=ssl_context(access), limit=0)
        self._session = aiohttp.ClientSession(connector=connector)
        self._name = identity.server_name
        self.token: str | None = None
        """Of an etcd with users; see `log_in`."""

    async def __aenter__(self) -> Self:
        """Closes all connections at the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes all connections, whatever the block ended with."""
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    async def log_in(self, address: str, user: str, password: str) -> None:
        """All further requests are those of a user."""
        answer = await self.ask(address, "auth/authenticate", {"name": user, "password": password})
        self.token = str(answer["token"])

    async def put(self, address: str, key: str, value: str, within: float) -> int:
        """Writes a key; the revision that it was given."""
        body = {"key": encode(key), "value": encode(value)}
        answer = await self.ask(address, "kv/put", body, within)
        return int(answer["header"]["revision"])

    async def read_all(self, address: str, prefix: str) -> tuple[dict[str, Found], int]:
        """All keys below a prefix as a quorum has them, and the store's revision."""
        found: dict[str, Found] = {}
        body: dict[str, Any] = {"range_end": encode(end_of(prefix)), "limit": PAGE}
        key = prefix
        while True:
            answer = await self.ask(address, "kv/range", {**body, "key": encode(key)}, 30.0)
            page = answer.get("kvs") or []
            for entry in page:
                key = decode(entry["key"])
                found[key] = Found(decode(entry.get("value", "")), int(entry["mod_revision"]))
            if not answer.get("more"):
                return found, int(answer["header"]["revision"])
            key += "\0"

    async def ask(
        self, address: str, path: str, body: Mapping[str, Any], within: float = 5.0
    ) -> dict[str, Any]:
        """One request; raises `GatewayError`."""
        headers = {"Authorization": self.token} if self.token else {}
        limit = aiohttp.ClientTimeout(total=within)
        try:
            async with self._session.post(
                f"{address}/v3/{path}",
                json=body,
                server_hostname=self._name,
                timeout=limit,
                headers=headers,
            ) as response:
                answer = json.loads(await response.read() or b"{}")
        except TimeoutError as error:
            raise GatewayError(f"no answer within {within:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise GatewayError(type(error).__name__) from error
        if response.status != 200 or not isinstance(answer, dict):
            said = answer.get("message") if isinstance(answer, dict) else None
            raise GatewayError(str(said or f"HTTP status {response.status}"))
        return answer


def encode(text: str) -> str:
    """As the gateway wants bytes."""
    return base64.b64encode(text.encode()).decode()


def decode(text: str) -> str:
    """The reverse of `encode`."""
    return base64.b64decode(text).decode()


def end_of(prefix: str) -> str:
    """The first key behind all that start with a prefix of ASCII.

    >>> end_of("writer/")
    'writer0'
    """
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
