"""What the built-in software takes away with it: the real scripts on a host made of a directory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.component.host_directory import HostDirectory

from kok.operators.machine.component import functions

_PROGRAMS = (
    "sh",
    "awk",
    "cat",
    "find",
    "grep",
    "head",
    "ls",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "sleep",
    "sort",
    "tr",
)
_RULES = """*nat
:PREROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:FLANNEL-POSTRTG - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-1 - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -m comment --comment "the office may use KUBE-API" -j ACCEPT
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE
-A KUBE-SERVICES -d 10.65.0.1/32 -j KUBE-SVC-1
COMMIT
"""


class Directory(HostDirectory):
    """A host of which software is taken away."""

    def uninstall(self, name: str) -> subprocess.CompletedProcess[str]:
        return self.run(functions.complete(builders.builtin(name).spec.scripts.uninstall))


@pytest.fixture
def host(tmp_path: Path) -> Directory:
    made = Directory(tmp_path)
    for name in ("umount", "systemctl", "pgrep"):
        made.program(name)
    # There are none of the interfaces that are asked for.
    made.program("ip", '[ "$2" != show ]')
    made.programs(_PROGRAMS)
    return made


def test_only_rules_that_lead_into_our_chains_go(host: Directory) -> None:
    (host.root / "rules").write_text(_RULES)
    host.program("iptables-nft-save", f'[ "$2" = nat ] && cat {host.root}/rules')
    done = f"cat >>{host.root}/restored; : >{host.root}/rules"
    host.program("iptables-nft-restore", done)
    assert host.uninstall("cni-plugins").returncode == 0
    restored = (host.root / "restored").read_text().splitlines()
    assert [line for line in restored if line.startswith("-D")] == [
        '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        '-D POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',
    ]
    assert {line for line in restored if line.startswith("-X")} == {
        "-X CNI-HOSTPORT-DNAT",
        "-X FLANNEL-POSTRTG",
        "-X KUBE-SERVICES",
        "-X KUBE-SVC-1",
    }


def test_chains_that_stay_are_named(host: Directory) -> None:
    """They may be held by rules of others that cannot be changed."""
    (host.root / "rules").write_text(_RULES)
    host.program("iptables-nft-save", f'[ "$2" = nat ] && cat {host.root}/rules')
    host.program("iptables-nft-restore", "cat >/dev/null")
    ended = host.uninstall("cni-plugins")
    assert ended.returncode == 1
    assert ended.stdout == (
        "left on the host: chain CNI-HOSTPORT-DNAT of iptables-nft, table nat;"
        "chain FLANNEL-POSTRTG of iptables-nft, table nat;chain KUBE-SERVICES of iptables-nft, "
        "table nat;chain KUBE-SVC-1 of iptables-nft, table nat;\n"
    )


def test_containers_that_outlived_their_runtime_end_with_the_kubelet(host: Directory) -> None:
    with subprocess.Popen(["sleep", "60"]) as container, subprocess.Popen(["sleep", "60"]) as other:
        found = host.file(f"/proc/{container.pid}/cgroup")
        found.write_text("0::/kubepods.slice/kubepods-besteffort.slice/cri-1.scope\n")
        host.file(f"/proc/{other.pid}/cgroup").write_text("0::/system.slice/ssh.service\n")
        # The kernel takes the entry away with the process.
        host.program("sleep", f"rm -f {found}")
        host.program("seq", "echo 1")
        try:
            assert host.uninstall("kubelet").returncode == 0
            assert container.wait(10) == -9
            assert other.poll() is None
        finally:
            container.kill()
            other.kill()


def test_other_plugins_and_their_networks_stay(host: Directory) -> None:
    ours = [
        host.file("/opt/cni/bin/bridge"),
        host.file("/opt/cni/bin/flannel"),
        host.file("/etc/cni/net.d/10-flannel.conflist"),
        host.file("/var/lib/cni/networks/cbr0/10.64.0.2"),
        host.file("/var/lib/cni/results/cbr0-0123-eth0"),
        host.file("/run/flannel/subnet.env"),
    ]
    theirs = [
        host.file("/opt/cni/bin/cilium-cni"),
        host.file("/etc/cni/net.d/87-podman.conflist"),
        host.file("/var/lib/cni/networks/podman/10.88.0.2"),
        host.file("/var/lib/cni/results/podman-0123-eth0"),
    ]
    assert host.uninstall("cni-plugins").returncode == 0
    assert not any(file.exists() for file in ours)
    assert all(file.exists() for file in theirs)


def test_without_others_nothing_is_left_of_plugins(host: Directory) -> None:
    host.file("/opt/cni/bin/bridge")
    host.file("/etc/cni/net.d/10-flannel.conflist")
    host.file("/var/lib/cni/networks/cbr0/10.64.0.2")
    assert host.uninstall("cni-plugins").returncode == 0
    assert not any((host.root / path).exists() for path in ("opt/cni", "etc/cni", "var/lib/cni"))


def test_what_is_still_mounted_below_the_kubelets_directory_is_not_deleted(host: Directory) -> None:
    """A directory of the host's own, say: to `find` a bind mount is the same file system."""
    data = host.file("/var/lib/kubelet/pods/1/volumes/data/precious")
    mounts = host.file("/proc/mounts")
    mounts.write_text(f"/dev/vda1 {data.parent} ext4 rw 0 0\n")
    ended = host.uninstall("kubelet")
    assert ended.returncode == 1
    assert ended.stdout == (
        f"cannot unmount {data.parent}; nothing below {host.root}/var/lib/kubelet was deleted\n"
    )
    assert data.exists()
    mounts.write_text("")
    host.file("/usr/local/bin/kubelet")
    assert host.uninstall("kubelet").returncode == 0
    assert not data.exists()
    assert not (host.root / "usr/local/bin/kubelet").exists()
