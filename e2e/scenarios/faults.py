"""Bad input and faults: each is said in a clear sentence and, once mended, converges by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any

from e2e.demo import CLUSTER
from e2e.fixtures import userfiles
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import Predicate, condition, has, is_not, until
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.report import Report
from kok.api import Cluster, Component, KubeNode, Machine
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-faults"
OTHER = "e2e-faults-other"
FIRST, SECOND = "worker-2", "worker-3"
WORKERS = f"{CLUSTER}-workers"
SOON, LONG = 90.0, 300.0

Fault = Callable[[Environment], Awaitable[None]]


async def run(report: Report) -> None:
    """All faults, one after the other, on one business cluster and two hosts."""
    faults: tuple[Fault, ...] = (
        refused_at_apply,
        secret_missing_then_wrong_then_right,
        node_deleted_by_hand,
        operator_killed_while_installing,
        host_of_another_machine,
        host_key_changed,
        host_without_power,
        wrong_checksum,
        ca_edited_by_hand,
        operators_killed_while_creating,
        deleted_while_creating,
    )
    async with environment(report, meta=1, workers=3) as w:
        await asyncio.gather(w.drop_namespace(NAMESPACE), w.drop_namespace(OTHER))
        await w.namespace(NAMESPACE)
        await w.namespace(OTHER)
        for fault in faults:
            with report.step((fault.__doc__ or fault.__name__).strip().splitlines()[0]):
                await fault(w)
        report.figures["faults"] = len(faults)
        await asyncio.gather(
            w.drop_namespace(NAMESPACE, within=LONG), w.drop_namespace(OTHER, within=LONG)
        )


def ready_false(*reasons: str) -> Predicate:
    """Whether `Ready` is False for one of the reasons, with a message."""

    def check(manifest: Manifest) -> bool:
        found = condition(manifest, "Ready")
        return (
            found.get("status") == "False"
            and found.get("reason") in reasons
            and bool(found.get("message"))
        )

    return check


def _cluster(w: Environment, worker: str) -> Manifest:
    return userfiles.documents(userfiles.first_cluster(w.lab, worker, namespace=NAMESPACE))[0]


def _kubenode(w: Environment, worker: str, name: str, namespace: str, **spec: Any) -> Manifest:
    text = userfiles.first_cluster(w.lab, worker, namespace=namespace)
    manifest = deepcopy(userfiles.documents(text)[1])
    manifest["metadata"]["name"] = name
    manifest["spec"].update(spec)
    return manifest


async def _machine(w: Environment, name: str, predicate: Predicate, within: float) -> Manifest:
    return await w.until(Machine.info.kind, NAMESPACE, name, predicate, within)


async def _remove(w: Environment, name: str, namespace: str = NAMESPACE) -> None:
    await w.kube.delete(KubeNode.info.kind, name, namespace)
    await w.gone(KubeNode.info.kind, namespace, name, LONG)


async def _kill_pods(w: Environment, word: str) -> None:
    """kill -9 for the operators whose pods' names hold the word."""
    pods = [p["metadata"]["name"] for p in await w.kube.list(kinds.POD, OPERATORS)]
    await asyncio.gather(
        *(w.kube.delete(kinds.POD, p, OPERATORS, grace=0) for p in pods if word in p)
    )


async def refused_at_apply(w: Environment) -> None:
    """bad Clusters are refused by kubectl apply with a sentence"""
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"version": "1.99.1"}, "1.99.1 is not supported; this release knows"),
        ({"version": "v1.37.1"}, "without a leading v"),
        ({"etcd": {"members": 2}}, "1, 3, 5 or 7"),
        ({"network": {"podCIDRs": ["10.64.0.0/16"], "serviceCIDRs": ["10.64.8.0/20"]}}, "overlap"),
    )
    for spec, sentence in cases:
        manifest = _cluster(w, FIRST)
        manifest["metadata"]["name"] = "bad"
        manifest["spec"].update(spec)
        await w.refused(manifest, sentence)
    manifest = _cluster(w, FIRST)
    manifest["metadata"]["name"] = "a-name-that-is-far-too-long-to-fit-into-what-is-made-of-it"
    await w.refused(manifest, "write at most")


