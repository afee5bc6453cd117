"""KubeNodes with the operator at work: Components, Machines, Hosts of a pool."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.operators.machine.conftest import (
    COMPONENT,
    HOST,
    KUBENODE,
    MACHINE,
    World,
    condition,
)
from tests.unit.operators.machine.builders import VERSIONS

from kok.api import Cluster
from kok.api.meta import Manifest
from kok.operators.machine.component import catalog
from kok.runtime.process.main import Process

CLUSTER = Cluster.info.kind
NOWHERE = {"user": "root", "secret": "ops-ssh"}
"""Hosts of these tests do not exist: their Machines stay where they are."""


async def cluster(world: World, version: str = "1.37.1", name: str = "shop") -> Manifest:
    return await world.make(CLUSTER, name, {"version": version})


async def sums(world: World, **wrong: str) -> None:
    """The ConfigMap `sums` for all built-in software; `wrong` are other sums by name."""
    lines = [
        f"{wrong.get(name, 'ab' * 32)}  {source.path}"
        for name, version in VERSIONS.items()
        for source in catalog.sources(name, version)
    ]
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "sums", "namespace": world.namespace},
        "data": {"SHA256SUMS": "\n".join(lines)},
    }
    await world.kube.apply(manifest)


def spec(*hosts: str, **more: Any) -> dict[str, Any]:
    listed = [{"name": n, "address": f"{n}.invalid"} for n in hosts]
    base: dict[str, Any] = {"cluster": "shop", "artifacts": {"checksums": "sums"}}
    if hosts:
        base |= {"hosts": listed, "ssh": NOWHERE}
    return {**base, **more}


async def names(world: World, kind: Any) -> list[str]:
    return sorted(m["metadata"]["name"] for m in await world.kube.list(kind, world.namespace))


def claims(count: int) -> Any:
    return lambda m: len((m.get("status") or {}).get("claims") or ()) == count


def counts(replicas: int) -> Any:
    return lambda m: (m.get("status") or {}).get("replicas") == replicas


async def test_a_kubenode_renders_components_and_machines(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await world.make(KUBENODE, "workers", spec("w1", "w2"))
    text = await world.reason(KUBENODE, "workers", "ClusterMissing")
    assert text == (
        f"Cluster {world.namespace}/shop does not exist; create it, or delete this KubeNode"
    )
    await cluster(world)
    text = await world.reason(KUBENODE, "workers", "SecretMissing")
    assert text.startswith("0 of 2 Machines are Ready; workers-w1: Secret ")
    assert await names(world, COMPONENT) == sorted(f"{n}-{v}" for n, v in VERSIONS.items())
    assert await names(world, MACHINE) == ["workers-w1", "workers-w2"]
    made = await world.get(MACHINE, "workers-w1")
    assert made
    assert {c["name"]: c["version"] for c in made["spec"]["components"]} == VERSIONS
    kubenode = await world.get(KUBENODE, "workers")
    assert kubenode
    assert kubenode["status"]["readySummary"] == "0/2"
    assert kubenode["status"]["version"] == "1.37.1"


async def test_what_is_deleted_by_hand_comes_back(world: World, machine_operator: Process) -> None:
    await sums(world)
    await cluster(world)
    await world.make(KUBENODE, "workers", spec("w1"))
    before = await world.until(MACHINE, "workers-w1", lambda m: "status" in m, "made")
    await world.kube.delete(MACHINE, "workers-w1", world.namespace)
    await world.kube.delete(COMPONENT, "runc-1.1.5", world.namespace)
    uid = before["metadata"]["uid"]
    await world.until(MACHINE, "workers-w1", lambda m: m["metadata"]["uid"] != uid, "made anew")
    await world.until(COMPONENT, "runc-1.1.5", lambda m: bool(condition(m)), "made anew")


async def test_machines_that_leave_drain_as_long_as_is_said_now(
    world: World, machine_operator: Process
) -> None:
    """Whether it is said with the change that sends them away, or while they drain."""
    await sums(world)
    await cluster(world)
    await world.make(KUBENODE, "workers", spec("w1", "w2"))
    for name in ("workers-w1", "workers-w2"):
        await world.until(MACHINE, name, lambda m: "status" in m, "made")
    held = {"metadata": {"finalizers": ["example.com/held", "kok.dev/machine-operator"]}}
    await world.kube.patch(MACHINE, "workers-w2", world.namespace, held)

    def leaves(patience: str) -> Any:
        return lambda m: (
            "deletionTimestamp" in m["metadata"] and m["spec"]["drainTimeout"] == patience
        )

    fewer = {"spec": {"hosts": spec("w1")["hosts"], "drainTimeout": "15s"}}
    await world.kube.patch(KUBENODE, "workers", world.namespace, fewer)
    await world.until(MACHINE, "workers-w2", leaves("15s"), "leaves")
    await world.kube.patch(KUBENODE, "workers", world.namespace, {"spec": {"drainTimeout": "5s"}})
    await world.until(MACHINE, "workers-w2", leaves("5s"), "leaves sooner")
    await world.kube.delete(KUBENODE, "workers", world.namespace)
    last = {"spec": {"drainTimeout": "1s"}}
    await world.kube.patch(KUBENODE, "workers", world.namespace, last)
    await world.until(MACHINE, "workers-w2", leaves("1s"), "leaves at once")
    free: dict[str, Any] = {"metadata": {"finalizers": []}}
    await world.kube.patch(MACHINE, "workers-w2", world.namespace, free)


async def test_two_kubenodes_share_components_until_the_last_one_goes(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await cluster(world)
    await world.make(KUBENODE, "one", spec("a"))
    await world.make(KUBENODE, "two", spec("b"))
    shared = await world.until(
        COMPONENT,
        "runc-1.1.5",
        lambda m: len(m["metadata"].get("ownerReferences", ())) == 2,
        "shared",
    )
    owners = shared["metadata"]["ownerReferences"]
    assert {o["name"] for o in owners} == {"one", "two"}
    assert not any(o.get("controller") for o in owners)


async def test_missing_and_corrected_checksums(world: World, machine_operator: Process) -> None:
    await cluster(world)
    await world.make(KUBENODE, "workers", spec("w1"))
    text = await world.reason(KUBENODE, "workers", "ChecksumsMissing")
    assert text.startswith(f"ConfigMap {world.namespace}/sums does not exist; create it with key")
    await sums(world, runc="cd" * 32)
    await world.patch(KUBENODE, "workers", metadata={"annotations": {"kok.dev/again": "1"}})
    await world.until(MACHINE, "workers-w1", lambda m: True, "made")

    def pinned(digest: str) -> Any:
        return lambda m: {a["sha256"] for a in m["spec"].get("artifacts", ())} == {digest}

    await world.until(COMPONENT, "runc-1.1.5", pinned("cd" * 32), "pinned")
    # The ConfigMap has the last word as long as nobody else relies on the Component.
    await sums(world)
    await world.patch(KUBENODE, "workers", metadata={"annotations": {"kok.dev/again": "2"}})
    await world.until(COMPONENT, "runc-1.1.5", pinned("ab" * 32), "corrected")


async def test_a_version_newer_than_the_clusters_is_refused(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await cluster(world, "1.36.4")
    await world.make(KUBENODE, "workers", spec("w1", version="1.37.1"))
    text = await world.reason(KUBENODE, "workers", "VersionSkew")
    assert text == (
        "spec.version: kubelet 1.37.1 is newer than the control plane's 1.36.4; write 1.36.x or "
        "older, or upgrade the Cluster first"
    )
    assert await names(world, MACHINE) == []


async def test_nodes_follow_once_the_control_plane_is_through(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await cluster(world)

    async def runs(**status: Any) -> None:
        patch = {"status": status}
        await world.kube.patch(CLUSTER, "shop", world.namespace, patch, subresource="status")

    def follows(version: str) -> Any:
        return lambda m: (m.get("status") or {}).get("version") == version

    moment = "2026-11-02T12:00:00Z"
    upgrade = {"from": "1.36.4", "to": "1.37.1", "hop": "1.37.1", "hopFrom": "1.36.4"}
    upgrade |= {"step": "Addons", "since": moment, "movedAt": moment}
    await runs(version="1.37.1", nodesVersion="1.36.4", upgrade=upgrade)
    await world.make(KUBENODE, "workers", spec("w1"))
    await world.until(KUBENODE, "workers", follows("1.36.4"), "as it was")
    text = await world.reason(KUBENODE, "workers", "ClusterUpgrading", "VersionCurrent")
    assert text.startswith(f"Cluster {world.namespace}/shop is being upgraded to 1.37.1, and no ")
    await runs(nodesVersion="1.37.1", upgrade=None)
    await world.until(KUBENODE, "workers", follows("1.37.1"), "upgraded")
    text = await world.reason(KUBENODE, "workers", "Following", "VersionCurrent")
    assert text.startswith("0 of 1 nodes run 1.37.1; workers-w1: ")
    made = await world.get(MACHINE, "workers-w1")
    assert made
    assert {c["name"]: c["version"] for c in made["spec"]["components"]} == VERSIONS


async def test_a_pool_is_claimed_scaled_and_given_back(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await cluster(world)
    for name in ("h1", "h2", "h3"):
        body = {"address": "127.0.0.1", "port": int(name[1]), "ssh": NOWHERE}
        await world.make(HOST, name, body, labels={"rack": "a"})
    pool = spec(replicas=2, pool={"matchLabels": {"rack": "a"}})
    await world.make(KUBENODE, "workers", pool)
    await world.until(KUBENODE, "workers", claims(2), "served")
    await world.until(HOST, "h1", lambda m: _phase(m) == "Claimed", "claimed")
    await world.until(HOST, "h3", lambda m: _phase(m) == "Free", "free")
    await world.named(MACHINE, "workers-h1", "workers-h2")

    path = f"/apis/kok.dev/v1alpha1/namespaces/{world.namespace}/kubenodes/workers/scale"
    scale = await world.kube.raw("GET", path)
    assert scale["status"]["selector"] == "kok.dev/kubenode=workers"
    await world.scale("workers", 4)
    lack = "the pool lacks 1 free Hosts with labels rack=a; add Hosts or lower spec.replicas"
    await world.until(
        KUBENODE, "workers", lambda m: lack in condition(m).get("message", ""), "too small"
    )
    await world.until(KUBENODE, "workers", claims(3), "served by all there are")

    await world.scale("workers", 1)
    await world.until(KUBENODE, "workers", claims(1), "smaller")
    await world.until(HOST, "h3", lambda m: _phase(m) == "Free", "free")
    await world.named(MACHINE, "workers-h1")


async def test_two_kubenodes_never_claim_the_same_host(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await cluster(world)
    for number in range(1, 5):
        body = {"address": "127.0.0.1", "port": number, "ssh": NOWHERE}
        await world.make(HOST, f"h{number}", body)
    await asyncio.gather(
        *(world.make(KUBENODE, name, spec(replicas=2, pool={})) for name in ("one", "two"))
    )
    one = await world.until(KUBENODE, "one", claims(2), "served")
    two = await world.until(KUBENODE, "two", claims(2), "served")
    assert not set(one["status"]["claims"]) & set(two["status"]["claims"])


async def test_a_host_that_is_given_back_serves_another_kubenode_at_once(
    world: World, machine_operator: Process
) -> None:
    """Of a change of another's status nothing else tells the one that waits."""
    await sums(world)
    await cluster(world)
    await cluster(world, name="other")
    for number in (1, 2):
        body = {"address": "127.0.0.1", "port": number, "ssh": NOWHERE}
        await world.make(HOST, f"h{number}", body)
    await world.make(KUBENODE, "one", spec(replicas=2, pool={}))
    await world.until(KUBENODE, "one", claims(2), "served")
    await world.make(KUBENODE, "two", spec(cluster="other", replicas=2, pool={}))
    await world.reason(KUBENODE, "two", "PoolExhausted")
    await world.scale("one", 1)
    await world.until(KUBENODE, "two", claims(1), "served by what the other gave back")
    # So it is with all that one has that goes.
    await world.kube.delete(KUBENODE, "one", world.namespace)
    await world.until(KUBENODE, "two", claims(2), "served by all")
    await world.named(MACHINE, "two-h1", "two-h2")


