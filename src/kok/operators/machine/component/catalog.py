"""The software that KOK brings along: templates in `builtin/`, rendered as Component objects. Pure.

A Component is immutable and shared by the KubeNodes of a namespace, so what is rendered once stays
as it is when a later release of the operator would render it differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from kok.api import names
from kok.api.machine.component import Component
from kok.api.meta import Manifest

ARCHITECTURES = ("amd64", "arm64")
HOST_PREP_VERSION = "1"
"""Goes up when what `builtin/host-prep` does changes; it has no version of anybody else's."""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Architectures as the kernel names them."""
_PHASES = ("probe", "install", "upgrade", "uninstall", "health", "restart")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be fetched, for one architecture."""

    name: str
    arch: str
    path: str
    """Below an artifact base."""
    url: str
    """Upstream's own address."""
    sums: str
    """Where upstream publishes its SHA-256."""


@cache
def builtin() -> frozenset[str]:
    """Names of the software that comes with KOK."""
    root = files("kok.operators.machine.component") / "builtin"
    return frozenset(entry.name for entry in root.iterdir() if entry.is_dir())


def sources(name: str, version: str) -> list[Source]:
    """All files of a version that might be fetched, for every architecture."""
    return [
        Source(
            name=artifact["name"],
            arch=arch,
            **{key: _filled(artifact[key], version, arch) for key in ("path", "url", "sums")},
        )
        for artifact in _definition(name).get("artifacts", ())
        for arch in ARCHITECTURES
    ]


def manifest(name: str, version: str, sums: Mapping[str, str]) -> Manifest:
    """The Component object of one version, without metadata but its name and labels.

    `sums` holds the SHA-256 of each path that there is; architectures for which one is missing
    are left out.
    """
    definition, listed = _definition(name), sources(name, version)
    served = [
        arch for arch in ARCHITECTURES if all(s.path in sums for s in listed if s.arch == arch)
    ]
    spec: dict[str, Any] = {
        "name": name,
        "version": version,
        "platforms": [{"os": "linux", "arch": arch} for arch in served],
        "parameters": definition.get("parameters", {}),
        "artifacts": [
            {"name": s.name, "path": s.path, "url": s.url, "arch": s.arch, "sha256": sums[s.path]}
            for s in listed
            if s.arch in served
        ],
        "files": [_file(name, file) for file in definition.get("files", ())],
        "scripts": _scripts(name),
        "dependsOn": definition.get("dependsOn", []),
        "timeout": definition.get("timeout", "5m"),
    }
    kind = Component.info.kind
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": names.component(name, version),
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        },
        "spec": {key: value for key, value in spec.items() if value or key == "scripts"},
    }


def _file(name: str, file: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in file.items() if key != "source"}
    return {"mode": "0644", **kept, "content": _text(name, file["source"])}


def _scripts(name: str) -> dict[str, str]:
    folder = files("kok.operators.machine.component") / "builtin" / name
    return {
        phase: (folder / f"{phase}.sh").read_text(encoding="utf-8")
        for phase in _PHASES
        if (folder / f"{phase}.sh").is_file()
    }


@cache
def _definition(name: str) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = yaml.safe_load(_text(name, "component.yaml"))
    return parsed


@cache
def _text(name: str, file: str) -> str:
    path = files("kok.operators.machine.component") / "builtin" / name / file
    return path.read_text(encoding="utf-8")


def _filled(text: str, version: str, arch: str) -> str:
    known = {"version": version, "arch": arch, "machine": _MACHINES[arch]}
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def pinned(component: Mapping[str, Any], paths: Sequence[str]) -> dict[str, str]:
    """The sums by path that a Component object holds, of those paths."""
    artifacts = component.get("spec", {}).get("artifacts") or ()
    return {a["path"]: a["sha256"] for a in artifacts if a["path"] in paths}