async def secret_missing_then_wrong_then_right(w: Environment) -> None:
    """the SSH Secret is missing, then holds a wrong password, then the right key"""
    sums = userfiles.checksums(w.lab, NAMESPACE)
    await w.apply(sums, _cluster(w, FIRST), _kubenode(w, FIRST, WORKERS, NAMESPACE))
    name = f"{WORKERS}-{FIRST}"
    await _machine(w, name, ready_false("SecretMissing"), SOON)
    await w.apply(userfiles.ssh_secret(w.lab, FIRST, NAMESPACE, password="not-the-password"))  # noqa: S106
    await _machine(w, name, ready_false("LoginRefused"), SOON)
    await w.kube.delete(kinds.SECRET, userfiles.SSH_SECRET, NAMESPACE)
    await w.apply(userfiles.ssh_secret(w.lab, FIRST, NAMESPACE))
    await _machine(w, name, has("Ready"), LONG)


async def node_deleted_by_hand(w: Environment) -> None:
    """a Node that somebody deleted comes back"""
    async with await w.business(NAMESPACE, CLUSTER) as kube:
        before = await kube.get(kinds.NODE, FIRST)
        if before is None:
            raise AssertionError(f"there is no Node {FIRST}")
        await kube.delete(kinds.NODE, FIRST)
        uid = before["metadata"]["uid"]
        await until(kube, kinds.NODE, FIRST, "", is_not(uid), within=LONG / 2)
    await _machine(w, f"{WORKERS}-{FIRST}", has("Ready"), SOON)


async def operator_killed_while_installing(w: Environment) -> None:
    """the machine operator is killed in the middle of an installation; nothing runs twice"""
    name = f"second-{SECOND}"
    await w.apply(_kubenode(w, SECOND, "second", NAMESPACE))

    def installing(manifest: Manifest) -> bool:
        found = (manifest.get("status") or {}).get("components") or []
        return any(c.get("state") == "Installing" and c.get("job") for c in found)

    await _machine(w, name, installing, SOON)
    await _kill_pods(w, "machine")
    machine = await _machine(w, name, has("Ready"), LONG)
    again = [
        c["name"]
        for c in machine["status"]["components"]
        if (c.get("job") or {}).get("attempt", 1) > 1
    ]
    if again:
        raise AssertionError(f"installed twice after the operator was killed: {again}")


async def host_of_another_machine(w: Environment) -> None:
    """a host that serves another Machine is left alone"""
    await w.apply(
        {**_cluster(w, FIRST), "metadata": {"name": CLUSTER, "namespace": OTHER}},
        userfiles.ssh_secret(w.lab, SECOND, OTHER),
        userfiles.checksums(w.lab, OTHER),
        _kubenode(w, SECOND, "thief", OTHER),
    )
    kind = Machine.info.kind
    await w.until(kind, OTHER, f"thief-{SECOND}", ready_false("HostInUse"), SOON)
    await _remove(w, "thief", OTHER)
    await w.kube.delete(Cluster.info.kind, CLUSTER, OTHER)
    machine = await w.kube.get(kind, f"second-{SECOND}", NAMESPACE)
    if machine is None or not has("Ready")(machine):
        raise AssertionError("the Machine whose host was claimed by another one suffered")
    await _remove(w, "second")


async def host_key_changed(w: Environment) -> None:
    """another host key stops all work until it is trusted"""
    node = _kubenode(w, SECOND, "second", NAMESPACE)
    node["spec"]["hosts"][0].pop("hostKey")
    name = f"second-{SECOND}"
    await w.apply(node)
    await _machine(w, name, has("Ready"), LONG)
    await w.lab.reset(SECOND)
    await _machine(w, name, ready_false("HostKeyChanged"), LONG)
    trust = {"metadata": {"annotations": {"kok.dev/trust-host-key": w.lab.ssh(SECOND).fingerprint}}}
    await w.kube.patch(Machine.info.kind, name, NAMESPACE, trust)
    await _machine(w, name, has("Ready"), LONG)
    await _remove(w, "second")


