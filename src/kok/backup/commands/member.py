"""Asking one etcd member, over gRPC.

The operator speaks etcd's JSON gateway; the worker cannot. The gateway does not know client
certificates' users, so that it is refused once authentication is on, and a snapshot through it
takes five times as long. Nothing that the operator imports may import this module.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pycurl

from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.spec import EtcdAccess
from kok.backup.stream import snapshot
from kok.backup.stream.snapshot import Block
from kok.etcdclient import grpc, methods
from kok.etcdclient.answers import hash_of, status_of
from kok.etcdclient.grpc import Call, CallError, Failure
from kok.etcdclient.model import Hash, MemberStatus

T = TypeVar("T")
_FIRST = base64.b64encode(b"\0").decode()
"""As both ends of a range: all keys."""
_QUESTION = 10.0
"""Seconds for a question whose answer does not depend on the size of the database."""

_DENIED = {grpc.PERMISSION_DENIED, grpc.UNAUTHENTICATED}
_DENIED_TEXTS = ("user name is empty", "authentication is not enabled", "permission denied")
_QUORUM_TEXTS = ("no leader", "request timed out", "leader changed")


class Member:
    """One member; a context manager around the connection. All methods raise `WorkerError`."""

    def __init__(self, access: EtcdAccess, certificates: Path | None, *, stall: float) -> None:
        """`certificates` holds `ca.crt`, `tls.crt` and `tls.key`; None for a plain endpoint.

        `stall` is how many seconds may pass without an answer or data.
        """
        self._name = access.endpoint
        self._stall = stall
        secure = access.endpoint.startswith("https://")
        self._server = grpc.Server(
            access.endpoint, _credentials(certificates) if secure else None, access.server_name
        )
        self._calls = pycurl.AsyncCurlMulti()

    async def __aenter__(self) -> Self:
        """Closes the connection at the end of the block."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the connection, whatever the block ended with."""
        await self._calls.aclose()

    async def status(self) -> MemberStatus:
        """What the member says of itself."""
        return self._read(status_of, await self._ask("maintenance/status", {}, _QUESTION))

    async def keys(self, revision: int) -> int | None:
        """Live keys at a revision, as this member has it; None if it is compacted meanwhile."""
        everything = {"key": _FIRST, "range_end": _FIRST, "count_only": True}
        answer = await self._at(revision, everything)
        return None if answer is None else int(answer.get("count", 0))

    async def value(self, key: bytes, revision: int) -> bytes | None:
        """The value of a key at a revision; None if there is none, or it is compacted meanwhile."""
        answer = await self._at(revision, {"key": base64.b64encode(key).decode()})
        found = (answer or {}).get("kvs") or ()
        return base64.b64decode(found[0].get("value") or "") if found else None

    async def hash(self, revision: int) -> Hash | None:
        """HashKV at a revision; None if it is compacted meanwhile.

        The member reads its whole database for it, some 1.5 s a GiB, and applies no writes in
        that time.
        """
        asked = {"revision": revision}
        answer = await self._unless_compacted("maintenance/hashkv", asked, self._stall)
        return None if answer is None else self._read(hash_of, answer)

    async def snapshot(self) -> AsyncGenerator[Block]:
        """The database as it is when the member is asked, and its checksum, block by block."""
        try:
            async with aclosing(snapshot.blocks(self._server, self._stall)) as blocks:
                async for block in blocks:
                    yield block
        except CallError as error:
            raise self._translate(error) from error
        except TimeoutError as error:
            raise self._silent() from error

    async def _at(self, revision: int, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """Keys as this member has them at a revision; None if it is compacted meanwhile."""
        body = {**asked, "revision": revision, "serializable": True}
        return await self._unless_compacted("kv/range", body, _QUESTION)

    async def _unless_compacted(
        self, path: str, body: Mapping[str, Any], deadline: float
    ) -> dict[str, Any] | None:
        try:
            return await self._ask(path, body, deadline)
        except WorkerError as error:
            if "has been compacted" in error.message:
                return None
            raise

    async def _ask(self, path: str, body: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        try:
            call = Call(self._server, *methods.request(path, body))
            answer = await call.answer(self._calls, min(deadline, self._stall))
            return methods.answer(path, answer)
        except CallError as error:
            raise self._translate(error) from error
        except ValueError as error:
            raise self._not_reached(Failure.STRANGE) from error

    def _read(self, reader: Callable[[dict[str, Any]], T], answer: dict[str, Any]) -> T:
        try:
            return reader(answer)
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise self._not_reached(Failure.STRANGE) from error

    def _translate(self, error: CallError) -> WorkerError:
        if error.failure is not Failure.REFUSED:
            return self._not_reached(error.failure)
        code, text = error.code, error.text
        low = text.lower()
        if code in _DENIED or any(t in low for t in _DENIED_TEXTS):
            return WorkerError(
                Reason.ETCD_DENIED,
                f"etcd at {self._name} refuses the worker: {text}. Authentication is on there: "
                "the user named as the client certificate's common name (etcd-client) needs the "
                "role root, since taking snapshots is an administrator's right",
            )
        if code == grpc.DEADLINE_EXCEEDED:
            return self._silent()
        if any(t in low for t in _QUORUM_TEXTS):
            return WorkerError(Reason.ETCD_SILENT, f"etcd at {self._name} has no quorum: {text}")
        if code == grpc.UNAVAILABLE:
            return self._not_reached(Failure.BROKE_OFF)
        return WorkerError(Reason.ETCD_REFUSED, f"etcd at {self._name} refuses: {text}")

    def _not_reached(self, failure: Failure) -> WorkerError:
        if failure is Failure.SILENT:
            return self._silent()
        if failure is Failure.STRANGE:
            return WorkerError(
                Reason.ETCD_REFUSED, f"whoever listens at {self._name} does not answer as etcd does"
            )
        if failure is Failure.UNTRUSTED:
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


def _credentials(directory: Path | None) -> grpc.Tls:
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
    return grpc.Tls(ca, certificate, key)
