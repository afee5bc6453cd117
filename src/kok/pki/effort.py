"""How much work a private key is, found out before anything works on it.

Whoever may write a Secret decides on its keys. To use one of RSA grows with the third power of its
length: with 16384 bits one signature, and so one handshake, takes seconds in which nothing else runs.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Final

MAX_BITS: Final = 4096
"""Of an RSA key."""
MAX_TEXT: Final = 64 * 1024
"""Bytes of a PEM text with a private key, whatever else may stand in it."""
MAX_DER: Final = 8 * 1024
"""Bytes of a private key; one of RSA with 4096 bits has 2400."""
_BLOCK = re.compile(
    rb"^-----BEGIN (?P<name>[A-Z0-9 ]{0,32}PRIVATE KEY)-----[ \t\r]*\n"
    rb"(?P<body>(?:[^-]|-(?!----))*)^-----END (?P=name)-----[ \t\r]*$",
    re.MULTILINE,
)
_NESTED: Final = 8
_INTEGER, _OCTETS, _SEQUENCE = 0x02, 0x04, 0x30


def private_block(text: bytes) -> tuple[bytes, bytes] | None:
    """The name of the first private key in a PEM text, such as `RSA PRIVATE KEY`, and the text of
    that key alone: whoever reads it finds the very key that was judged."""
    found = _BLOCK.search(text) if len(text) <= MAX_TEXT else None
    return (found["name"], found[0].strip() + b"\n") if found is not None else None


def der_of(block: bytes) -> bytes:
    """What a PEM block holds; empty if it is not base64, or encrypted as its headers say."""
    found = _BLOCK.fullmatch(block.strip())
    if found is None:
        return b""
    lines = found["body"].splitlines()
    headers = list(takewhile(lambda line: b":" in line, lines))
    if encrypted(block.strip()):
        return b""
    try:
        return base64.b64decode(b"".join(b"".join(lines[len(headers) :]).split()), validate=True)
    except binascii.Error:
        return b""


def encrypted(block: bytes) -> bool:
    """Whether a PEM block says that a passphrase is needed to read it."""
    lines = block.splitlines()
    headers = takewhile(lambda line: b":" in line, lines[1:])
    return any(b"ENCRYPTED" in line for line in (lines[0], *headers))


def too_large(der: bytes) -> bool:
    """Whether a private key (PKCS#1, PKCS#8 or SEC 1, not encrypted) is more than RSA with 4096 bits.

    Such a key has two numbers of that length, the others are half as long.
    """
    if len(der) > MAX_DER:
        return True
    lengths = [(len(number.lstrip(b"\0")) * 8) for number in integers(der)]
    long = [bits for bits in lengths if bits > MAX_BITS // 2]
    return len(long) > 2 or any(bits > MAX_BITS for bits in long)


def integers(der: bytes, depth: int = 0) -> Iterator[bytes]:
    """The content of every INTEGER, also of those within octet strings, as far as it is DER."""
    at = 0
    while depth <= _NESTED and at + 2 <= len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size]), at + size
        content = der[at : at + length]
        at += length
        if tag == _INTEGER:
            yield content
        elif tag in {_OCTETS, _SEQUENCE}:
            yield from integers(content, depth + 1)
