"""Keeping secrets out of the logs, whatever somebody passes to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
_SECRET_KEY = re.compile(
    r"(?i)(password|passwd|passphrase|secret[_-]?key|private[_-]?key|key[_-]data|token$|"
    r"^authorization$|^credentials?$|kubeconfig$|^string_?data$|cookie)"
)
_PATTERNS = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL
        ),
        MASK,
    ),
    (re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?\w+\s+)[^\s'\"]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer)\s+[A-Za-z0-9._~+/=-]{20,}"), rf"\1 {MASK}"),
    # JSON web tokens, and kubeadm's bootstrap tokens.
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
    (re.compile(r"\b([a-z0-9]{6})\.[a-z0-9]{16}\b"), rf"\1.{MASK}"),
    # A base64 PEM block, as kubeconfigs and Secrets hold it.
    (re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]{40,}"), MASK),
    (
        re.compile(
            r"(?i)((?:password|passphrase|token|client-key-data)['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(\w+://[^\s/:@]+:)[^\s/@]+@"), rf"\1{MASK}@"),
)
_DEPTH = 6


def redact_text(text: str) -> str:
    """The text without anything that looks like a key, a token or a password."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any, depth: int = _DEPTH) -> Any:
    """A value fit for a log: secrets masked, `data` of Secrets dropped, at any depth."""
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth > 0 and isinstance(value, Mapping):
        return {str(k): _entry(value, k, v, depth) for k, v in value.items()}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth - 1) for item in value]
    return f"<{len(value)} bytes>" if isinstance(value, bytes) else redact_text(str(value))


def _entry(mapping: Mapping[Any, Any], key: Any, value: Any, depth: int) -> Any:
    if _SECRET_KEY.search(str(key)) and value is not None and not isinstance(value, bool):
        return MASK
    if mapping.get("kind") == "Secret" and key in {"data", "stringData"}:
        return MASK
    return redact(value, depth - 1)
