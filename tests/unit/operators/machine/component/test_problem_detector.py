"""node-problem-detector: how it gets there, and what it makes of the kernel's words."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest
from tests.unit.operators.machine import builders

from kok.operators.machine.component.render import Rendered, rendered

_PROGRAM = b'#!/bin/sh\n[ "$1" = --version ] && echo v1.34.0\n'


def detector() -> Rendered:
    made = builders.builtin("node-problem-detector")
    return rendered(made, builders.machine(), {}, builders.survey())


def content(path: str) -> str:
    return next(f.content for f in detector().files if f.path == path)


@pytest.mark.parametrize(
    ("line", "reasons"),
    [
        (
            "Memory cgroup out of memory: Killed process 4321 (java) total-vm:8kB, anon-rss:4kB",
            {"OutOfMemory"},
        ),
        (
            "task containerd-shim:1234 blocked for more than 120 seconds.",
            {"TaskBlocked", "RuntimeBlocked"},
        ),
        ("task jbd2/sda1-8:221 blocked for more than 120 seconds.", {"TaskBlocked"}),
        ("EXT4-fs (sda1): Remounting filesystem read-only", {"RemountedReadOnly"}),
        ("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2", {"DiskError"}),
        ("Buffer I/O error on dev sdb, logical block 0, async page read", {"DiskError"}),
        ("NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.", {"GPUError"}),
        ("mce: [Hardware Error]: Machine check events logged", {"HardwareError"}),
        ("BUG: unable to handle page fault for address: 0000", {"KernelOops"}),
        ("eth0: link becomes ready", set()),
    ],
)
def test_what_the_kernel_tells_becomes_a_reason(line: str, reasons: set[str]) -> None:
    config = json.loads(content("/etc/node-problem-detector/kernel.json"))
    # It looks for a pattern in the last lines, each of which may begin or end what matches.
    found = {rule["reason"] for rule in config["rules"] if re.search(rule["pattern"], line)}
    assert found == reasons
    known = {condition["type"] for condition in config["conditions"]}
    lasting = {r["condition"] for r in config["rules"] if r["type"] == "permanent"}
    assert lasting == known


def test_it_speaks_as_the_kubelet_of_its_node() -> None:
    unit = content("/etc/systemd/system/node-problem-detector.service")
    assert "--hostname-override=w1 \\\n" in unit
    assert "inClusterConfig=false&auth=/etc/kubernetes/kubelet.conf" in unit


def test_no_host_is_rebooted_for_what_only_tells_of_problems() -> None:
    """What is in `services` is restarted, and in the end its host is replaced."""
    made = builders.builtin("node-problem-detector").spec
    assert not made.services
    assert "Restart=always" in content("/etc/systemd/system/node-problem-detector.service")


def test_it_is_taken_out_of_the_archive_of_its_project(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        for name in ("bin/health-checker", "bin/node-problem-detector", "config/kernel.json"):
            entry = tarfile.TarInfo(name)
            entry.size = len(_PROGRAM)
            packed.addfile(entry, BytesIO(_PROGRAM))
    told = tmp_path / "told"
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$*" >>{told}\n')
    systemctl.chmod(0o755)

    def run(script: str) -> str:
        return subprocess.run(
            ["/bin/sh", "-eu"],
            input=re.sub(r"(?<![\w./-])/(?=(?:usr|etc)/)", f"{tmp_path}/", script),
            env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "KOK_ARTIFACT_ARCHIVE": str(archive)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    made = detector()
    assert run(made.probe) == ""
    run(made.scripts["install"])
    assert run(made.probe) == "1.34.0\n"
    assert [f.name for f in (tmp_path / "usr/local/bin").iterdir()] == ["node-problem-detector"]
    # It waits for the host to join: nobody waits for that here.
    assert told.read_text().splitlines()[-1] == "--no-block restart node-problem-detector"
    run(made.scripts["uninstall"])
    assert run(made.probe) == ""
    assert list((tmp_path / "usr/local/bin").iterdir()) == []
