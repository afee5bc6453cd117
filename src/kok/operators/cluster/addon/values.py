"""Whether a built-in addon can take the values that somebody gave, before anything is applied. Pure.

What a template renders of a value of another shape is refused by an API server at best. A
kube-proxy passes over fields that it does not know, and ends again and again at ill-typed ones, on
all nodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from kok import versions
from kok.addons import TUNNEL_AGENT
from kok.operators.cluster import reasons
from kok.runtime.controller.errors import Invalid

KUBE_PROXY: Final = "kube-proxy"
_LINES: Final = frozenset({"extraConfig"})
"""Values that are a text of several lines."""
_ELSEWHERE: Final = {
    "mode": "write values.mode instead",
    "conntrack": "write values.conntrack instead",
    "clusterCIDR": "it follows spec.network.podCIDRs of the Cluster; leave it out",
    "clientConnection": "KOK connects kube-proxy with the API; leave it out",
}
"""Fields of KubeProxyConfiguration that are not taken from `values.config`."""


def check_values(
    name: str, defaults: Mapping[str, Any], given: Mapping[str, Any], version: str
) -> None:
    """Raises `Invalid` with the place of what the addon of that name cannot take.

    `version` is that of Kubernetes. Names at the top are known already, see `merged_values`.
    """
    problem = _shapes(defaults, given)
    if problem is None and (check := _CHECKS.get(name)) is not None:
        problem = check(given, version)
    if problem is not None:
        raise Invalid(reasons.VALUES_INVALID, f"values.{problem}")


def _shapes(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(defaults[name], Mapping):
            if not isinstance(value, Mapping):
                return f"{name} must be a map of fields, not {_shown(value)}"
        elif isinstance(value, Mapping | list):
            return f"{name} must be a single value, not {_shown(value)}"
        elif _is_number(defaults[name]) and not (_is_number(value) or str(value).isdecimal()):
            return f"{name} must be a whole number, not {_shown(value)}"
        elif name not in _LINES and "\n" in str(value):
            return f"{name} must be one line, not {_shown(value)}"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kube_proxy(given: Mapping[str, Any], version: str) -> str | None:
    config = given.get("config") or {}
    for field, instead in _ELSEWHERE.items():
        if field in config:
            return f"config.{field} is not taken; {instead}"
    problem = versions.kube_proxy_config_problem(version, config)
    if problem is not None:
        return f"config.{problem}"
    own = {field: given[field] for field in ("mode", "conntrack") if field in given}
    return versions.kube_proxy_config_problem(version, own)


def _konnectivity_agent(given: Mapping[str, Any], _version: str) -> str | None:
    if "server" not in given:
        return "server is written by a Cluster with spec.network.tunnel; set that instead"
    return None


def _shown(value: object) -> str:
    return json.dumps(value)[:64]


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any], str], str | None]]] = {
    KUBE_PROXY: _kube_proxy,
    TUNNEL_AGENT: _konnectivity_agent,
}
