"""The release sites of all projects as one server on this machine, with their paths and checksums.

What it serves was built or downloaded here before: it stands for sites that answer, and says nothing of
how fast anybody's way to them is.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from e2e.lab.programs.releases import RELEASES, Release


@dataclass(frozen=True, slots=True)
class Published:
    """A program of a source, as it lies on this machine."""

    source: str
    version: str
    name: str
    path: Path

    def fill(self, template: str, arch: str, file: str = "") -> str:
        """A path of the source's release, see `Release`."""
        bare = self.version.removeprefix("v")
        return template.format(
            version=self.version, bare=bare, arch=arch, program=self.name, file=file
        )

    @property
    def release(self) -> Release:
        return RELEASES[self.source]


def lay_out(folder: Path, arch: str, programs: Iterable[Published]) -> None:
    """Writes what the sites of these programs would serve, each site below its name."""
    files: dict[Path, list[Published]] = {}
    for program in programs:
        place = folder / program.release.site / program.fill(program.release.file, arch)
        files.setdefault(place, []).append(program)
    sums: dict[Path, list[str]] = {}
    for place, inside in files.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        _write(place, arch, inside)
        first = inside[0]
        file = str(place.relative_to(folder / first.release.site))
        listed = folder / first.release.site / first.fill(first.release.sums, arch, file)
        with place.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        sums.setdefault(listed, []).append(f"{digest}  {place.name}\n")
    for listed, lines in sums.items():
        listed.write_text("".join(lines), encoding="utf-8")


def _write(place: Path, arch: str, inside: Iterable[Published]) -> None:
    members = {p.fill(p.release.member, arch): p.path for p in inside}
    if "" in members:
        place.symlink_to(members[""])
        return
    with tarfile.open(place, "w:gz", compresslevel=1, dereference=True) as archive:
        for name, path in members.items():
            archive.add(path, arcname=name)


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Mapping[str, str]]:
    """Serves it on a free port; the environment in which the lab downloads from there."""
    app = web.Application()
    app.router.add_static("/", folder, follow_symlinks=True)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield {r.variable: f"http://127.0.0.1:{port}/{r.site}" for r in RELEASES.values()}
    finally:
        await runner.cleanup()
