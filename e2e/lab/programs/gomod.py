"""The go.mod of a throw-away module that requires the one to be built.

``go install module@version`` refuses modules with replace directives, and a staging module named
at v0.0.0 cannot be fetched at all. A module of ours that requires the wanted one and carries its
directives over builds each of them in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_UNSET = "v0.0.0"


@dataclass(frozen=True)
class Upstream:
    """What the build needs to know of a module's own go.mod."""

    go: str
    godebug: tuple[tuple[str, str], ...]
    requires: tuple[tuple[str, str], ...]
    replaces: tuple[tuple[str, str], ...]


def parse(edit_json: str) -> Upstream:
    """Read the output of ``go mod edit -json``.

    Replacements by a folder are left out: the folder is not part of a published module.
    """
    raw = json.loads(edit_json)
    return Upstream(
        go=raw.get("Go", "1.17"),
        godebug=tuple((item["Key"], item["Value"]) for item in raw.get("Godebug") or ()),
        requires=tuple((item["Path"], item["Version"]) for item in raw.get("Require") or ()),
        replaces=tuple(
            (_at(item["Old"]), f"{item['New']['Path']} {item['New']['Version']}")
            for item in raw.get("Replace") or ()
            if item["New"].get("Version")
        ),
    )


def render(
    upstream: Upstream,
    modules: Iterable[str],
    version: str,
    overrides: Mapping[str, str] | None = None,
) -> str:
    """The text of the throw-away go.mod.

    Staging modules of Kubernetes, required at v0.0.0, get the version that was published with the
    release: v1.37.1 becomes v0.37.1. ``overrides`` (module to ``path version``) win over the
    module's own replacements.
    """
    staged = {
        path: f"{path} {staging_version(version)}"
        for path, wanted in upstream.requires
        if wanted == _UNSET
    }
    replaces = {**staged, **dict(upstream.replaces), **(overrides or {})}
    lines = ["module kok.invalid/build", "", f"go {upstream.go}", ""]
    lines += [f"godebug {key}={value}" for key, value in upstream.godebug]
    lines += [f"require {module} {version}" for module in modules]
    lines += [f"replace {old} => {new}" for old, new in sorted(replaces.items())]
    return "\n".join(lines) + "\n"


def libraries(upstream: Upstream, version: str) -> dict[str, str]:
    """Replacements by which another module is built with the libraries of this one."""
    return {
        path: f"{path} {staging_version(version) if wanted == _UNSET else wanted}"
        for path, wanted in upstream.requires
    }


def later(one: str, other: str) -> str:
    """The later of two versions of the language: libraries may need it."""
    return max(one, other, key=lambda text: [int(part) for part in text.split(".")])


def staging_version(version: str) -> str:
    """The version of the staging modules of a Kubernetes release."""
    _, rest = version.removeprefix("v").split(".", 1)
    return f"v0.{rest}"


def _at(old: Mapping[str, str]) -> str:
    return f"{old['Path']} {old['Version']}" if old.get("Version") else old["Path"]
