"""The same calls over gRPC, for an etcd whose own authentication is on.

Its gateway refuses whoever shows a certificate, since it cannot hand on whose that is; over gRPC
the certificate's common name is the user. Questions come and answers go as the JSON of the gateway,
so that nobody else has to know which way they went. Loaded only when such an etcd is met.

libcurl verifies whatever chain of certificates a server sends, and reads what nobody asked for: each
call is made in a thread, of which one namespace has a few, and what it takes goes to its account.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from kok.etcdclient import grpc, protobuf
from kok.etcdclient.answers import refusal, strange
from kok.etcdclient.grpc import Call, CallError, Failure
from kok.etcdclient.model import Credentials, EtcdError, Trouble
from kok.kube.budget.cpu_shares import NAMESPACE, shares
from kok.kube.http import inbound as wire_
from kok.runtime.fairness.slots import FairSlots

THREADS: Final = 16
EACH: Final = 4
"""Calls at a time, and those of one namespace."""
EFFORT: Final = 1.0
"""Seconds of processor time that one may take; an honest one takes some milliseconds."""
_SIGN, _WRAP = 1 << 63, 1 << 64


def _signed(value: protobuf.Value) -> int:
    number = int(value) if isinstance(value, int) else 0
    return number - _WRAP if number >= _SIGN else number


def _unsigned(value: protobuf.Value) -> int:
    return value if isinstance(value, int) else 0


def _text(value: protobuf.Value) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def _base64(value: protobuf.Value) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an answer: its name in JSON, how it is read, whether it may come more than once."""

    name: str
    read: Callable[[protobuf.Value], Any]
    many: bool = False


Shape = Mapping[int, Field]


def _shaped(shape: Shape) -> Callable[[protobuf.Value], dict[str, Any]]:
    def read(value: protobuf.Value) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for number, piece in protobuf.pieces(value if isinstance(value, bytes) else b""):
            field = shape.get(number)
            if field is None:
                continue
            if field.many:
                out.setdefault(field.name, []).append(field.read(piece))
            else:
                out[field.name] = field.read(piece)
        return out

    return read


_HEADER = _shaped(
    {
        1: Field("cluster_id", _unsigned),
        2: Field("member_id", _unsigned),
        3: Field("revision", _signed),
    }
)
_MEMBER = _shaped(
    {
        1: Field("ID", _unsigned),
        2: Field("name", _text),
        3: Field("peerURLs", _text, many=True),
        4: Field("clientURLs", _text, many=True),
        5: Field("isLearner", _unsigned),
    }
)
_STATUS: Shape = {
    1: Field("header", _HEADER),
    2: Field("version", _text),
    3: Field("dbSize", _signed),
    4: Field("leader", _unsigned),
    5: Field("raftIndex", _unsigned),
    6: Field("raftTerm", _unsigned),
    7: Field("raftAppliedIndex", _unsigned),
    8: Field("errors", _text, many=True),
    9: Field("dbSizeInUse", _signed),
    10: Field("isLearner", _unsigned),
    11: Field("storageVersion", _text),
}
_KV = _shaped({5: Field("value", _base64)})
_HASH: Shape = {
    1: Field("header", _HEADER),
    2: Field("hash", _unsigned),
    3: Field("compact_revision", _signed),
    4: Field("hash_revision", _signed),
}
_ALARMS = {"NOSPACE": 1, "CORRUPT": 2}


@dataclass(frozen=True, slots=True)
class Method:
    """A call: its name in gRPC, the numbers of its request's fields, and what it answers."""

    name: str
    request: Mapping[str, int]
    answer: Shape


