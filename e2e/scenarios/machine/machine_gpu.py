"""Nodes with NVIDIA's driver and toolkit: one boot, labels, the device plugin, and a host without a GPU.

The card is none, see `fixtures.gpu`, and no line that needs one is shown here: docs/gpu.md says which.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial

from e2e.faults import disruption
from e2e.fixtures import clusters, gpu, userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import condition, has, until
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.lab.images.catalog import TOOLBOX
from e2e.lab.machine import podman
from e2e.lab.services import nvidia
from e2e.polling import eventually
from kok.api import Cluster
from kok.api.meta import Manifest
from kok.api.names import machine
from kok.kube import kinds
from kok.kube.client import Kube

NAMESPACE, SHOP, WORKERS = "e2e-gpu", "shop", "shop-workers"
WITH, WITHOUT = "worker-2", "worker-3"
HOSTS = (WITH, WITHOUT)
CLUSTER = Cluster.info.kind
PRESENT = "nvidia.com/gpu.present"
SOON, LONG = 120.0, 900.0
_LEFT = """\
for path in /usr/bin/nvidia-ctk /usr/bin/nvidia-container-runtime /usr/bin/nvidia-smi \
    /etc/containerd/conf.d /etc/nvidia-container-runtime /etc/modprobe.d/kok-nouveau.conf \
    /etc/modules-load.d/kok-nvidia.conf /usr/lib/systemd/system/nvidia-cdi-refresh.path; do
    [ ! -e "$path" ] || echo "$path"
done
"""


async def run(report: Report) -> None:
    """The scenario."""
    async with environment(report, meta=1, workers=3) as w:
        begin = datetime.now(UTC)
        with report.step("toolkit and device plugin are built, a runfile without a driver is made"):
            await w.lab.want_nvidia()
        await host_pool.emptied(w, NAMESPACE)
        try:
            await told(w)
        except BaseException as error:
            report.line(f"{type(error).__name__}: {error}")
            raise
        finally:
            await host_pool.emptied(w, NAMESPACE)
        await nothing_was_refused(w, begin)


async def told(w: Environment) -> None:
    """What happens, in order."""
    await w.namespace(NAMESPACE)
    for host in HOSTS:
        await w.lab.reset(host)
    await gpu.plug(w, WITH)
    with w.report.step("driver and toolkit, and one boot though the operator is killed", "gpu_s"):
        await w.apply(
            userfiles.ssh_secret(w.lab, WITH, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            *(host_pool.host(w, NAMESPACE, name) for name in HOSTS),
            cluster(),
            kubenode(w),
        )
        await asyncio.gather(one_boot(w), the_other(w))
        await host_pool.serving(w, NAMESPACE, WORKERS, len(HOSTS))
    await facts_and_labels(w)
    await runtimes(w)
    await pods(w)
    with w.report.step("a change of the toolkit, without a reload of systemd", "toolkit_change_s"):
        await no_reload(w)
    with w.report.step("the hosts are as they were", "removal_s"):
        await w.kube.delete(host_pool.KUBENODE, WORKERS, NAMESPACE)
        await w.gone(host_pool.KUBENODE, NAMESPACE, WORKERS, LONG)
        left = await w.lab.exec(WITH, "sh", "-euc", _LEFT)
        if left.strip():
            raise AssertionError(f"on {WITH} are left {left.split()}")


def cluster() -> Manifest:
    """A small Cluster with the device plugin."""
    plugin = {"name": nvidia.PLUGIN}
    return clusters.manifest(NAMESPACE, SHOP, addons=[clusters.PROXY, plugin])


def kubenode(w: Environment) -> Manifest:
    """Both hosts, with all there is for GPUs."""
    made = host_pool.kubenode(w, NAMESPACE, WORKERS, SHOP, len(HOSTS))
    made["spec"]["nvidia"] = {"driver": {"version": nvidia.DRIVER}, "toolkit": {}}
    return made


async def of_machine(w: Environment, host: str) -> Manifest:
    """The Machine of a host."""
    return await w.kube.get(host_pool.MACHINE, machine(WORKERS, host), NAMESPACE) or {}


# --- one boot


async def one_boot(w: Environment) -> None:
    """The operator dies with the boot recorded; the host goes down once, and comes back."""
    recorded = await w.until(
        host_pool.MACHINE, NAMESPACE, machine(WORKERS, WITH), _asks_for_boot, LONG
    )
    await disruption.kill_operator(w, "machine")
    (asked,) = recorded["status"]["reboots"]
    if asked["component"] != "nvidia-driver" or "nouveau" not in asked["reason"]:
        raise AssertionError(f"the boot is recorded as {asked}")
    await eventually(partial(_is_down, w), LONG, every=1.0)
    # A host that boots is a container that ended: somebody has to start it.
    await w.lab.start(WITH)
    # Until its kubelet is missed the Node is taken for Ready, as it was before.
    found = await w.until(host_pool.MACHINE, NAMESPACE, machine(WORKERS, WITH), _has_booted, LONG)
    (noted,) = found["status"]["reboots"]
    if noted.get("inVain"):
        raise AssertionError(f"the boot is told as {noted}")
    if (count := await gpu.boots(w, WITH)) != 2:
        raise AssertionError(f"{WITH} was booted {count - 1} times and not once")


def _asks_for_boot(manifest: Manifest) -> bool:
    return bool((manifest.get("status") or {}).get("reboots"))


def _has_booted(manifest: Manifest) -> bool:
    asked = manifest["status"].get("reboots") or ()
    return has("Ready")(manifest) and all(one.get("done") for one in asked)


async def _is_down(w: Environment) -> bool:
    found = await podman.find(w.lab.host(WITH).container)
    return found is not None and not found.alive


async def the_other(w: Environment) -> None:
    """A host without a GPU serves, and says that it has none."""
    name = machine(WORKERS, WITHOUT)
    await w.until(host_pool.MACHINE, NAMESPACE, name, has("GPUReady", "False", "NoGPU"), LONG)
    await w.until(host_pool.MACHINE, NAMESPACE, name, has("Ready"), LONG)
    there = await w.lab.exec(WITHOUT, "sh", "-euc", "ls /usr/bin | grep -c nvidia || true")
    if there.strip() != "0":
        raise AssertionError(f"{WITHOUT} has no GPU and got NVIDIA's software")


# --- what is told


async def facts_and_labels(w: Environment) -> None:
    """Facts in the status, labels on the Node that has GPUs and on no other."""
    found = await w.until(
        host_pool.MACHINE, NAMESPACE, machine(WORKERS, WITH), has("GPUReady"), LONG
    )
    facts = found["status"]["facts"]["gpu"]
    if (facts["count"], facts["driver"]) != (1, nvidia.DRIVER) or "Lab GPU" not in facts["model"]:
        raise AssertionError(f"the GPU is told as {facts}")
    w.report.line(f"{WITH}: {condition(found, 'GPUReady')['message']}")
    async with await w.business(NAMESPACE, SHOP) as inside:
        node = await until(inside, kinds.NODE, WITH, "", _labelled, within=LONG)
        w.report.line(f"labels: {sorted(k for k in node['metadata']['labels'] if 'nvidia' in k)}")
        other = await inside.get(kinds.NODE, WITHOUT) or {}
        if any("nvidia" in key for key in other["metadata"]["labels"]):
            raise AssertionError(f"{WITHOUT} is labelled {other['metadata']['labels']}")


def _labelled(node: Manifest) -> bool:
    labels = node["metadata"]["labels"]
    return bool(labels.get(PRESENT) == "true") and labels.get("nvidia.com/gpu.count") == "1"


async def runtimes(w: Environment) -> None:
    """containerd has both runtimes, NVIDIA's is the default, and its own file is as it was made."""
    dump = await w.lab.exec(WITH, "/usr/local/bin/containerd", "config", "dump")
    for wanted in ("nvidia-container-runtime", "/usr/local/sbin/runc", "/opt/cni/bin"):
        if wanted not in dump:
            raise AssertionError(f"containerd on {WITH} runs without {wanted}: {dump}")
    if not any("default_runtime_name" in line and "nvidia" in line for line in dump.splitlines()):
        raise AssertionError("NVIDIA's runtime is not the default one")
    # The last line that needs a GPU: what it says without one.
    said = await w.lab.exec(
        WITH, "sh", "-c", "/usr/bin/nvidia-ctk cdi generate 2>&1 >/dev/null | tail -n 1"
    )
    w.report.line(f"nvidia-ctk cdi generate: {said.strip()}")


