"""Programs as their projects publish them, from a server with the same paths."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from e2e.lab.errors import LabError
from e2e.lab.machine.cache import Cache
from e2e.lab.plan import ensure_runc
from e2e.lab.programs.binaries import Builder, Program, architecture, program
from e2e.lab.programs.releases import RELEASES, NotAvailable, Releases, WrongChecksum, checksum
from e2e.lab.programs.sources import BY_NAME, RUNC
from e2e.lab.steps.durations import Durations

SITES = {release.site: release for release in RELEASES.values()}
ETCD = "etcd/v3.6.10/etcd-v3.6.10-linux-amd64.tar.gz"
SUMS = "etcd/v3.6.10/SHA256SUMS"


def archive(**members: bytes) -> bytes:
    """A gzipped tar with these files, `__` in names standing for a slash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        for name, content in members.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Site:
    """All sites in one server, each below its name; ``asked`` is what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def environment(self) -> dict[str, str]:
        return {release.variable: f"{self.url}/{name}/" for name, release in SITES.items()}

    def releases(self, **other: str) -> Releases:
        return Releases("amd64", {**self.environment, **other})

    def publish_etcd(self) -> None:
        folder = "etcd-v3.6.10-linux-amd64"
        self.files[ETCD] = archive(
            **{f"{folder}/README.md": b"text", f"{folder}/etcd": b"e" * 5000},
            **{f"{folder}/etcdctl": b"ctl", f"{folder}/etcdutl": b"utl"},
        )
        other = f"{'0' * 64}  etcd-v3.6.10-linux-arm64.tar.gz\n"
        self.files[SUMS] = f"{other}{digest(self.files[ETCD])}  {Path(ETCD).name}\n".encode()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.lstrip("/")
        self.asked.append(f"{request.method} {path}")
        if path.split("/")[0] in self.silent:
            await self.over.wait()
        if path not in self.files:
            raise web.HTTPNotFound
        content = self.files[path]
        if request.method == "GET" and self.cut.get(path, 0) > 0:
            self.cut[path] -= 1
            answer = web.StreamResponse(headers={"Content-Length": str(len(content))})
            await answer.prepare(request)
            await answer.write(content[: len(content) // 2])
            assert request.transport
            request.transport.close()
            return answer
        return web.Response(body=content)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = Site()
    server = web.Application()
    server.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(server, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    found.over.set()
    await runner.cleanup()


def kept(root: Path) -> list[Path]:
    """What is left of a download, or was made of it."""
    return [file for file in root.rglob("*etcd*") if file.suffix == ".gz" or file.name == "etcd"]


def builder(tmp_path: Path, releases: Releases) -> Builder:
    return Builder(Cache(tmp_path), Path("/no/go"), "go1.26.6", releases)


async def test_programs_are_taken_out_of_a_verified_archive(site: Site, tmp_path: Path) -> None:
    site.publish_etcd()
    made = builder(tmp_path, site.releases())
    items = [program(name) for name in ("etcd", "etcdctl", "etcdutl")]
    await made.decide(items)
    found = await made.ensure(items)
    assert found["etcd"].read_bytes() == b"e" * 5000
    assert found["etcdctl"].stat().st_mode & 0o777 == 0o755
    assert found["etcdutl"] == made.path(items[2])
    assert site.asked == [f"HEAD {SUMS}", f"GET {SUMS}", f"GET {ETCD}"]
    origin = found["etcd"].with_name("origin").read_text()
    assert origin == f"{site.url}/{ETCD}\nsha256 {digest(site.files[ETCD])}\n"
    assert Durations(made.cache).known().keys() == {"download etcd-v3.6.10"}
    assert made.progress(items) == "0 of 0 MiB"
    assert made.missing(items) == []


async def test_of_kubernetes_each_program_is_a_file_with_a_checksum(
    site: Site, tmp_path: Path
) -> None:
    names = list(BY_NAME["kubernetes"].programs)
    for name in names:
        path = f"kubernetes/release/v1.37.1/bin/linux/amd64/{name}"
        site.files[path] = name.encode()
        site.files[f"{path}.sha256"] = digest(name.encode()).encode()
    releases = site.releases()
    await releases.decide({"kubernetes": "v1.37.1"})
    assert releases.offers("kubernetes"), "there is none of all together that it could be asked for"
    found = await releases.download(tmp_path, "kubernetes", "v1.37.1", names)
    assert {name: each.path.read_bytes() for name, each in found.items()} == {
        name: name.encode() for name in names
    }


@pytest.mark.parametrize(
    ("source", "version", "file", "sums", "place"),
    [
        (
            "containerd",
            "v2.3.7",
            "v2.3.7/containerd-static-2.3.7-linux-amd64.tar.gz",
            "v2.3.7/containerd-static-2.3.7-linux-amd64.tar.gz.sha256sum",
            "bin/",
        ),
        (
            "cni-plugins",
            "v1.9.1",
            "v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz",
            "v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz.sha256",
            "./",
        ),
        (
            "flannel-cni-plugin",
            "v0.9.1",
            "v0.9.1/cni-plugins-linux-amd64-v0.9.1.tgz",
            "v0.9.1/cni-plugins-linux-amd64-v0.9.1.tgz.sha256",
            "./",
        ),
        (
            "coredns",
            "v1.14.7",
            "v1.14.7/coredns_1.14.7_linux_amd64.tgz",
            "v1.14.7/coredns_1.14.7_linux_amd64.tgz.sha256",
            "",
        ),
        (
            "helm",
            "v4.3.1",
            "helm-v4.3.1-linux-amd64.tar.gz",
            "helm-v4.3.1-linux-amd64.tar.gz.sha256sum",
            "linux-amd64/",
        ),
    ],
)
async def test_archives_have_their_projects_paths(
    site: Site, tmp_path: Path, source: str, version: str, file: str, sums: str, place: str
) -> None:
    programs = list(BY_NAME[source].programs)
    top = RELEASES[source].site
    content = archive(**{f"{place}{name}": name.encode() for name in programs})
    site.files[f"{top}/{file}"] = content
    site.files[f"{top}/{sums}"] = f"{digest(content)}  {Path(file).name}\n".encode()
    releases = site.releases()
    await releases.decide({source: version})
    assert releases.offers(source)
    found = await releases.download(tmp_path, source, version, programs)
    assert {name: each.path.read_text() for name, each in found.items()} == {
        name: name for name in programs
    }


async def test_runc_is_named_in_a_signed_list(site: Site, tmp_path: Path) -> None:
    site.files[f"runc/{RUNC}/runc.amd64"] = b"runc"
    site.files[f"runc/{RUNC}/runc.sha256sum"] = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
        f"{'1' * 64} *runc.amd64.asc\n{digest(b'runc')} *runc.amd64\n"
        "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"
    ).encode()
    found = await ensure_runc(Cache(tmp_path), site.releases())
    assert found.read_bytes() == b"runc"
    assert found.stat().st_mode & 0o777 == 0o755
    assert [each.name for each in found.parent.iterdir()] == ["runc"]


async def test_a_wrong_checksum_names_file_and_both_sums_and_nothing_is_built_instead(
    site: Site, tmp_path: Path
) -> None:
    site.publish_etcd()
    published = digest(site.files[ETCD])
    site.files[ETCD] = changed = archive(**{"etcd-v3.6.10-linux-amd64/etcd": b"another"})
    made = builder(tmp_path, site.releases())
    item = program("etcd")
    await made.decide([item])
    with pytest.raises(WrongChecksum) as told:
        await made.ensure([item])
    for part in (f"{site.url}/{ETCD}", digest(changed), published, f"{site.url}/{SUMS}"):
        assert part in str(told.value)
    assert made.missing([item]) == [item]
    assert not kept(tmp_path), "nothing of it was kept"


async def test_of_several_files_a_wrong_one_is_told_before_a_missing_one(
    site: Site, tmp_path: Path
) -> None:
    path = "kubernetes/release/v1.37.1/bin/linux/amd64"
    site.files[f"{path}/kubelet"] = b"changed"
    site.files[f"{path}/kubelet.sha256"] = digest(b"kubelet").encode()
    with pytest.raises(WrongChecksum):
        await site.releases().download(tmp_path, "kubernetes", "v1.37.1", ["kubeadm", "kubelet"])


async def test_what_has_no_checksum_is_not_taken(site: Site, tmp_path: Path) -> None:
    site.publish_etcd()
    site.files[SUMS] = f"{'0' * 64}  another.tar.gz\n".encode()
    with pytest.raises(NotAvailable, match=r"has no SHA-256 for etcd-v3\.6\.10"):
        await site.releases().download(tmp_path, "etcd", "v3.6.10", ["etcd"])
    assert f"GET {ETCD}" not in site.asked


async def test_what_a_site_does_not_have_is_built_and_that_is_said(
    site: Site, tmp_path: Path
) -> None:
    site.publish_etcd()
    made = builder(tmp_path, site.releases())
    await made.decide([program("etcd")])
    older = [Program("etcd", "v3.5.21")]
    assert made.downloaded(older)
    with pytest.raises((LabError, OSError)):  # the Go command of this test does not exist
        await made.ensure(older)
    said = made.progress(older)
    assert said == f"{site.url}/etcd/v3.5.21/SHA256SUMS answers 404; built instead"
    assert said in (made.cache.logs / "build-etcd-v3.5.21.log").read_text()


async def test_a_download_that_breaks_off_is_begun_again(site: Site, tmp_path: Path) -> None:
    site.publish_etcd()
    site.cut[ETCD] = 2
    releases = site.releases()
    found = await releases.download(tmp_path, "etcd", "v3.6.10", ["etcd"])
    assert found["etcd"].path.stat().st_size == 5000
    size = len(site.files[ETCD])
    transfer = releases.transfers["etcd"]
    assert (transfer.done, transfer.total) == (size, size)


async def test_one_that_always_breaks_off_is_given_up(site: Site, tmp_path: Path) -> None:
    site.publish_etcd()
    site.cut[ETCD] = 99
    with pytest.raises(NotAvailable, match="etcd-v3"):
        await site.releases().download(tmp_path, "etcd", "v3.6.10", ["etcd"])


async def test_sites_are_asked_once_a_run_and_side_by_side(site: Site) -> None:
    site.publish_etcd()
    site.silent = {"kubernetes", "helm", "coredns"}
    wanted = {name: source.version for name, source in BY_NAME.items()}
    releases = replace(site.releases(), answer_seconds=0.5)
    begin = time.monotonic()
    await releases.decide(wanted)
    assert time.monotonic() - begin < 5 * 0.5, "one after another they would take longer"
    await releases.decide(wanted)
    assert len(site.asked) == len(SITES) - 1, "all but runc's, which is not built"
    assert {source for source in wanted if releases.offers(source)} == {"etcd"}


async def test_a_site_that_is_set_to_nothing_is_not_asked(site: Site) -> None:
    site.publish_etcd()
    releases = site.releases(KOK_RELEASES_ETCD="")
    await releases.decide({"etcd": "v3.6.10"})
    assert site.asked == []
    assert not releases.offers("etcd")


async def test_where_nothing_is_missing_nobody_is_asked(site: Site, tmp_path: Path) -> None:
    made = builder(tmp_path, site.releases())
    item = program("etcd")
    made.path(item).parent.mkdir(parents=True)
    made.path(item).touch()
    await made.decide([item, program("kubectl"), Program("etcd", "v3.6.10", clock=1800)])
    assert site.asked == []


async def test_a_program_with_a_wrong_clock_is_always_built(site: Site, tmp_path: Path) -> None:
    made = builder(tmp_path, site.releases())
    made.releases.offer("etcd")
    assert made.downloaded([program("etcd")])
    assert not made.downloaded([Program("etcd", "v3.6.10", clock=1800)])


def test_every_release_is_of_a_source_and_can_be_had_from_elsewhere() -> None:
    assert set(RELEASES) <= {*BY_NAME, "runc"}
    assert {release.variable for release in RELEASES.values()} == {
        f"KOK_RELEASES_{name}"
        for name in ("KUBERNETES", "ETCD", "CONTAINERD", "RUNC", "CNI_PLUGINS", "COREDNS", "HELM")
    }
    assert all(release.base.startswith("https://") for release in RELEASES.values())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A" * 64 + "\n", "a" * 64),
        ("a" * 64 + "  file.tgz\n" + "b" * 64 + "  other.tgz", "a" * 64),
        ("b" * 64 + " *dist/file.tgz", "b" * 64),
        ("a" * 64 + "  another-file.tgz", None),
        ("a" * 63 + "  file.tgz", None),
        ("<html>not found</html>", None),
    ],
)
def test_a_checksum_is_found_by_the_name_of_its_file(text: str, found: str | None) -> None:
    assert checksum(text, "file.tgz") == found


def test_the_machines_architecture_is_known_by_its_usual_name() -> None:
    assert architecture() in {"amd64", "arm64"}
