"""What is left on a host after a removal, wherever links lead: with the real scripts, the built-in
ones confined to a directory."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.sshd import FakeHost, fake_host

from kok.operators.machine.remote import commands, jobs, shell
from kok.operators.machine.remote.jobs import JobResult
from kok.operators.machine.remote.ssh import Credentials, Expected, Target, Timeouts
from kok.operators.machine.remote.ssh.connection import Connection
from kok.operators.machine.remote.ssh.login import connect
from kok.operators.machine.remote.survey import Owner
from kok.runtime.clock import SystemClock

OWNER = Owner("uid-1", "team-a/shop-workers-w1", "team-a/shop", "meta-1")
POD = "0f6ed5c2-9f3b-4b0e-8a0e-1f0b2c3d4e5f"
STATIC = "0123456789abcdef0123456789abcdef"


@dataclass
class Site:
    """A host that was a node: its directories lie below `root`."""

    host: FakeHost
    connection: Connection
    root: Path
    attempt: int = 0

    def file(self, path: str, content: str = "x") -> Path:
        """A file of the host."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def link(self, path: str, to: str) -> Path:
        """A directory of the host that lies elsewhere, where it is made."""
        target, link = self.root / to.removeprefix("/"), self.root / path.removeprefix("/")
        target.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        return target

    def program(self, name: str, text: str = "") -> None:
        """Takes the place of one of the host's programs in uninstall scripts."""
        file = self.root / "programs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def installed(self, name: str, script: str | None = None, files: str = "") -> None:
        """What an installation of a component leaves in the operator's own directory."""
        text = builders.builtin(name).spec.scripts.uninstall if script is None else script
        confined = re.sub(
            r"(?<![\w./~}-])/(?=(?:etc|opt|proc|run|usr|var)/)", f"{self.root}/", text
        )
        home = self.host.home / "components" / name
        home.mkdir(parents=True)
        (home / "order").write_text("1\n")
        (home / "uninstall").write_text(f"PATH={self.root}/programs:$PATH\n{confined}")
        (home / "files").write_text(files)

    async def remove(self, *, marked: bool = False) -> JobResult:
        """One attempt to clean up; also the last step of it, if it got so far."""
        ends: list[JobResult] = []

        def told(result: JobResult) -> None:
            if result.ended:
                ends.append(result)

        self.attempt += 1
        job = jobs.removal_job(OWNER.uid, self.attempt)
        await commands.work(self.connection, [job], OWNER, told, SystemClock(), marked=marked)
        if ends[-1].exit == 0:
            await commands.forget(self.connection, OWNER.uid)
        return ends[-1]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with fake_host(tmp_path / "kok") as host:
        target = Target(
            address="127.0.0.1",
            port=host.port,
            user="root",
            secret="a/b",
            credentials=Credentials(key=host.client),
            expected=Expected(host.fingerprint),
        )
        connection = await connect(target, Timeouts())
        made = Site(host, connection, tmp_path / "root")
        host.home.mkdir()
        (host.home / "owner").write_text(f"{OWNER.text()}\n")
        for name in ("systemctl", "umount", "pgrep"):
            made.program(name)
        made.file("/proc/mounts", "")
        yield made
        connection.close()


def node(site: Site) -> list[Path]:
    """What a kubelet keeps."""
    return [
        site.file("/var/lib/kubelet/pki/kubelet-client-current.pem", "private key"),
        site.file("/var/lib/kubelet/pki/kubelet.key", "private key"),
        site.file(f"/var/lib/kubelet/pods/{POD}/volumes/token", "token of a service account"),
        site.file(f"/var/lib/kubelet/pods/{STATIC}/etc-hosts"),
        site.file("/var/lib/kubelet/cpu_manager_state"),
        site.file("/var/lib/kubelet/image_manager/pulled/sha256-0", "hashes of credentials"),
        site.file("/var/lib/kubelet/pods-api/kubelet.sock"),
        site.file("/etc/kubernetes/kubelet.conf"),
        site.file(f"/var/log/pods/shop_web_{POD}/web/0.log"),
        site.file("/etc/containerd/config.toml"),
        site.file("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"),
    ]


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/var/lib/kubelet", "/data/kubelet"),
        # Links further up change the names by which the kernel knows what is mounted.
        ("/var/lib", "/data/lib"),
        ("/var/lib/kubelet/pki", "/data/keys"),
        ("/var/lib/kubelet/pods", "/data/pods"),
        ("/var/log/pods", "/data/logs"),
        ("/var/lib/containerd", "/data/containerd"),
        ("/etc/containerd", "/data/etc"),
        ("/etc/kubernetes", "/data/kubernetes"),
    ],
)
async def test_what_lies_behind_a_link_goes_too_and_what_is_not_ours_stays(
    site: Site, path: str, to: str
) -> None:
    """Private keys of a node and tokens of service accounts were left where the link led."""
    behind = site.link(path, to)
    foreign = behind / "precious" / "data"
    foreign.parent.mkdir()
    foreign.write_text("somebody's own")
    ours = node(site)
    site.installed("kubelet")
    config = site.root / "etc/containerd/config.toml"
    site.installed("containerd", files=f"{config}\n")
    really = [file.resolve() for file in ours]
    result = await site.remove()
    assert (result.exit, result.message) == (0, "")
    assert [file for file in really if file.exists()] == []
    if (site.root / path.removeprefix("/")).is_symlink():
        assert foreign.read_text() == "somebody's own"
    assert not site.host.home.exists()


