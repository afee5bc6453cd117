"""`kok machine release`: a host leaves KOK and stays the node that it is."""

from __future__ import annotations

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.api.names import ANNOTATION_RELEASE, LABEL_HOST, LABEL_KUBENODE
from kok.cli.conflicts import until_written
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused, connected, named, namespace_of
from kok.kube.client import Kube

KUBENODE, MACHINE = KubeNode.info.kind, Machine.info.kind


async def release(name: str, namespace: str | None, options: KubectlOptions) -> str:
    """Has a Machine removed that leaves its host as it is; a sentence on what that means.

    Raises `KubeError` and `Refused`.
    """
    async with await connected(options) as kube:
        where = namespace_of(kube, namespace)
        machine = Machine.parse(await named(kube, MACHINE, name, where))
        _check(machine)
        # Before anything has it removed: from then on it counts how it is to be.
        notes = {
            "metadata": {"uid": machine.metadata.uid, "annotations": {ANNOTATION_RELEASE: "true"}}
        }
        await kube.patch(MACHINE, name, where, notes)
        owner = machine.metadata.labels.get(LABEL_KUBENODE)
        unlisted = f" and is taken out of KubeNode {owner}" if owner else ""
        if owner is None or not await _unlist(kube, owner, where, machine.spec.node):
            await kube.delete(MACHINE, name, where, uid=machine.metadata.uid)
            unlisted = ""
    spec = machine.spec
    return (
        f"Machine {where}/{name} goes{unlisted}; its host stays node {spec.node} of Cluster "
        f"{spec.cluster}, with all that runs there"
    )


def _check(machine: Machine) -> None:
    """Raises `Refused` for one that cannot be let go that way."""
    if machine.deleting:
        raise Refused(f"{machine} is being removed already; status.removal says how far that is")
    if machine.status.first_ready is None:
        raise Refused(
            f"{machine} has never been a node, so that nothing could be left as it is; delete it, and "
            "its host is cleaned up"
        )
    if (host := machine.metadata.labels.get(LABEL_HOST)) is not None:
        raise Refused(
            f"{machine} uses Host {host} of a pool, which nobody else could use while it stays a node; "
            "list the host by name in a KubeNode, or scale down so that it is cleaned up"
        )


async def _unlist(kube: Kube, name: str, namespace: str, node: str) -> bool:
    """Takes a host out of the list of its KubeNode, which then has its Machine removed; whether there
    is that KubeNode."""

    async def once() -> bool:
        found = await kube.get(KUBENODE, name, namespace)
        if found is None:
            return False
        hosts = found["spec"].get("hosts") or []
        rest = [host for host in hosts if host.get("name") != node]
        if len(rest) != len(hosts):
            version = {"resourceVersion": found["metadata"]["resourceVersion"]}
            patch = {"metadata": version, "spec": {"hosts": rest}}
            await kube.patch(KUBENODE, name, namespace, patch)
        return True

    # What is written is the list as it is by now.
    return await until_written(once)
