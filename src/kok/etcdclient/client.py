"""The calls to members: what is asked, what is changed, with a deadline each."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp

from kok.etcdclient.answers import (
    clock_of,
    hash_of,
    listed_of,
    members_of,
    refusal,
    status_of,
    strange,
    too_much,
)
from kok.etcdclient.connection_errors import error_of
from kok.etcdclient.model import (
    Alarm,
    Credentials,
    EtcdError,
    Hash,
    ListedMember,
    MemberStatus,
    Trouble,
)
from kok.kube.http import inbound
from kok.kube.http.access import AccessError, pinned_context

if TYPE_CHECKING:
    from kok.etcdclient.authenticated import AuthenticatedClient

T = TypeVar("T")
DEADLINE = 3.0
"""Seconds for one question to one member."""
CHANGE_DEADLINE = 10.0
"""Seconds for a change to the members, for which etcd itself waits up to 7 s."""
LONG_DEADLINE = 300.0
"""Seconds for what reads or writes the whole database."""
MOST_ANSWER = 2**18
"""Bytes of an answer; the largest, a list of members, has some KiB."""
MOST_VALUE = 9 * 2**18
"""The same of an answer with a value, which etcd lets have 1.5 MiB, and the gateway sends as base64."""
_NO_USERS = b"CommonName of client"
"""What the gateway says to whoever shows a certificate once etcd's authentication is on."""


