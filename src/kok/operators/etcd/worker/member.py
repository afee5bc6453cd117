"""Asking one etcd member, over gRPC.

The operator speaks etcd's JSON gateway; the worker cannot. The gateway does not know client
certificates' users, so that it is refused once authentication is on, and it is slow: with 1.05 GiB
over TLS, member and reader on two busy cores,

    gateway, aiohttp 3.14           25 MiB/s    9.9 s of CPU a GiB in the reader
    gRPC, grpcio 1.85 (asyncio)    132 MiB/s    3.5 s
    HTTP/2 in Python, h2 4          84 MiB/s    6.2 s

grpcio costs 10 MiB of memory; `_WINDOW` bounds what it reads ahead. Snapshots go another way, see
`snapshot`. Nothing that the operator imports may import this module.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

import grpc
import grpc.aio

from kok.operators.etcd.worker import snapshot, wire
from kok.operators.etcd.worker.errors import WorkerError
from kok.operators.etcd.worker.reasons import Reason
from kok.operators.etcd.worker.snapshot import Block
from kok.operators.etcd.worker.spec import EtcdAccess

_MAINTENANCE, _KV = "/etcdserverpb.Maintenance/", "/etcdserverpb.KV/"
_WINDOW = 512 * 1024
"""Bytes of a snapshot that are under way at most; by itself gRPC would go up to several MiB."""
_QUESTION = 10.0
"""Seconds for a question whose answer does not depend on the size of the database."""
_SIGNED = 1 << 63
# grpcio types its asyncio half only.
_plain: Callable[..., Any] = grpc.insecure_channel
_secure: Callable[..., Any] = grpc.secure_channel

_DENIED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
_DENIED_TEXTS = ("user name is empty", "authentication is not enabled", "permission denied")
_TLS_TEXTS = ("certificate", "handshake", "verification", "ssl_", "tsi_", "tls:")
_QUORUM_TEXTS = ("no leader", "request timed out", "leader changed")


@dataclass(frozen=True, slots=True)
class Status:
    """What a member says of itself. The cluster's ID in hexadecimal, the size in bytes."""

    version: str
    cluster_id: str
    revision: int
    db_size: int


@dataclass(frozen=True, slots=True)
class Hash:
    """HashKV at a revision, and the revision up to which history was compacted (-1: never)."""

    value: int
    compact_revision: int


