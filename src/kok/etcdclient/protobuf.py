"""As much of the protobuf wire format as a few messages of etcd need.

etcd's API is frozen: the numbers of its fields never change. Generated code would bring the
protobuf runtime, 7 MiB of memory, along for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Value = int | bytes
Fields = dict[int, Value]
"""By field number; the last one of a number counts, as protobuf has it. Integers are unsigned."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def encode(fields: Mapping[int, Value]) -> bytes:
    """A message of non-negative integers and bytes."""
    out = bytearray()
    for number, value in fields.items():
        if isinstance(value, int):
            out += _varint(number << 3 | _VARINT) + _varint(value)
        else:
            out += _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    return bytes(out)


def decode(message: bytes | memoryview) -> Fields:
    """The fields of a message. Raises `ValueError` for what is none."""
    return dict(pieces(message))


def pieces(message: bytes | memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of all fields in order, with those that come more than once.

    Raises `ValueError` for what is no message.
    """
    with memoryview(message) as view:
        for number, value in views(view):
            yield number, value if isinstance(value, int) else bytes(value)


def views(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The same, without a copy of any bytes."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        size = _FIXED.get(kind)
        if size is None:
            if kind != _BYTES:
                raise ValueError(f"wire type {kind} is unknown")
            size, at = _read_varint(message, at)
        raw = message[at : at + size]
        if len(raw) < size:
            raise ValueError("the message ends early")
        yield number, raw if kind == _BYTES else int.from_bytes(raw, "little")
        at += size


def integer(fields: Fields, number: int) -> int:
    """A field's integer; 0 if it is absent, as protobuf leaves out zeros."""
    value = fields.get(number, 0)
    return value if isinstance(value, int) else 0


def blob(fields: Fields, number: int) -> bytes:
    """A field's bytes, text or message; empty if it is absent."""
    value = fields.get(number, b"")
    return value if isinstance(value, bytes) else b""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("the message ends early")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
