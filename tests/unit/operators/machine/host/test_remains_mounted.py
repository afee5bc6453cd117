"""What is left on a host after a removal where something is mounted: disks, volumes of pods."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.unit.operators.machine.host.former_node import Site, node


async def test_what_stays_mounted_behind_a_link_is_not_deleted_and_other_mounts_do_not_matter(
    site: Site,
) -> None:
    kubelet = site.link("/var/lib/kubelet", "/data/kube let")
    token = node(site)[2].resolve()
    other = site.file("/data/other/file")
    escaped = str(token.parent).replace(" ", "\\040")
    mounts = site.file("/proc/mounts", f"tmpfs {escaped} tmpfs rw 0 0\n/dev/b {other.parent} x x\n")
    site.installed("kubelet")
    result = await site.remove()
    assert result.message.endswith(f"{kubelet}/pods (mounted: {escaped})")
    assert token.exists()
    mounts.write_text(f"/dev/b {other.parent} x x\n")
    assert (await site.remove()).exit == 0
    assert not token.exists()
    assert other.exists()


@contextmanager
def mounted(*arguments: str) -> Iterator[None]:
    """Something is really mounted; without the right to do that the test is left out."""
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", arguments[-1]], capture_output=True, check=False)


def real(site: Site) -> None:
    """The host's mounts are those of this machine, and its own programs undo them."""
    (site.root / "proc/mounts").unlink()
    (site.root / "proc/mounts").symlink_to("/proc/mounts")
    (site.root / "proc/self").mkdir()
    (site.root / "proc/self/mountinfo").symlink_to("/proc/self/mountinfo")
    (site.root / "programs/umount").unlink()


@pytest.mark.parametrize("link", [True, False])
async def test_real_mounts_are_undone_and_somebodys_data_stays(
    site: Site, tmp_path: Path, *, link: bool
) -> None:
    """The data of a pod's hostPath is of the same file system: nothing but the mount tells."""
    if link:
        site.link("/var/lib/kubelet", "/data/kubelet")
    ours = node(site)
    volumes = ours[2].resolve().parent
    (volumes / "data").mkdir()
    (volumes / "tmpfs").mkdir()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("somebody's own")
    site.installed("kubelet")
    real(site)
    with (
        mounted("--bind", str(precious), str(volumes / "data")),
        mounted("-t", "tmpfs", "none", str(volumes / "tmpfs")),
    ):
        result = await site.remove()
        assert (result.exit, result.message) == (0, "")
        assert (precious / "data").read_text() == "somebody's own"
        assert str(volumes) not in await asyncio.to_thread(Path("/proc/mounts").read_text)
    assert not volumes.exists()


@pytest.mark.parametrize("disk", [True, False])
async def test_what_a_kubelet_hid_by_mounting_its_directory_over_itself_goes_too(
    site: Site, tmp_path: Path, *, disk: bool
) -> None:
    """It does so at each start where its directory is a link: its pods' tokens could be unmounted
    no more, and the host never became clean."""
    kubelet = str(site.link("/var/lib/kubelet", "/data/kube let"))
    with ExitStack() as stack:
        if disk:
            (tmp_path / "disk").mkdir()
            stack.enter_context(mounted("--bind", str(tmp_path / "disk"), kubelet))
        volumes = node(site)[2].resolve().parent
        (Path(kubelet) / "precious").mkdir()
        for number in ("1", "2"):
            (volumes / number).mkdir()
            stack.enter_context(mounted("-t", "tmpfs", "none", str(volumes / number)))
            stack.enter_context(mounted("--bind", kubelet, kubelet))
        site.installed("kubelet")
        real(site)
        result = await site.remove()
        assert (result.exit, result.message) == (0, "")
        assert await asyncio.to_thread(os.listdir, kubelet) == ["precious"]
        mounts = await asyncio.to_thread(Path("/proc/mounts").read_text)
        assert mounts.count(f" {kubelet}".replace("kube let", "kube\\040let")) == disk


@pytest.mark.parametrize("link", [True, False])
async def test_a_part_with_a_disk_of_its_own_is_emptied_before_it_is_taken_away(
    site: Site, tmp_path: Path, *, link: bool
) -> None:
    """Keys would stay on that disk, where nobody sees them any more."""
    if link:
        site.link("/var/lib/kubelet", "/data/kubelet")
    disk = tmp_path / "disk"
    disk.mkdir()
    pki = site.root / "var/lib/kubelet/pki"
    pki.mkdir(parents=True)
    (disk / "precious").write_text("somebody's own")
    with mounted("--bind", str(disk), str(pki.resolve())):
        node(site)
        assert (disk / "kubelet.key").exists()
        site.installed("kubelet")
        real(site)
        result = await site.remove()
        assert (result.exit, result.message) == (0, "")
        assert [file.name for file in disk.iterdir()] == ["precious"]
