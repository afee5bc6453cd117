"""Quorums that are lost on purpose, and whether anything is done about that which must not be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.fixtures.backups import RESTORE
from e2e.framework.environment import Environment
from kok.api.meta import Manifest
from kok.kube import kinds


@asynccontextmanager
async def cut_off(w: Environment, namespace: str, members: Sequence[str]) -> AsyncIterator[None]:
    """Members that reach nobody, and whom nobody reaches."""
    async with AsyncExitStack() as stack:
        for member in members:
            await stack.enter_async_context(disruption.pod_cut_off(w, namespace, etcd.pod(member)))
        yield


@asynccontextmanager
async def forced_alone(
    w: Environment, namespace: str, member: str, others: Sequence[str]
) -> AsyncIterator[None]:
    """Somebody makes a cluster of its own of a member, as etcd lets whoever starts it so.

    The operator is away meanwhile. When it is back it takes the flag out of the StatefulSet, and
    restarts nobody for that; the member's data is what it was made to be. The others never reach
    that cluster: they would hear that it has removed them, and end. Its pod's address is known
    only when it runs, so that until then they reach nobody on its node.
    """
    flag = {"op": "add", "path": "/spec/template/spec/containers/0/command/-"}
    patch = json.dumps([{**flag, "value": "--force-new-cluster"}])
    name = etcd.pod(member)
    pod = await w.kube.get(kinds.POD, name, namespace)
    before = etcd.lives(pod)

    def anew(found: Manifest) -> bool:
        return etcd.lives(found) != before and etcd.pod_ready(found)

    async with AsyncExitStack() as stack:

        async def part(place: str) -> None:
            for other in others:
                parted = disruption.pod_parted(w, namespace, etcd.pod(other), place)
                await stack.enter_async_context(parted)

        async with disruption.operator_away(w):
            await part(await _pods_of_its_node(w, pod))
            await w.lab.kubectl(
                "patch", "statefulset", member, "-n", namespace, "--type=json", "-p", patch
            )
            await disruption.kill_pods(w, namespace, name)
            found = await w.until(kinds.POD, namespace, name, anew, etcd.LONG)
            await part(str(found["status"]["podIP"]))
            listed = (
                await etcd.etcdctl_with_retries(w, namespace, member, "member", "list")
            ).strip()
        if len(listed.splitlines()) != 1:
            raise AssertionError(f"{member} was to be alone: {listed}")
        yield


async def _pods_of_its_node(w: Environment, pod: Manifest | None) -> str:
    """The range that the pods of a pod's node have their addresses from."""
    node = await w.kube.get(kinds.NODE, ((pod or {}).get("spec") or {}).get("nodeName") or "-")
    found = ((node or {}).get("spec") or {}).get("podCIDR")
    if not found:
        raise AssertionError("a node without a range for its pods")
    return str(found)


async def destroy(w: Environment, namespace: str, members: Sequence[str]) -> None:
    """Their data is removed, and all of them end at the same moment; one loses its claim, too."""
    await asyncio.gather(*(disruption.on_disk(w, namespace, m, "rm -rf data") for m in members))
    await asyncio.gather(
        *(disruption.kill_process(w, namespace, etcd.pod(member)) for member in members)
    )
    await w.kube.delete(kinds.PVC, members[0], namespace)
    await disruption.kill_pods(w, namespace, etcd.pod(members[0]))


async def lost(w: Environment, namespace: str) -> Manifest:
    """Waits until it is said that the quorum is lost."""
    said = etcd.says("Available", "False", "QuorumLost")
    found = await w.until(etcd.KIND, namespace, etcd.NAME, said, etcd.SOON)
    w.report.line(etcd.sentence(found, "Available"))
    return found


def names_all(found: Manifest, left: Sequence[str], others: Sequence[str]) -> None:
    """Raises unless the sentence says up to where those that are `left` hold the log, and what the
    others lack."""
    sentence = etcd.sentence(found, "Available")
    wanted = [*(f"{name} up to index " for name in left), *(f"{name}: " for name in others)]
    if missing := [words for words in wanted if words not in sentence]:
        raise AssertionError(f"it does not say {missing}: {sentence}")


async def nothing_happens(w: Environment, before: Manifest, seconds: float) -> None:
    """Looks for so long whether the operator begins anything about members."""
    async with asyncio.timeout(seconds + etcd.SOON):
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await unchanged(w, before)
            await asyncio.sleep(1.0)


async def unchanged(w: Environment, before: Manifest) -> None:
    """Raises if members, or what starts them, are others than before, or are about to be."""
    namespace = before["metadata"]["namespace"]
    found = await etcd.get(w, namespace)
    status = found["status"]
    if status.get("operation"):
        raise AssertionError(f"an operation was begun: {json.dumps(status['operation'])}")
    if begun := await w.kube.list(RESTORE, namespace):
        raise AssertionError(f"a restore was begun: {[m['metadata']['name'] for m in begun]}")
    if (now := identities(found)) != (then := identities(before)):
        raise AssertionError(f"members were {then} and are {now}")
    sets = await w.kube.list(kinds.STATEFULSET, namespace)
    names = {m["name"] for m in before["status"]["members"]}
    if missing := names - {s["metadata"]["name"] for s in sets}:
        raise AssertionError(f"without consent the StatefulSets of {missing} were removed")


def identities(found: Manifest) -> dict[str, str]:
    """IDs of the members by name, and of the cluster by the EtcdCluster's name."""
    members = {m["name"]: m.get("id") for m in found["status"]["members"]}
    return {**members, found["metadata"]["name"]: found["status"]["clusterID"]}


async def volumes(w: Environment, namespace: str) -> dict[str, str]:
    """UIDs of the claims by name."""
    found = await w.kube.list(kinds.PVC, namespace)
    return {m["metadata"]["name"]: m["metadata"]["uid"] for m in found}
