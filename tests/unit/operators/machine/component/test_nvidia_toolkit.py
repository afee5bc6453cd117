"""The scripts for NVIDIA's container toolkit, run for real on a host made of a directory."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.component.gpu_host import TOOLKIT, GpuHost

from kok.operators.machine.component.render import rendered

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
    dump = "#!/bin/sh\necho nvidia-container-runtime /etc/containerd/certs.d\n"
    host.file("usr/local/bin/containerd", dump).chmod(0o755)
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


def test_a_drop_in_that_takes_containerds_own_settings_away_is_taken_back(
    containerd: GpuHost,
) -> None:
    """Before containerd 2.1 a section of it takes the place of the whole one in the main file."""
    host = containerd
    host.file("usr/local/bin/containerd", "#!/bin/sh\necho nvidia-container-runtime\n").chmod(0o755)
    done = install_toolkit(host, packages(host))
    assert done.returncode == 1
    assert "containerd would forget its own settings" in done.stdout
    assert not (host.root / "etc/containerd/conf.d/99-nvidia.toml").exists()
    assert "restart containerd" not in host.said("systemctl")


@pytest.mark.parametrize("version", ["1.7.27", "2.0.5", ""])
def test_every_containerd_that_is_supported_reads_the_drop_in(
    containerd: GpuHost, version: str
) -> None:
    made = rendered(
        builders.builtin("containerd", version), builders.machine(), {}, builders.survey()
    )
    config = next(f for f in made.files if f.path == "/etc/containerd/config.toml")
    # The one that nvidia-ctk asks for: with another it would add its own to the main file.
    assert tomllib.loads(config.content)["imports"] == ["/etc/containerd/conf.d/*.toml"]
    containerd.file("etc/containerd/config.toml", config.content)
    assert install_toolkit(containerd, packages(containerd)).returncode == 0


def test_where_the_drop_in_repeats_it_the_sandbox_image_is_part_of_it(host: GpuHost) -> None:
    old, new = (host.toolkit(sandboxImage=f"pause:{n}").config for n in (1, 2))
    assert old != new


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
