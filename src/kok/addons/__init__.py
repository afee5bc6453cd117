"""The addons that come with KOK, as data: one folder each, which is all that there is of it.

Below the API, whose CRDs list their names. What is rendered of them is the cluster operator's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ABOUT = "addon.yaml"

Need = Literal["nodes", "reach", "gpu", "tunnel"]
"""What a cluster must have for an addon to be of use there: nodes; API servers that reach its pods,
by a tunnel or straight; nodes with GPUs; a tunnel, with which it comes and goes by itself."""


class AddonImage(BaseModel):
    """One image of an addon."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str = Field(pattern=r"^[a-z0-9./:_-]+$", max_length=200)
    """With its registry, unless that is the one of Kubernetes itself."""
    tag: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
    """None: that of the cluster's Kubernetes version."""


class AddonUpgrade(BaseModel):
    """What an upgrade means for an addon."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubernetes: Literal["before", "after"] = "after"
    """When an upgrade of Kubernetes renders it anew: before the control plane is at the new version, or
    after that."""
    note: str = Field(min_length=1, max_length=1000)
    """What a user should know before a later version of the addon replaces an earlier one."""


class AddonFacts(BaseModel):
    """What `addon.yaml` of a folder says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = Field(min_length=1, max_length=200)
    """What it is for, in one sentence."""
    default: bool = False
    """Whether every Cluster has it whose spec does not say otherwise."""
    needs: tuple[Need, ...] = ()
    """What it needs of a cluster; where that is missing it is no use, or waits."""
    since: str | None = Field(default=None, pattern=r"^1\.\d{1,3}$")
    """Lowest minor of Kubernetes that it works with, if not all that KOK knows."""
    role: str | None = Field(default=None, pattern=r"^[a-z]{1,20}$")
    """What a cluster has one of, such as `network`: addons of the same role exclude each other."""
    images: dict[str, AddonImage] = Field(min_length=1)
    """By the name that its template asks for; the one called as the addon is tells its version."""
    upgrade: AddonUpgrade


class BuiltinAddon(BaseModel):
    """One addon as its folder has it."""

    model_config = ConfigDict(frozen=True)

    name: str
    facts: AddonFacts
    template: str
    """Manifests as YAML documents with Jinja2 expressions."""
    values: Mapping[str, Any]
    """Every value that it takes, with its default."""
    values_schema: Mapping[str, Any] | None
    """JSON schema of its values, if it has one."""


def _read_facts() -> dict[str, AddonFacts]:
    """Of all folders; those that come by default first, then by name."""
    folders = [entry for entry in files("kok.addons").iterdir() if entry.joinpath(_ABOUT).is_file()]
    found = {
        folder.name: AddonFacts.model_validate(
            yaml.load(folder.joinpath(_ABOUT).read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - it is the safe one
        )
        for folder in folders
    }
    return dict(sorted(found.items(), key=lambda item: (not item[1].default, item[0])))


FACTS: Final[Mapping[str, AddonFacts]] = _read_facts()
"""Of all of them by name, in the order in which users are told of them."""
NAMES: Final = tuple(FACTS)
"""All of them, in that order."""
DEFAULTS: Final = tuple(name for name, facts in FACTS.items() if facts.default)
"""Those that a Cluster has unless its spec says otherwise."""
BEFORE: Final = frozenset(
    name for name, facts in FACTS.items() if facts.upgrade.kubernetes == "before"
)
"""Those that are rendered for a new version of Kubernetes before the control plane runs it."""
IMAGES: Final[Mapping[str, AddonImage]] = {
    name: image for facts in FACTS.values() for name, image in facts.images.items()
}
"""The images of all of them by name. No two have an image of the same name."""

TUNNEL_AGENT: Final = "konnectivity-agent"
"""The one that comes with `spec.network.tunnel`."""


@cache
def builtin_addon(name: str) -> BuiltinAddon:
    """One of `NAMES`; raises `KeyError` for any other name."""
    facts, folder = FACTS[name], files("kok.addons").joinpath(name)
    schema = folder.joinpath("values.schema.json")
    return BuiltinAddon(
        name=name,
        facts=facts,
        template=folder.joinpath("manifests.yaml.j2").read_text(encoding="utf-8"),
        values=yaml.safe_load(folder.joinpath("values.yaml").read_text(encoding="utf-8")) or {},
        values_schema=json.loads(schema.read_text(encoding="utf-8")) if schema.is_file() else None,
    )