async def host_without_power(w: Environment) -> None:
    """a host that is off is waited for"""
    await w.lab.kill(SECOND)
    try:
        await w.apply(_kubenode(w, SECOND, "second", NAMESPACE))
        await _machine(w, f"second-{SECOND}", ready_false("HostUnreachable", "HostSilent"), SOON)
    finally:
        await w.lab.start(SECOND)
    await _machine(w, f"second-{SECOND}", has("Ready"), LONG)
    await _remove(w, "second")


async def wrong_checksum(w: Environment) -> None:
    """an artifact with a wrong checksum is not installed"""
    version = "1.36.4"
    await w.lab.want(kubernetes=f"v{version}")
    sums = {a.path: ("0" * 64 if "kubelet" in a.path else a.sha256) for a in w.lab.artifacts}
    checksums: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "sums", "namespace": NAMESPACE},
        "data": {"SHA256SUMS": "".join(f"{s}  {p}\n" for p, s in sorted(sums.items()))},
    }
    node = _kubenode(w, SECOND, "second", NAMESPACE, version=version)
    node["spec"]["artifacts"]["checksums"] = "sums"
    name = f"second-{SECOND}"
    await w.apply(checksums, node)
    await _machine(w, name, ready_false("ChecksumMismatch"), SOON)
    checksums["data"]["SHA256SUMS"] = "".join(f"{a.sha256}  {a.path}\n" for a in w.lab.artifacts)
    await w.apply(checksums)
    # A Component never changes: the wrong one goes, and the KubeNode renders it anew.
    await w.kube.delete(Component.info.kind, f"kubelet-{version}", NAMESPACE)
    await _machine(w, name, has("Ready"), LONG)
    await _remove(w, "second")


async def ca_edited_by_hand(w: Environment) -> None:
    """a CA Secret edited by hand is refused, and all is well once it is mended"""
    name = f"{CLUSTER}-ca"
    before = await w.kube.get(kinds.SECRET, name, NAMESPACE)
    front = await w.kube.get(kinds.SECRET, f"{CLUSTER}-front-proxy-ca", NAMESPACE)
    if before is None or front is None:
        raise AssertionError("the CA Secrets are not there")
    await w.kube.patch(kinds.SECRET, name, NAMESPACE, {"data": front["data"]})

    def refused(manifest: Manifest) -> bool:
        return condition(manifest, "CertificatesReady").get("status") == "False"

    await w.until(Cluster.info.kind, NAMESPACE, CLUSTER, refused, SOON)
    await w.kube.patch(kinds.SECRET, name, NAMESPACE, {"data": before["data"]})
    await w.until(Cluster.info.kind, NAMESPACE, CLUSTER, has("Ready"), SOON)
    async with await w.business(NAMESPACE, CLUSTER) as kube:
        await kube.list(kinds.NODE)


async def operators_killed_while_creating(w: Environment) -> None:
    """all operators are killed while a Cluster is being created; it is made once and completely"""
    manifest = _cluster(w, FIRST)
    manifest["metadata"] = {"name": "killed", "namespace": OTHER}
    await w.apply(manifest)
    for _ in range(3):
        await asyncio.sleep(1.0)
        await _kill_pods(w, "kok-")
    await w.until(Cluster.info.kind, OTHER, "killed", has("Ready"), LONG)
    await w.kube.delete(Cluster.info.kind, "killed", OTHER)
    await w.gone(Cluster.info.kind, OTHER, "killed", LONG)


async def deleted_while_creating(w: Environment) -> None:
    """a Cluster is deleted while it is being created; nothing is left"""
    manifest = _cluster(w, FIRST)
    manifest["metadata"] = {"name": "brief", "namespace": OTHER}
    for pause in (0.1, 1.0, 4.0):
        await w.apply(manifest)
        await asyncio.sleep(pause)
        await w.kube.delete(Cluster.info.kind, "brief", OTHER)
        await w.gone(Cluster.info.kind, OTHER, "brief", LONG)
    left = [
        x
        for x in await w.left_in(OTHER, (kinds.SECRET, kinds.PVC, kinds.SERVICE, kinds.DEPLOYMENT))
        if "brief" in x
    ]
    if left:
        raise AssertionError(f"a Cluster deleted in its first seconds left {left}")
