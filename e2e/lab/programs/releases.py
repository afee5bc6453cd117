"""Programs as their projects publish them: downloaded from where they are released, and verified.

A site is asked once a run, by one HEAD request, whether it answers; where it does not within three
seconds, programs are built instead. A file is used only if its SHA-256 is the published one: any
other is an error and never a reason to go on without a check.

``KOK_RELEASES_<SITE>`` names another base URL of a site, such as a mirror with the same paths; set
to nothing, the site is not asked. flannel, local-path-provisioner and kube-network-policies publish
no checksums or no programs, and are always built.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
from yarl import URL

from e2e.lab.errors import LabError
from e2e.lab.programs.sources import BY_NAME

T = TypeVar("T")

_TRIES = 3
_SIDE_BY_SIDE = 4
_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_GITHUB = "https://github.com"


class NotAvailable(LabError):
    """A site does not have a file, or not to its end: what it is for has to be built."""


class WrongChecksum(LabError):
    """A file is not what its project published."""

    def __init__(self, file: str, found: str, sums: str, published: str) -> None:
        super().__init__(
            f"{file} has the SHA-256 {found}, and {sums} says {published}: it is not what was "
            "published, and nothing of it was kept. Try again; if it stays so, a cache or proxy on "
            "the way may be at fault, or somebody changes what is downloaded."
        )


@dataclass(frozen=True)
class Release:
    """Where a project publishes the programs of one source.

    ``file`` and ``sums`` (its checksums) are paths below ``base``, ``member`` is a program's place in
    an archive, or empty where the file is the program itself. They may use {version} (with its v),
    {bare} (without), {arch}, {program}, and ``sums`` {file}. ``mebibytes`` is about how much all
    programs of the source come to.
    """

    site: str
    base: str
    file: str
    sums: str
    member: str = ""
    mebibytes: int = 0

    @property
    def variable(self) -> str:
        """The environment variable with another base URL."""
        return f"KOK_RELEASES_{self.site.upper().replace('-', '_')}"


def _github(
    site: str, repository: str, file: str, sums: str, *, member: str = "", mebibytes: int
) -> Release:
    """A release whose files lie below its version on GitHub."""
    base = f"{_GITHUB}/{repository}/releases/download"
    return Release(site, base, f"{{version}}/{file}", sums, member, mebibytes)


_CNI = ("cni-plugins", "containernetworking/plugins", "cni-plugins-linux-{arch}-{version}.tgz")

RELEASES: Mapping[str, Release] = {
    "kubernetes": Release(
        "kubernetes",
        "https://dl.k8s.io",
        "release/{version}/bin/linux/{arch}/{program}",
        "{file}.sha256",
        mebibytes=400,
    ),
    "kubectl": Release(
        "kubernetes",
        "https://dl.k8s.io",
        "release/{version}/bin/linux/{arch}/{program}",
        "{file}.sha256",
        mebibytes=58,
    ),
    "etcd": _github(
        "etcd",
        "etcd-io/etcd",
        "etcd-{version}-linux-{arch}.tar.gz",
        "{version}/SHA256SUMS",
        member="etcd-{version}-linux-{arch}/{program}",
        mebibytes=23,
    ),
    # Without shared libraries, as those that are built here.
    "containerd": _github(
        "containerd",
        "containerd/containerd",
        "containerd-static-{bare}-linux-{arch}.tar.gz",
        "{file}.sha256sum",
        member="bin/{program}",
        mebibytes=34,
    ),
    "runc": _github(
        "runc", "opencontainers/runc", "runc.{arch}", "{version}/runc.sha256sum", mebibytes=10
    ),
    "cni-plugins": _github(*_CNI, "{file}.sha256", member="{program}", mebibytes=52),
    "flannel-cni-plugin": _github(*_CNI, "{file}.sha256", member="{program}", mebibytes=38),
    "coredns": _github(
        "coredns",
        "coredns/coredns",
        "coredns_{bare}_linux_{arch}.tgz",
        "{file}.sha256",
        member="{program}",
        mebibytes=20,
    ),
    "helm": Release(
        "helm",
        "https://get.helm.sh",
        "helm-{version}-linux-{arch}.tar.gz",
        "{file}.sha256sum",
        "linux-{arch}/{program}",
        18,
    ),
}
"""By name of a source, see `sources.SOURCES`, and runc, which is not built."""


@dataclass
class Transfer:
    """How much of some files has arrived, in bytes; ``total`` grows as sizes become known."""

    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        done, total = self.done / 2**20, self.total / 2**20
        return f"{done:.0f} of {total:.0f} MiB" if total else ""


@dataclass(frozen=True)
class Download:
    """A program that was downloaded and is what ``sums`` say of ``file``."""

    path: Path
    file: str
    sha256: str


@dataclass
class Releases:
    """What is known in one run of the sites, and downloads from those that answer.

    ``answer_seconds`` is how long all of them together may take to say that they are there.
    """

    arch: str
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    answer_seconds: float = 3.0
    transfers: dict[str, Transfer] = field(default_factory=dict)
    _answer: dict[str, bool] = field(default_factory=dict)

    async def decide(self, wanted: Mapping[str, str]) -> None:
        """Ask the sites of these sources whether they have this version, each once a run.

        ``wanted`` maps names of sources to versions; a source that nobody publishes is left out.
        """
        asked: dict[str, str] = {}
        for source, version in wanted.items():
            release = RELEASES.get(source)
            if release and release.site not in self._answer and release.site not in asked:
                if base := self._base(release):
                    sums = self._paths(source, version, _first_program(source))[1]
                    asked[release.site] = f"{base}/{sums}"
                else:
                    self._answer[release.site] = False
        if not asked:
            return
        limit = aiohttp.ClientTimeout(total=self.answer_seconds)
        async with _session(limit) as session:
            found = await asyncio.gather(*(_answers(session, url) for url in asked.values()))
        self._answer.update(zip(asked, found, strict=True))

    def offer(self, *sites: str) -> None:
        """Take it for known that these sites answer."""
        self._answer.update(dict.fromkeys(sites, True))

    def offers(self, source: str) -> bool:
        """Whether the site of a source was asked, and answered."""
        return source in RELEASES and self._answer.get(RELEASES[source].site, False)

    def told(self, source: str) -> str:
        """Where a source's programs come from, for people."""
        return self._base(RELEASES[source])

    async def download(
        self, work: Path, source: str, version: str, programs: Sequence[str], label: str = ""
    ) -> dict[str, Download]:
        """Programs of a source, downloaded below ``work``; by name. ``label`` names its transfer.

        Raises WrongChecksum for a file that is not what was published, and NotAvailable where the
        site lacks a file or its checksum, or breaks off again and again.
        """
        transfer = self.transfers[label or source] = Transfer()
        places: dict[str, list[str]] = {}
        for program in programs:
            places.setdefault(self._paths(source, version, program)[0], []).append(program)
        found: dict[str, Download] = {}
        slots = asyncio.Semaphore(_SIDE_BY_SIDE)
        limit = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
        async with _session(limit) as session:

            async def one(number: int, inside: Sequence[str]) -> None:
                async with slots:
                    folder = work / f"download-{number}"
                    folder.mkdir()
                    found.update(
                        await self._file(session, folder, (source, version), inside, transfer)
                    )

            work_on = (one(number, inside) for number, inside in enumerate(places.values()))
            ended = await asyncio.gather(*work_on, return_exceptions=True)
        # One that was tampered with is told, whatever else went wrong.
        errors = [each for each in ended if each is not None]
        for error in sorted(errors, key=lambda each: not isinstance(each, WrongChecksum)):
            raise error
        return found

    async def _file(
        self,
        session: aiohttp.ClientSession,
        folder: Path,
        of: tuple[str, str],
        programs: Sequence[str],
        transfer: Transfer,
    ) -> dict[str, Download]:
        """One file of a release with the programs that are in it."""
        source, version = of
        base = self._base(RELEASES[source])
        path, sums = self._paths(source, version, programs[0])
        name, url = path.rpartition("/")[2], f"{base}/{path}"
        published = checksum(await _text(session, f"{base}/{sums}"), name)
        if published is None:
            raise NotAvailable(f"{base}/{sums} has no SHA-256 for {name}")
        file = folder / name
        digest = await _fetch(session, url, file, transfer)
        if digest != published:
            raise WrongChecksum(url, digest, f"{base}/{sums}", published)
        member = RELEASES[source].member
        places = {each: self._fill(member, version, each) for each in programs}
        paths = await asyncio.to_thread(_unpack, file, places) if member else {programs[0]: file}
        return {each: Download(place, url, digest) for each, place in paths.items()}

    def _base(self, release: Release) -> str:
        return self.environment.get(release.variable, release.base).rstrip("/")

    def _paths(self, source: str, version: str, program: str = "") -> tuple[str, str]:
        """The paths of a file and of its checksums."""
        release = RELEASES[source]
        file = self._fill(release.file, version, program or source)
        return file, self._fill(release.sums, version, program or source, file=file)

    def _fill(self, template: str, version: str, program: str, file: str = "") -> str:
        bare = version.removeprefix("v")
        return template.format(
            version=version, bare=bare, arch=self.arch, program=program, file=file
        )


