"""Talking to single etcd members; the only module that knows how.

It speaks etcd's own JSON gateway on the client port, over aiohttp. Measured against the gRPC
library (etcd3aio 0.3 on grpcio) with six members over TLS: 0.25 ms of CPU a question against
0.28 ms, with 2.5 MB of memory against 20 MB and no threads of its own.

Members are dialled one by one at their pods' addresses, with the TLS name that all their
certificates carry: this needs neither DNS nor the client Service, which has no endpoints just when
it matters. Every question has a deadline.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import aiohttp

from kok.kube.access import Access, AccessError, ssl_context

DEADLINE = 3.0
"""Seconds for one question to one member."""
_UNAVAILABLE, _DEADLINE_EXCEEDED = 14, 4


class Trouble(StrEnum):
    """Why a member gave no usable answer."""

    NOT_LISTENING = "NotListening"
    SILENT = "Silent"
    UNTRUSTED = "Untrusted"
    NO_QUORUM = "NoQuorum"
    REFUSED = "Refused"


class EtcdError(Exception):
    """A member gave no usable answer. The message is a fixed sentence, fit for a status:

    no addresses, ports or times that differ each time it happens.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.message = message


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to prove who we are and whom to trust. PEM; they stay out of `repr`."""

    ca: bytes
    certificate: bytes
    key: bytes
    server_name: str
    """Name that the members' certificates must carry."""

    def __repr__(self) -> str:
        """Without the key."""
        return f"Credentials({self.server_name})"


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is raised: `NOSPACE` or `CORRUPT`; the member by its ID in hexadecimal."""

    member_id: str
    name: str


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """What a member says of itself. IDs in hexadecimal, as etcd prints them; sizes in bytes."""

    cluster_id: str
    member_id: str
    version: str
    storage_version: str | None
    db_size: int
    in_use: int
    leader: str | None
    """ID of the leader that it follows, or None while it knows of none."""
    is_learner: bool
    raft_term: int
    raft_index: int
    applied_index: int
    revision: int
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of the member list that a quorum agrees on."""

    id: str
    name: str
    """Empty until the member has started for the first time."""
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    """Empty until the member has started for the first time."""
    is_learner: bool

    @property
    def started(self) -> bool:
        """Whether the member has ever taken part."""
        return bool(self.client_urls)


class EtcdClient:
    """Questions to the members of one cluster; a context manager around connections.

    All methods take a member's client address (`https://10.0.0.7:2379`) and raise `EtcdError`.
    """

    def __init__(self, credentials: Credentials, *, deadline: float = DEADLINE) -> None:
        """Raises `EtcdError` (`UNTRUSTED`) for credentials that cannot be used."""
        self._name = credentials.server_name
        self._timeout = aiohttp.ClientTimeout(total=deadline)
        try:
            context = _context(credentials)
        except AccessError as error:
            raise EtcdError(Trouble.UNTRUSTED, str(error)) from error
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0), timeout=self._timeout
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
        """See `__aenter__`."""
        await self._session.close()

    async def status(self, address: str) -> MemberStatus:
        """What the member says of itself; it needs no quorum for that."""
        return status_of(await self._ask(address, "maintenance/status", {}))

    async def members(self, address: str) -> tuple[Listed, ...]:
        """All members, as a quorum agrees at this moment; fails without one (`NO_QUORUM`)."""
        answer = await self._ask(address, "cluster/member/list", {"linearizable": True})
        return tuple(listed_of(entry) for entry in answer.get("members") or ())

    async def _ask(self, address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            async with self._session.post(
                f"{address}/v3/{path}", json=body, server_hostname=self._name, allow_redirects=False
            ) as response:
                answer = json.loads(await response.read() or b"{}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _error_of(error) from error
        if not isinstance(answer, dict):
            raise EtcdError(Trouble.REFUSED, "does not answer as etcd does")
        if response.status != 200:
            raise _refusal(answer, response.status)
        return answer


@lru_cache(maxsize=512)
def _context(credentials: Credentials) -> Any:
    """Reading keys costs more than a question; renewed credentials get a context of their own."""
    access = Access(
        server="the members of etcd",
        ca=credentials.ca,
        certificate=credentials.certificate,
        key=credentials.key,
    )
    return ssl_context(access)


def status_of(answer: dict[str, Any]) -> MemberStatus:
    """A `StatusResponse` of the gateway; it leaves out what is zero, false or empty."""
    header = answer.get("header") or {}
    leader = int(answer.get("leader") or 0)
    return MemberStatus(
        cluster_id=_hex(header.get("cluster_id")),
        member_id=_hex(header.get("member_id")),
        version=str(answer.get("version") or ""),
        storage_version=answer.get("storageVersion") or None,
        db_size=int(answer.get("dbSize") or 0),
        in_use=int(answer.get("dbSizeInUse") or 0),
        leader=_hex(leader) if leader else None,
        is_learner=bool(answer.get("isLearner")),
        raft_term=int(answer.get("raftTerm") or 0),
        raft_index=int(answer.get("raftIndex") or 0),
        applied_index=int(answer.get("raftAppliedIndex") or 0),
        revision=int(header.get("revision") or 0),
        alarms=tuple(a for text in answer.get("errors") or () if (a := alarm_of(text))),
    )


def listed_of(entry: dict[str, Any]) -> Listed:
    """One `Member` of the gateway."""
    return Listed(
        id=_hex(entry.get("ID")),
        name=str(entry.get("name") or ""),
        peer_urls=tuple(entry.get("peerURLs") or ()),
        client_urls=tuple(entry.get("clientURLs") or ()),
        is_learner=bool(entry.get("isLearner")),
    )


def alarm_of(text: str) -> Alarm | None:
    """An alarm among the `errors` of a status, which are texts; None for any other error.

    To ask for alarms directly would write an entry to the log of raft each time.

    >>> alarm_of("memberID:8464403420199209632 alarm:NOSPACE ")
    Alarm(member_id='75779a1078934aa0', name='NOSPACE')
    """
    words = dict(word.split(":", 1) for word in str(text).split() if ":" in word)
    if not words.get("memberID", "").isdigit() or "alarm" not in words:
        return None
    return Alarm(_hex(words["memberID"]), words["alarm"])


def _hex(number: Any) -> str:
    return format(int(number or 0), "x")


def _error_of(error: Exception) -> EtcdError:
    if isinstance(error, asyncio.TimeoutError):
        return EtcdError(Trouble.SILENT, "does not answer in time")
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
        return EtcdError(Trouble.UNTRUSTED, _tls_sentence(error))
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, ConnectionRefusedError):
            return EtcdError(Trouble.NOT_LISTENING, "does not serve clients yet")
        return EtcdError(Trouble.SILENT, "cannot be reached from the operator")
    if isinstance(error, aiohttp.ClientError | OSError):
        return EtcdError(Trouble.SILENT, "broke the connection off")
    return EtcdError(Trouble.REFUSED, "does not answer as etcd does")


def _tls_sentence(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "it is not trusted"
        return f"shows a certificate that does not hold: {why}"
    return "does not agree on TLS with the operator"


def _refusal(answer: dict[str, Any], status: int) -> EtcdError:
    text = str(answer.get("message") or answer.get("error") or f"HTTP status {status}")
    code = answer.get("code")
    if code in {_UNAVAILABLE, _DEADLINE_EXCEEDED} or "no leader" in text or "timed out" in text:
        return EtcdError(Trouble.NO_QUORUM, f"finds no quorum: {text}")
    return EtcdError(Trouble.REFUSED, f"refuses: {text}")
