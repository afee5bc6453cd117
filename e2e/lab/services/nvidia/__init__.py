"""What hosts with GPUs fetch, with the layout of NVIDIA's: a runfile without a driver in it, and the
container toolkit in Debian packages, whose programs are NVIDIA's own.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run
from e2e.lab.programs.binaries import Builder, architecture, program
from e2e.lab.services.artifacts import Artifacts

FILES = Path(__file__).parent
DRIVER = "595.91.07"
TOOLKIT = "nvidia-container-toolkit"
PLUGIN = "nvidia-device-plugin"
PROGRAMS = ("nvidia-ctk", "nvidia-container-runtime", "nvidia-cdi-hook")
UNITS = ("nvidia-cdi-refresh.service", "nvidia-cdi-refresh.path")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def driver_path(version: str, arch: str) -> str:
    """Where the runfile of a driver lies."""
    return f"nvidia-driver/{version}/NVIDIA-Linux-{MACHINES[arch]}-{version}.run"


def toolkit_path(version: str, arch: str) -> str:
    """Where the packages of the toolkit lie; ``version`` has its v."""
    return f"{TOOLKIT}/{version}/{TOOLKIT}_{version.removeprefix('v')}_deb_{arch}.tar.gz"


async def serve(cache: Cache, artifacts: Artifacts, builder: Builder) -> None:
    """Publish both; the programs of the toolkit are there already."""
    arch, version = architecture(), program(PROGRAMS[0]).version
    await artifacts.add_file(
        "nvidia-driver", DRIVER, driver_path(DRIVER, arch), await _runfile(cache)
    )
    deb = await _package(cache, builder, version)
    inside = f"release-{version}-stable/packages/ubuntu18.04/{arch}/{deb.name}"
    await artifacts.add_archive(TOOLKIT, version, toolkit_path(version, arch), {inside: deb})


async def _runfile(cache: Cache) -> Path:
    text = (FILES / "installer.sh").read_text().replace("@VERSION@", DRIVER)

    async def build(work: Path) -> None:
        (work / "installer.run").write_text(text)

    return await cache.ensure(("nvidia", "driver", _digest(text)), build) / "installer.run"


async def _package(cache: Cache, builder: Builder, version: str) -> Path:
    """The one package that CDI needs, as NVIDIA cuts it."""
    bare, arch = version.removeprefix("v"), architecture()
    name = f"{TOOLKIT}-base_{bare}-1_{arch}.deb"
    programs = [builder.path(program(each)) for each in PROGRAMS]
    units = [FILES / unit for unit in UNITS]

    async def build(work: Path) -> None:
        root = work / "root"
        _lay(root / "usr/bin", 0o755, *programs)
        _lay(root / "usr/lib/systemd/system", 0o644, *units)
        control = root / "DEBIAN" / "control"
        control.parent.mkdir()
        control.write_text(
            f"Package: {TOOLKIT}-base\nVersion: {bare}-1\nArchitecture: {arch}\n"
            "Maintainer: KOK's lab <lab@kok.invalid>\nDescription: NVIDIA's container toolkit\n"
        )
        # What an archive covers has one time, so that its sum changes only when that does.
        await run(
            *("dpkg-deb", "--build", "--root-owner-group", "-Zgzip", root, work / name),
            env={"SOURCE_DATE_EPOCH": "0"},
        )
        shutil.rmtree(root)

    made_of = _digest(*(str(path) for path in programs), *(unit.read_text() for unit in units))
    return await cache.ensure(("nvidia", "toolkit", version, made_of), build) / name


def _lay(folder: Path, mode: int, *files: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
        (folder / file.name).chmod(mode)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


__all__ = ["DRIVER", "PLUGIN", "PROGRAMS", "TOOLKIT", "driver_path", "serve", "toolkit_path"]
