"""Hosts of a pool as nodes of a business cluster, and `kubectl scale` over them."""

from __future__ import annotations

from e2e import userfiles
from e2e.follow import Predicate, has, until
from e2e.world import World
from kok.api import Host, KubeNode, Machine, names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

HOST, KUBENODE, MACHINE = Host.info.kind, KubeNode.info.kind, Machine.info.kind
RACK = {"rack": "a"}
LONG = 900.0


def kubenode(w: World, namespace: str, name: str, cluster: str, replicas: int) -> Manifest:
    """A KubeNode that claims so many Hosts of the rack."""
    spec = {
        "cluster": cluster,
        "replicas": replicas,
        "pool": {"matchLabels": RACK},
        "artifacts": {"baseURL": w.lab.artifacts_url, "checksums": userfiles.CHECKSUMS},
        "registry": {"mirrors": {"*": [w.lab.mirror]}},
        "kubelet": dict(userfiles.LAB_KUBELET),
    }
    return _object(KubeNode, namespace, name, spec)


def host(w: World, namespace: str, name: str) -> Manifest:
    """A host of the lab as a Host of the rack; whoever takes it logs in with a password."""
    ssh = w.lab.ssh(name)
    spec = {
        "address": ssh.address,
        "hostKey": ssh.fingerprint,
        "ssh": {"user": ssh.user, "secret": userfiles.SSH_SECRET},
    }
    made = _object(Host, namespace, name, spec)
    made["metadata"]["labels"] = RACK
    return made


async def scale(w: World, namespace: str, name: str, replicas: int) -> None:
    """`kubectl scale`, and what it asks for."""
    await w.lab.kubectl("scale", "kubenode", name, "-n", namespace, f"--replicas={replicas}")
    await serving(w, namespace, name, replicas)


async def serving(w: World, namespace: str, name: str, replicas: int) -> None:
    """Waits until there are so many Machines, all of them Ready, and none on its way out."""
    await w.until(KUBENODE, namespace, name, _has(replicas), LONG)


async def nodes_are(kube: Kube, *wanted: str) -> None:
    """These are the nodes of a business cluster, and no others."""
    found = sorted(node["metadata"]["name"] for node in await kube.list(kinds.NODE))
    if found != sorted(wanted):
        raise AssertionError(f"the nodes should be {sorted(wanted)}, not {found}")


async def free(w: World, namespace: str, hosts: tuple[str, ...]) -> str:
    """The one Host of these that nobody uses, as its status says."""
    found = []
    for name in hosts:
        live = await w.kube.get(HOST, name, namespace)
        if ((live or {}).get("status") or {}).get("phase") == "Free":
            found.append(name)
    if len(found) != 1:
        raise AssertionError(f"one of the Hosts {', '.join(hosts)} should be Free, not {found}")
    return found[0]


async def bare(w: World, name: str) -> None:
    """Nothing of a node is left on a host."""
    for path in ("/usr/local/bin/kubelet", "/var/lib/kubelet/pki", "/etc/kubernetes"):
        there = await w.lab.exec(name, "sh", "-c", f"test -e {path} && echo yes || true")
        if there.strip():
            raise AssertionError(f"{path} is left on {name}")


async def labelled(w: World, namespace: str, name: str, cluster: str, value: str) -> None:
    """A label in the KubeNode's spec reaches all nodes of the business cluster.

    Until it has, their Machines are not Ready: a Node is not as it should be.
    """
    patch = {"spec": {"labels": {"e2e.kok.dev/word": value}}}
    await w.kube.patch(KUBENODE, name, namespace, patch)
    async with await w.business(namespace, cluster) as kube:
        for node in await kube.list(kinds.NODE):
            await until(
                kube,
                kinds.NODE,
                node["metadata"]["name"],
                "",
                lambda n: n["metadata"]["labels"].get("e2e.kok.dev/word") == value,
                within=LONG,
            )
    for machine in await w.kube.list(MACHINE, namespace, labels=f"{names.LABEL_KUBENODE}={name}"):
        await w.until(MACHINE, namespace, machine["metadata"]["name"], has("Ready"), LONG)


def _has(replicas: int) -> Predicate:
    def check(manifest: Manifest) -> bool:
        status = manifest.get("status") or {}
        counts = (status.get("replicas"), status.get("ready"), status.get("upToDate"))
        return has("Ready", reason="MachinesReady")(manifest) and counts == (replicas,) * 3

    return check


def _object(
    model: type[Host] | type[KubeNode], namespace: str, name: str, spec: Manifest
) -> Manifest:
    kind = model.info.kind
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
