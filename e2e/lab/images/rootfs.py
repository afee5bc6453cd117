"""Debian root file systems, made by mmdebstrap: the hosts, and the bases of container images.

Each is kept as a tar in the cache and imported into podman's storage under a tag that is the hash
of its recipe, so that a wiped storage costs seconds and a changed recipe makes a new image.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from e2e.lab.machine.cache import Cache
from e2e.lab.machine.commands import run, succeeds
from e2e.lab.programs.binaries import architecture
from e2e.lab.steps.durations import Durations
from e2e.lab.steps.forecast import Pending

SUITE = "bookworm"
"""The Debian release of all that does not name another."""
FILES = Path(__file__).parent / "files"
IMAGE_PREFIX = "localhost/kok-lab"
USUAL_SECONDS = 45.0
"""How long one of them takes on a quiet machine of two cores."""


@dataclass(frozen=True)
class RootFS:
    """A root file system: Debian's smallest variant plus ``packages``, plus ``files/<name>``.

    ``commands`` run in the machine's shell with the new root as ``$1``.
    """

    name: str
    packages: tuple[str, ...]
    commands: tuple[str, ...] = ()
    suite: str = SUITE
    files: str = ""
    """Whose files it has, if not those of its own name."""

    @property
    def overlay(self) -> Path | None:
        """Files laid over the packages' own, if there are any for this one."""
        found = FILES / (self.files or self.name)
        return found if found.is_dir() else None

    @property
    def digest(self) -> str:
        """Short hash of the recipe."""
        recipe = [self.suite, architecture(), *self.packages, *self.commands]
        return _digest(*recipe, *(_contents(self.overlay) if self.overlay else ()))

    @property
    def image(self) -> str:
        """The image's name in podman's storage."""
        return f"{IMAGE_PREFIX}/{self.name}:{self.digest}"


_MASKED = (
    # These would reach for devices and consoles of the machine, which a privileged host sees.
    "systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service systemd-modules-load.service getty@tty1.service",
    "console-getty.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer",
)

HOST = RootFS(
    "host",
    (
        *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "ca-certificates", "curl"),
        *("iproute2", "iptables", "nftables", "kmod", "conntrack", "ethtool", "socat", "ipset"),
        *("procps", "mount", "util-linux", "iputils-ping", "libseccomp2", "libpam-systemd"),
        # Debian's dockerd, which stands in for Docker's own, is linked with it.
        "libdevmapper1.02.1",
    ),
    (
        'chroot "$1" useradd --create-home --shell /bin/bash ops',
        'chmod 0440 "$1/etc/sudoers.d/ops"',
        'chmod 0755 "$1/usr/local/lib/lab/runc"',
        'rm -f "$1"/etc/ssh/ssh_host_*',
        f'chroot "$1" systemctl mask {" ".join(_MASKED)}',
        ': > "$1/etc/machine-id"',
    ),
)
SYSTEMS = {
    "debian-12": HOST,
    "debian-13": replace(HOST, name="host-debian-13", suite="trixie", files=HOST.name),
}
"""What worker hosts may run. Others than Debian's are not to be had from registries of packages."""
TOOLBOX = RootFS(
    "toolbox",
    (
        *("iptables", "nftables", "conntrack", "ipset", "kmod", "iproute2", "procps"),
        *("ca-certificates", "curl", "bind9-dnsutils", "iputils-ping", "busybox-static"),
    ),
)
# It carries runc for the hosts too: a program of the same Debian release as theirs.
SERVICES = RootFS("services", ("docker-registry", "nginx-light", "runc"))
# Docker's engine is taken out of it; nothing runs in it.
DOCKER = RootFS("docker", ("docker.io", "containerd", "runc", "tini"))
PYTHON = RootFS("python", ("python3", "python3-venv", "python3-pip", "ca-certificates"))


def static_image() -> str:
    """The name of the base of images that hold one program without libraries."""
    return f"{IMAGE_PREFIX}/static:{_digest(*_contents(FILES / 'static'))}"


