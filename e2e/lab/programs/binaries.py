"""Programs, each kept in the cache by version, architecture and toolchain.

They are downloaded where their projects' sites answer (see `releases`), or taken out of a wheel, and
built from Go modules elsewhere. Modules come through the Go command as the environment configures it (GOPROXY, GOFLAGS...), which
verifies them against the checksum database. The module and build caches are the lab's own, shared
by all builds, and removed by `forget_sources` once everything wanted is there: they take more room
than all programs together.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from e2e.lab.errors import LabError
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run
from e2e.lab.programs import clock_skew, gomod, wheels
from e2e.lab.programs.releases import RELEASES, Download, NotAvailable, Releases
from e2e.lab.programs.sources import BY_NAME, BY_PROGRAM, SUBSTITUTES, Source
from e2e.lab.steps.durations import Durations
from e2e.lab.steps.forecast import Pending

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

    ``clock`` is by how many seconds its wall clock is ahead, see `clock_skew`; of all but a few it is right.
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


# How fast a network is by which nothing was downloaded yet.
_MEBIBYTES_PER_SECOND = 6.0


class Builder:
    """Makes programs on demand. Who calls it decides what is made side by side."""

    def __init__(
        self, cache: Cache, go: Path, toolchain: str, releases: Releases | None = None
    ) -> None:
        """``go`` is the Go command, ``toolchain`` its version such as ``go1.26.6``.

        Of ``releases`` nothing is downloaded before `decide` was called.
        """
        self.cache = cache
        self.go = go
        self.toolchain = toolchain
        self.releases = releases or Releases(architecture())
        self._notes: dict[str, str] = {}

    def path(self, item: Program) -> Path:
        """Where the program lies once it is built."""
        return self.cache.path(*self._key(item)) / item.name

    def missing(self, items: Iterable[Program]) -> list[Program]:
        return [item for item in items if not self.path(item).exists()]

    async def decide(self, items: Iterable[Program]) -> None:
        """Find out which of these come from their projects' sites, if any of them is missing."""
        wanted = [each for each in self.missing(items) if not each.clock and not in_wheel(each)]
        await self.releases.decide({each.source.name: each.version for each in wanted})

    def downloaded(self, items: Sequence[Program]) -> bool:
        """Whether programs of one module, version and clock come from their project's site."""
        item = items[0]
        return not item.clock and not in_wheel(item) and self.releases.offers(item.source.name)

    def expected(self, items: Sequence[Program]) -> float:
        """Seconds that making what is missing of one module will take: as long as last time, or
        as on a quiet machine of two cores.
        """
        return self._pending(items).seconds if self.missing(items) else 0.0

    def pending(self, items: Iterable[Program]) -> list[Pending]:
        """What of these has to be made first, module by module."""
        groups: dict[str, list[Program]] = {}
        for item in dict.fromkeys(self.missing(items)):
            groups.setdefault(group_of([item]), []).append(item)
        return [self._pending(group) for group in groups.values()]

    def _pending(self, items: Sequence[Program]) -> Pending:
        name, source = group_of(items), items[0].source
        last = Durations(self.cache).known().get(self._noted_as(items))
        if self.downloaded(items):
            size = RELEASES[source.name].mebibytes
            usual = size / _MEBIBYTES_PER_SECOND
            return Pending(name, last or usual, bool(last), size, self.releases.told(source.name))
        usual = 0.0 if in_wheel(items[0]) else source.seconds
        return Pending(name, last or usual, bool(last))

    def _noted_as(self, items: Sequence[Program]) -> str:
        """Under which name it is remembered how long this takes."""
        return f"{'download ' if self.downloaded(items) else ''}{group_of(items)}"

    def progress(self, items: Sequence[Program]) -> str:
        """How far a download is, and why something is built that was to be downloaded."""
        group = group_of(items)
        return self._notes.get(group) or str(self.releases.transfers.get(group, ""))

    async def ensure(self, items: Sequence[Program]) -> dict[str, Path]:
        """Paths by name of programs of one module, version and clock; builds what is missing."""
        if wanted := self.missing(items):
            group = group_of(wanted)
            async with self.cache.lock("sources", shared=True), self.cache.lock("go", group):
                if wanted := self.missing(items):
                    async with self.cache.workspace("go", group) as work:
                        await self._make(work, self.cache.logs / f"build-{group}.log", wanted)
        return {item.name: self.path(item) for item in items}

    async def fetch(self, items: Sequence[Program]) -> None:
        """Only fetch the modules of what is missing: it can overlap with compiling others."""
        wanted = [item for item in self.missing(items) if not in_wheel(item)]
        if wanted and not self.downloaded(wanted):
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
                    f"-tags={wanted[0].source.tags}",
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
        begun, downloads = time.monotonic(), await self._download(work, items)
        noted = self._noted_as(items) if downloads else group_of(items)
        if downloads:
            found = {name: each.path for name, each in downloads.items()}
        elif in_wheel(items[0]):
            names = [item.name for item in items]
            found = await wheels.programs(
                self.cache, work, items[0].source.wheel, items[0].version, names
            )
        else:
            begun = time.monotonic()
            await self._write_module(work, items)
            found = await self._compile(work, log, items)
        for item in items:
            target = work / "done" / item.name / item.name
            target.parent.mkdir(parents=True)
            found[item.name].rename(target)
            target.chmod(0o755)
            if item.name in downloads:
                _write_origin(target.parent, downloads[item.name])
            final = self.cache.path(*self._key(item))
            final.parent.mkdir(parents=True, exist_ok=True)
            target.parent.rename(final)
        Durations(self.cache).note(noted, time.monotonic() - begun)

    async def _download(self, work: Path, items: Sequence[Program]) -> Mapping[str, Download]:
        """Programs from their project's site; none where they have to be built."""
        if not self.downloaded(items):
            return {}
        group, item = group_of(items), items[0]
        names = [each.name for each in items]
        try:
            return await self.releases.download(work, item.source.name, item.version, names, group)
        except NotAvailable as error:
            self._notes[group] = f"{error}; built instead"
            log = self.cache.logs / f"build-{group}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a") as file:
                file.write(f"{self._notes[group]}\n")
            return {}

    async def _write_module(self, work: Path, items: Sequence[Program]) -> None:
        source, version = items[0].source, items[0].version
        upstream, overrides = await self._upstream(work, source, version), source.replaces
        if source.libraries:
            shared = BY_NAME[source.libraries]
            others = await self._upstream(work, shared, shared.version)
            overrides = {**gomod.libraries(others, shared.version), **overrides}
            upstream = replace(upstream, go=gomod.later(upstream.go, others.go))
        if source.laid:
            overrides = {**overrides, **await self._altered(work, source, version, upstream)}
        modules = source.modules(item.name for item in items)
        text = gomod.render(upstream, modules, version, overrides)
        (work / "go.mod").write_text(text)
        for name, content in source.files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(content)

    async def _altered(
        self, work: Path, source: Source, version: str, upstream: gomod.Upstream
    ) -> dict[str, str]:
        """Copies of modules with other texts of some files, and the replacements by these."""
        versions = {**dict(upstream.requires), source.module: version}
        places: dict[str, str] = {}
        for file, text in source.laid.items():
            module, _, path = file.partition("//")
            if module not in places:
                wanted = f"{module}@{versions[module]}"
                found = await run(
                    *(self.go, "mod", "download", "-json", wanted),
                    env=self._environment(source),
                    cwd=work,
                )
                places[module] = f"./modules/{len(places)}"
                copy_module(Path(json.loads(found)["Dir"]), work / places[module])
            (work / places[module] / path).write_text(text)
        return places

    async def _upstream(self, work: Path, source: Source, version: str) -> gomod.Upstream:
        """What the go.mod of a source says; of the module itself nothing is fetched."""
        found = await run(
            *(self.go, "list", "-m", "-json", f"{source.module}@{version}"),
            env=self._environment(source),
            cwd=work,
        )
        edited = await run(self.go, "mod", "edit", "-json", json.loads(found)["GoMod"])
        return gomod.parse(edited)

    async def _compile(self, work: Path, log: Path, items: Sequence[Program]) -> dict[str, Path]:
        """Builds programs of one module; where they lie, by name."""
        source, version = items[0].source, items[0].version
        flags = f"-s -w {source.at(version)}"
        if source.static_cgo:
            flags += f" -linkmode external -extldflags '{source.extldflags}'"
        # What debuggers want is a tenth of a compiler's work, and the linker drops it (-w).
        build = ["build", "-mod=mod", "-trimpath", "-gcflags=all=-dwarf=false", f"-ldflags={flags}"]
        build += [f"-tags={source.tags}"]
        if items[0].clock:
            root = await run(self.go, "env", "GOROOT", cwd=work, env=self._environment(source))
            build.append(f"-overlay={clock_skew.overlay(Path(root.strip()), work, items[0].clock)}")
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


def copy_module(module: Path, target: Path) -> None:
    """The files of a module that may be changed, whereas those of Go's cache may not."""
    shutil.copytree(module, target, copy_function=shutil.copyfile)
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)


def _write_origin(folder: Path, download: Download) -> None:
    """Beside a program: where it was downloaded, for people who want to know."""
    (folder / "origin").write_text(f"{download.file}\nsha256 {download.sha256}\n")


def in_wheel(item: Program) -> bool:
    """Whether a program is not built but taken out of a wheel."""
    return bool(item.source.wheel) and wheels.holds(item.source.wheel, item.version)


def group_of(items: Sequence[Program]) -> str:
    """What a set of programs of one module, version and clock is called in logs and locks."""
    return f"{items[0].source.name}-{items[0].version}{_clock(items[0])}"


def _clock(item: Program) -> str:
    """What tells a program with a wrong clock from the usual one, in names: ``-clock+1800``."""
    return f"-clock{item.clock:+d}" if item.clock else ""
