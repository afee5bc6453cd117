"""Keeping secrets out of the logs, whatever somebody passes to them, in time that grows with it.

What is logged holds foreign texts of any length. They are cut before anything is looked for, and
no expression looks at a character more than a fixed number of times: every repetition is bounded,
or cannot begin anew inside of what it has passed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice, pairwise
from typing import Any

MASK = "***"
MOST = 16_384
"""Characters of one text that are kept."""
ROOM = 65_536
"""Characters of one entry of a log line, in all of its texts and at any depth."""
_TORN = 512
"""Characters in which a text that is cut ends at a word: half a secret is not recognised."""
_ITEMS = 100
"""Items of a list or mapping that are kept."""
_KEY_MOST = 200
_BITS = 1024
_SECRET_KEY = re.compile(
    r"(?i)(password|passwd|passphrase|secret[_-]?key|private[_-]?key|key[_-]data|token$|"
    r"^authorization$|^credentials?$|kubeconfig$|^string_?data$|cookie)"
)
_PATTERNS = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
            r".*?(-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        MASK,
    ),
    (
        re.compile(
            r"(?i)(authorization['\"]?\s{0,8}[:=]\s{0,8}['\"]?\w{1,64}\s{1,8})[^\s'\"]+",
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer)\s{1,8}[A-Za-z0-9._~+/=-]{20,}"), rf"\1 {MASK}"),
    # Bootstrap tokens of kubeadm.
    (re.compile(r"\b([a-z0-9]{6})\.[a-z0-9]{16}\b"), rf"\1.{MASK}"),
    # A base64 PEM block, as kubeconfigs and Secrets hold it.
    (re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]{40,}"), MASK),
    (
        re.compile(
            r"(?i)((?:password|passphrase|token|client-key-data)['\"]?\s{0,8}[:=]\s{0,8}['\"]?)"
            r"[^\s'\",}]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(://[^\s/:@]*:)[^\s/@]+@"), rf"\1{MASK}@"),
)
_DEPTH = 6
_DOTTED = re.compile(r"[\w.-]+")
"""Where a JSON web token may be. An expression for the token itself would begin anew at every dash
in it, and each time look at what it has just passed."""
_WEB_TOKEN = "eyJ"  # noqa: S105 - what one begins with
_HEADER, _PAYLOAD = 11, 8
"""Least characters of a token's first two words."""


def redact_text(text: str, most: int = MOST) -> str:
    """The text, cut, without anything that looks like a key, a token or a password."""
    return _redacted(text, most)


def _redacted(text: str, most: int) -> str:
    kept, left_out = text, ""
    if len(text) > most:
        kept = text[:most]
        kept = kept[: max(kept.rfind(" "), kept.rfind("\n"), most - _TORN, 0)]
        left_out = f"... ({len(text) - len(kept)} more characters)"
    if _WEB_TOKEN in kept:
        kept = _DOTTED.sub(_without_web_token, kept)
    for pattern, replacement in _PATTERNS:
        kept = pattern.sub(replacement, kept)
    return kept + left_out


def _without_web_token(found: re.Match[str]) -> str:
    """Words between dots, but for a JSON web token and what follows it."""
    words = found[0].split(".")
    for place, (word, after) in enumerate(pairwise(words)):
        begin = _token_in(word)
        if begin is not None and len(word) - begin >= _HEADER and len(after) >= _PAYLOAD:
            return ".".join([*words[:place], word[:begin] + MASK])
    return found[0]


def _token_in(word: str) -> int | None:
    """Where a token begins in a word: in front, or behind a dash."""
    if word.startswith(_WEB_TOKEN):
        return 0
    behind = word.find(f"-{_WEB_TOKEN}")
    return behind + 1 if behind >= 0 else None


class _Room:
    """The characters that may still be kept."""

    def __init__(self) -> None:
        self._left = ROOM

    def text(self, text: str) -> str:
        """The text, redacted, or as much as there is room for."""
        kept = _redacted(text, min(MOST, self._left))
        self._left = max(0, self._left - len(kept) - 2)
        return kept

    @property
    def used_up(self) -> bool:
        """Whether nothing more is kept."""
        return not self._left


def redact(value: Any) -> Any:
    """A value fit for a log: secrets masked, `data` of Secrets dropped, at any depth.

    Each entry of a mapping has room of its own.
    """
    if not isinstance(value, Mapping):
        return _value(value, _DEPTH, _Room())
    return {str(k)[:_KEY_MOST]: _entry(value, k, v, _DEPTH, _Room()) for k, v in value.items()}


def _value(value: Any, depth: int, room: _Room) -> Any:
    if isinstance(value, int) and value.bit_length() > _BITS:
        return f"<{value.bit_length()} bits>"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if depth > 0 and isinstance(value, Mapping):
        return _mapping(value, depth, room)
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return _items(value, depth, room)
    return room.text(value if isinstance(value, str) else str(value))


def _mapping(value: Mapping[Any, Any], depth: int, room: _Room) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, inner in islice(value.items(), _ITEMS):
        if room.used_up:
            break
        found[room.text(str(key)[:_KEY_MOST])] = _entry(value, key, inner, depth, room)
    if len(found) < len(value):
        found["..."] = f"{len(value) - len(found)} more"
    return found


def _items(
    value: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any], depth: int, room: _Room
) -> list[Any]:
    found: list[Any] = []
    for item in islice(value, _ITEMS):
        if room.used_up:
            break
        found.append(_value(item, depth - 1, room))
    if len(found) < len(value):
        found.append(f"... {len(value) - len(found)} more")
    return found


def _entry(mapping: Mapping[Any, Any], key: Any, value: Any, depth: int, room: _Room) -> Any:
    name = str(key)
    if len(name) > _KEY_MOST and value is not None:
        return MASK
    if _SECRET_KEY.search(name) and value is not None and not isinstance(value, bool):
        return MASK
    if mapping.get("kind") == "Secret" and key in {"data", "stringData"}:
        return MASK
    return _value(value, depth - 1, room)
