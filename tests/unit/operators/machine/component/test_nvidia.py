"""The scripts for NVIDIA's driver and toolkit, run for real on a host made of a directory."""

from __future__ import annotations

import shutil
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


# --- the driver


def test_the_driver_is_installed_loaded_and_then_found(host: GpuHost) -> None:
    assert host.found(host.driver()) == ""
    done = host.install_driver()
    assert (done.returncode, done.stdout) == (0, "")
    assert host.found(host.driver()) == DRIVER
    # Of the options those that this installer has.
    assert host.said("installer") == [
        "--silent --no-x-check --skip-module-load --no-rebuild-initramfs"
    ]
    assert host.said("modprobe") == ["nvidia", "nvidia_uvm"]
    assert host.said("etc/modules-load.d/kok-nvidia.conf")[1:] == ["nvidia", "nvidia_uvm"]
    assert not (host.root / "reboot").exists()


def test_a_second_time_nothing_is_installed_again(host: GpuHost) -> None:
    host.install_driver()
    assert host.install_driver().returncode == 0
    assert len(host.said("installer")) == 1


def test_on_a_host_without_a_gpu_nothing_is_done_and_nothing_is_missing(host: GpuHost) -> None:
    shutil.rmtree(host.root / "sys/bus/pci/devices/0000:01:00.0")
    # An NVSwitch, and the sound of a card, are none.
    host.card("0000:02:00.0", kind="0x068000")
    host.card("0000:02:00.1", kind="0x040300")
    host.card("0000:03:00.0", vendor="0x8086", kind="0x030000")
    done = host.install_driver()
    assert (done.returncode, host.said("installer")) == (0, [])
    assert "no NVIDIA GPU" in done.stdout
    assert host.found(host.driver()) == DRIVER
    assert host.found(host.toolkit()) == TOOLKIT


def test_where_nouveau_has_the_gpu_one_boot_is_asked_for_and_nothing_is_loaded(
    host: GpuHost,
) -> None:
    host.loaded("nouveau")
    host.program("update-initramfs", f'echo "$*" >>{host.root}/initramfs')
    assert host.install_driver().returncode == 0
    assert host.said("reboot") == [
        "the driver nouveau holds the GPUs, and lets go of them when the host boots"
    ]
    assert host.found(host.driver()) == DRIVER
    assert host.said("modprobe") == ["-r nouveau"]
    # Otherwise the next boot would bring it back before any file of ours is read.
    assert host.said("initramfs") == [f"-u -k {KERNEL}"]
    # After the boot it is gone.
    shutil.rmtree(host.root / "sys/module/nouveau")
    (host.root / "reboot").unlink()
    assert host.install_driver().returncode == 0
    assert not (host.root / "reboot").exists()


def test_nouveau_that_can_be_unloaded_needs_no_boot(host: GpuHost) -> None:
    host.loaded("nouveau")
    host.program("modprobe", f'[ "$1" != -r ] || rm -rf {host.root}/sys/module/nouveau')
    assert host.install_driver().returncode == 0
    assert not (host.root / "reboot").exists()


def test_another_driver_in_use_needs_a_boot(host: GpuHost) -> None:
    host.loaded("nvidia", "580.95.05")
    assert host.install_driver().returncode == 0
    assert "the driver 580.95.05 is in use" in host.said("reboot")[0]
    assert "-r nvidia" in host.said("modprobe")
    # The one that is wanted has not been loaded over it.
    assert "nvidia" not in host.said("modprobe")


def test_headers_of_the_kernel_come_from_the_distribution(host: GpuHost) -> None:
    makefile = host.root / f"lib/modules/{KERNEL}/build/Makefile"
    makefile.unlink()
    host.program(
        "apt-get", f'echo "$*" >>{host.root}/apt; case $* in *install*) echo >{makefile} ;; esac'
    )
    assert host.install_driver().returncode == 0
    assert any(f"linux-headers-{KERNEL}" in line for line in host.said("apt"))


def test_where_headers_have_to_be_there_nothing_is_installed_for_them(host: GpuHost) -> None:
    (host.root / f"lib/modules/{KERNEL}/build/Makefile").unlink()
    host.program("apt-get", f"echo >>{host.root}/apt")
    done = host.install_driver(kernelHeaders="Require")
    assert done.returncode == 1
    assert f"the headers of kernel {KERNEL}" in done.stdout
    assert host.said("apt") == []


def test_another_kernel_needs_modules_of_its_own(host: GpuHost) -> None:
    host.install_driver()
    host.program("uname", "echo 6.2.0-other")
    assert host.found(host.driver()) == ""


