"""The software that KOK brings along: templates in `builtin/`, rendered as Component objects. Pure.

A Component is immutable and shared by the KubeNodes of a namespace, so what is rendered once stays
as it is when a later release of the operator would render it differently.

A folder is all that the operator knows of a piece of software:

    component.yaml     what of it stands in the Component object, and besides
        when           template: whether a KubeNode is to have it; always if absent
        version        its version where `versions/data.yaml` names none
        pinned         template: the version that a KubeNode's spec asks for; empty if it asks for none
        runtime        {name, endpoint}: that it is what the kubelet talks to, and what Nodes call it
        exclusive      of those with the same word here a host has one at a time
    <phase>.sh         its scripts
    params.json        template: its parameters, derived from KubeNode and Cluster
    check.txt          template: what is wrong with what was asked for, as a sentence, or nothing
    other files        as `files` of component.yaml name them; `from` and `before` say for which versions

What the templates see is said in `derived.py`. `{version}`, `{arch}` (as Go names it) and `{machine}`
(as the kernel does) stand in addresses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from kok.api import names
from kok.api.machine.component import Component
from kok.api.meta import Manifest

ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
"""As Go names them, and as the kernel does."""
_NUMBERS = re.compile(r"[0-9]{1,9}([.][0-9]{1,9}){0,3}")
_AS_IT_IS = ("change", "changeVersion", "services", "remains")
_OURS = frozenset({"source", "from", "before"})
_PHASES = ("probe", "install", "upgrade", "uninstall", "health", "restart")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a kubelet talks to."""

    name: str
    """As Nodes report it before `://`."""
    endpoint: str


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
    """Where upstream publishes its SHA-256; empty if it does not."""


@cache
def builtin() -> frozenset[str]:
    """Names of the software that comes with KOK."""
    root = files("kok.operators.machine.component") / "builtin"
    return frozenset(entry.name for entry in root.iterdir() if entry.is_dir())


def definition(name: str) -> Mapping[str, Any]:
    """What `component.yaml` says; {} of software that did not come with KOK."""
    return _definition(name) if name in builtin() else {}


def text(name: str, file: str) -> str:
    """A file of the folder; empty if there is none of that name."""
    path = _folder(name) / file
    return _text(name, file) if name in builtin() and path.is_file() else ""


@cache
def runtimes() -> tuple[Runtime, ...]:
    """All that a kubelet may talk to."""
    known = (_definition(name).get("runtime") for name in sorted(builtin()))
    return tuple(Runtime(**found) for found in known if found)


def exclusive(name: str) -> str:
    """Of which kind a host has one at a time; empty if there may be any number."""
    return str(definition(name).get("exclusive", ""))


def services(name: str) -> tuple[str, ...]:
    """systemd services of the software, also where its object was made before it named them."""
    return tuple(definition(name).get("services", ()))


def sources(name: str, version: str) -> list[Source]:
    """All files of a version that might be fetched, for every architecture."""
    return [
        Source(
            name=artifact["name"],
            arch=arch,
            **{
                key: _filled(artifact.get(key, ""), version, arch)
                for key in ("path", "url", "sums")
            },
        )
        for artifact in _definition(name).get("artifacts", ())
        for arch in ARCHITECTURES
    ]


def manifest(name: str, version: str, sums: Mapping[str, str]) -> Manifest:
    """The Component object of one version, without metadata but its name and labels.

    `sums` holds the SHA-256 of each path that there is; architectures for which one is missing
    are left out.
    """
    known, listed = _definition(name), sources(name, version)
    served = [
        arch for arch in ARCHITECTURES if all(s.path in sums for s in listed if s.arch == arch)
    ]
    spec: dict[str, Any] = {
        "name": name,
        "version": version,
        "platforms": [{"os": "linux", "arch": arch} for arch in served],
        "parameters": known.get("parameters", {}),
        "artifacts": [
            {"name": s.name, "path": s.path, "url": s.url, "arch": s.arch, "sha256": sums[s.path]}
            for s in listed
            if s.arch in served
        ],
        "files": [_file(name, file) for file in known.get("files", ()) if _within(file, version)],
        "scripts": _scripts(name),
        "dependsOn": known.get("dependsOn", []),
        "timeout": known.get("timeout", "5m"),
        **{key: known[key] for key in _AS_IT_IS if key in known},
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
    kept = {key: value for key, value in file.items() if key not in _OURS}
    return {"mode": "0644", **kept, "content": _text(name, file["source"])}


def _within(file: Mapping[str, Any], version: str) -> bool:
    """Whether a file is for that version."""
    number = numbers(version)
    return numbers(file.get("from", "")) <= number and (
        "before" not in file or number < numbers(file["before"])
    )


def numbers(version: str) -> tuple[int, ...]:
    """What a version begins with, for comparisons; () if that is no number."""
    found = _NUMBERS.match(version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _folder(name: str) -> Traversable:
    return files("kok.operators.machine.component") / "builtin" / name


def _scripts(name: str) -> dict[str, str]:
    folder = _folder(name)
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
    return (_folder(name) / file).read_text(encoding="utf-8")


def _filled(text: str, version: str, arch: str) -> str:
    known = {"version": version, "arch": arch, "machine": ARCHITECTURES[arch]}
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def pinned(component: Mapping[str, Any], paths: Sequence[str]) -> dict[str, str]:
    """The sums by path that a Component object holds, of those paths."""
    artifacts = component.get("spec", {}).get("artifacts") or ()
    return {a["path"]: a["sha256"] for a in artifacts if a["path"] in paths}
