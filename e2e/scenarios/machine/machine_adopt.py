"""A node that `kubeadm join` made is adopted as it is, changed by a rollout, and given back as it is.

Nothing restarts by the adoption: processes, containers and files are the same before and after. Then a
field of the kubelet goes out as a rollout, under a pod that goes on; the host is released, and still is
the node that it was. A KubeNode of another Cluster is refused it. In the end it is adopted once more,
and cleaned up for good.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from e2e.fixtures import business_cluster, clusters, rolling, userfiles
from e2e.fixtures.hosts import kubeadm_node
from e2e.fixtures.rolling import KUBENODE, LONG, MACHINE, SHOP, SOON, WORKERS
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import Predicate, condition, has, until
from e2e.framework.report import Report
from e2e.lab.images.catalog import TOOLBOX
from e2e.polling import eventually
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_ABANDON_HOST, machine
from kok.kube import kinds
from kok.kube.client import Kube

NAMESPACE, OTHER = "e2e-machine-adopt", "blog"
HOST = "worker-2"
"""Not the demo's host: the demo may be running in the same lab."""
ADOPTED_WITHIN = 15.0
"""Seconds; it takes less than six where nothing else goes on."""
MOST_PODS = "40"
DROP_IN = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
# Packages of kubeadm bring such a file, which has the last word over the unit.
_DROP_IN = f"""\
mkdir -p "$(dirname {DROP_IN})"
{{ echo '[Service]'; echo 'ExecStart='; sed -n '/^ExecStart=/p' /etc/systemd/system/kubelet.service; }} >{DROP_IN}
systemctl daemon-reload
"""
_PROCESS = (
    "pid=$(systemctl show -p MainPID --value {0}); echo $pid $(cut -d' ' -f22 /proc/$pid/stat)"
)
_FILES = (
    "find /etc/kubernetes /etc/containerd /etc/systemd/system /usr/local -xdev -type f -o -type l | "
    "sort | xargs stat -c '%n %s %Y %a'"
)

_RUNS = "{ systemctl is-active kubelet containerd; pgrep -x kubelet; pgrep -f 'containerd[-]shim'; } || true"