def test_a_driver_of_packages_is_left_alone(host: GpuHost) -> None:
    host.file("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1")
    host.program("dpkg", "echo libnvidia-ml1:amd64: $2")
    done = host.install_driver()
    assert (done.returncode, host.said("installer")) == (1, [])
    assert "a driver of the package libnvidia-ml1; remove it, or leave spec.nvidia.driver" in (
        done.stdout
    )


def test_an_installer_that_fails_is_quoted(host: GpuHost) -> None:
    host.file("broken")
    done = host.install_driver()
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "NVIDIA's installer ended with an error: no luck"


def test_a_module_that_cannot_be_loaded_is_told_with_what_to_do(host: GpuHost) -> None:
    host.program("modprobe", "echo 'Key was rejected by service' >&2; exit 1")
    done = host.install_driver()
    assert done.returncode == 1
    assert "Key was rejected by service; with Secure Boot its key has to be" in done.stdout


def test_the_driver_goes_with_its_own_uninstaller_and_only_with_that(host: GpuHost) -> None:
    host.install_driver()
    script = host.driver().scripts["uninstall"]
    assert host.run(script).returncode == 0
    assert not (host.root / "etc/modules-load.d/kok-nvidia.conf").exists()
    assert (host.root / "etc/modules-load.d/other.conf").exists()
    host.program("nvidia-uninstall", f'echo "$*" >>{host.root}/uninstaller')
    assert host.run(script).returncode == 0
    assert host.said("uninstaller") == ["--silent"]


# --- the toolkit

_CTK = """\
#!/bin/sh
case "$1 $2" in
"--version ") echo "NVIDIA Container Toolkit CLI version {version}" ;;
"runtime configure")
    for given; do
        case $given in
        --config=*) echo rewritten >"${{given#--config=}}" ;;
        --drop-in-config=*) echo "BinaryName = nvidia-container-runtime" >"${{given#--drop-in-config=}}" ;;
        esac
    done
    case $* in *--runtime=docker*) echo '{{"runtimes": "nvidia-container-runtime"}}' >{root}/etc/docker/daemon.json ;; esac
    ;;
esac
echo "$*" >>{root}/ctk
"""


