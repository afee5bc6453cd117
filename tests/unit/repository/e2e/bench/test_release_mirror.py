"""The server that stands for the projects' release sites has their paths and checksums."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.bench.standalone.release_mirror import Published, lay_out, serving
from e2e.lab.programs.releases import Releases

PUBLISHED = (
    ("kubernetes", "v1.37.1", "kube-apiserver"),
    ("kubernetes", "v1.37.1", "kubelet"),
    ("kubernetes", "v1.37.1", "kube-proxy"),
    ("etcd", "v3.6.10", "etcd"),
    ("etcd", "v3.6.10", "etcdctl"),
    ("runc", "v1.1.5", "runc"),
    ("cni-plugins", "v1.9.1", "bridge"),
    ("flannel-cni-plugin", "v1.9.1", "flannel"),
    ("helm", "v4.3.1", "helm"),
)


@pytest.fixture
def programs(tmp_path: Path) -> list[Published]:
    """Programs of several projects, each with its own content."""
    made = []
    for source, version, name in PUBLISHED:
        path = tmp_path / "cache" / source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {version}")
        made.append(Published(source, version, name, path))
    return made


async def test_what_it_serves_is_downloaded_and_verified_as_from_the_sites(
    tmp_path: Path, programs: list[Published]
) -> None:
    lay_out(tmp_path / "sites", "amd64", programs)

    async with serving(tmp_path / "sites") as environment:
        releases = Releases("amd64", environment)
        await releases.decide({program.source: program.version for program in programs})
        for program in programs:
            work = tmp_path / f"work-{program.name}"
            work.mkdir()
            got = await releases.download(work, program.source, program.version, [program.name])
            assert releases.offers(program.source)
            assert got[program.name].path.read_text() == f"{program.name} {program.version}"
