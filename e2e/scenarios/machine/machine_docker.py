"""A node with Docker and cri-dockerd; it goes to containerd and back, and leaves nothing.

Pods, logs, exec, DNS and pull through a mirror on both; containers outlive dockerd; what others wrote
into Docker's daemon.json stays there.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from e2e.fixtures import clusters, etcd, userfiles
from e2e.fixtures.business_cluster import kubectl
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import has, until, until_gone
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.lab.images.catalog import BUSYBOX
from e2e.polling import eventually
from kok.api import KubeNode, Machine, names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

NAMESPACE = "e2e-machine-docker"
SHOP, WORKER = "shop", "worker-2"
WORKERS = f"{SHOP}-workers"
KUBENODE, MACHINE = KubeNode.info.kind, Machine.info.kind
LONG = 900.0
CONFIG = "/etc/docker/daemon.json"
RUNTIMES = {
    "docker": ("/opt/docker", "/var/lib/docker/image", "/etc/systemd/system/docker.service"),
    "containerd": (
        "/usr/local/bin/containerd",
        "/var/lib/containerd/io.containerd.metadata.v1.bolt",
        "/etc/systemd/system/containerd.service",
    ),
}
"""What there is of each on a host that has it, and on no other."""
ALSO = (
    "/usr/local/bin/cri-dockerd",
    "/usr/local/bin/kubelet",
    "/var/lib/kubelet/pki",
    "/opt/cni",
    "/var/lib/cni",
)
"""What there is of a node with Docker beside it."""
_LEFT = r"""
grep -E ' /(var/lib/(kubelet|docker|containerd)|run/(docker|containerd|netns))/' /proc/mounts
# By the program alone: the shell that runs this has these words in its own command line.
pgrep -af '^[^ ]*(containerd-shim|dockerd|/kubelet)'
for tool in iptables ip6tables; do $tool-save | grep -E '^:(CNI|KUBE|DOCKER|FLANNEL)-'; done
ip -o link | grep -E ': (cni0|docker0|flannel|veth)'
true
"""


async def run(report: Report) -> None:
    """The scenario; it removes what it made, also after a failure of an earlier run."""
    async with environment(report, meta=1, workers=2) as w:
        begin = datetime.now(UTC)
        with report.step("Docker and cri-dockerd are served", "served_s"):
            docker = await w.lab.want_docker()
        async with etcd.fresh_namespaces(w, NAMESPACE, within=LONG):
            await w.lab.reset(WORKER)
            before = await config(w)
            await made(w, docker)
            async with await w.business(NAMESPACE, SHOP) as inside:
                await serves(w, inside, "docker")
                await pulled_through_the_mirror(w)
                await containers_outlive_dockerd(w, inside)
                await others_words_stay(w, before)
                await switched(w, inside, "containerd", None)
                await same_as(w, before)
                await switched(w, inside, "docker", docker)
                await others_words_stay(w, before)
            await leaves_nothing(w, before)
        await nothing_was_refused(w, begin)


async def made(w: Environment, version: str) -> None:
    """A Cluster, and a node with Docker."""
    text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE, cluster=SHOP)
    cluster, node = userfiles.documents(text)
    # Docker has mirrors for docker.io alone, so that all other images come under the mirror's own name.
    cluster["spec"]["images"] = {"registry": w.lab.registry}
    node["spec"]["runtime"] = {"type": "docker", "version": version}
    with w.report.step("a Cluster with a node on Docker", "created_s"):
        await w.apply(
            userfiles.ssh_secret(w.lab, WORKER, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            cluster,
            node,
        )
        await w.until(clusters.KIND, NAMESPACE, SHOP, has("Ready"), LONG)
        await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)


async def serves(w: Environment, inside: Kube, runtime: str) -> None:
    """The node reports the runtime, runs a pod, and lets its logs be read and programs run in it."""
    with w.report.step(f"pod, logs, exec and DNS on {runtime}", f"{runtime}_pod_s"):
        await until(inside, kinds.NODE, WORKER, "", _has(runtime), within=LONG)
        await until_gone(inside, kinds.POD, "hello", "default", within=LONG)
        for manifest in userfiles.documents(
            userfiles.fill("hello.yaml", image=BUSYBOX, node=WORKER)
        ):
            await inside.apply(manifest)
        await until(inside, kinds.POD, "hello", "default", etcd.pod_ready, within=LONG)
        kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)

        async def read() -> bool:
            return await kubectl(w.lab, kubeconfig, "logs", "hello") == "hello\n"

        await eventually(read, 60.0, every=0.5)
        await _runs(w, "cat /etc/hostname", "hello")
        await eventually(lambda: _resolves(w), 180.0, every=1.0)


async def _runs(w: Environment, script: str, said: str) -> None:
    kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)
    out = await kubectl(w.lab, kubeconfig, "exec", "hello", "--", "sh", "-c", script)
    if said not in out:
        raise AssertionError(f"{script} in the pod should have said {said!r}, not {out!r}")


async def _resolves(w: Environment) -> bool:
    try:
        await _runs(w, "nslookup kubernetes.default.svc.cluster.local", "kubernetes.default")
    except (AssertionError, RuntimeError):
        return False
    return True


async def pulled_through_the_mirror(w: Environment) -> None:
    """An image of docker.io is there, which only the lab's registry can have served."""
    with w.report.step("an image of docker.io came through the mirror"):
        found = json.loads(await w.lab.exec(WORKER, "docker", "image", "inspect", BUSYBOX))
        if not found or not found[0]["RepoDigests"]:
            raise AssertionError(f"{BUSYBOX} was not pulled: {found}")