def packages(host: GpuHost) -> Path:
    """An archive with the layout of NVIDIA's: Debian packages some folders down."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("no dpkg-deb on this machine")
    built = host.root / "build/nvidia-container-toolkit-base"
    control = built / "DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        f"Package: nvidia-container-toolkit-base\nVersion: {TOOLKIT}-1\nArchitecture: amd64\n"
        "Maintainer: nobody <nobody@example.com>\nDescription: for tests\n"
    )
    # Unpacked on a host that is a directory, its files lie below that.
    inside = built / str(host.root).removeprefix("/")
    for name in ("nvidia-ctk", "nvidia-container-runtime", "nvidia-cdi-hook"):
        program = inside / "usr/bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(_CTK.format(version=TOOLKIT, root=host.root))
        program.chmod(0o755)
    for kind in ("service", "path"):
        unit = inside / f"usr/lib/systemd/system/nvidia-cdi-refresh.{kind}"
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text("[Unit]\n")
    target = host.root / "pack/release/packages/debian/amd64"
    target.mkdir(parents=True)
    deb = target / f"nvidia-container-toolkit-base_{TOOLKIT}-1_amd64.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", built, deb], check=True, capture_output=True)
    archive = host.root / "cache/packages.tar.gz"
    archive.parent.mkdir(exist_ok=True)
    subprocess.run(["tar", "-czf", archive, "-C", host.root / "pack", "release"], check=True)
    return archive


def install_toolkit(
    host: GpuHost, archive: Path, **params: Any
) -> subprocess.CompletedProcess[str]:
    script = host.toolkit(**params).scripts["install"]
    return host.run(script, KOK_ARTIFACT_PACKAGES=str(archive))


@pytest.fixture
def containerd(host: GpuHost) -> GpuHost:
    host.file("etc/containerd/config.toml", 'imports = ["/etc/containerd/conf.d/*.toml"]\n')
    host.file("usr/local/bin/containerd", "#!/bin/sh\necho nvidia-container-runtime\n").chmod(0o755)
    return host


def test_the_toolkit_configures_containerd_beside_its_own_file(containerd: GpuHost) -> None:
    host = containerd
    assert host.found(host.toolkit()) == ""
    done = install_toolkit(host, packages(host))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert host.found(host.toolkit()) == TOOLKIT
    assert "nvidia-container-runtime" in host.said("etc/containerd/conf.d/99-nvidia.toml")[0]
    # nvidia-ctk writes the main file anew as well; that of the host is as it was.
    assert host.said("etc/containerd/config.toml")[0].startswith("imports")
    told = host.said("systemctl")
    assert "restart containerd" in told
    assert "--no-reload --quiet enable nvidia-cdi-refresh.path" in told
    assert "restart nvidia-cdi-refresh.service" in told


def test_systemd_never_reads_its_units_anew_for_the_toolkit(containerd: GpuHost) -> None:
    host = containerd
    install_toolkit(host, packages(host))
    host.run(host.toolkit().scripts["uninstall"])
    told = host.said("systemctl")
    assert not any("daemon-reload" in line for line in told)
    changes = [line for line in told if "able" in line]
    assert changes
    assert all(line.startswith("--no-reload ") for line in changes)


def test_pods_get_the_gpus_that_the_kubelet_gave_them_and_no_others(containerd: GpuHost) -> None:
    host = containerd
    install_toolkit(host, packages(host))
    (config,) = (line for line in host.said("ctk") if line.startswith("config "))
    assert "accept-nvidia-visible-devices-envvar-when-unprivileged=false" in config
    assert "accept-nvidia-visible-devices-as-volume-mounts=true" in config


@pytest.mark.parametrize("default", [True, False])
def test_whether_nvidias_runtime_is_the_default_one_is_a_parameter(
    containerd: GpuHost, default: bool
) -> None:
    host = containerd
    install_toolkit(host, packages(host), defaultRuntime=default)
    (told,) = (line for line in host.said("ctk") if line.startswith("runtime configure"))
    assert ("--set-as-default" in told) is default
    assert "--cdi.enabled" in told


def test_a_second_time_containerd_is_not_restarted(containerd: GpuHost) -> None:
    host, archive = containerd, packages(containerd)
    install_toolkit(host, archive)
    install_toolkit(host, archive)
    assert host.said("systemctl").count("restart containerd") == 1


def test_what_containerd_cannot_read_is_taken_back(containerd: GpuHost) -> None:
    host = containerd
    host.file("usr/local/bin/containerd", "#!/bin/sh\nexit 1\n").chmod(0o755)
    done = install_toolkit(host, packages(host))
    assert done.returncode == 1
    assert "containerd cannot read what nvidia-ctk wrote" in done.stdout
    assert not (host.root / "etc/containerd/conf.d/99-nvidia.toml").exists()
    assert "restart containerd" not in host.said("systemctl")


def test_a_containerd_of_an_earlier_release_is_told_what_it_lacks(containerd: GpuHost) -> None:
    containerd.file("etc/containerd/config.toml", "version = 3\n")
    done = install_toolkit(containerd, packages(containerd))
    assert done.returncode == 1
    assert (
        "does not read conf.d/*.toml beside it; delete the Component of containerd" in done.stdout
    )


def test_docker_gets_it_in_its_own_file_and_back(host: GpuHost) -> None:
    host.file("etc/docker/daemon.json", '{"live-restore": true}\n')
    done = install_toolkit(host, packages(host), runtime="docker")
    assert (done.returncode, done.stdout) == (0, "")
    assert host.found(host.toolkit(runtime="docker")) == TOOLKIT
    assert "restart docker" in host.said("systemctl")
    assert host.run(host.toolkit(runtime="docker").scripts["uninstall"]).returncode == 0
    # A default runtime that is gone would keep every container from starting.
    assert host.said("etc/docker/daemon.json") == ['{"live-restore": true}']


def test_what_others_wrote_for_docker_meanwhile_stays(host: GpuHost) -> None:
    host.file("etc/docker/daemon.json", "{}\n")
    install_toolkit(host, packages(host), runtime="docker")
    host.file("etc/docker/daemon.json", '{"default-runtime": "nvidia", "debug": true}\n')
    assert host.run(host.toolkit(runtime="docker").scripts["uninstall"]).returncode == 0
    assert host.said("etc/docker/daemon.json") == ['{"default-runtime": "runc", "debug": true}']


def test_without_the_toolkit_containerd_is_as_before(containerd: GpuHost) -> None:
    host = containerd
    install_toolkit(host, packages(host))
    assert host.run(host.toolkit().scripts["uninstall"]).returncode == 0
    assert not (host.root / "etc/containerd/conf.d").exists()
    assert not (host.root / "usr/bin/nvidia-ctk").exists()
    assert not list((host.root / "usr/lib/systemd/system").iterdir())
    assert host.said("etc/containerd/config.toml")[0].startswith("imports")