async def test_a_client_of_the_scale_subresource_reads_and_writes_it_as_autoscalers_do(
    world: World, machine_operator: Process
) -> None:
    """It writes the whole Scale as it was read, and goes by what it counts."""
    await sums(world)
    await cluster(world)
    for number in range(1, 4):
        body = {"address": "127.0.0.1", "port": number, "ssh": NOWHERE}
        await world.make(HOST, f"h{number}", body)
    await world.make(KUBENODE, "workers", spec(replicas=1, pool={}))
    await world.until(KUBENODE, "workers", claims(1), "served")
    path = f"/apis/kok.dev/v1alpha1/namespaces/{world.namespace}/kubenodes/workers/scale"
    for wanted in (3, 2):
        read = await world.kube.raw("GET", path)
        assert read["kind"] == "Scale"
        await world.kube.raw("PUT", path, {**read, "spec": {"replicas": wanted}})
        await world.until(KUBENODE, "workers", claims(wanted), f"{wanted} large")
        await world.until(KUBENODE, "workers", counts(wanted), "counted")
        told = (await world.kube.raw("GET", path))["status"]
        selected = await world.kube.list(MACHINE, world.namespace, labels=told["selector"])
        assert told["replicas"] == wanted == len(selected)


async def test_a_host_that_is_deleted_is_replaced_and_goes_when_it_is_free(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await cluster(world)
    for number in (1, 2):
        body = {"address": "127.0.0.1", "port": number, "ssh": NOWHERE}
        await world.make(HOST, f"h{number}", body)
    await world.make(KUBENODE, "workers", spec(replicas=1, pool={}))
    await world.until(HOST, "h1", lambda m: _phase(m) == "Claimed", "claimed")
    await world.kube.delete(HOST, "h1", world.namespace)
    await world.until(HOST, "h2", lambda m: _phase(m) == "Claimed", "claimed")
    await world.gone(HOST, "h1")
    await world.named(MACHINE, "workers-h2")


async def test_a_kubenode_and_its_cluster_deleted_together_both_go(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await cluster(world)
    await world.make(KUBENODE, "workers", spec("w1", "w2"))
    await world.until(MACHINE, "workers-w2", lambda m: "status" in m, "made")
    # Nobody keeps the Cluster here: it is gone at once, before its Machines.
    await world.kube.delete(CLUSTER, "shop", world.namespace)
    await world.kube.delete(KUBENODE, "workers", world.namespace)
    await world.gone(KUBENODE, "workers")
    assert await names(world, MACHINE) == []


async def test_a_machine_of_that_name_that_is_somebody_elses_is_named(
    world: World, machine_operator: Process
) -> None:
    await sums(world)
    await cluster(world)
    own = {"cluster": "shop", "node": "x", "address": "127.0.0.1", "port": 9, "ssh": NOWHERE}
    await world.make(MACHINE, "workers-w1", own)
    await world.make(KUBENODE, "workers", spec("w1"))
    await world.until(
        KUBENODE,
        "workers",
        lambda m: "is there already and is not this KubeNode's" in condition(m).get("message", ""),
        "refused",
    )


def _phase(manifest: Manifest) -> str:
    return str((manifest.get("status") or {}).get("phase", ""))