@dataclass(frozen=True)
class Running:
    """What runs on the host, and since when."""

    kubelet: str
    containerd: str
    containers: frozenset[tuple[str, str]]
    """IDs, and when each was started."""
    files: frozenset[str]
    node: str
    """UID of its Node."""


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was, and begins without what a failed run left."""
    async with environment(report, workers=2) as w:
        await _nothing_left(w)
        await w.namespace(NAMESPACE)
        try:
            async with await bring(w) as inside:
                await asked_for(w, inside)
                await adopted(w, inside)
                await changed(w, inside)
                await released(w, inside)
                await refused_elsewhere(w, inside)
                await cleaned_up(w, inside)
        finally:
            await _nothing_left(w)


async def _nothing_left(w: Environment) -> None:
    # Where something failed it must not wait for a host that is there no more.
    told = {"metadata": {"annotations": {ANNOTATION_ABANDON_HOST: "true"}}}
    for left in await w.kube.list(MACHINE, NAMESPACE):
        await w.kube.patch(MACHINE, left["metadata"]["name"], NAMESPACE, told)
    await w.lab.reset(HOST)
    await w.drop_namespace(NAMESPACE, LONG)


async def bring(w: Environment) -> Kube:
    """A Cluster, and a node that kubeadm made, with a pod; its API."""
    with w.report.step("a node by kubeadm join", "kubeadm_s"):
        await w.apply(clusters.manifest(NAMESPACE, SHOP), clusters.manifest(NAMESPACE, OTHER))
        await w.until(clusters.KIND, NAMESPACE, SHOP, has("BootstrapReady"), LONG)
        await kubeadm_node.join(w, HOST, NAMESPACE, SHOP)
        await _root(w, _DROP_IN)
        # Only now: the host was made anew, and has another key.
        await w.apply(
            userfiles.ssh_secret(w.lab, HOST, NAMESPACE), userfiles.checksums(w.lab, NAMESPACE)
        )
        inside = await w.business(NAMESPACE, SHOP)
        await until(inside, kinds.NODE, HOST, "", has("Ready"), within=LONG)
        for manifest in userfiles.documents(userfiles.fill("hello.yaml", image=TOOLBOX, node=HOST)):
            await inside.apply(manifest)
        await until(inside, kinds.POD, "hello", "default", has("Ready"), within=LONG)
        await eventually(lambda: _settled(inside), LONG, every=1.0)
    return inside


async def asked_for(w: Environment, inside: Kube) -> None:
    """Nobody takes over a node that was not asked to: it is told how to, and nothing is touched."""
    before = await running(w, inside)
    with w.report.step("without adopt the host is refused, and the sentence says what to write"):
        await w.apply(rolling.kubenode(w, NAMESPACE, (HOST,)))
        await _machine(w, _is_told_how)
        unsaid = rolling.kubenode(w, NAMESPACE, (HOST,), adopt=True)
        await w.refused(unsaid, "say as well what becomes of the hosts in the end")
    await _same(w, inside, before)


async def adopted(w: Environment, inside: Kube) -> None:
    """It becomes a Machine, with what differs; no process, container or file is another."""
    before = await running(w, inside)
    with w.report.step("adopted as it is"):
        begun = time.monotonic()
        await rolling.change(w, NAMESPACE, adopt=True, onRemove="Release")
        found = await _machine(w, _ready_as("Adopted"))
        took = time.monotonic() - begun
        w.report.figures["adopt_s"] = round(took, 1)
        await rolling.told(w, NAMESPACE, _all_ready)
    if took > ADOPTED_WITHIN:
        raise AssertionError(f"adopted after {took:.1f} s, and {ADOPTED_WITHIN:.0f} s are allowed")
    await _same(w, inside, before)
    record = found["status"]["adopted"]
    names = {c["name"] for c in record["components"]}
    if not {"kubelet", "containerd"} <= names or record["nodeUID"] != before.node:
        raise AssertionError(f"the record of the adoption is {record}")
    plan = await rolling.kok(w, "machine", "plan", machine(WORKERS, HOST), "-n", NAMESPACE)
    if "kubelet" not in plan:
        raise AssertionError(f"the plan does not say what differs: {plan}")
    with w.report.step("its serving certificate is approved"):
        await eventually(lambda: _says_hello(w), LONG, every=0.5)


async def changed(w: Environment, inside: Kube) -> None:
    """A field of the kubelet goes out as a rollout; the kubelet alone is changed, and the pod goes on."""
    before = await running(w, inside)
    with w.report.step("a field of the kubelet goes out as a rollout", "rollout_s"):
        fields = {**userfiles.LAB_KUBELET, "maxPods": int(MOST_PODS)}
        await rolling.change(w, NAMESPACE, kubelet=fields)
        await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))
        await _machine(w, _ready_as("Adopted"))
        await until(inside, kinds.NODE, HOST, "", _takes(MOST_PODS), within=SOON)
    after = await running(w, inside)
    if after.kubelet == before.kubelet:
        raise AssertionError("the kubelet was not restarted, so that it has another configuration")
    if (after.containerd, after.node) != (before.containerd, before.node):
        raise AssertionError("containerd was restarted, or the Node made anew")
    _go_on(before, after)
    starts = await _root(w, "systemctl show -p ExecStart --value kubelet")
    if "--config=/etc/kubernetes/kubelet.yaml" not in starts or await _there(w, DROP_IN):
        raise AssertionError(f"kubeadm's drop-in still has the last word: {starts}")
    await eventually(lambda: _says_hello(w), LONG, every=0.5)


async def released(w: Environment, inside: Kube) -> None:
    """The Machine goes, and the host stays the node that it is; nothing of KOK's own is left."""
    before = await running(w, inside)
    with w.report.step("released", "release_s"):
        await rolling.kok(w, "machine", "release", machine(WORKERS, HOST), "-n", NAMESPACE)
        await w.gone(MACHINE, NAMESPACE, machine(WORKERS, HOST), SOON)
    await _same(w, inside, before)
    for path in ("/var/lib/kok", "/run/kok"):
        if await _there(w, path):
            raise AssertionError(f"{path} is left on {HOST}")
    # The watch ends with its connection.
    await eventually(lambda: _no_units(w), SOON)
    node = await inside.get(kinds.NODE, HOST) or {}
    if node["spec"].get("unschedulable") or not has("Ready")(node):
        raise AssertionError(f"the Node does not take pods: {node['spec']}, {node['status']}")
    secret = await w.kube.get(kinds.SECRET, userfiles.SSH_SECRET, NAMESPACE) or {}
    if secret["metadata"].get("finalizers"):
        raise AssertionError("the Secret is still held")
    await eventually(lambda: _says_hello(w), LONG, every=0.5)


async def refused_elsewhere(w: Environment, inside: Kube) -> None:
    """A KubeNode of another Cluster is told whose node the host is, and leaves it alone."""
    before = await running(w, inside)
    other = rolling.kubenode(w, NAMESPACE, (HOST,), cluster=OTHER, adopt=True, onRemove="Release")
    other["metadata"]["name"] = f"{OTHER}-workers"
    name = machine(f"{OTHER}-workers", HOST)
    with w.report.step("another Cluster is refused the host", "refused_s"):
        await w.until(clusters.KIND, NAMESPACE, OTHER, has("BootstrapReady"), LONG)
        await w.apply(other)
        says = has("Ready", "False", "JoinedElsewhere")
        found = await w.until(MACHINE, NAMESPACE, name, says, LONG)
        if "kubeadm reset" not in condition(found, "Ready")["message"]:
            raise AssertionError(f"it is not told what to do: {condition(found, 'Ready')}")
        await w.kube.delete(KUBENODE, f"{OTHER}-workers", NAMESPACE)
        await w.gone(KUBENODE, NAMESPACE, f"{OTHER}-workers", LONG)
        await w.kube.delete(clusters.KIND, OTHER, NAMESPACE)
    await _same(w, inside, before)