_METHODS: Mapping[str, Method] = {
    "maintenance/status": Method("Maintenance/Status", {}, _STATUS),
    "maintenance/hashkv": Method("Maintenance/HashKV", {"revision": 1}, _HASH),
    "maintenance/transfer-leadership": Method("Maintenance/MoveLeader", {"targetID": 1}, {}),
    "maintenance/defragment": Method("Maintenance/Defragment", {}, {}),
    "maintenance/alarm": Method("Maintenance/Alarm", {"action": 1, "memberID": 2, "alarm": 3}, {}),
    "kv/put": Method("KV/Put", {"key": 1, "value": 2}, {}),
    "kv/range": Method("KV/Range", {"key": 1}, {2: Field("kvs", _KV, many=True)}),
    "kv/compaction": Method("KV/Compact", {"revision": 1, "physical": 2}, {}),
    "cluster/member/list": Method(
        "Cluster/MemberList", {"linearizable": 1}, {2: Field("members", _MEMBER, many=True)}
    ),
    "cluster/member/add": Method(
        "Cluster/MemberAdd", {"peerURLs": 1, "isLearner": 2}, {2: Field("member", _MEMBER)}
    ),
    "cluster/member/remove": Method("Cluster/MemberRemove", {"ID": 1}, {}),
    "cluster/member/promote": Method("Cluster/MemberPromote", {"ID": 1}, {}),
}


class AsUser:
    """Members of one cluster, asked as the user of the client certificate."""

    def __init__(self, credentials: Credentials) -> None:
        """Takes the same credentials as the gateway's client."""
        self._tls = grpc.Tls(credentials.ca, credentials.certificate, credentials.key)
        self._name = credentials.server_name

    async def ask(
        self, address: str, path: str, body: Mapping[str, Any], deadline: float
    ) -> dict[str, Any]:
        """The answer in the gateway's JSON, within so many seconds. Raises `EtcdError`."""
        method = _METHODS[path]
        fields = {method.request[name]: _value(name, value) for name, value in body.items()}
        server = grpc.Server(address, self._tls, self._name)
        try:
            call = Call(server, f"/etcdserverpb.{method.name}", protobuf.encode(fields))
            return _shaped(method.answer)(await _answer(call, deadline))
        except CallError as error:
            raise _error(error) from error
        except ValueError as error:
            raise strange() from error


async def _answer(call: Call, deadline: float) -> bytes:
    """The answer, waited for in a thread. Raises `CallError`."""
    loop, namespace, spent = asyncio.get_running_loop(), NAMESPACE.get(), [0.0]

    def work() -> bytes:
        begun = time.thread_time()
        try:
            return call.whole(deadline, EFFORT)
        finally:
            spent[0] = time.thread_time() - begun

    async with _slots_of(loop).one(namespace):
        await wire_.rest()
        working = loop.run_in_executor(_threads, work)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            call.stop()
            await asyncio.wait({working})
            raise
        finally:
            if namespace:
                shares().served(namespace, spent[0])


_threads = ThreadPoolExecutor(THREADS, "etcd-user")
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, FairSlots] = WeakKeyDictionary()


def _slots_of(loop: asyncio.AbstractEventLoop) -> FairSlots:
    found = _slots.get(loop)
    if found is None:
        found = _slots[loop] = FairSlots(THREADS, share=EACH)
    return found


def _value(name: str, value: Any) -> protobuf.Value:
    """A value of the gateway's JSON as protobuf has it."""
    if name == "action":
        return 2  # DEACTIVATE, the only one that is asked for.
    if name == "alarm":
        return _ALARMS[str(value)]
    if name in {"key", "value"}:
        return base64.b64decode(str(value))
    if name == "peerURLs":
        (url,) = value
        return str(url).encode()
    return int(value)


_UNANSWERED = {
    Failure.SILENT: (Trouble.SILENT, "does not answer in time"),
    Failure.UNREACHABLE: (Trouble.NOT_LISTENING, "does not serve clients yet"),
    Failure.UNTRUSTED: (Trouble.UNTRUSTED, "does not agree on TLS with the operator"),
    Failure.BROKE_OFF: (Trouble.BROKE_OFF, "broke the connection off"),
}
# What gRPC itself says in place of etcd.
_OF_GRPC = {grpc.DEADLINE_EXCEEDED: Failure.SILENT, grpc.UNAVAILABLE: Failure.BROKE_OFF}


def _error(error: CallError) -> EtcdError:
    failure, text, code = error.failure, error.text, error.code
    if failure is Failure.REFUSED and not text.startswith(("etcdserver:", "auth:")):
        failure = _OF_GRPC.get(code, failure)
    if failure is Failure.REFUSED:
        return refusal({"message": text, "code": code}, code)
    return EtcdError(*_UNANSWERED[failure]) if failure in _UNANSWERED else strange()
