"""The scripts for NVIDIA's driver, run for real on a host made of a directory."""

from __future__ import annotations

import shutil

from tests.unit.operators.machine.component.gpu_host import DRIVER, KERNEL, TOOLKIT, GpuHost


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
