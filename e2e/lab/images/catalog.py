"""The images that the lab serves, under the names by which a user's cluster pulls them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from e2e.lab.images import rootfs
from e2e.lab.images.rootfs import RootFS
from e2e.lab.programs.binaries import Program, program

PAUSE = "registry.k8s.io/pause:3.10.1"
COREDNS = "registry.k8s.io/coredns/coredns:v1.14.7"
FLANNEL = "ghcr.io/flannel-io/flannel:v0.26.7"
# The name that flannel's own manifests of this version use.
FLANNEL_CNI = "ghcr.io/flannel-io/flannel-cni-plugin:v1.6.2-flannel1"
LOCAL_PATH = "docker.io/rancher/local-path-provisioner:v0.0.30"
BUSYBOX = "docker.io/library/busybox:1.35.0"
NETWORK_POLICIES = "registry.k8s.io/networking/kube-network-policies:v0.8.0"
PROXY_SERVER = "registry.k8s.io/kas-network-proxy/proxy-server:v0.34.0"
PROXY_AGENT = "registry.k8s.io/kas-network-proxy/proxy-agent:v0.34.0"
METRICS_SERVER = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
TRAEFIK = "docker.io/library/traefik:v3.7.13"
DEVICE_PLUGIN = "nvcr.io/nvidia/k8s-device-plugin:v0.17.4"
TOOLBOX = "kok.dev/lab/toolbox:bookworm"

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
ETCD_PROGRAMS = ("etcd", "etcdctl", "etcdutl")
_BIN = "/usr/local/bin"


@dataclass(frozen=True)
class Image:
    """One image: programs laid over a base (by default next to nothing, see `static_image`).

    ``programs`` maps a path in the image to what lies there. ``lines`` are added to the
    Containerfile instead, ``{base}`` and ``{static}`` replaced by the names of the bases.
    """

    reference: str
    programs: Mapping[str, Program] = field(default_factory=dict)
    base: RootFS | None = None
    entrypoint: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def repository(self) -> str:
        """The repository without its registry, which is how a mirror is asked for it."""
        return self.reference.split("/", 1)[1].rsplit(":", 1)[0]

    @property
    def tag(self) -> str:
        return self.reference.rsplit(":", 1)[1]

    def containerfile(self) -> str:
        """The recipe. Its context holds everything to be copied below ``root``."""
        base = self.base.image if self.base else rootfs.static_image()
        if self.lines:
            return "\n".join(self.lines).format(base=base, static=rootfs.static_image()) + "\n"
        lines = [f"FROM {base}"]
        lines.append("COPY root/ /")
        lines.append(f'ENV PATH="{_BIN}:/usr/sbin:/usr/bin:/sbin:/bin"')
        if self.entrypoint:
            words = ", ".join(f'"{word}"' for word in self.entrypoint)
            lines.append(f"ENTRYPOINT [{words}]")
        return "\n".join(lines) + "\n"

    def digest(self, paths: Mapping[Program, Path]) -> str:
        """Hash of all that the image is made of; a program's path tells how it was built."""
        parts = [self.containerfile()]
        parts += [f"{inside}={paths[item]}" for inside, item in sorted(self.programs.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def kubernetes(version: str) -> tuple[Image, ...]:
    """The images of one Kubernetes version."""
    control_plane = tuple(
        Image(f"registry.k8s.io/{name}:{version}", {f"{_BIN}/{name}": program(name, version)})
        for name in CONTROL_PLANE
    )
    proxy = Image(
        f"registry.k8s.io/kube-proxy:{version}",
        {f"{_BIN}/kube-proxy": program("kube-proxy", version)},
        base=rootfs.TOOLBOX,
    )
    return (*control_plane, proxy)


def etcd(version: str, clock: int = 0) -> Image:
    """The etcd image, with both its tools; kubeadm appends a revision to the tag.

    With ``clock`` etcd's is so many seconds ahead (behind if negative), under a tag of its own.
    """
    programs = {f"{_BIN}/{name}": program(name, version) for name in ETCD_PROGRAMS}
    reference = f"registry.k8s.io/etcd:{version.removeprefix('v')}-0"
    if clock:
        programs[f"{_BIN}/etcd"] = replace(program("etcd", version), clock=clock)
        reference += f"-clock-{'ahead' if clock > 0 else 'behind'}-{abs(clock)}"
    return Image(reference, programs)


def pause() -> Image:
    return Image(PAUSE, {"/pause": Program("pause", "3.10.1")}, entrypoint=("/pause",))


def coredns() -> Image:
    return Image(COREDNS, {"/coredns": program("coredns")}, entrypoint=("/coredns",))


def local_path() -> Image:
    """With a shell, as upstream's: the built-in addon makes and removes directories by it."""
    name = "local-path-provisioner"
    programs = {f"/usr/bin/{name}": program(name)}
    return Image(LOCAL_PATH, programs, base=rootfs.TOOLBOX, entrypoint=(name,))


def flannel() -> tuple[Image, ...]:
    """The daemon, and the plugin with a `cp` that puts it on the host."""
    daemon = Image(
        FLANNEL,
        {"/opt/bin/flanneld": program("flanneld")},
        base=rootfs.TOOLBOX,
        entrypoint=("/opt/bin/flanneld",),
    )
    plugin = Image(
        FLANNEL_CNI,
        {"/flannel": program("flannel")},
        base=rootfs.TOOLBOX,
    )
    return daemon, plugin


def network_policies() -> Image:
    """What enforces NetworkPolicies, beside the tools that lead packets to it."""
    return Image(
        NETWORK_POLICIES,
        # Debian's /bin is /usr/bin: it is /bin/netpol, as upstream.
        {"/usr/bin/netpol": program("kube-network-policies")},
        base=rootfs.TOOLBOX,
        entrypoint=("/usr/bin/netpol",),
    )


def traefik() -> Image:
    return Image(TRAEFIK, {f"{_BIN}/traefik": program("traefik")}, entrypoint=(f"{_BIN}/traefik",))


def metrics_server() -> Image:
    name = "metrics-server"
    return Image(METRICS_SERVER, {f"/{name}": program(name)}, entrypoint=(f"/{name}",))


def konnectivity() -> tuple[Image, ...]:
    """Both ends of a tunnel, with the programs where upstream's images have them."""
    return tuple(
        Image(reference, {f"/{name}": program(name)}, entrypoint=(f"/{name}",))
        for reference, name in ((PROXY_SERVER, "proxy-server"), (PROXY_AGENT, "proxy-agent"))
    )


def addons() -> tuple[Image, ...]:
    """Images of those built-in addons that a lab has only on request."""
    return metrics_server(), traefik(), network_policies()


def device_plugin() -> Image:
    """NVIDIA's device plugin; where there is no driver it says so."""
    name = "nvidia-device-plugin"
    return Image(DEVICE_PLUGIN, {f"/usr/bin/{name}": program(name)}, base=rootfs.TOOLBOX)


def tools() -> tuple[Image, ...]:
    """Shells: busybox alone, and a Debian with curl, nslookup, iptables and more."""
    busybox = Image(
        BUSYBOX,
        base=rootfs.TOOLBOX,
        lines=(
            "FROM {static}",
            # Not by way of a stage: podman 4.3 removes the base of a stage without steps.
            "COPY --from={base} /bin/busybox /bin/busybox",
            'RUN ["/bin/busybox", "--install", "-s", "/bin"]',
            'CMD ["/bin/sh"]',
        ),
    )
    toolbox = Image(TOOLBOX, base=rootfs.TOOLBOX, lines=("FROM {base}", 'CMD ["/bin/bash"]'))
    return busybox, toolbox
