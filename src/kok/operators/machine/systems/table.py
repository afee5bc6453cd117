"""What differs between operating systems, and what is needed of every one: `systems.yaml`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

_EVERYWHERE: Final = "every host"
UNKNOWN: Final = "linux"
"""The family of a system that none of the words of its os-release tells of."""


@dataclass(frozen=True, slots=True)
class Family:
    """Systems that install the same packages in the same way."""

    name: str
    install: str
    """The command, without the packages; empty if it is not known."""
    packages: Mapping[str, str]
    """The package that brings a program, by program, where it is called otherwise than usual."""
    modules: str
    """The package that brings the modules of the kernel; empty if it is not known."""

    def package(self, program: str) -> str:
        """What brings a program."""
        return self.packages.get(program, _data()["programs"][program]["package"])

    def bringing(self, packages: Collection[str]) -> str:
        """What to do so that these packages are there, as the rest of a sentence."""
        listed = sorted(packages)
        if not self.install:
            return f"install the packages {', '.join(listed)}"
        return f"`{self.install} {' '.join(listed)}` brings them"

    def modules_of(self, kernel: str) -> str:
        """What to do so that the kernel has its modules, as the rest of a sentence."""
        if not self.modules:
            return "install the kernel's modules or another kernel"
        package = self.modules.replace("{kernel}", kernel)
        return f"`{self.install} {package}` brings the kernel's modules, or install another kernel"


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the table of systems."""

    system: str
    family: str
    where: str


def family(words: str) -> Family:
    """By the words of ID and ID_LIKE of an os-release, the first that is known."""
    known = _data()["families"]
    for name in words.lower().split():
        if name in known:
            return _family(name)
    return Family(UNKNOWN, "", {}, "")


@cache
def _family(name: str) -> Family:
    told: dict[str, Any] = dict(_data()["families"][name])
    if (like := told.pop("like", None)) is not None:
        base = _family(like)
        told = {
            "install": base.install,
            "packages": base.packages,
            "modules": base.modules,
            **told,
        }
    return Family(name, told["install"], told.get("packages", {}), told["modules"])


def required(*, node: bool) -> frozenset[str]:
    """Programs without which a host is of no use; `node`: a kubelet is to run there."""
    programs: Mapping[str, Mapping[str, str]] = _data()["programs"]
    return frozenset(name for name, p in programs.items() if node or p["where"] == _EVERYWHERE)


def downloaders() -> Sequence[str]:
    """Programs of which one is needed; the first is what is advised."""
    found: Sequence[str] = _data()["downloaders"]
    return found


def modules() -> frozenset[str]:
    """Modules of the kernel that nodes need."""
    return frozenset(_data()["modules"])


def services() -> Sequence[str]:
    """Services that a host may have had before."""
    found: Sequence[str] = _data()["services"]
    return found


def looked_for() -> Mapping[str, str]:
    """Variables of `survey.sh`: what it looks for, and where."""
    data = _data()
    programs = (*data["programs"], *data["downloaders"], *data["others"])
    return {
        "KOK_PROGRAMS": " ".join(programs),
        "KOK_MODULES": " ".join(data["modules"]),
        "KOK_SERVICES": " ".join(data["services"]),
        "KOK_UNITS": " ".join(data["paths"]["units"]),
        "KOK_RESOLVER": data["paths"]["resolver"],
        "KOK_UPSTREAM": data["paths"]["upstream"],
    }


def shown() -> list[Shown]:
    """Which systems became nodes and bare hosts again, and where that was shown."""
    return [Shown(**one) for one in _data()["shown"]]


@cache
def _data() -> Mapping[str, Any]:
    path = files("kok.operators.machine.systems") / "systems.yaml"
    parsed: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return parsed
