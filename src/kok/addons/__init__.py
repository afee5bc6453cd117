"""The addons that come with KOK, as data: which there are, and what each is made of.

Below the API, whose CRDs list their names. What is rendered of them is the cluster operator's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml


@dataclass(frozen=True, slots=True)
class BuiltinAddon:
    """One addon as its files have it."""

    template: str
    """Manifests as YAML documents with Jinja2 expressions."""
    values: Mapping[str, Any]
    """Every value that it takes, with its default."""
    values_schema: Mapping[str, Any] | None = None
    """JSON schema of its values, if it has one."""


def _index() -> dict[str, dict[str, Any]]:
    index: dict[str, dict[str, Any]] = yaml.safe_load(_text("addons.yaml"))
    return index


def _text(*path: str) -> str:
    return files("kok.addons").joinpath(*path).read_text(encoding="utf-8")


NAMES: Final = tuple(_index())
"""All of them, in the order in which users are told of them."""
DEFAULTS: Final = tuple(name for name, facts in _index().items() if facts["default"])
"""Those that a Cluster has unless its spec says otherwise."""
BEFORE: Final = frozenset(
    name for name, facts in _index().items() if facts.get("upgrade", "After") == "Before"
)
"""Those that are rendered for a new version of Kubernetes before the control plane runs it."""

TUNNEL_AGENT: Final = "konnectivity-agent"
"""The one that comes with `spec.network.tunnel`."""


@cache
def builtin_addon(name: str) -> BuiltinAddon:
    """One of `NAMES`; raises `KeyError` for any other name."""
    if name not in NAMES:
        raise KeyError(name)
    values = yaml.safe_load(_text(name, "values.yaml")) or {}
    schema = files("kok.addons").joinpath(name, "values.schema.json")
    return BuiltinAddon(
        template=_text(name, "manifests.yaml.j2"),
        values=values,
        values_schema=json.loads(schema.read_text(encoding="utf-8")) if schema.is_file() else None,
    )
