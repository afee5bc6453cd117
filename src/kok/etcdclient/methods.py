"""Calls to etcd over gRPC in the JSON of its gateway, so that answers are read in one way only.

Pure, and light: the worker, which speaks nothing but gRPC, uses it as well.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kok.etcdclient import protobuf

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
class _Field:
    """A field of an answer: its name in JSON, how it is read, whether it may come more than once."""

    name: str
    read: Callable[[protobuf.Value], Any]
    many: bool = False


_Shape = Mapping[int, _Field]


def _shaped(shape: _Shape) -> Callable[[protobuf.Value], dict[str, Any]]:
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
        1: _Field("cluster_id", _unsigned),
        2: _Field("member_id", _unsigned),
        3: _Field("revision", _signed),
    }
)
_MEMBER = _shaped(
    {
        1: _Field("ID", _unsigned),
        2: _Field("name", _text),
        3: _Field("peerURLs", _text, many=True),
        4: _Field("clientURLs", _text, many=True),
        5: _Field("isLearner", _unsigned),
    }
)
_STATUS: _Shape = {
    1: _Field("header", _HEADER),
    2: _Field("version", _text),
    3: _Field("dbSize", _signed),
    4: _Field("leader", _unsigned),
    5: _Field("raftIndex", _unsigned),
    6: _Field("raftTerm", _unsigned),
    7: _Field("raftAppliedIndex", _unsigned),
    8: _Field("errors", _text, many=True),
    9: _Field("dbSizeInUse", _signed),
    10: _Field("isLearner", _unsigned),
    11: _Field("storageVersion", _text),
}
_KV = _shaped({5: _Field("value", _base64)})
_HASH: _Shape = {
    1: _Field("header", _HEADER),
    2: _Field("hash", _unsigned),
    3: _Field("compact_revision", _signed),
    4: _Field("hash_revision", _signed),
}
_ALARMS = {"NOSPACE": 1, "CORRUPT": 2}


@dataclass(frozen=True, slots=True)
class _Method:
    """A call: its name in gRPC, the numbers of its request's fields, and what it answers."""

    name: str
    request: Mapping[str, int]
    answer: _Shape


_METHODS: Mapping[str, _Method] = {
    "maintenance/status": _Method("Maintenance/Status", {}, _STATUS),
    "maintenance/hashkv": _Method("Maintenance/HashKV", {"revision": 1}, _HASH),
    "maintenance/transfer-leadership": _Method("Maintenance/MoveLeader", {"targetID": 1}, {}),
    "maintenance/defragment": _Method("Maintenance/Defragment", {}, {}),
    "maintenance/alarm": _Method("Maintenance/Alarm", {"action": 1, "memberID": 2, "alarm": 3}, {}),
    "kv/put": _Method("KV/Put", {"key": 1, "value": 2}, {}),
    "kv/range": _Method(
        "KV/Range",
        {"key": 1, "range_end": 2, "revision": 4, "serializable": 7, "count_only": 9},
        {2: _Field("kvs", _KV, many=True), 4: _Field("count", _signed)},
    ),
    "kv/compaction": _Method("KV/Compact", {"revision": 1, "physical": 2}, {}),
    "cluster/member/list": _Method(
        "Cluster/MemberList", {"linearizable": 1}, {2: _Field("members", _MEMBER, many=True)}
    ),
    "cluster/member/add": _Method(
        "Cluster/MemberAdd", {"peerURLs": 1, "isLearner": 2}, {2: _Field("member", _MEMBER)}
    ),
    "cluster/member/remove": _Method("Cluster/MemberRemove", {"ID": 1}, {}),
    "cluster/member/promote": _Method("Cluster/MemberPromote", {"ID": 1}, {}),
}


def request(path: str, body: Mapping[str, Any]) -> tuple[str, bytes]:
    """gRPC's method and the message for a call of the gateway such as `maintenance/status`."""
    method = _METHODS[path]
    fields = {method.request[name]: _value(name, value) for name, value in body.items()}
    return f"/etcdserverpb.{method.name}", protobuf.encode(fields)


def answer(path: str, message: bytes) -> dict[str, Any]:
    """What came back, as the gateway would have it. Raises `ValueError` for what is no message."""
    return _shaped(_METHODS[path].answer)(message)


def _value(name: str, value: Any) -> protobuf.Value:
    """A value of the gateway's JSON as protobuf has it."""
    if name == "action":
        return 2  # DEACTIVATE, the only one that is asked for.
    if name == "alarm":
        return _ALARMS[str(value)]
    if name in {"key", "range_end", "value"}:
        return base64.b64decode(str(value))
    if name == "peerURLs":
        (url,) = value
        return str(url).encode()
    return int(value)
