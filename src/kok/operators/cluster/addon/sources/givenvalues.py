"""The values of an Addon: those of Secrets and ConfigMaps, and over them its own.

What comes from a Secret is told to nobody: a sentence that quotes it quotes `***`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, Final

import yaml

from kok.api.cluster.addon import Addon
from kok.api.cluster.addonsource import ValuesFrom
from kok.api.meta import Manifest
from kok.api.printable import plain
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.decoding.nesting import ALLOWED, too_deep
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.render import Loader
from kok.operators.cluster.addon.sources.artifacts import merged
from kok.operators.cluster.addon.sources.web import MISSING_AGAIN
from kok.runtime.controller.errors import Invalid, ReconcileStop, Wait
from kok.runtime.redact import MASK

_MOST: Final = 128 * 1024
"""Bytes of the values in one key."""
_COUNT: Final = 20_000
"""Values in all of them: by aliases a short text becomes any number."""
_HEAD: Final = 12
"""Characters by which the beginning of a secret is known; fewer begin other texts as well."""
_CUT: Final = 8
"""Characters by which it is known where a text ends with them, as one does that was cut there."""
_SHORTEST: Final = 3
"""Characters below which a text is no secret, but a part of many words."""


@dataclass(frozen=True, slots=True)
class GivenValues:
    """All values that somebody gave."""

    values: Mapping[str, Any]
    _secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @contextmanager
    def untold(self) -> Iterator[None]:
        """A pass that ends within tells nothing of what came from Secrets."""
        try:
            yield
        except ReconcileStop as stop:
            stop.message = self.masked(stop.message)
            stop.args = (f"{stop.reason}: {stop.message}",)
            raise

    def masked(self, text: str) -> str:
        """A text without what came from Secrets, also where only the beginning of it is left."""
        for one in sorted(self._secrets, key=len, reverse=True):
            text = _without(text.replace(one, MASK), one)
        return text


async def given_values(kube: Kube, addon: Addon) -> GivenValues:
    """Reads and merges them. Raises `Wait` for what is not there, `Invalid`, `KubeError`."""
    values: Mapping[str, Any] = {}
    secrets: set[str] = set()
    for source in addon.spec.values_from:
        found = await _read(kube, addon.namespace, source)
        if source.secret is not None:
            secrets |= set(_texts(found))
        values = merged(values, found)
    values = merged(values, addon.spec.values)
    if too_deep(values):
        raise Invalid(
            reasons.VALUES_INVALID,
            f"spec.values is nested deeper than {ALLOWED} levels; make it flatter",
        )
    return GivenValues(values, frozenset(secrets))


async def _read(kube: Kube, namespace: str, source: ValuesFrom) -> Mapping[str, Any]:
    kind = kinds.SECRET if source.secret is not None else kinds.CONFIGMAP
    name = source.secret or source.config_map or ""
    where = f"{kind.kind} {namespace}/{name}"
    live = await kube.get(kind, name, namespace)
    text = None if live is None else _text(live, source.key, encoded=kind is kinds.SECRET)
    if text is None:
        if source.optional:
            return {}
        state = "does not exist" if live is None else f"has no key {source.key}"
        raise Wait(
            reasons.VALUES_MISSING,
            f"{where}, which spec.valuesFrom names, {state}; create it, or write optional: true",
            MISSING_AGAIN,
        )
    return _parsed(f"{where}, key {source.key}", text)


def _text(live: Manifest, key: str, *, encoded: bool) -> bytes | None:
    written = (live.get("data") or {}).get(key)
    if not isinstance(written, str):
        return None
    if not encoded:
        return written.encode()
    try:
        return base64.b64decode(written, validate=True)
    except binascii.Error:
        return None


def _parsed(where: str, text: bytes) -> Mapping[str, Any]:
    """A map of values. What a parser says of a text quotes it, and is not told."""
    if len(text) > _MOST:
        raise Invalid(reasons.VALUES_INVALID, f"{where} holds more than {_MOST // 1024} KiB")
    try:
        found = yaml.load(text, Loader=Loader) or {}  # noqa: S506 - it is a safe one
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise Invalid(reasons.VALUES_INVALID, f"{where}{line}: it is no YAML") from None
    if not isinstance(found, Mapping) or not _is_plain(found):
        raise Invalid(
            reasons.VALUES_INVALID, f"{where} holds no map of values, such as `replicas: 2`"
        )
    return found


def _is_plain(found: Any) -> bool:
    """Whether it is what JSON could say, and not too much of it."""
    count, left = 0, [(found, 0)]
    while left:
        one, depth = left.pop()
        count += 1
        if count > _COUNT or depth > ALLOWED:
            return False
        if isinstance(one, Mapping):
            if not all(isinstance(key, str) for key in one):
                return False
            left += [(inner, depth + 1) for inner in one.values()]
        elif isinstance(one, list):
            left += [(inner, depth + 1) for inner in one]
        elif not (one is None or isinstance(one, str | bool | int | float)):
            return False
    return True


def _without(text: str, secret: str) -> str:
    """A text without beginnings of a secret: whoever quotes something long cuts it."""
    for most in range(min(_HEAD, len(secret)) - 1, _CUT - 1, -1):
        if text.endswith(secret[:most]):
            text = text[:-most] + MASK
            break
    head, at = secret[:_HEAD], 0
    if len(secret) <= _HEAD:
        return text
    while (at := text.find(head, at)) >= 0:
        same = takewhile(lambda both: both[0] == both[1], zip(text[at:], secret, strict=False))
        text = text[:at] + MASK + text[at + sum(1 for _ in same) :]
        at += len(MASK)
    return text


def _texts(values: Any) -> Iterable[str]:
    """All that could be quoted: single values, of several lines each of these, as they are or escaped."""
    if isinstance(values, Mapping):
        for inner in values.values():
            yield from _texts(inner)
    elif isinstance(values, list):
        for inner in values:
            yield from _texts(inner)
    elif values is not None and not isinstance(values, bool):
        text = str(values)
        lines = {text, *text.splitlines()}
        # Sentences are one line, in which a blank follows no other and all can be seen.
        whole = lines | {" ".join(one.split()) for one in lines}
        whole |= {plain(one) for one in whole}
        whole.add(base64.b64encode(text.encode()).decode())
        quoted = {form(one)[1:-1] for one in whole for form in _QUOTED}
        yield from (one for one in whole | quoted if len(one) >= _SHORTEST)


def _go(text: str) -> str:
    """A text between quotes as Go's `%q` has it, by which Helm and API servers quote."""
    return f'"{_ODD.sub(_go_character, text)}"'


def _go_character(found: re.Match[str]) -> str:
    one = found[0]
    if "\x80" <= one <= "\xff" and not one.isprintable():
        return f"\\u{ord(one):04x}"
    return _GO.get(one) or repr(one)[1:-1]


def _go_json(text: str) -> str:
    """The same as JSON by Go, which leaves nothing that HTML would read."""
    quoted = json.dumps(text, ensure_ascii=False)
    for one in "<>&\u2028\u2029":
        quoted = quoted.replace(one, f"\\u{ord(one):04x}")
    return quoted


_ODD: Final = re.compile(r"[^ !#-\[\]-~]")
"""What Go may write otherwise than it is."""
_GO: Final = {'"': '\\"', "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
_QUOTED: Final = (repr, json.dumps, partial(json.dumps, ensure_ascii=False), _go, _go_json)
"""How Python, JSON and Go put a text between quotes."""