async def test_a_removal_that_leaves_a_key_says_so_and_the_host_stays_marked(site: Site) -> None:
    kubelet = site.link("/var/lib/kubelet", "/data/kubelet")
    key = node(site)[1].resolve()
    # Somebody mounted it there; nothing is really mounted in a test, so that umount refuses.
    site.file("/proc/mounts", f"/dev/sdb1 {key} ext4 rw 0 0\n")
    site.installed("kubelet")
    result = await site.remove()
    assert (result.exit, result.reason) == (1, "HostNotClean")
    assert result.message == (
        f"cannot uninstall kubelet: left on the host: {kubelet}/pki (mounted: {key})"
    )
    assert key.exists()
    assert site.host.read("owner").startswith("uid=uid-1\n")
    site.file("/proc/mounts", "")
    assert (await site.remove()).exit == 0
    assert list(kubelet.iterdir()) == []


async def test_a_removal_cut_off_after_its_script_still_knows_where_links_led(site: Site) -> None:
    logs = site.link("/var/log/pods", "/data/logs")
    node(site)
    site.installed("kubelet")
    uninstall = site.host.home / "components/kubelet/uninstall"
    text = await asyncio.to_thread(uninstall.read_text)
    uninstall.write_text(f"{text}\nexit 1\n")
    assert (await site.remove()).exit == 1
    assert not (site.root / "var/log/pods").exists()
    uninstall.write_text(text)
    assert (await site.remove()).exit == 0
    assert list(logs.iterdir()) == []


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


@pytest.mark.parametrize(
    "path",
    ["calico-kubeconfig", "multus.d/multus.kubeconfig", "whereabouts.d/whereabouts.kubeconfig"],
)
async def test_a_network_plug_ins_way_into_the_cluster_goes(site: Site, path: str) -> None:
    node(site)
    theirs = site.file("/etc/cni/net.d/87-podman.conflist")
    credentials = site.file(f"/etc/cni/net.d/{path}", "token")
    site.installed("kubelet")
    assert (await site.remove()).exit == 0
    assert theirs.exists()
    assert not credentials.exists()


@pytest.mark.parametrize("quote", ["", "'", '"'])
async def test_logs_of_pods_go_where_the_user_has_put_them(site: Site, quote: str) -> None:
    """Also those at a place that an earlier configuration named."""
    node(site)
    link = site.link("/srv/logs of pods", "/data/logs")
    log = site.file(f"/data/logs/shop_web_{POD}/web/0.log")
    old = site.file(f"/srv/old/shop_web_{POD}/web/0.log")
    theirs = [site.file("/data/logs/syslog"), site.file("/srv/old/other_pod_x/0.log")]
    site.installed("kubelet")
    config = "kind: KubeletConfiguration\npodLogsDir: {0}{1}{0}\nport: 10250\n"
    site.file("/etc/kubernetes/kubelet.yaml", config.format(quote, "/srv/old"))
    begun = shell.compose(
        {
            "KOK_HOME": str(site.host.home),
            "KOK_COMPONENT": "kubelet",
            "KOK_JOB": "j",
            "KOK_UID": OWNER.uid,
        },
        "mkdir -p $KOK_HOME/jobs/j $KOK_HOME/locks; KOK=$KOK_HOME\n",
        shell.library("run"),
        "begin_component\nfinish 0 Done ''\n",
    )
    await asyncio.to_thread(subprocess.run, ["sh", "-s"], input=begun, text=True, check=True)
    site.file("/etc/kubernetes/kubelet.yaml", config.format(quote, "/srv/logs of pods"))
    result = await site.remove()
    assert (result.exit, result.message) == (0, "")
    assert not log.exists()
    assert not old.exists()
    assert link.exists()
    assert [file.read_text() for file in theirs] == ["x", "x"]


async def test_directories_that_a_users_own_component_leaves_alone_are_left_alone(
    site: Site,
) -> None:
    node(site)
    site.installed("containerd", script="true")
    assert (await site.remove()).exit == 0
    assert (site.root / "var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db").exists()


async def test_a_directory_of_the_operator_that_is_a_link_is_emptied(site: Site) -> None:
    elsewhere = site.root / "data/cache"
    elsewhere.mkdir(parents=True)
    (site.host.home / "cache").symlink_to(elsewhere)
    (elsewhere / "artifact").write_text("x")
    site.installed("tool", script="true")
    assert (await site.remove()).exit == 0
    assert list(elsewhere.iterdir()) == []
    assert not site.host.home.exists()


def test_an_identity_that_is_no_longer_good_goes_although_its_directory_is_a_link(
    tmp_path: Path,
) -> None:
    keys, link = tmp_path / "keys", tmp_path / "pki"
    keys.mkdir()
    for name in ("kubelet-client-current.pem", "kubelet.key", "theirs"):
        (keys / name).write_text("x")
    link.symlink_to(keys)
    script = shell.compose(
        {"KOK_FORGET": str(link)}, shell.library("join"), "systemctl() { :; }\nforget_identity\n"
    )
    subprocess.run(["sh", "-eu", "-s"], input=script, text=True, check=True)
    assert [file.name for file in keys.iterdir()] == ["theirs"]


async def test_a_host_that_has_to_bear_the_mark_and_does_not_is_not_touched(site: Site) -> None:
    site.installed("tool", "echo gone")
    (site.host.home / "owner").unlink()
    before = sorted(site.host.home.rglob("*"))
    with pytest.raises(commands.HostTaken):
        await site.remove(marked=True)
    assert sorted(site.host.home.rglob("*")) == before
    # Nor is that of another one.
    (site.host.home / "owner").write_text("uid=another\n")
    with pytest.raises(commands.HostTaken) as told:
        await site.remove(marked=True)
    assert told.value.owner.uid == "another"
    (site.host.home / "owner").write_text(f"{OWNER.text()}\n")
    assert (await site.remove(marked=True)).exit == 0
    assert not site.host.home.exists()
