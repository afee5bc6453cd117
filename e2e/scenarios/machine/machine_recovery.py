"""Services of hosts are killed, hang and are switched off, hosts freeze and die: all come back.

The time of each recovery is measured, and pods go on under a runtime that is restarted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from e2e.faults import disruption, host_services
from e2e.faults.host_services import well
from e2e.fixtures import business_cluster, userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import condition, has
from e2e.framework.report import Report
from e2e.stories import recovery, shared_hosts
from e2e.stories.recovery import fails
from e2e.stories.shared_hosts import LEAVES, LONG, NAMESPACE, SHOP, SOON, STAYS, WORKERS, root
from kok.api.meta import Manifest
from kok.api.names import machine
from kok.kube import kinds

REPLACE_AFTER = 30.0
_BROKEN = """\
cp /usr/local/bin/kubelet /root/kubelet.good
printf '#!/bin/sh\\nexit 3\\n' >/usr/local/bin/kubelet.broken; chmod 0755 /usr/local/bin/kubelet.broken
mv /usr/local/bin/kubelet.broken /usr/local/bin/kubelet; systemctl restart kubelet || true
"""
_FULL = """\
used=$(df -Pk /run | awk 'NR == 2 {print $3}'); mount -o remount,size=$((used + 2048))k /run
"""
_ROOM = "mount -o remount,size=50% /run"


async def run(report: Report) -> None:
    """The scenario."""
    async with environment(report, meta=1, workers=3) as w:
        async with shared_hosts.bare(w, STAYS, LEAVES):
            await bring(w)
            took = await services(w)
            took |= await host_troubles(w)
            await operator_killed_after_the_record(w)
            await nothing_is_done_where_nothing_may_be(w)
            took |= await replaced(w)
        report.text(table(took))
        report.figures |= {f"{name.replace(' ', '_')}_s": round(s, 1) for name, s in took.items()}


async def bring(w: Environment) -> None:
    """A Cluster with one node of a pool of two, and a pod on it that is to go on."""
    with w.report.step("a node, and a spare host"):
        nodes = host_pool.kubenode(w, NAMESPACE, WORKERS, SHOP, 1)
        patience = {"replace": f"{REPLACE_AFTER:.0f}s"}
        nodes["spec"]["remediation"] = {"maxUnhealthy": 1, "patience": patience}
        await w.apply(
            userfiles.ssh_secret(w.lab, STAYS, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            *(host_pool.host(w, NAMESPACE, name) for name in (STAYS, LEAVES)),
            shared_hosts.cluster(),
            nodes,
        )
        await host_pool.serving(w, NAMESPACE, WORKERS, 1)
        kubeconfig = await w.kubeconfig(NAMESPACE, SHOP)
        async with await w.business(NAMESPACE, SHOP) as inside:
            await business_cluster.dns_check(w.lab, inside, kubeconfig)


async def services(w: Environment) -> dict[str, float]:
    """Whatever happens to a service, it works again in time, and no container ends by that."""
    host = await serving_host(w)
    before = await recovery.containers(w, host)
    took = {}
    for fault in host_services.faults():
        with w.report.step(f"{fault.name}, brought back by {fault.by}"):
            took[fault.name] = await recovery.measured(w, host, fault)
    after = await recovery.containers(w, host)
    if before.items() - after.items():
        raise AssertionError(f"containers ended with their runtime: {before} is now {after}")
    return took


async def host_troubles(w: Environment) -> dict[str, float]:
    """A program that is broken, a disk that is full, an identity that is gone, a reboot, a frost."""
    host, took = await serving_host(w), dict[str, float]()
    with w.report.step("a broken kubelet ends again and again, and is installed anew"):
        await root(w, host, _BROKEN)
        begun = time.monotonic()
        await host_services.works(w, host, "kubelet", LONG)
        took["kubelet broken"] = time.monotonic() - begun
        await shared_hosts.of_machine(w, host, well)
    with w.report.step("a full disk is told, and nothing is restarted for that"):
        await root(w, host, _FULL)
        await shared_hosts.of_machine(w, host, fails("DiskFull", "/run"))
        await root(w, host, _ROOM)
        await shared_hosts.of_machine(w, host, well)
    with w.report.step("a kubelet without its certificate joins anew"):
        await root(w, host, "rm -f /var/lib/kubelet/pki/kubelet-client*; systemctl restart kubelet")
        begun = time.monotonic()
        await host_services.works(w, host, "kubelet", LONG)
        await shared_hosts.of_machine(w, host, well)
        took["kubelet's identity gone"] = time.monotonic() - begun
    with w.report.step("a host that reboots comes back by itself"):
        begun = time.monotonic()
        await w.lab.restart(host)
        for service in host_services.SERVICES:
            await host_services.works(w, host, service, LONG)
        took["host rebooted"] = time.monotonic() - begun
        await shared_hosts.of_machine(w, host, well)
    return took


async def operator_killed_after_the_record(w: Environment) -> None:
    """The operator dies when a restart is recorded: the service is started once, whoever does it."""
    host = await serving_host(w)
    starts = await recovery.counts_starts(w, host, "containerd")

    def recorded(found: Manifest) -> bool:
        known = (found.get("status") or {}).get("remediation") or {}
        job = known.get("job") or {}
        return bool(job.get("id")) and "exit" not in job and not known.get("well")

    with w.report.step("the operator is killed between the record of a restart and its end"):
        await root(w, host, "systemctl stop containerd")
        await shared_hosts.of_machine(w, host, recorded, SOON)
        await disruption.kill_operator(w, "machine")
        await host_services.works(w, host, "containerd", LONG)
        await shared_hosts.of_machine(w, host, well)
        if (count := await starts()) != 1:
            raise AssertionError(f"containerd was started {count} times")
        await root(
            w, host, "rm -r /etc/systemd/system/containerd.service.d; systemctl daemon-reload"
        )


async def nothing_is_done_where_nothing_may_be(w: Environment) -> None:
    """The breaker, and a policy that only reports."""
    host = await serving_host(w)
    starts = await recovery.counts_starts(w, host, "kubelet")
    with w.report.step("with too many nodes unhealthy nothing is done, and that is told"):
        await recovery.remediation(w, maxUnhealthy=0)
        await root(w, host, "systemctl stop kubelet")
        await shared_hosts.of_machine(w, host, fails("RemediationHeld", "maxUnhealthy"))
        await w.until(
            host_pool.KUBENODE,
            NAMESPACE,
            WORKERS,
            has("RemediationAllowed", "False", "TooManyUnhealthy"),
            SOON,
        )
    with w.report.step("with mode Report nothing is done either"):
        await recovery.remediation(w, mode="Report", maxUnhealthy=1)
        await shared_hosts.of_machine(w, host, fails("ServiceDown", "mode is Report"))
        if count := await starts():
            raise AssertionError(f"the kubelet was started {count} times")
    with w.report.step("and once it may be, it is"):
        await recovery.remediation(w, mode="Repair")
        await shared_hosts.of_machine(w, host, well)
        await w.until(
            host_pool.KUBENODE,
            NAMESPACE,
            WORKERS,
            lambda m: not condition(m, "RemediationAllowed"),
            SOON,
        )


async def replaced(w: Environment) -> dict[str, float]:
    """A frozen host that thaws goes on; a dead one is replaced by the other of the pool."""
    host, took = await serving_host(w), dict[str, float]()
    name = machine(WORKERS, host)
    with w.report.step("a host that freezes and thaws goes on as before"):
        await w.lab.pause(host)
        await w.until(host_pool.MACHINE, NAMESPACE, name, has("Reachable", "False"), LONG)
        await w.lab.unpause(host)
        await shared_hosts.of_machine(w, host, well)
    spare = next(one for one in (STAYS, LEAVES) if one != host)
    with w.report.step("a host that dies is replaced from the pool"):
        await w.lab.kill(host)
        begun = time.monotonic()
        await w.until(host_pool.MACHINE, NAMESPACE, machine(WORKERS, spare), has("Ready"), LONG)
        took["host dead, replaced"] = time.monotonic() - begun
        async with await w.business(NAMESPACE, SHOP) as inside:
            ready = [n["metadata"]["name"] for n in await inside.list(kinds.NODE) if _ready(n)]
        if spare not in ready:
            raise AssertionError(f"the nodes that are Ready are {ready}")
    return took


async def serving_host(w: Environment) -> str:
    """The host that is the node now."""
    machines = await w.kube.list(host_pool.MACHINE, NAMESPACE)
    found = [m["spec"]["node"] for m in machines if has("Ready")(m)]
    if len(found) != 1:
        raise AssertionError(f"one host should be a node, not {found}")
    return str(found[0])


def _ready(node: Manifest) -> bool:
    conditions = node["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def table(took: Mapping[str, float]) -> str:
    """The times as a table for people."""
    lines = [f"| {name} | {seconds:.1f} s |" for name, seconds in took.items()]
    return "\n".join(("| what happened | works again after |", "|---|---|", *lines))