async def pods(w: Environment) -> None:
    """A pod runs by NVIDIA's runtime; the plugin's is on the node with GPUs, and lacks a driver."""
    async with await w.business(NAMESPACE, SHOP) as inside:
        with w.report.step("a pod by NVIDIA's runtime", "gpu_node_pod_s"):
            await inside.apply(_pod())
            await until(inside, kinds.POD, "hello", "default", _succeeded, within=LONG)
        plugins = await eventually(partial(_plugins, inside), LONG, every=1.0)
        nodes = sorted(pod["spec"]["nodeName"] for pod in plugins)
        if nodes != [WITH]:
            raise AssertionError(f"the device plugin is on {nodes}")


def _pod() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {
            "restartPolicy": "Never",
            "nodeSelector": {PRESENT: "true"},
            "containers": [{"name": "hello", "image": TOOLBOX, "command": ["true"]}],
        },
    }


def _succeeded(pod: Manifest) -> bool:
    return bool((pod.get("status") or {}).get("phase") == "Succeeded")


async def _plugins(inside: Kube) -> list[Manifest]:
    labels = {"app.kubernetes.io/name": nvidia.PLUGIN}
    found = await inside.list(kinds.POD, "kube-system", labels=labels)
    return [pod for pod in found if pod["spec"].get("nodeName")]


# --- a change


async def no_reload(w: Environment) -> None:
    """NVIDIA's runtime is no longer the default one, and systemd has not read its units anew."""
    before = await _reloads(w)
    patch = {"spec": {"nvidia": {"toolkit": {"defaultRuntime": False}}}}
    await w.kube.patch(host_pool.KUBENODE, WORKERS, NAMESPACE, patch)
    await eventually(partial(_runc_is_default, w), LONG, every=1.0)
    await host_pool.serving(w, NAMESPACE, WORKERS, len(HOSTS))
    if (after := await _reloads(w)) != before:
        raise AssertionError(f"systemd was reloaded {after - before} times")


async def _reloads(w: Environment) -> int:
    lines = "journalctl -q --no-pager _PID=1 | grep -c 'Reloading[.]' || true"
    return int(await w.lab.exec(WITH, "sh", "-c", lines))


async def _runc_is_default(w: Environment) -> bool:
    dump = await w.lab.exec(WITH, "/usr/local/bin/containerd", "config", "dump")
    return any("default_runtime_name" in line and "runc" in line for line in dump.splitlines())
