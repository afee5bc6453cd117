"""Composing scripts for hosts from our own files and quoted values. Pure."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

MOST = 3 * 2**14
"""Bytes of one text from a host: the longest is a certificate, of some KiB."""
_DOCUMENT = "KOK_END"
"""Ends a here-document of base64, in which `_` cannot occur."""


@cache
def library(name: str) -> str:
    """One of our own script files."""
    found = files("kok.operators.machine.remote") / "scripts" / f"{name}.sh"
    return found.read_text(encoding="utf-8")


def variables(values: Mapping[str, str]) -> str:
    """Assignments of quoted values."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def call(function: str, *arguments: str) -> str:
    """A line that calls a function with quoted arguments."""
    return " ".join([function, *(shlex.quote(a) for a in arguments)]) + "\n"


def feed(function: str, *arguments: str, content: str | bytes, after: str = "") -> str:
    """A call with `content` in base64 on standard input; `after` is, say, ` &`."""
    data = content.encode() if isinstance(content, str) else content
    text = base64.encodebytes(data).decode()
    line = call(function, *arguments).rstrip("\n")
    return f"{line} <<'{_DOCUMENT}'{after}\n{text}{_DOCUMENT}\n"


def lines(function: str, *arguments: str, content: Iterable[str], after: str = "") -> str:
    """A call with lines of text on standard input."""
    text = "".join(f"{line}\n" for line in content)
    first = call(function, *arguments).rstrip("\n")
    return f"{first} <<'{_DOCUMENT}'{after}\n{text}{_DOCUMENT}\n"


def compose(values: Mapping[str, str], *parts: str) -> str:
    """Values first, then what every script begins with, then the parts."""
    return variables(values) + library("common") + "".join(parts)


def decoded(text: str) -> str:
    """What a script sent in base64, no more than `MOST` bytes; empty if it is none."""
    try:
        return base64.b64decode(text[: MOST // 3 * 4]).decode("utf-8", "replace")
    except ValueError:
        return ""
