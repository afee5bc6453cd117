"""What is left on a host after a removal, wherever links lead."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.host.former_node import OWNER, POD, Site, node

from kok.operators.machine.remote import commands, shell


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
    # From a file, as on hosts: it turns away from its standard input.
    job = site.file("/srv/job", begun)
    await asyncio.to_thread(subprocess.run, ["sh", str(job)], check=True)
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


async def test_what_a_component_says_that_it_leaves_goes_too(site: Site) -> None:
    data = site.link("/var/lib/tool", "/data/tool")
    for name in ("db-1", "precious"):
        (data / name).mkdir()
    site.installed("tool", "true\n")
    home = site.host.home / "components/tool"
    (home / "remains").write_text("/var/lib/tool db-* tmp\n")
    (home / "services").write_text("tool\n")
    result = await site.remove()
    assert (result.exit, result.message) == (0, "")
    assert [path.name for path in data.iterdir()] == ["precious"]


def _docker(site: Site) -> Path:
    """A node with Docker; where its calls are noted."""
    calls = site.root / "calls"
    program = site.file(
        "/opt/docker/bin/docker",
        f'#!/bin/sh\necho "$*" >>{calls}\ncase "$*" in "ps -q") echo c1 ;; "ps -aq") echo c1 c2 ;; esac\n',
    )
    program.chmod(0o755)
    for path in ("/var/lib/docker/overlay2/l/x", "/run/docker/netns/y", "/run/containerd/s/z"):
        site.file(path)
    site.installed("docker")
    listed = builders.builtin("docker").spec.remains
    lines = "".join(f"{one.path} {' '.join(one.names)}\n" for one in listed)
    (site.host.home / "components/docker/remains").write_text(lines)
    return calls


async def test_docker_goes_with_its_containers_and_images(site: Site) -> None:
    calls = _docker(site)
    result = await site.remove()
    assert (result.exit, result.message) == (0, "")
    said = calls.read_text().splitlines()
    # First politely, then for good.
    assert [line for line in said if not line.startswith("ps ")] == ["stop -t 5 c1", "rm -f c1 c2"]
    for path in ("opt/docker", "var/lib/docker", "run/docker", "run/containerd"):
        assert not (site.root / path).exists()


async def test_what_lies_beside_dockers_data_behind_a_link_stays(site: Site) -> None:
    behind = site.link("/var/lib/docker", "/data/docker")
    (behind / "precious").write_text("somebody's own")
    _docker(site)
    assert (await site.remove()).exit == 0
    assert [path.name for path in behind.iterdir()] == ["precious"]
