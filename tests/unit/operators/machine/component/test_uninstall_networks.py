"""What the uninstall script of the CNI plugins takes away for real: in a network of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.component.host_directory import confined

_MAKE = """\
set -e
ip link add cni0 type bridge
ip link add vethdeadbeef type veth peer name eth9
ip link set vethdeadbeef master cni0
ip link add office type bridge
ip link add vethoffice type veth peer name eth8
ip link set vethoffice master office
iptables-nft -t nat -N KUBE-SERVICES
iptables-nft -t nat -N CNI-HOSTPORT-DNAT
iptables-nft -t nat -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
iptables-nft -t nat -A KUBE-SERVICES -j CNI-HOSTPORT-DNAT
iptables-nft -N OFFICE
iptables-nft -A INPUT -m comment --comment "for KUBE-SERVICES" -j OFFICE
"""
_TABLES = """\
nft add table inet cni_plugins_masquerade
nft add table ip cni_hostport
nft add table ip6 kube-proxy
nft add table ip flannel-ipv4
nft add table inet office
"""
_SHOW = """
ip -o link show | sed -n 's/^[0-9]*: \\([^:@]*\\)[:@].*/\\1/p'
iptables-nft-save | grep '^:[A-Z]*[-A-Z]* - '
command -v nft >/dev/null && nft list tables
exit 0
"""


@pytest.fixture
def alone() -> list[str]:
    """What to put before a command so that it has a network of its own."""
    program = shutil.which("unshare")
    for tool in ("ip", "iptables-nft"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    wrapped = [program or "unshare", "--net"]
    if subprocess.run(
        [*wrapped, "ip", "link", "add", "x", "type", "bridge"], check=False
    ).returncode:
        pytest.skip("needs the right to make networks")
    return wrapped


def uninstall(root: Path, *, hold: bool = False) -> str:
    """The script, with nothing but the network outside of a directory."""
    script = confined(builders.builtin("cni-plugins").spec.scripts.uninstall, root)
    refuse = 'ip() { [ "$2" != delete ] && command ip "$@"; }\n' if hold else ""
    return f"sh -eu <<'END'\n{refuse}{script}\nEND\n"


def inside(alone: list[str], text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*alone, "sh"], input=text, text=True, capture_output=True, check=False, env=os.environ
    )


def test_interfaces_ports_rules_chains_and_tables_go_and_those_of_others_stay(
    alone: list[str], tmp_path: Path
) -> None:
    tables = _TABLES if shutil.which("nft") else ""
    done = inside(alone, f"{_MAKE}{tables}{uninstall(tmp_path)}{_SHOW}")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert {"office", "vethoffice", "eth8"} <= set(said)
    assert [line for line in said if "OFFICE" in line] == [":OFFICE - [0:0]"]
    for gone in ("cni0", "deadbeef", "eth9", "KUBE-", "CNI-", "kube-proxy", "cni_", "flannel"):
        assert gone not in done.stdout
    assert ("table inet office" in done.stdout) is bool(tables)


def test_what_cannot_be_taken_away_is_named_and_the_plugins_stay(
    alone: list[str], tmp_path: Path
) -> None:
    plugin = tmp_path / "opt/cni/bin/bridge"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("x")
    done = inside(alone, _MAKE + uninstall(tmp_path, hold=True))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "left on the host: interface cni0;"
    assert plugin.exists()
