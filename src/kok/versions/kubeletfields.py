"""Whether a kubelet or kube-proxy of a version can read its configuration, before it gets it. Pure.

They pass over fields that they do not know and exit again and again for values of another type.
What they know lies in `kubelet.json` and `kube-proxy.json`, which scripts/kubeletfields.py writes.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from kok.versions.number import parse

_ALSO = frozenset({"apiVersion", "kind"})
_PLACE = 128
"""Characters of a key, and of a place in a sentence."""
_DURATION = re.compile(r"[-+]?(0|([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})(ns|us|µs|ms|s|m|h))+")
_SAYS = {
    "bool": "true or false",
    "int": "a whole number",
    "number": "a number",
    "string": "a text",
    "duration": "a duration such as 10s or 5m",
}


def kubelet_config_problem(version: str, config: Mapping[str, Any]) -> str | None:
    """What a kubelet of that version cannot read of a configuration, or None.

    >>> kubelet_config_problem("1.37.1", {"maxPodz": 30})
    'maxPodz is no field of the KubeletConfiguration of 1.37; did you mean maxPods?'
    """
    return _problem("kubelet", "KubeletConfiguration", version, config)


def kube_proxy_config_problem(version: str, config: Mapping[str, Any]) -> str | None:
    """What a kube-proxy of that version cannot read of a configuration, or None.

    >>> kube_proxy_config_problem("1.37.1", {"iptables": {"masqueradeal": True}})
    'iptables.masqueradeal is no field of the KubeProxyConfiguration of 1.37; \
did you mean masqueradeAll?'
    """
    return _problem("kube-proxy", "KubeProxyConfiguration", version, config)


def _problem(component: str, root: str, version: str, config: Mapping[str, Any]) -> str | None:
    minor = str(parse(version).line)
    types = _types(component).get(minor)
    if types is None:
        return None  # Of a version that nothing is known of there is nothing to say.
    reader = _Reader(types, f"the {root} of {minor}")
    return next(reader.struct(root, config, ""), None)


@cache
def _types(component: str) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    text = (files("kok.versions") / f"{component}.json").read_text(encoding="utf-8")
    parsed: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(text)
    return parsed


class _Reader:
    """Reads values by the types of one version; yields what is wrong."""

    def __init__(self, types: Mapping[str, Mapping[str, str]], what: str) -> None:
        """`what` is the configuration, for sentences."""
        self._types = types
        self._what = what

    def struct(self, name: str, value: object, where: str) -> Iterator[str]:
        """Reads the fields of a struct; `where` is empty for the root."""
        if not isinstance(value, Mapping):
            yield f"{where} must be a map of fields"
            return
        known = self._types[name]
        for key, inner in value.items():
            place = f"{where}.{str(key)[:_PLACE]}" if where else str(key)
            if key in known:
                yield from self._value(known[key], inner, place)
            elif where or key not in _ALSO:
                yield self._unknown(str(key), place, known)

    def _unknown(self, key: str, place: str, known: Mapping[str, str]) -> str:
        lower = {name.lower(): name for name in known}
        near = difflib.get_close_matches(key[:64].lower(), lower, n=1)
        hint = f"did you mean {lower[near[0]]}?" if near else "leave it out"
        return f"{place[:_PLACE]} is no field of {self._what}; {hint}"

    def _value(self, kind: str, value: object, place: str) -> Iterator[str]:
        if value is None or kind == "any":
            return
        if kind.startswith("[]"):
            yield from self._list(kind[2:], value, place)
        elif kind.startswith("{}"):
            yield from self._map(kind[2:], value, place)
        elif kind in self._types:
            yield from self.struct(kind, value, place)
        elif not _fits(kind, value):
            yield f"{place[:_PLACE]} must be {_SAYS[kind]}, not {json.dumps(value)[:64]}"

    def _list(self, kind: str, value: object, place: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{place[:_PLACE]} must be a list"
            return
        for number, inner in enumerate(value):
            yield from self._value(kind, inner, f"{place}[{number}]")

    def _map(self, kind: str, value: object, place: str) -> Iterator[str]:
        if not isinstance(value, Mapping):
            yield f"{place[:_PLACE]} must be a map"
            return
        for key, inner in value.items():
            yield from self._value(kind, inner, f"{place}.{str(key)[:_PLACE]}")


def _fits(kind: str, value: object) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind in ("int", "number"):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        fits = whole if kind == "int" else isinstance(value, int | float)
        return fits and not isinstance(value, bool)
    if not isinstance(value, str):
        return False
    return kind == "string" or bool(_DURATION.fullmatch(value[:64]))
