"""What befalls nodes, pods and disks of the meta cluster; everything is undone at the end of its block."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from e2e.framework.environment import Environment
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.lab.cluster import pod_network
from kok.api.meta import Manifest
from kok.kube import kinds

SMALL = "lab-small"
"""StorageClass of the volumes that `small_volumes` makes."""
_SMALL_ROOT = "/var/lib/lab-small"
VOLUMES = "/var/lib/local-path"
"""Where hosts have the volumes of the usual StorageClass."""


@asynccontextmanager
async def paused(w: Environment, node: str) -> AsyncIterator[None]:
    """A node hangs: its connections stay open and nothing answers."""
    await w.lab.pause(node)
    try:
        yield
    finally:
        await w.lab.unpause(node)


@asynccontextmanager
async def cut_off(w: Environment, node: str) -> AsyncIterator[None]:
    """A node without network; what runs on it goes on."""
    await w.lab.cut(node)
    try:
        yield
    finally:
        await w.lab.heal(node)


@asynccontextmanager
async def pod_cut_off(w: Environment, namespace: str, pod: str) -> AsyncIterator[None]:
    """A pod that reaches nobody but its own kubelet."""
    container, uid = await _place(w, namespace, pod)
    await pod_network.cut(container, uid)
    try:
        yield
    finally:
        await pod_network.heal(container, uid)


@asynccontextmanager
async def pod_parted(w: Environment, namespace: str, pod: str, address: str) -> AsyncIterator[None]:
    """A pod that does not reach an address, or any of a range; of several at once the last counts."""
    container, uid = await _place(w, namespace, pod)
    await pod_network.part(container, uid, address)
    try:
        yield
    finally:
        await pod_network.heal(container, uid)


@asynccontextmanager
async def pod_slow(
    w: Environment, namespace: str, pod: str, *, kilobits: int = 200
) -> AsyncIterator[None]:
    """A pod behind a narrow link: what it sends is late."""
    container, uid = await _place(w, namespace, pod)
    await pod_network.slow(container, uid, kilobits)
    try:
        yield
    finally:
        await pod_network.heal(container, uid)


async def kill_process(w: Environment, namespace: str, pod: str, command: str = "etcd") -> None:
    """SIGKILL for a pod's program; its kubelet starts it again in the same pod."""
    container, uid = await _place(w, namespace, pod)
    await pod_network.kill(container, uid, command)


async def kill_pods(w: Environment, namespace: str, *pods: str) -> None:
    """Deletes pods at once and without grace."""
    await asyncio.gather(*(w.kube.delete(kinds.POD, p, namespace, grace=0) for p in pods))


async def kill_operator(w: Environment, word: str = "etcd") -> None:
    """SIGKILL for an operator, wherever it is in its work; its pod is made anew."""
    pods = [p["metadata"]["name"] for p in await w.kube.list(kinds.POD, OPERATORS)]
    await kill_pods(w, OPERATORS, *(p for p in pods if word in p))


@asynccontextmanager
async def operator_away(w: Environment, name: str = "kok-etcd") -> AsyncIterator[None]:
    """An operator that does not run at all."""
    found = await w.kube.get(kinds.DEPLOYMENT, name, OPERATORS)
    if found is None:
        raise AssertionError(f"there is no Deployment {OPERATORS}/{name}")
    replicas = str(found["spec"].get("replicas", 1))
    scale = ("-n", OPERATORS, "scale", f"deployment/{name}")
    await w.lab.kubectl(*scale, "--replicas=0")
    try:
        await kill_operator(w, name)
        yield
    finally:
        await w.lab.kubectl(*scale, f"--replicas={replicas}")


@asynccontextmanager
async def kubelet_away(w: Environment, node: str) -> AsyncIterator[None]:
    """A node without its kubelet: what runs on it goes on, and nobody starts or stops anything."""
    await w.lab.exec(node, "systemctl", "stop", "kubelet")
    try:
        yield
    finally:
        await w.lab.exec(node, "systemctl", "start", "kubelet")


@asynccontextmanager
async def drained(w: Environment, node: str, within: float = 180.0) -> AsyncIterator[None]:
    """A node that was drained as its owner would do it, with every budget respected."""
    limit = f"--timeout={within:.0f}s"
    try:
        await w.lab.kubectl(
            *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", limit),
            timeout=within + 30,
        )
        yield
    finally:
        await w.lab.kubectl("uncordon", node)


# --- disks


