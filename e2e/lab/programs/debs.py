"""Programs taken out of Debian packages, which are not installed.

They come through apt as the machine is set up, which checks signatures, at the version of the
machine's own Debian: they run on the machine and not on the lab's hosts.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.errors import CommandError, LabError
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run
from e2e.lab.programs.binaries import architecture

VERSION = "debian"
"""What stands for the version of such a program."""


@dataclass(frozen=True)
class Packaged:
    """Where a program lies: a package, and the path in it."""

    package: str
    path: str


# Programs that need no more than the C library.
PROGRAMS = {"promtool": Packaged("prometheus", "usr/bin/promtool")}


async def ensure(cache: Cache, name: str, version: str | None = None) -> Path:
    """The path of one of `PROGRAMS`, fetched if it is missing.

    Raises LabError for another version than the machine's Debian has, CommandError if apt cannot
    provide it.
    """
    if version not in {None, VERSION}:
        raise LabError(f"{name} has the version of this machine's Debian: ask for {VERSION}")
    found = PROGRAMS[name]
    log = cache.logs / f"deb-{found.package}.log"

    async def build(work: Path) -> None:
        download = ("apt-get", "download", "-q", found.package)
        try:
            await run(*download, cwd=work, log=log, timeout=300)
        except CommandError:
            # A machine that was just made has no lists of packages.
            await run("apt-get", "update", "-q", log=log, timeout=600)
            await run(*download, cwd=work, log=log, timeout=300)
        deb = _only_package(work)
        await run("dpkg-deb", "--extract", deb, work / "root", log=log)
        (work / "root" / found.path).rename(work / name)
        shutil.rmtree(work / "root")
        deb.unlink()

    return await cache.ensure(("programs", name, VERSION, architecture()), build) / name


def _only_package(folder: Path) -> Path:
    (found,) = folder.glob("*.deb")
    return found
