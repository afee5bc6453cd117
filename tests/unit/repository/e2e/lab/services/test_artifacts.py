"""The artifact server's files and their index."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path

from e2e.lab.machine.cache import Cache
from e2e.lab.services.artifacts import Artifacts, archive_path, kubernetes_path, write_archive


def _program(path: Path, text: str = "program") -> Path:
    path.write_text(text)
    return path


async def test_a_file_is_served_with_its_checksum_and_listed(tmp_path: Path) -> None:
    artifacts = Artifacts(Cache(tmp_path / "cache"))
    path = kubernetes_path("kubelet", "v1.37.1", "amd64")
    await artifacts.add_file("kubelet", "v1.37.1", path, _program(tmp_path / "kubelet"))
    digest = hashlib.sha256(b"program").hexdigest()
    assert path == "kubernetes/v1.37.1/bin/linux/amd64/kubelet"
    assert (artifacts.root / path).read_text() == "program"
    assert (artifacts.root / f"{path}.sha256").read_text() == digest
    (entry,) = artifacts.index()
    assert (entry.name, entry.version, entry.os, entry.path) == (
        "kubelet",
        "v1.37.1",
        "linux",
        path,
    )
    assert (entry.sha256, entry.size) == (digest, len("program"))


async def test_the_index_lists_each_path_once_in_order(tmp_path: Path) -> None:
    artifacts = Artifacts(Cache(tmp_path / "cache"))
    for version, source in (("v2", "b"), ("v1", "a"), ("v2", "c")):
        program = _program(tmp_path / source, source)
        await artifacts.add_file("tool", version, f"tool/{version}/tool", program)
    assert [(entry.version, entry.size) for entry in artifacts.index()] == [("v1", 1), ("v2", 1)]
    assert (artifacts.root / "tool/v2/tool").read_text() == "c"


async def test_what_is_made_of_the_same_files_is_left_alone(tmp_path: Path) -> None:
    artifacts = Artifacts(Cache(tmp_path / "cache"))
    members = {"bin/a": _program(tmp_path / "a")}
    await artifacts.add_archive("tool", "v1", "tool.tgz", members)
    before = (artifacts.root / "tool.tgz").stat().st_ino
    await artifacts.add_archive("tool", "v1", "tool.tgz", members)
    assert (artifacts.root / "tool.tgz").stat().st_ino == before


def test_an_archive_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    one, two = _program(tmp_path / "one", "1"), _program(tmp_path / "two", "2")
    write_archive(tmp_path / "first.tgz", {"b": two, "a": one})
    os.utime(one, (1, 1))
    one.chmod(0o600)
    write_archive(tmp_path / "second.tgz", {"a": one, "b": two})
    assert (tmp_path / "first.tgz").read_bytes() == (tmp_path / "second.tgz").read_bytes()
    with tarfile.open(tmp_path / "first.tgz") as archive:
        assert [(entry.name, entry.mode) for entry in archive] == [("a", 0o755), ("b", 0o755)]


def test_archives_lie_where_upstream_has_them() -> None:
    assert archive_path("containerd", "v2.3.7", "amd64") == (
        "containerd/v2.3.7/containerd-2.3.7-linux-amd64.tar.gz"
    )
    assert archive_path("cni-plugins", "v1.9.1", "arm64") == (
        "cni-plugins/v1.9.1/cni-plugins-linux-arm64-v1.9.1.tgz"
    )
    assert archive_path("runc", "v1.1.5", "amd64") == "runc/v1.1.5/runc.amd64"
    assert archive_path("docker", "20.10.24", "arm64") == (
        "docker/linux/static/stable/aarch64/docker-20.10.24.tgz"
    )
    assert archive_path("cri-dockerd", "v0.4.3", "amd64") == (
        "cri-dockerd/v0.4.3/cri-dockerd-0.4.3.amd64.tgz"
    )
    assert archive_path("node-problem-detector", "v1.34.0", "amd64") == (
        "node-problem-detector/v1.34.0/node-problem-detector-v1.34.0-linux_amd64.tar.gz"
    )