def _first_program(source: str) -> str:
    """One that the site must have, where each program has a checksum of its own."""
    known = BY_NAME.get(source)
    return next(iter(known.programs)) if known else source


def checksum(text: str, name: str) -> str | None:
    """The SHA-256 of a file by a list of checksums, or by a text that is nothing else; in lower
    case."""
    if _SHA256.fullmatch(alone := text.strip()):
        return alone.lower()
    for line in text.splitlines():
        digest, _, rest = line.strip().partition(" ")
        # Some lists name a file by a path, and `*` is what sha256sum puts before a binary one.
        if _SHA256.fullmatch(digest) and rest.strip().lstrip("*").rpartition("/")[2] == name:
            return digest.lower()
    return None


@contextlib.asynccontextmanager
async def _session(limit: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientSession]:
    # As they are, byte by byte: an archive is not to be unpacked on the way.
    plain = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(
        timeout=limit, headers=plain, trust_env=True, auto_decompress=False
    ) as session:
        yield session


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.head(url, allow_redirects=True) as answer:
            return answer.status == 200 and _as_safe(answer, url)
    except (aiohttp.ClientError, TimeoutError):
        return False


def _as_safe(answer: aiohttp.ClientResponse, url: str) -> bool:
    """Whether all hops were encrypted, if the first one was to be."""
    hops = [each.url for each in answer.history] + [answer.url]
    return URL(url).scheme != "https" or all(hop.scheme == "https" for hop in hops)


