"""The meta cluster: kubeadm on hosts of the lab, with a pod network and volumes."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jinja2 import Environment, StrictUndefined

from e2e.lab.cluster import kubeadm
from e2e.lab.cluster.hosts import Host, Hosts
from e2e.lab.cluster.state import State, Store
from e2e.lab.errors import CommandError, LabError
from e2e.lab.images import catalog
from e2e.lab.machine.commands import run
from e2e.lab.machine.podman import execute
from e2e.lab.programs.binaries import architecture
from e2e.lab.programs.sources import BY_PROGRAM, KUBERNETES, RUNC
from e2e.lab.services import artifacts
from e2e.lab.services.servers import Services
from e2e.polling import eventually

FILES = Path(__file__).parent / "files"
FIRST = "meta-1"
_JINJA = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - not HTML
_INSTALLED = "/var/lib/kok-lab/installed"
_JOINED = "/etc/kubernetes/lab-joined"
_CONFIG = "/etc/kubernetes/lab-kubeadm.yaml"
# On an image that has another one's name for a while; pulling it again takes the label away.
_MASK = "dev.kok.lab.mask"
_PROVISIONER = "app=local-path-provisioner"
_NO_QUEUE = (
    "t='iptables -w -t mangle'; $t -D POSTROUTING -j LAB-POLICIES; $t -D INPUT -j LAB-POLICIES-IN; "
    "for c in LAB-POLICIES LAB-POLICIES-IN; do $t -F $c; $t -X $c; done; true"
)


class Meta:
    """The meta cluster of one lab."""

    def __init__(
        self, state: State, store: Store, hosts: Hosts, services: Services, kubectl: Path
    ) -> None:
        """``kubectl`` is a program of the machine that may still have to be built."""
        self.state = state
        self.store = store
        self.hosts = hosts
        self.services = services
        self._kubectl = kubectl

    async def kubectl(
        self, *argv: str, stdin: str | bytes | None = None, timeout: float | None = 120
    ) -> str:
        """Run kubectl as the meta cluster's admin; its standard output."""
        return await run(
            self._kubectl,
            f"--kubeconfig={self.store.kubeconfig}",
            *argv,
            stdin=stdin,
            timeout=timeout,
        )

    async def install(self, host: Host) -> None:
        """Put runtime, kubelet and configuration on a meta host."""
        files = self._files()
        arch = architecture()
        values = {
            "BASE": self.services.artifacts_url,
            "CONTAINERD": artifacts.archive_path("containerd", _version("containerd"), arch),
            "CNI": artifacts.archive_path("cni-plugins", _version("bridge"), arch),
            "RUNC": artifacts.archive_path("runc", RUNC, arch),
            "KUBERNETES": artifacts.kubernetes_path("", KUBERNETES, arch).rstrip("/"),
        }
        script = "".join(f"{key}='{value}'\n" for key, value in values.items())
        script += (FILES / "install.sh").read_text()
        digest = _digest(script, *files, *files.values())
        if await _read(host, _INSTALLED) == digest:
            return
        await execute(host.container, "tar", "-x", "-C", "/", stdin=_tar(files))
        await execute(host.container, "bash", "-s", stdin=script, timeout=180)
        await _write(host, _INSTALLED, digest)

    async def init(self) -> None:
        """Make the cluster on its first host, unless it is there; then fetch its kubeconfig."""
        host = self.hosts.host(FIRST)
        if await _read(host, _JOINED) is None:
            await self._prepare_kubeadm(host, kubeadm.init_config(self.state, host))
            await self._kubeadm(host, "init", "--skip-token-print")
            await _write(host, _JOINED, "init")
        admin = await execute(host.container, "cat", "/etc/kubernetes/admin.conf")
        draft = self.store.kubeconfig.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(admin)
        draft.rename(self.store.kubeconfig)
        await self._answers()

    async def join(self, host: Host) -> None:
        """Add a further host to the cluster, unless it is part of this very cluster."""
        first = self.hosts.host(FIRST)
        authority = await execute(first.container, "cat", "/etc/kubernetes/pki/ca.crt")
        pin = _pin(authority)
        if await _read(host, _JOINED) == pin:
            return
        token = await execute(first.container, "kubeadm", "token", "create", "--ttl", "15m")
        config = kubeadm.join_config(host, f"{first.address}:6443", token.strip(), pin)
        await self._prepare_kubeadm(host, config)
        await self._kubeadm(host, "join")
        await _write(host, _JOINED, pin)

    async def addons(self) -> None:
        """Apply the pod network and the storage class."""
        values = {
            "pod_cidr": str(self.state.pod_cidr),
            "flannel": catalog.FLANNEL,
            "flannel_cni": catalog.FLANNEL_CNI,
            "local_path": catalog.LOCAL_PATH,
            "busybox": catalog.BUSYBOX,
        }
        for name in ("flannel.yaml", "local-path.yaml"):
            text = _JINJA.from_string((FILES / name).read_text()).render(values)
            await self.kubectl("apply", "--server-side", "-f", "-", stdin=text.encode())

    async def enforce(self, timeout: float = 180) -> None:
        """Have NetworkPolicies enforced on all hosts, until `ignore`."""
        await self.kubectl("apply", "--server-side", "-f", "-", stdin=self._enforcer())
        rollout = ("rollout", "status", "daemonset/kube-network-policies")
        limit = f"--timeout={timeout:.0f}s"
        await self.kubectl("-n", "kube-system", *rollout, limit, timeout=None)

    async def ignore(self, hosts: Sequence[Host]) -> None:
        """NetworkPolicies are objects without effect again; packets are led nowhere."""
        gone = ("delete", "--ignore-not-found", "--wait", "-f", "-")
        await self.kubectl(*gone, stdin=self._enforcer(), timeout=180)
        for host in hosts:
            await execute(host.container, "sh", "-c", _NO_QUEUE)

    def _enforcer(self) -> bytes:
        text = (FILES / "network-policies.yaml").read_text()
        return _JINJA.from_string(text).render(image=catalog.NETWORK_POLICIES).encode()

    async def ready(self, timeout: float = 180) -> None:
        """Wait until nodes, cluster DNS, pod network and storage class are ready."""
        limit = f"--timeout={timeout:.0f}s"
        await self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", limit, timeout=None)
        for namespace, workload, pods in (
            ("kube-flannel", "daemonset/kube-flannel", "--all"),
            ("kube-system", "deployment/coredns", "--all"),
            # Beside it come and go pods that make volumes and remove them, and are never ready.
            ("local-path-storage", "deployment/local-path-provisioner", f"-l={_PROVISIONER}"),
        ):
            await self.kubectl("-n", namespace, "rollout", "status", workload, limit, timeout=None)
            # After a reboot the workload's own count is older than its pods' state.
            ready = ("wait", "pods", pods, "--for=condition=Ready", limit)
            await self.kubectl("-n", namespace, *ready, timeout=None)

    async def prepull(self, host: Host, images: Sequence[str]) -> None:
        """Pull images on a meta host, those apart that are there and not masked by a killed run."""
        masked = await self._ctr(host, "list", "-q", f'labels."{_MASK}"==yes')
        present = set((await self._ctr(host, "list", "-q")).split()) - set(masked.split())
        pulls = (self._pull(host, image) for image in images if image not in present)
        await asyncio.gather(*pulls)

    async def pull(self, *images: str) -> None:
        """Pull images on every meta host that was made, those apart that are there."""
        await asyncio.gather(*(self.prepull(host, images) for host in await self._members()))

    async def renew(self, repository: str, image: str) -> None:
        """Pull an image on every meta host, and forget the others of its repository."""
        await self.pull(image)
        for host in await self._members():
            await self.forget(host, repository, image)

    async def _members(self) -> list[Host]:
        return [host for host in await self.hosts.existing() if host.role == "meta"]

    async def forget(self, host: Host, repository: str, keep: str) -> None:
        """Remove the images of a repository but one; what runs from them goes on running."""
        listed = await self._ctr(host, "list", "-q")
        old = [
            name
            for name in listed.split()
            if name.startswith((f"{repository}:", f"{repository}@")) and name != keep
        ]
        if old:
            await self._ctr(host, "remove", *old)

    async def mask(self, host: Host, image: str, by: str) -> None:
        """Containers of a host that are made of an image get another one, until `unmask`."""
        await self.prepull(host, (by,))
        await self._ctr(host, "tag", "--force", by, image)
        await self._ctr(host, "label", image, f"{_MASK}=yes")

    async def unmask(self, host: Host, image: str, by: str) -> None:
        """The image is again what the registry serves under its name."""
        await self._pull(host, image)
        await self._ctr(host, "remove", by)

    async def _pull(self, host: Host, image: str) -> None:
        await self._ctr(host, "pull", "--hosts-dir", "/etc/containerd/certs.d", image, timeout=300)

    async def _ctr(self, host: Host, *argv: str, timeout: float = 120) -> str:
        """Ask a host's containerd about the images that pods are made of, or change them."""
        images = ("ctr", "-n", "k8s.io", "images")
        return await execute(host.container, *images, *argv, timeout=timeout)

    async def _prepare_kubeadm(self, host: Host, config: str) -> None:
        """Write kubeadm's configuration; undo what an earlier, unfinished attempt left."""
        await execute(
            host.container,
            "kubeadm",
            "reset",
            "--force",
            "--cri-socket",
            kubeadm.SOCKET,
            timeout=120,
        )
        await _write(host, _CONFIG, config)
        policy = (FILES / "audit-policy.yaml").read_text()
        await _write(host, kubeadm.AUDIT_POLICY, policy)

    async def _kubeadm(self, host: Host, *argv: str) -> None:
        try:
            await execute(host.container, "kubeadm", *argv, "--config", _CONFIG, timeout=300)
        except CommandError as error:
            raise LabError(
                f"{error}\nlook at `podman exec {host.container} journalctl -u kubelet`"
            ) from error

    async def _answers(self, timeout: float = 120) -> None:
        """Wait for the API: after a restart its host is up long before."""
        asked = partial(self.kubectl, "get", "--raw", "/readyz", timeout=10)
        try:
            await eventually(asked, timeout, every=0.5, unless=(CommandError, TimeoutError))
        except TimeoutError as error:
            raise LabError(
                f"the meta API does not answer: {error}\nlook at `podman exec "
                f"{self.hosts.host(FIRST).container} ctr -n k8s.io tasks ls` and `... journalctl -u kubelet`"
            ) from None

    def _files(self) -> Mapping[str, str]:
        values = {"pause": catalog.PAUSE, "mirror": f"http://{self.services.registry}"}
        places = {
            "containerd.toml": "etc/containerd/config.toml",
            "hosts.toml": "etc/containerd/certs.d/_default/hosts.toml",
            "containerd.service": "etc/systemd/system/containerd.service",
            "kubelet.service": "etc/systemd/system/kubelet.service",
        }
        return {
            place: _JINJA.from_string((FILES / name).read_text()).render(values)
            for name, place in places.items()
        }


def _version(program: str) -> str:
    return BY_PROGRAM[program].version


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _tar(files: Mapping[str, str]) -> bytes:
    """Text files as an archive, to be unpacked at the root of a host."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _pin(certificate: str) -> str:
    """The hash by which kubeadm recognises a cluster's CA."""
    key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


async def _read(host: Host, path: str) -> str | None:
    try:
        return await execute(host.container, "cat", path)
    except CommandError:  # not there
        return None


async def _write(host: Host, path: str, text: str) -> None:
    """Write a small file whole or not at all."""
    script = f'mkdir -p "$(dirname {path})" && cat > {path}.new && mv {path}.new {path}'
    await execute(host.container, "sh", "-c", script, stdin=text.encode())