@dataclass(frozen=True)
class SmallVolume:
    """A volume of a fixed size in a host's memory: no other one suffers when it is full."""

    node: str
    path: str
    size: str

    async def fill(self, w: Environment) -> None:
        """From now on it holds what it holds, and not a block more."""
        script = (
            f"for n in 1 2 3 4 5; do used=$(df --output=used -k {self.path} | tail -n 1); "
            f'mount -o remount,size="${{used}}k" {self.path} && exit 0; done; exit 1'
        )
        await w.lab.exec(self.node, "sh", "-c", script)

    async def grow(self, w: Environment) -> None:
        """Gives it back its full size."""
        await w.lab.exec(self.node, "mount", "-o", f"remount,size={self.size}", self.path)


@asynccontextmanager
async def small_volumes(
    w: Environment, nodes: list[str], each: int, size: str = "1g"
) -> AsyncIterator[dict[str, SmallVolume]]:
    """Volumes of the StorageClass `SMALL`, `each` on every node, by name of their PersistentVolume.

    They are there for the taking by claims of up to 1Gi; whoever takes one frees it before the
    block ends.
    """
    made: dict[str, SmallVolume] = {}
    try:
        await w.apply(_storage_class())
        for node in nodes:
            for number in range(each):
                name = f"{SMALL}-{node}-{number}"
                volume = SmallVolume(node, f"{_SMALL_ROOT}/{number}", size)
                made[name] = volume
                script = (
                    f"mkdir -p {volume.path} && umount {volume.path} 2>/dev/null; "
                    f"mount -t tmpfs -o size={size},mode=0777 lab-small {volume.path}"
                )
                await w.lab.exec(node, "sh", "-c", script)
                await w.apply(_volume(name, volume))
        yield made
    finally:
        for name, volume in made.items():
            await w.kube.delete(kinds.PV, name)
            with contextlib.suppress(Exception):
                await w.lab.exec(volume.node, "umount", "-l", volume.path)
        await w.kube.delete(kinds.STORAGECLASS, SMALL)


async def on_disk(w: Environment, namespace: str, member: str, script: str) -> str:
    """Runs a script in the volume of an etcd member, on the host that its pod is on; its output."""
    found = await w.kube.get(kinds.POD, f"{member}-0", namespace)
    node = ((found or {}).get("spec") or {}).get("nodeName")
    if not node:
        raise AssertionError(f"{member} runs nowhere")
    volume = await volume_of(w, namespace, member)
    enter = f"cd {VOLUMES}/{volume}_* && test -d data/member/snap && "
    return await w.lab.exec(node, "sh", "-c", f"{enter}{script}")


async def volume_of(w: Environment, namespace: str, claim: str) -> str:
    """Name of the PersistentVolume behind a claim."""
    found = await w.kube.get(kinds.PVC, claim, namespace)
    name = ((found or {}).get("spec") or {}).get("volumeName")
    if not name:
        raise AssertionError(f"PersistentVolumeClaim {namespace}/{claim} has no volume")
    return str(name)


def _storage_class() -> Manifest:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": SMALL},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _volume(name: str, volume: SmallVolume) -> Manifest:
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [volume.node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": SMALL,
            "local": {"path": volume.path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
        },
    }


async def _place(w: Environment, namespace: str, pod: str) -> tuple[str, str]:
    """The container of the host that a pod runs on, and the pod's UID."""
    found = await w.kube.get(kinds.POD, pod, namespace)
    node = ((found or {}).get("spec") or {}).get("nodeName")
    if found is None or not node:
        raise AssertionError(f"pod {namespace}/{pod} runs nowhere")
    return w.lab.host(node).container, found["metadata"]["uid"]


async def system_away_from(w: Environment, others: Sequence[str]) -> None:
    """Moves KOK, the cluster's DNS and its provisioner off some nodes, to which something will
    happen."""
    try:
        for other in others:
            await w.lab.kubectl("cordon", other)
        for namespace in (OPERATORS, "kube-system", "local-path-storage"):
            deployments = await w.kube.list(kinds.DEPLOYMENT, namespace)
            pods = await w.kube.list(kinds.POD, namespace)
            away = [
                pod["metadata"]["name"]
                for pod in pods
                if pod["spec"].get("nodeName") in others
                and any(
                    o["kind"] == "ReplicaSet" for o in pod["metadata"].get("ownerReferences", ())
                )
            ]
            await kill_pods(w, namespace, *away)
            for each in deployments:
                name = each["metadata"]["name"]
                wait = ("rollout", "status", f"deployment/{name}", "--timeout=120s")
                await w.lab.kubectl("-n", namespace, *wait, timeout=130)
    finally:
        for other in others:
            await w.lab.kubectl("uncordon", other)