async def cleaned_up(w: Environment, inside: Kube) -> None:
    """Adopted once more, and removed by the other policy: the host is bare, whoever installed it."""
    with w.report.step("adopted once more", "readopt_s"):
        hosts = rolling.kubenode(w, NAMESPACE, (HOST,))["spec"]["hosts"]
        await rolling.change(w, NAMESPACE, hosts=hosts, onRemove="CleanUp")
        await _machine(w, _ready_as("Adopted"))
    with w.report.step("and cleaned up", "cleaned_s"):
        await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
        await w.gone(KUBENODE, NAMESPACE, WORKERS, LONG)
    if await inside.get(kinds.NODE, HOST) is not None:
        raise AssertionError("the Node is left")
    for path in ("/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/pki", "/var/lib/kok"):
        if await _there(w, path):
            raise AssertionError(f"{path} is left on {HOST}")
    told = (await _root(w, _RUNS)).split()
    if set(told) - {"inactive", "unknown", "failed"}:
        raise AssertionError(f"something still runs on {HOST}: {told}")


# --- what runs


async def running(w: Environment, inside: Kube) -> Running:
    """All that must not change by itself."""
    kubelet, containerd = [
        (await _root(w, _PROCESS.format(service))).strip() for service in ("kubelet", "containerd")
    ]
    pods = await inside.list(kinds.POD, fields={"spec.nodeName": HOST})
    containers = frozenset(
        (status["containerID"], status["state"]["running"]["startedAt"])
        for pod in pods
        for status in pod["status"].get("containerStatuses") or ()
        if "running" in status["state"]
    )
    node = await inside.get(kinds.NODE, HOST)
    files = frozenset((await _root(w, _FILES)).splitlines())
    uid = str((node or {})["metadata"]["uid"])
    return Running(kubelet, containerd, containers, files, uid)


async def _settled(inside: Kube) -> bool:
    """Whether all pods of the node have come up, so that what runs there goes on running."""
    pods = await inside.list(kinds.POD, fields={"spec.nodeName": HOST})
    return len(pods) > 1 and all(has("Ready")(pod) for pod in pods)


async def _same(w: Environment, inside: Kube, before: Running) -> None:
    after = await running(w, inside)
    if (after.kubelet, after.containerd, after.node) != (
        before.kubelet,
        before.containerd,
        before.node,
    ):
        raise AssertionError(f"something was restarted: {before} became {after}")
    _go_on(before, after)
    if after.files != before.files:
        raise AssertionError(f"files were changed: {sorted(after.files ^ before.files)[:8]}")


def _go_on(before: Running, after: Running) -> None:
    """What ran then runs now; a pod that has come since is nobody's harm."""
    if before.containers - after.containers:
        raise AssertionError(f"containers ended: {sorted(before.containers - after.containers)}")


async def _says_hello(w: Environment) -> bool:
    try:
        kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)
        return "hello" in await business_cluster.kubectl(w.lab, kubeconfig, "logs", "hello")
    except RuntimeError:
        return False


async def _no_units(w: Environment) -> bool:
    listed = "systemctl list-units --all --plain --no-legend 'kok-*' | grep -c . || true"
    return (await _root(w, listed)).strip() == "0"


# --- short ways


async def _root(w: Environment, script: str) -> str:
    return await w.lab.exec(HOST, "sh", "-euc", script)


async def _there(w: Environment, path: str) -> bool:
    return bool((await _root(w, f"[ ! -e {path} ] || echo yes")).strip())


async def _machine(w: Environment, predicate: Predicate) -> Manifest:
    return await w.until(MACHINE, NAMESPACE, machine(WORKERS, HOST), predicate, LONG)


def _ready_as(reason: str) -> Predicate:
    """Whether a Machine serves, and why it counts as up to date."""
    return lambda found: has("Ready")(found) and has("UpToDate", "True", reason)(found)


def _is_told_how(found: Manifest) -> bool:
    """Whether a Machine that is refused says how its host is adopted."""
    refused = has("PreflightPassed", "False", "PreflightFailed")(found)
    return refused and "adopt: true" in condition(found, "PreflightPassed")["message"]


def _all_ready(found: Manifest) -> bool:
    return has("Ready")(found) and (found.get("status") or {}).get("ready") == 1


def _takes(pods: str) -> Predicate:
    return lambda node: bool(node["status"]["capacity"]["pods"] == pods)
