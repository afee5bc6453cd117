"""A host with a GPU, made of a directory, on which the scripts for NVIDIA's software run for real."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.component.host_directory import HostDirectory

from kok.operators.machine.component.render import Rendered, rendered

KERNEL = "6.1.0-kok"
DRIVER, TOOLKIT = builders.GPU["nvidia-driver"], builders.GPU["nvidia-toolkit"]
_PROGRAMS = (
    *(
        "sh",
        "cat",
        "chmod",
        "cp",
        "cut",
        "find",
        "grep",
        "head",
        "ln",
        "mkdir",
        "mv",
        "rm",
        "rmdir",
    ),
    *("sed", "sha256sum", "tail", "tar", "tr", "gzip", "dpkg-deb"),
)
_INSTALLER = """\
root={root}
case $1 in
--advanced-options) echo "--no-x-check --skip-module-load --rebuild-initramfs, --no-rebuild-initramfs"; exit ;;
esac
echo "$*" >>$root/installer
[ ! -e $root/broken ] || {{ mkdir -p $root/var/log; echo "ERROR: no luck" >$root/var/log/nvidia-installer.log; exit 1; }}
mkdir -p $root/usr/lib/x86_64-linux-gnu $root/lib/modules/{kernel}/kernel/drivers/video
: >$root/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{version}
: >$root/lib/modules/{kernel}/kernel/drivers/video/nvidia.ko
"""


class GpuHost(HostDirectory):
    """A host below a directory: with one GPU, the headers of its kernel, and no driver."""

    def card(self, slot: str, vendor: str = "0x10de", kind: str = "0x030200") -> None:
        self.file(f"sys/bus/pci/devices/{slot}/vendor", f"{vendor}\n")
        self.file(f"sys/bus/pci/devices/{slot}/class", f"{kind}\n")

    def loaded(self, module: str, version: str = "") -> None:
        """A kernel module that is in use: nothing unloads it."""
        self.file(f"sys/module/{module}/version", f"{version}\n")

    def run(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        given = {
            "KOK_PCI": str(self.root / "sys/bus/pci/devices"),
            "KOK_REBOOT": str(self.root / "reboot"),
        }
        return super().run(script, **given, **env)

    def driver(self, **params: Any) -> Rendered:
        return self._made("nvidia-driver", params)

    def toolkit(self, **params: Any) -> Rendered:
        return self._made("nvidia-toolkit", params)

    @staticmethod
    def _made(name: str, params: dict[str, Any]) -> Rendered:
        return rendered(builders.builtin(name), builders.machine(), params, builders.survey())

    def install_driver(self, **params: Any) -> subprocess.CompletedProcess[str]:
        text = _INSTALLER.format(root=self.root, kernel=KERNEL, version=DRIVER)
        installer = self.file("cache/installer", text)
        script = self.driver(**params).scripts["install"]
        return self.run(script, KOK_ARTIFACT_INSTALLER=str(installer))

    def found(self, made: Rendered) -> str:
        return self.run(made.probe).stdout.strip()


@pytest.fixture
def host(tmp_path: Path) -> GpuHost:
    made = GpuHost(tmp_path)
    made.programs(_PROGRAMS)
    made.program("uname", f"echo {KERNEL}")
    for name in ("gcc", "make", "ldconfig"):
        made.program(name)
    made.program("modprobe", f'echo "$*" >>{tmp_path}/modprobe')
    made.program("systemctl", f'echo "$*" >>{tmp_path}/systemctl')
    made.file(f"lib/modules/{KERNEL}/build/Makefile")
    made.file("etc/modules-load.d/other.conf")
    made.card("0000:01:00.0")
    return made