async def containers_outlive_dockerd(w: Environment, inside: Kube) -> None:
    """dockerd and its containerd are restarted, and killed; the pod notices nothing of it."""
    was = await _container(inside)
    for unit, how in (("docker", "restart"), ("docker", "kill"), ("docker-containerd", "restart")):
        with w.report.step(f"{unit} is {how}ed: pods live on"):
            kill = ("--signal=KILL",) if how == "kill" else ()
            await w.lab.exec(WORKER, "systemctl", how, *kill, unit)
            await eventually(lambda: _answers(w), 60.0, every=0.2)
            await eventually(lambda: _executes(w), 60.0, every=0.5)
            if (now := await _container(inside)) != was:
                raise AssertionError(f"the pod's container was {was} and is {now}")


async def _answers(w: Environment) -> bool:
    script = "docker ps -q >/dev/null 2>&1 && echo yes || true"
    return bool((await w.lab.exec(WORKER, "sh", "-c", script)).strip())


async def _executes(w: Environment) -> bool:
    try:
        await _runs(w, "cat /etc/hostname", "hello")
    except RuntimeError:
        return False
    return True


async def _container(inside: Kube) -> tuple[str, int]:
    pod = await inside.get(kinds.POD, "hello", "default")
    told = (pod or {}).get("status") or {}
    listed: list[dict[str, Any]] = told.get("containerStatuses") or [{}]
    (status,) = listed
    return str(status.get("containerID")), int(status.get("restartCount") or 0)


async def config(w: Environment) -> dict[str, Any]:
    """Docker's configuration on the host, which others may have written before."""
    found: dict[str, Any] = json.loads(await w.lab.exec(WORKER, "cat", CONFIG))
    return found


async def others_words_stay(w: Environment, before: dict[str, Any]) -> None:
    """What stood in Docker's configuration before is there beside what KOK wants."""
    with w.report.step("daemon.json is patched, not replaced"):
        found = await config(w)
        if found.get("live-restore") is not True or not before.items() <= found.items():
            raise AssertionError(f"{CONFIG} should have {before} and live-restore, not {found}")


async def same_as(w: Environment, before: dict[str, Any]) -> None:
    """Docker's configuration is as it was before Docker came."""
    if (found := await config(w)) != before:
        raise AssertionError(f"{CONFIG} was {before} and is {found}")


async def switched(w: Environment, inside: Kube, runtime: str, version: str | None) -> None:
    """The KubeNode is told another runtime; the node has it, the other is gone."""
    other = "docker" if runtime == "containerd" else "containerd"
    with w.report.step(f"from {other} to {runtime}", f"to_{runtime}_s"):
        spec = {"runtime": {"type": runtime, "version": version}}
        await w.kube.patch(KUBENODE, WORKERS, NAMESPACE, {"spec": spec})
        await until(inside, kinds.NODE, WORKER, "", _has(runtime), within=LONG)
        await w.until(MACHINE, NAMESPACE, names.machine(WORKERS, WORKER), has("UpToDate"), LONG)
        await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)
        await until(inside, kinds.NODE, WORKER, "", _takes_pods, within=LONG)
        await absent(w, *RUNTIMES[other])
    await serves(w, inside, runtime)


async def leaves_nothing(w: Environment, before: dict[str, Any]) -> None:
    """The node goes: no program, mount, process, rule or interface of it is left on the host."""
    with w.report.step("the node is removed", "removed_s"):
        await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
        await w.gone(KUBENODE, NAMESPACE, WORKERS, LONG)
    await absent(w, *ALSO, *(path for paths in RUNTIMES.values() for path in paths))
    await same_as(w, before)
    left = (await w.lab.exec(WORKER, "sh", "-c", _LEFT)).strip()
    if left:
        raise AssertionError(f"left on {WORKER}: {left}")
    with w.report.step("the Cluster is removed"):
        await w.kube.delete(clusters.KIND, SHOP, NAMESPACE)
        await w.gone(clusters.KIND, NAMESPACE, SHOP, LONG)


async def absent(w: Environment, *paths: str) -> None:
    """None of these is on the host."""
    script = 'for path; do [ ! -e "$path" ] || echo "$path"; done'
    found = await w.lab.exec(WORKER, "sh", "-c", script, "sh", *paths)
    if found.strip():
        raise AssertionError(f"left on {WORKER}: {', '.join(found.split())}")


def _has(runtime: str) -> Any:
    def check(node: Manifest) -> bool:
        info = (node.get("status") or {}).get("nodeInfo") or {}
        reported = str(info.get("containerRuntimeVersion") or "").startswith(f"{runtime}://")
        return reported and etcd.has_condition(node, "Ready")

    return check


def _takes_pods(node: Manifest) -> bool:
    return not (node.get("spec") or {}).get("unschedulable")