class EtcdClient:
    """Questions and changes to the members of one cluster; a context manager around connections.

    All methods take a member's client address (`https://10.0.0.7:2379`), IDs in hexadecimal, and
    raise `EtcdError`.
    """

    def __init__(self, credentials: Credentials, *, deadline: float = DEADLINE) -> None:
        """Raises `EtcdError` (`UNTRUSTED`) for credentials that cannot be used."""
        self._name, self._credentials = credentials.server_name, credentials
        self._authenticated: AuthenticatedClient | None = None
        self._timeout = aiohttp.ClientTimeout(total=deadline)
        try:
            context = _context(credentials)
        except AccessError as error:
            raise EtcdError(Trouble.UNTRUSTED, str(error)) from error
        self._session = aiohttp.ClientSession(
            connector=inbound.Connector(ssl=context, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            read_bufsize=2**16,
            # What is decompressed has no size that could be known before.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )

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
        await self._session.close()

    async def status(self, address: str) -> MemberStatus:
        """What the member says of itself; it needs no quorum for that."""
        return _read(status_of, await self._ask(address, "maintenance/status", {}))

    async def members(self, address: str) -> tuple[ListedMember, ...]:
        """All members, as a quorum agrees at this moment; fails without one (`NO_QUORUM`)."""
        answer = await self._ask(address, "cluster/member/list", {"linearizable": True})
        return _read(members_of, answer)

    async def hash_kv(self, address: str, revision: int = 0) -> Hash:
        """The member's hash over all keys up to a revision, or up to its latest one.

        Raises `COMPACTED` for a revision that is not kept any more.
        """
        body = {"revision": str(revision)}
        return _read(hash_of, await self._ask(address, "maintenance/hashkv", body, LONG_DEADLINE))

    async def read(self, address: str, key: bytes) -> bytes | None:
        """The value of a key, as a quorum agrees; None if there is none."""
        body = {"key": base64.b64encode(key).decode()}
        answer = await self._ask(address, "kv/range", body, most=MOST_VALUE)
        found = answer.get("kvs") or ()
        try:
            return base64.b64decode(found[0].get("value") or "", validate=True) if found else None
        except (AttributeError, TypeError, ValueError) as error:
            raise strange() from error

    async def clock(self, address: str) -> datetime | None:
        """What the member's clock shows, to the second; None if that cannot be known.

        `address` is the one for metrics, where it asks nobody for a certificate: whoever's clock
        is wrong trusts none. Every answer of HTTP has a date, also that there is nothing here.
        """
        await inbound.rest()
        try:
            async with self._session.get(address, allow_redirects=False) as response:
                return clock_of(response.headers.get("Date"))
        except (aiohttp.ClientError, OSError):
            return None

    # --- changes

    async def write(self, address: str, key: bytes, value: bytes) -> None:
        """Puts a value under a key."""
        body = {
            "key": base64.b64encode(key).decode(),
            "value": base64.b64encode(value).decode(),
        }
        await self._change(address, "kv/put", body)

    async def add_learner(self, address: str, peer_url: str) -> ListedMember:
        """Adds a member that does not vote yet, and returns its entry with its new ID.

        The answer may be lost though the member was added: list the members before asking again.
        Raises `EXISTS`, `TOO_MANY_LEARNERS`, `UNHEALTHY`.
        """
        body = {"peerURLs": [peer_url], "isLearner": True}
        answer = await self._change(address, "cluster/member/add", body)
        return _read(listed_of, answer.get("member") or {})

    async def remove(self, address: str, member_id: str) -> None:
        """Removes a member for good. Raises `NOT_FOUND`, `UNHEALTHY`."""
        await self._change(address, "cluster/member/remove", {"ID": _decimal(member_id)})

    async def promote(self, address: str, member_id: str) -> None:
        """Gives a learner its vote. Raises `NOT_IN_SYNC`, `NOT_A_LEARNER`, `NOT_FOUND`."""
        await self._change(address, "cluster/member/promote", {"ID": _decimal(member_id)})

    async def move_leader(self, address: str, member_id: str) -> None:
        """Makes another member the leader; `address` is that of the present one.

        Returns once the other one leads. Raises `NOT_LEADER`, `NOT_FOUND`.
        """
        body = {"targetID": _decimal(member_id)}
        await self._change(address, "maintenance/transfer-leadership", body)

    async def defragment(self, address: str) -> None:
        """Writes the member's database file anew without the space that nobody uses.

        The member answers nobody meanwhile, which takes some seconds for each GiB.
        """
        await self._change(address, "maintenance/defragment", {}, LONG_DEADLINE)

    async def compact(self, address: str, revision: int) -> None:
        """Forgets what was overwritten or deleted before a revision, on all members.

        Raises `COMPACTED` if that was done already.
        """
        body = {"revision": str(revision), "physical": True}
        await self._change(address, "kv/compaction", body, LONG_DEADLINE)

    async def disarm(self, address: str, alarm: Alarm) -> None:
        """Takes back an alarm, for all members; one that is not raised is no error."""
        body = {"action": "DEACTIVATE", "memberID": _decimal(alarm.member_id), "alarm": alarm.name}
        await self._change(address, "maintenance/alarm", body)

    async def _change(
        self, address: str, path: str, body: dict[str, Any], deadline: float = CHANGE_DEADLINE
    ) -> dict[str, Any]:
        """Every call that changes something comes through here, so that tests can cut it off."""
        return await self._ask(address, path, body, deadline)

    async def _ask(
        self,
        address: str,
        path: str,
        body: dict[str, Any],
        deadline: float | None = None,
        *,
        most: int = MOST_ANSWER,
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=deadline) if deadline else self._timeout
        await inbound.rest()
        try:
            async with self._session.post(
                f"{address}/v3/{path}",
                json=body,
                server_hostname=self._name,
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                raw = await _bounded(response, most) or b"{}"
                if response.status == 400 and _NO_USERS in raw:
                    return await self._user().ask(address, path, body, timeout.total or DEADLINE)
                answer = json.loads(raw)
        except inbound.Flooded as error:
            raise too_much() from error
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            raise error_of(error) from error
        if not isinstance(answer, dict):
            raise strange()
        if response.status != 200:
            raise refusal(answer, response.status)
        return answer

    def _user(self) -> AuthenticatedClient:
        if self._authenticated is None:
            # Imported only where it is needed: it brings libcurl along.
            from kok.etcdclient.authenticated import AuthenticatedClient  # noqa: PLC0415

            self._authenticated = AuthenticatedClient(self._credentials)
        return self._authenticated


def _read(reader: Callable[[dict[str, Any]], T], answer: dict[str, Any]) -> T:
    """What an answer tells; whoever is in a member's place may have put anything into it."""
    try:
        return reader(answer)
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise strange() from error


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """An answer, if it is no longer than etcd's are."""
    raw = bytearray()
    async for piece in response.content.iter_any():
        raw += piece
        if len(raw) > most:
            raise too_much()
    return bytes(raw)


@lru_cache(maxsize=512)
def _context(credentials: Credentials) -> Any:
    """Reading keys costs more than a question; renewed credentials get a context of their own."""
    return pinned_context(
        "the members of etcd", credentials.ca, credentials.certificate, credentials.key
    )


def _decimal(member_id: str) -> str:
    """An ID as the gateway wants it: its numbers of 64 bits are texts."""
    return str(int(member_id, 16))
