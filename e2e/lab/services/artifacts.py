"""The files that hosts fetch: upstream's paths below one base URL, and an index with checksums.

Archives are made reproducibly (sorted, one owner, one time), so that a SHA-256 changes only when
what it covers does.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from e2e.lab.machine.cache import Cache
from e2e.lab.programs.binaries import ARCHITECTURES, architecture

INDEX = "artifacts.json"
KUBERNETES_PROGRAMS = ("kubelet", "kubectl", "kubeadm")
MACHINES = {arch: machine for machine, arch in ARCHITECTURES.items() if arch != machine}
"""What the kernel calls an architecture, and Docker with it."""


class Artifact(BaseModel):
    """One file of the artifact server. ``path`` is relative to its base URL."""

    name: str
    version: str
    os: str = "linux"
    arch: str
    path: str
    sha256: str
    size: int


_INDEX = TypeAdapter(list[Artifact])


def kubernetes_path(program: str, version: str, arch: str) -> str:
    return f"kubernetes/{version}/bin/linux/{arch}/{program}"


def archive_path(name: str, version: str, arch: str) -> str:
    """Where upstream keeps the archive of a component; ``version`` has its v."""
    bare = version.removeprefix("v")
    return {
        "containerd": f"containerd/{version}/containerd-{bare}-linux-{arch}.tar.gz",
        "cni-plugins": f"cni-plugins/{version}/cni-plugins-linux-{arch}-{version}.tgz",
        "etcd": f"etcd/{version}/etcd-{version}-linux-{arch}.tar.gz",
        "runc": f"runc/{version}/runc.{arch}",
        "docker": f"docker/linux/static/stable/{MACHINES[arch]}/docker-{bare}.tgz",
        "cri-dockerd": f"cri-dockerd/{version}/cri-dockerd-{bare}.{arch}.tgz",
        "node-problem-detector": (
            f"node-problem-detector/{version}/node-problem-detector-{version}-linux_{arch}.tar.gz"
        ),
    }[name]


class Artifacts:
    """The directory that the artifact server serves."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.root = cache.path("artifacts")
        self.arch = architecture()

    def index(self) -> list[Artifact]:
        """Everything that is there, sorted by name, version and path."""
        file = self.root / INDEX
        return _INDEX.validate_json(file.read_bytes()) if file.exists() else []

    async def add_file(self, name: str, version: str, path: str, source: Path) -> None:
        """Serve one file as it is."""
        await self._add(name, version, path, {path.rsplit("/", 1)[-1]: source}, archive=False)

    async def add_archive(
        self, name: str, version: str, path: str, members: Mapping[str, Path]
    ) -> None:
        """Serve an archive of ``members`` (name inside, file)."""
        await self._add(name, version, path, members, archive=True)

    async def _add(
        self, name: str, version: str, path: str, members: Mapping[str, Path], *, archive: bool
    ) -> None:
        """Publish one artifact, unless it was made of the same files before."""
        made_of = " ".join(f"{inside}={source}" for inside, source in sorted(members.items()))
        note = self.root / ".made-of" / path.replace("/", "_")
        if note.exists() and note.read_text() == made_of and (self.root / path).exists():
            return
        async with self.cache.lock("artifacts"), self.cache.workspace("artifacts") as work:
            draft = work / "draft"
            await asyncio.to_thread(_make, draft, members, archive)
            digest = await asyncio.to_thread(_sha256, draft)
            artifact = Artifact(
                name=name,
                version=version,
                arch=self.arch,
                path=path,
                sha256=digest,
                size=draft.stat().st_size,
            )
            self._publish(draft, path)
            self._text(f"{path}.sha256", digest)
            others = [known for known in self.index() if known.path != path]
            entries = sorted([*others, artifact], key=lambda a: (a.name, a.version, a.path))
            self._text(INDEX, _INDEX.dump_json(entries, indent=2).decode())
            self._text(f".made-of/{note.name}", made_of)

    def _publish(self, draft: Path, path: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.rename(target)

    def _text(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.new")
        draft.write_text(text)
        draft.rename(target)


def _make(target: Path, members: Mapping[str, Path], archive: bool) -> None:
    if archive:
        write_archive(target, members)
    else:
        (source,) = members.values()
        _link(source, target)
    target.chmod(0o755)


def _link(source: Path, target: Path) -> None:
    """The same file under another name, or a copy where the file system wants one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(target: Path, members: Mapping[str, Path]) -> None:
    """Write a gzipped tar whose bytes depend on nothing but names and contents."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=4, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, source in sorted(members.items()):
            entry = tarfile.TarInfo(name)
            entry.size = source.stat().st_size
            entry.mode = 0o755
            with source.open("rb") as content:
                archive.addfile(entry, content)
