"""What people reported of hosts that stop being nodes: drains, clean-ups, deleted namespaces."""

from __future__ import annotations

import re
import sys
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from e2e.faults import disruption
from e2e.fixtures import userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework import processes
from e2e.framework.environment import Environment
from e2e.framework.follow import condition, until, until_gone
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.lab.images.catalog import TOOLBOX
from e2e.lab.machine.commands import run
from e2e.stories import shared_hosts
from e2e.stories.shared_hosts import LEAVES, LINKED, LONG, NAMESPACE, SHOP, STAYS, WORKERS
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_ABANDON_HOST, machine
from kok.kube import kinds

DRAIN, ENDING, SLACK = 15.0, 40.0, 20.0
"""Seconds: the time-out of the drain, what pods get after it, and what a busy machine takes."""
HELD = f"{LINKED}/plugins/held"


async def kok(w: Environment, *arguments: str) -> str:
    """The `kok` command as the meta cluster's admin; what it prints."""
    program = Path(sys.executable).parent / "kok"
    return await run(program, *arguments, env={"KUBECONFIG": str(w.lab.kubeconfig)}, timeout=120)


async def a_drain_ends_in_time(w: Environment) -> None:
    """a drain is over soon after its time-out, whatever budgets and pods want"""
    # What cannot be deleted keeps the Machine, so that it can be read when all happened.
    await shared_hosts.root(w, LEAVES, f"echo x > {HELD}; chattr +i {HELD}")
    try:
        await _drain(w)
    except BaseException:
        await _release(w)
        raise


async def _release(w: Environment) -> None:
    await shared_hosts.root(w, LEAVES, f"test ! -e {HELD} || chattr -i {HELD}")


async def _drain(w: Environment) -> None:
    async with await w.business(NAMESPACE, SHOP) as inside:
        text = userfiles.fill("stubborn.yaml", image=TOOLBOX, node=LEAVES)
        for manifest in userfiles.documents(text):
            await inside.apply(manifest)
        await until(inside, kinds.PDB, "stubborn", "default", _protects, within=LONG)
    spec = {"drainTimeout": f"{DRAIN:.0f}s", "replicas": 1}
    await w.kube.patch(host_pool.KUBENODE, WORKERS, NAMESPACE, {"spec": spec})
    await shared_hosts.of_machine(w, LEAVES, lambda m: "default/stubborn" in _removal(m))
    found = await shared_hosts.of_machine(w, LEAVES, lambda m: "cleanSince" in m["status"])
    took = (_time(found, "cleanSince") - _time(found, "drainSince")).total_seconds()
    w.report.figures["drain_s"] = round(took, 1)
    if not DRAIN <= took <= DRAIN + ENDING + SLACK:
        raise AssertionError(f"a drain of {DRAIN:.0f} s took {took:.0f} s")


def _protects(budget: Manifest) -> bool:
    status = budget.get("status") or {}
    return status.get("currentHealthy") == 1 and status.get("disruptionsAllowed") == 0


def _removal(found: Manifest) -> str:
    return str((found.get("status") or {}).get("removal") or "")


def _time(found: Manifest, field: str) -> datetime:
    return datetime.fromisoformat(found["status"][field])


async def a_host_that_cannot_be_cleaned(w: Environment) -> None:
    """a host that cannot be cleaned up is Dirty with the reason and listed, until it is clean"""
    left = f"left on the host: {LINKED}/plugins"
    try:
        await shared_hosts.of_machine(w, LEAVES, lambda m: left in _removal(m))
        abandon = {"metadata": {"annotations": {ANNOTATION_ABANDON_HOST: "true"}}}
        await w.kube.patch(host_pool.MACHINE, machine(WORKERS, LEAVES), NAMESPACE, abandon)
        await w.until(host_pool.HOST, NAMESPACE, LEAVES, lambda m: _dirty(m, left), LONG)
        await w.until(host_pool.KUBENODE, NAMESPACE, WORKERS, _abandoned, LONG)
        listed, metric = await kok(w, "doctor"), await _counted(w)
        if f"{NAMESPACE}/{machine(WORKERS, LEAVES)}" not in listed or metric < 1:
            raise AssertionError(f"the metric is {metric}, and kok doctor says {listed}")
    finally:
        await _release(w)
    await w.until(host_pool.HOST, NAMESPACE, LEAVES, _free, LONG)
    await w.until(host_pool.KUBENODE, NAMESPACE, WORKERS, lambda m: not _abandoned(m), LONG)
    if NAMESPACE in (listed := await kok(w, "doctor")):
        raise AssertionError(f"the host is clean, but kok doctor says {listed}")
    await nothing_behind_the_link(w)


def _dirty(host: Manifest, why: str) -> bool:
    dirty = (host.get("status") or {}).get("phase") == "Dirty"
    return dirty and why in condition(host, "Ready").get("message", "")


def _free(host: Manifest) -> bool:
    return bool((host.get("status") or {}).get("phase") == "Free")


def _abandoned(nodes: Manifest) -> bool:
    return bool((nodes.get("status") or {}).get("abandoned"))


async def _counted(w: Environment) -> float:
    """The metric of hosts that were left without a clean-up."""
    pod = await shared_hosts.operator_pod(w)
    path = f"/api/v1/namespaces/{OPERATORS}/pods/{pod}:8080/proxy/metrics"
    text = await w.lab.kubectl("get", "--raw", path)
    found = re.search(r"^kok_machine_abandoned_hosts(?:{.*})? (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else -1.0


async def nothing_behind_the_link(w: Environment) -> None:
    """Of a kubelet nothing is left where the link led, and what was somebody's own is."""
    await host_pool.bare(w, LEAVES)
    there = await shared_hosts.root(
        w, LEAVES, f"ls -A {LINKED}; grep ' {LINKED}/' /proc/mounts || true"
    )
    if there.split() != ["notes.txt"]:
        raise AssertionError(f"behind /var/lib/kubelet of {LEAVES} lie {there.split()}")


async def a_namespace_without_operators(w: Environment) -> None:
    """a host is cleaned up although its namespace was deleted, Secret first, without operators"""
    async with AsyncExitStack() as away:
        for name in await processes.deployments(w):
            await away.enter_async_context(disruption.operator_away(w, name))
        await w.kube.delete(kinds.SECRET, userfiles.SSH_SECRET, NAMESPACE)
        await w.kube.delete(kinds.NAMESPACE, NAMESPACE)
        await shared_hosts.of_machine(w, STAYS, lambda m: "deletionTimestamp" in m["metadata"])
    await until_gone(w.kube, kinds.NAMESPACE, NAMESPACE, "", within=LONG)
    await host_pool.bare(w, STAYS)
    if NAMESPACE in (listed := await kok(w, "doctor")):
        raise AssertionError(f"the host is clean, but kok doctor says {listed}")