@contextlib.asynccontextmanager
async def _get(session: aiohttp.ClientSession, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with session.get(url) as answer:
        if not _as_safe(answer, url):
            raise NotAvailable(f"{url} leads to {answer.url}, which is not encrypted")
        if answer.status != 200:
            raise NotAvailable(f"{url} answers {answer.status}")
        yield answer


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    return (await _again(url, lambda: _read(session, url))).decode(errors="replace")


async def _read(session: aiohttp.ClientSession, url: str) -> bytes:
    async with _get(session, url) as answer:
        return await answer.read()


async def _fetch(session: aiohttp.ClientSession, url: str, target: Path, transfer: Transfer) -> str:
    """Write what a URL has into a file; its SHA-256."""

    async def once() -> str:
        digest, size, got = hashlib.sha256(), 0, 0
        try:
            async with _get(session, url) as answer:
                size = answer.content_length or 0
                transfer.total += size
                with target.open("wb") as out:
                    async for chunk in answer.content.iter_chunked(_CHUNK):
                        out.write(chunk)
                        digest.update(chunk)
                        got += len(chunk)
                        transfer.done += len(chunk)
        except BaseException:
            transfer.done -= got
            transfer.total -= size
            raise
        return digest.hexdigest()

    return await _again(url, once)


async def _again(url: str, once: Callable[[], Awaitable[T]]) -> T:
    last: Exception | None = None
    for _ in range(_TRIES):
        try:
            return await once()
        except (aiohttp.ClientError, TimeoutError) as error:
            last = error
    raise NotAvailable(f"{url}: {type(last).__name__}: {last}") from last


def _unpack(archive: Path, places: Mapping[str, str]) -> dict[str, Path]:
    """Take programs out of an archive; ``places`` maps their names to where they lie in it."""
    found: dict[str, Path] = {}
    wanted = {place: name for name, place in places.items()}
    with tarfile.open(archive) as members:
        for member in members:
            name = wanted.get(member.name.removeprefix("./"))
            content = members.extractfile(member) if name and member.isfile() else None
            if name and content:
                target = archive.parent / "programs" / name
                target.parent.mkdir(exist_ok=True)
                with content, target.open("wb") as out:
                    shutil.copyfileobj(content, out)
                found[name] = target
    archive.unlink()
    if left := sorted(set(places) - set(found)):
        raise NotAvailable(f"{archive.name} holds no {', '.join(left)}")
    return found