class Member:
    """One member; a context manager around the connection. All methods raise `WorkerError`."""

    def __init__(self, access: EtcdAccess, certificates: Path | None, *, stall: float) -> None:
        """`certificates` holds `ca.crt`, `tls.crt` and `tls.key`; None for a plain endpoint.

        `stall` is how many seconds may pass without an answer or data.
        """
        self._name = access.endpoint
        self._stall = stall
        address = urlsplit(access.endpoint).netloc
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", _WINDOW),
            # A proxy of the environment is not on the way to a member.
            ("grpc.enable_http_proxy", 0),
        ]
        for_snapshots = [*options, snapshot.DRIVEN_BY_READER]
        if access.endpoint.startswith("http://"):
            self._channel = grpc.aio.insecure_channel(address, options)
            self._snapshots = _plain(address, for_snapshots)
            return
        if access.server_name:
            name = ("grpc.ssl_target_name_override", access.server_name)
            options.append(name)
            for_snapshots.append(name)
        tls = _credentials(certificates)
        self._channel = grpc.aio.secure_channel(address, tls, options)
        self._snapshots = _secure(address, tls, for_snapshots)

    async def __aenter__(self) -> Self:
        """Closes the connection at the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """See `__aenter__`."""
        self._snapshots.close()
        await self._channel.close()

    async def status(self) -> Status:
        """What the member says of itself."""
        answer = await self._ask(_MAINTENANCE + "Status", {}, _QUESTION)
        header = wire.decode(wire.blob(answer, 1))
        return Status(
            version=wire.blob(answer, 2).decode(),
            cluster_id=format(wire.integer(header, 1), "x"),
            revision=wire.integer(header, 3),
            db_size=wire.integer(answer, 3),
        )

    async def keys(self, revision: int) -> int | None:
        """Live keys at a revision, as this member has it; None if it is compacted meanwhile."""
        everything: dict[int, wire.Value] = {1: b"\0", 2: b"\0", 4: revision, 7: 1, 9: 1}
        answer = await self._unless_compacted(_KV + "Range", everything, _QUESTION)
        return None if answer is None else wire.integer(answer, 4)

    async def hash(self, revision: int) -> Hash | None:
        """HashKV at a revision; None if it is compacted meanwhile.

        The member reads its whole database for it, some 1.5 s a GiB, and applies no writes in
        that time.
        """
        answer = await self._unless_compacted(_MAINTENANCE + "HashKV", {1: revision}, self._stall)
        if answer is None:
            return None
        compacted = wire.integer(answer, 3)
        return Hash(
            wire.integer(answer, 2), compacted - 2 * _SIGNED if compacted >= _SIGNED else compacted
        )

    async def snapshot(self) -> AsyncGenerator[Block]:
        """The database as it is when the member is asked, and its checksum, block by block."""
        try:
            async with aclosing(snapshot.blocks(self._snapshots, self._stall)) as blocks:
                async for block in blocks:
                    yield block
        except grpc.RpcError as error:
            self._fail(error)
        except TimeoutError as error:
            raise self._silent() from error

    async def _unless_compacted(
        self, method: str, fields: dict[int, wire.Value], deadline: float
    ) -> wire.Fields | None:
        try:
            return await self._ask(method, fields, deadline)
        except WorkerError as error:
            if "has been compacted" in error.message:
                return None
            raise

    async def _ask(
        self, method: str, fields: dict[int, wire.Value], deadline: float
    ) -> wire.Fields:
        call: Callable[..., Any] = self._channel.unary_unary(
            method, request_serializer=wire.encode, response_deserializer=wire.decode
        )
        try:
            answer: wire.Fields = await call(fields, timeout=min(deadline, self._stall))
        except grpc.aio.AioRpcError as error:
            self._fail(error)
        return answer

    def _fail(self, error: Any) -> NoReturn:
        """`error` is a `grpc.RpcError`, of whose kinds each has these two."""
        code, text = error.code(), str(error.details() or "")
        raise self._translate(code, text) from error

    def _translate(self, code: grpc.StatusCode, text: str) -> WorkerError:
        low = text.lower()
        if code in _DENIED or any(t in low for t in _DENIED_TEXTS):
            return WorkerError(
                Reason.ETCD_DENIED,
                f"etcd at {self._name} refuses the worker: {text}. Authentication is on there: "
                "the user named as the client certificate's common name (etcd-client) needs the "
                "role root, since taking snapshots is an administrator's right",
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._silent()
        if any(t in low for t in _QUORUM_TEXTS):
            return WorkerError(Reason.ETCD_SILENT, f"etcd at {self._name} has no quorum: {text}")
        if code is grpc.StatusCode.UNAVAILABLE:
            return self._unavailable(low)
        return WorkerError(Reason.ETCD_REFUSED, f"etcd at {self._name} refuses: {text}")

    def _unavailable(self, low: str) -> WorkerError:
        if any(t in low for t in _TLS_TEXTS):
            return WorkerError(
                Reason.ETCD_UNTRUSTED,
                f"etcd at {self._name} and the worker do not agree on TLS: the member's "
                "certificate does not hold, or it does not accept the client certificate",
            )
        return WorkerError(
            Reason.ETCD_UNREACHABLE, f"etcd at {self._name} cannot be reached, or broke off"
        )

    def _silent(self) -> WorkerError:
        return WorkerError(
            Reason.ETCD_SILENT, f"nothing came from etcd at {self._name} for {self._stall:.0f} s"
        )


def _credentials(directory: Path | None) -> grpc.ChannelCredentials:
    if directory is None:
        raise WorkerError(Reason.SPEC_INVALID, "an https:// endpoint needs a client certificate")
    try:
        ca, key, certificate = (
            (directory / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt")
        )
    except OSError as error:
        raise WorkerError(
            Reason.CREDENTIALS_UNUSABLE,
            f"the Secret of etcd's client certificate lacks {Path(error.filename or '').name}; "
            "it must hold tls.crt, tls.key and ca.crt",
        ) from error
    credentials: grpc.ChannelCredentials = grpc.ssl_channel_credentials(  # type: ignore[no-untyped-call]
        ca, key, certificate
    )
    return credentials