async def ensure_static(cache: Cache) -> str:
    """Make sure that podman holds that base: an empty /tmp, and who is who. Its name."""
    async with cache.lock("import", "static"):
        if not await succeeds("podman", "image", "exists", static_image()):
            async with cache.workspace("import", "static") as work:
                tar = work / "static.tar"
                with tarfile.open(tar, "w") as archive:
                    for directory, mode in (("etc", 0o755), ("tmp", 0o1777)):
                        entry = tarfile.TarInfo(directory)
                        entry.type, entry.mode = tarfile.DIRTYPE, mode
                        archive.addfile(entry)
                    for file in sorted((FILES / "static" / "etc").iterdir()):
                        archive.add(file, f"etc/{file.name}", filter=_plain)
                await run("podman", "import", tar, static_image())
    return static_image()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry that belongs to root and has no time."""
    entry.uid = entry.gid = 0
    entry.mtime = 0
    entry.mode = 0o644
    return entry


def _contents(root: Path) -> list[str]:
    """Names and texts of all files below a folder."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return [text for file in files for text in (str(file.relative_to(FILES)), file.read_text())]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


async def ensure(cache: Cache, rootfs: RootFS) -> str:
    """Make sure that podman holds the root file system as an image; its name."""

    async def build(work: Path) -> None:
        begun = time.monotonic()
        await _debootstrap(rootfs, work / "rootfs.tar", cache.logs / f"rootfs-{rootfs.name}.log")
        Durations(cache).note(f"rootfs {rootfs.name}", time.monotonic() - begun)

    if await succeeds("podman", "image", "exists", rootfs.image):
        return rootfs.image
    tar = await cache.ensure(_key(rootfs), build) / "rootfs.tar"
    async with cache.lock("import", rootfs.name):
        if not await succeeds("podman", "image", "exists", rootfs.image):
            await run("podman", "import", "--change", "ENV container=podman", tar, rootfs.image)
    return rootfs.image


def pending(cache: Cache, *wanted: RootFS) -> list[Pending]:
    """Which of these have to be made first; by default those that every lab has."""
    last = Durations(cache).known()
    return [
        Pending(name := f"rootfs {each.name}", last.get(name, USUAL_SECONDS), name in last)
        for each in wanted or (SERVICES, HOST, TOOLBOX, PYTHON)
        if not cache.path(*_key(each)).exists()
    ]


def _key(rootfs: RootFS) -> tuple[str, ...]:
    """Where its tar lies in the cache."""
    return ("rootfs", rootfs.name, f"{rootfs.digest}-{architecture()}")


async def _debootstrap(rootfs: RootFS, tar: Path, log: Path) -> None:
    hooks = [f"--customize-hook={command}" for command in rootfs.commands]
    if rootfs.overlay:
        hooks.insert(0, f'--customize-hook=sync-in "{rootfs.overlay}" /')
    exclude = [
        f"--dpkgopt=path-exclude={path}/*"
        for path in ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info")
    ]
    # A site with a Debian mirror of its own names it as it would in sources.list.
    mirror = [own] if (own := os.environ.get("KOK_LAB_DEBIAN_MIRROR")) else []
    await run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--components=main"),
        f"--architectures={architecture()}",
        f"--include={','.join(rootfs.packages)}",
        *exclude,
        *hooks,
        *(rootfs.suite, str(tar), *mirror),
        # What a killed run leaves is swept with the rest of its workspace, and not left in /tmp.
        env={"TMPDIR": str(tar.parent)},
        log=log,
        timeout=1200,
    )


async def extract(cache: Cache, image: str, path: str, target: Path) -> None:
    """Copy one file out of an image of podman's storage."""
    name = _extracting(cache)
    async with cache.lock("extract"):
        await _remove(name)
        await run("podman", "create", "--name", name, image, "/none")
        try:
            await run("podman", "cp", f"{name}:{path}", target)
        finally:
            await _remove(name)


async def sweep(cache: Cache) -> None:
    """Remove the container of an `extract` that was killed, unless one is under way."""
    with cache.if_free("extract") as free:
        if free:
            await _remove(_extracting(cache))


def _extracting(cache: Cache) -> str:
    """The name of the one container from which a cache's `extract` copies."""
    return f"kok-lab-extract-{_digest(str(cache.root))}"


async def _remove(container: str) -> None:
    await run("podman", "rm", "--force", "--ignore", container)
