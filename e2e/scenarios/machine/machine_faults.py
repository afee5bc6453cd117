"""Faults of hosts and of what they depend on, each while it hurts most: all is told, and nothing runs twice.

docs/machines.md lists all faults with what shows them. These take a real host, its sshd, its kernel, its
disk, its services; a Component that holds its scripts as long as it is told makes sure that what befalls
the host does so in the middle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from e2e.faults import artifact_server, disruption, host_trouble, kills
from e2e.faults.host_services import well
from e2e.faults.host_trouble import STEP
from e2e.fixtures import clusters, etcd, rolling, userfiles
from e2e.fixtures.hosts import host_pool
from e2e.fixtures.rolling import WORKERS
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import Predicate, condition, has
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.lab.machine import podman
from e2e.polling import eventually
from e2e.stories.recovery import fails
from kok.api.meta import Manifest
from kok.api.names import machine
from kok.kube import kinds

NAMESPACE, SHOP = "e2e-machine-faults", rolling.SHOP
HOST, POOLED = "worker-2", ("worker-2", "worker-3", "worker-4")
"""Not the demo's host: the demo may be running in the same lab."""
SPARE = POOLED[-1]
KUBENODE, MACHINE = host_pool.KUBENODE, host_pool.MACHINE
POOL = "shop-pool"
SOON, LONG = 180.0, 900.0
SLOW_LINK = 1000
"""Kilobits a second."""
SLOW_SERVER = 8 * 2**20
"""Bytes a second, for each file."""
ROLLOUT = {"canary": 1, "maxUnavailable": 1, "onFailure": "Rollback"}
REPLACE_AFTER = "30s"
Story = Callable[[Environment], Awaitable[None]]


async def run(report: Report) -> None:
    """The scenario; it removes what it made, also after a failure of an earlier run."""
    stories: tuple[Story, ...] = (
        a_host_that_answers_slowly,
        cut_in_each_phase,
        a_boot_in_the_middle,
        killed_at_each_step,
        artifacts_that_do_not_come,
        hangs_in_exec,
        dies_in_the_middle,
    )
    async with environment(report, meta=1, workers=4) as w, enough_rights(w):
        await host_pool.emptied(w, NAMESPACE)
        async with etcd.fresh_namespaces(w, NAMESPACE, within=LONG):
            await bring(w)
            for story in stories:
                text = (story.__doc__ or "").strip().splitlines()[0]
                with report.step(text, f"{story.__name__}_s"):
                    await story(w)
        report.figures["faults"] = len(stories)


# --- what all of them work with


async def bring(w: Environment) -> None:
    """A Cluster that waits for nodes, and software that can be held."""
    with w.report.step("a Cluster without nodes"):
        await w.apply(
            userfiles.ssh_secret(w.lab, HOST, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            *(host_trouble.step(NAMESPACE, version) for version in ("1.0", "1.1")),
            host_trouble.exec_check(NAMESPACE, "1.0"),
            clusters.manifest(NAMESPACE, SHOP),
        )
        await w.until(clusters.KIND, NAMESPACE, SHOP, has("Ready"), LONG)


async def wanted(w: Environment, *components: Manifest, **spec: Any) -> None:
    """A KubeNode that has the host, with further software."""
    await w.apply(rolling.kubenode(w, NAMESPACE, (HOST,), components=[*components], **spec))


async def of_machine(w: Environment, predicate: Predicate, within: float = LONG) -> Manifest:
    """The Machine of the host, once the predicate holds."""
    return await w.until(MACHINE, NAMESPACE, machine(WORKERS, HOST), predicate, within)


async def serves(w: Environment) -> Manifest:
    """Waits until the host is a node with all that is wanted."""
    return await of_machine(w, well)


async def removed(w: Environment) -> None:
    """The KubeNode goes, and the host is bare again."""
    await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
    await w.gone(KUBENODE, NAMESPACE, WORKERS, LONG)
    await host_pool.bare(w, HOST)


def software(version: str) -> Manifest:
    """The software that can be held, as a KubeNode names it."""
    return {"name": STEP, "version": version}


def not_ready(reason: str, *words: str) -> Predicate:
    """Whether `Ready` is False for that reason, in these words."""

    def check(found: Manifest) -> bool:
        said = condition(found, "Ready")
        named = said.get("status") == "False" and said.get("reason") == reason
        return named and all(word in said["message"] for word in words)

    return check


def _phase(*phases: str) -> Predicate:
    return lambda found: (found.get("status") or {}).get("phase") in phases


def _attempts(found: Manifest) -> dict[str, int]:
    """How often the newest job of each component was tried."""
    listed = found["status"]["components"]
    return {c["name"]: (c.get("job") or {}).get("attempt", 1) for c in listed}


def _all_but_the_held_one(found: Manifest) -> bool:
    listed = (found.get("status") or {}).get("components") or ()
    states = {c["name"]: c["state"] for c in listed}
    held = states.pop(STEP, None)
    return held == "Installing" and bool(states) and set(states.values()) == {"Ready"}


async def _were_begun(w: Environment, host: str, *scripts: str) -> None:
    if (found := await host_trouble.ran(w, host)) != list(scripts):
        raise AssertionError(f"on {host} should have run {scripts}, not {found}")


# --- the way to the host


async def a_host_that_answers_slowly(w: Environment) -> None:
    """sshd takes connections and hangs; then the host becomes a node over a slow link"""
    await w.lab.reset(HOST)
    await host_trouble.hang_sshd(w, HOST)
    await wanted(w)
    await of_machine(w, not_ready("HostSilent", "does not answer"))
    await host_trouble.slow_link(w, HOST, SLOW_LINK)
    await host_trouble.thaw_sshd(w, HOST)
    await serves(w)
    await host_trouble.usual_link(w, HOST)
    await removed(w)


async def cut_in_each_phase(w: Environment) -> None:
    """a host is cut off when it is looked at, installed, joins and is cleaned up"""
    await w.lab.reset(HOST)
    await host_trouble.hold(w, HOST)
    async with disruption.cut_off(w, HOST):
        await wanted(w, software("1.0"))
        await of_machine(w, has("Reachable", "False"))
    await host_trouble.begun(w, HOST, 1, LONG)
    async with disruption.cut_off(w, HOST):
        await of_machine(w, has("Reachable", "False"))
        # What was begun comes to its end without anybody who waits for it.
        await host_trouble.release(w, HOST)
    await of_machine(w, _phase("Joining", "Ready"))
    async with disruption.cut_off(w, HOST):
        await of_machine(w, has("Reachable", "False"))
    found = await serves(w)
    if set(_attempts(found).values()) != {1}:
        raise AssertionError(f"something was installed twice: {_attempts(found)}")
    await host_trouble.hold(w, HOST)
    await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
    await host_trouble.begun(w, HOST, 2, LONG)
    async with disruption.cut_off(w, HOST):
        await of_machine(w, has("Reachable", "False"))
        await host_trouble.release(w, HOST)
    await removed(w)
    await _were_begun(w, HOST, "install", "uninstall")


# --- in the middle of an installation


async def a_boot_in_the_middle(w: Environment) -> None:
    """a host reboots, and then loses its power, in the middle of an installation"""
    await w.lab.reset(HOST)
    await host_trouble.hold(w, HOST)
    await wanted(w, software("1.0"))
    await of_machine(w, _all_but_the_held_one)
    await host_trouble.begun(w, HOST, 1, LONG)
    await w.lab.restart(HOST)
    await host_trouble.begun(w, HOST, 2, LONG)
    await w.lab.kill(HOST)
    await w.lab.start(HOST)
    await host_trouble.begun(w, HOST, 3, LONG)
    await host_trouble.release(w, HOST)
    found = await serves(w)
    # What was interrupted is tried again, and what was through is not.
    if {name: n for name, n in _attempts(found).items() if n != 1} != {STEP: 3}:
        raise AssertionError(f"{STEP} alone should have been tried again: {_attempts(found)}")
    await _were_begun(w, HOST, *["install"] * 3)
    await removed(w)


async def killed_at_each_step(w: Environment) -> None:
    """the operator is killed whenever it has recorded something, from a bare host to a bare host"""
    await w.lab.reset(HOST)
    async with kills.at_each_step(w, NAMESPACE, machine(WORKERS, HOST)) as killed:
        await wanted(w, software("1.0"), rollout=ROLLOUT)
        found = await serves(w)
        if set(_attempts(found).values()) != {1}:
            raise AssertionError(f"something was installed twice: {_attempts(found)}")
        await rolling.change(w, NAMESPACE, components=[software("1.1")])
        await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))
        await removed(w)
    await _were_begun(w, HOST, "install", "install", "uninstall")
    for word in ("the host", f"{STEP} install 1", "a token", "Update ", "Remove "):
        if not any(word in record for record in killed):
            raise AssertionError(f"the operator was not killed at {word}: {killed}")
    w.report.figures["kills"] = len(killed)


async def artifacts_that_do_not_come(w: Environment) -> None:
    """the disk is full, then the server of artifacts stalls, then it is slow"""
    await w.lab.reset(HOST)
    await host_trouble.little_room(w, HOST)
    async with artifact_server.faulty(w.lab) as server:
        artifacts = {"baseURL": server.url, "checksums": userfiles.CHECKSUMS}
        with server.stalling("kubelet"):
            await wanted(w, artifacts=artifacts)
            # What curl says where it cannot write, and where nothing comes any more.
            await of_machine(w, not_ready("DownloadFailed", "cannot fetch", "(23)"))
            await host_trouble.much_room(w, HOST)
            await of_machine(w, not_ready("DownloadFailed", "/kubelet", "(28)"))
        server.rate = SLOW_SERVER
        await serves(w)
        await host_trouble.usual_room(w, HOST)
        await removed(w)


# --- on a node that serves


async def hangs_in_exec(w: Environment) -> None:
    """a runtime hangs only in exec: a check of the user's own has the host rebooted"""
    await w.lab.reset(HOST)
    # What no restart mends is soon tried with more.
    patience = {"restart": "1s", "reinstall": "1s"}
    check = {"name": "exec-check", "version": "1.0"}
    await wanted(w, check, remediation={"patience": patience})
    await serves(w)
    await eventually(lambda: _containers(w), LONG, every=0.5)
    await host_trouble.hang_in_exec(w, HOST)
    await of_machine(w, fails("ServiceHung", "exec-check", "nobody gets into container"))
    async with await w.business(NAMESPACE, SHOP) as inside:
        node = await inside.get(kinds.NODE, HOST) or {}
        if not etcd.has_condition(node, "Ready"):
            raise AssertionError("nothing but exec should hang, and the node is not Ready")
    await eventually(lambda: _is_down(w), LONG, every=0.2)
    # A host that boots is a container that ended: somebody has to start it.
    await w.lab.start(HOST)
    found = await of_machine(w, lambda m: well(m) and _recovered(m))
    rungs = [one["rung"] for one in reversed(found["status"]["remediation"]["history"])]
    if rungs[:4] != ["Restart", "Restart", "Reinstall", "Reboot"]:
        raise AssertionError(f"the host was rebooted after {rungs}")
    await removed(w)


async def _containers(w: Environment) -> bool:
    script = "ctr -n k8s.io tasks ls | grep RUNNING || true"
    return bool((await w.lab.exec(HOST, "sh", "-c", script)).strip())


async def _is_down(w: Environment) -> bool:
    found = await podman.find(w.lab.host(HOST).container)
    return found is not None and not found.alive


def _recovered(found: Manifest) -> bool:
    return condition(found, "Healthy").get("reason") == "Recovered"


async def dies_in_the_middle(w: Environment) -> None:
    """a host dies while it is changed: the rollout goes back, another host of the pool takes its place"""
    for host in POOLED:
        await w.lab.reset(host)
    nodes = host_pool.kubenode(w, NAMESPACE, POOL, SHOP, 2)
    nodes["spec"] |= {
        "components": [software("1.0")],
        "rollout": ROLLOUT,
        "remediation": {"patience": {"replace": REPLACE_AFTER}},
        # In the end all nodes leave at once, and nobody can take what budgets protect.
        "drainTimeout": "30s",
    }
    await w.apply(*(host_pool.host(w, NAMESPACE, name) for name in POOLED[:-1]), nodes)
    await host_pool.serving(w, NAMESPACE, POOL, 2)
    await w.apply(host_pool.host(w, NAMESPACE, SPARE))
    for host in POOLED[:-1]:
        await host_trouble.hold(w, host)
    patch = {"spec": {"components": [software("1.1")]}}
    await w.kube.patch(KUBENODE, POOL, NAMESPACE, patch)
    dies = await eventually(lambda: _being_changed(w), LONG, every=0.5)
    other = next(host for host in POOLED[:-1] if host != dies)
    await w.lab.kill(dies)
    found = await w.until(
        KUBENODE, NAMESPACE, POOL, rolling.rolled_out("False", "RolledBack"), LONG
    )
    w.report.line(condition(found, "RolledOut")["message"])
    await w.until(MACHINE, NAMESPACE, machine(POOL, SPARE), well, LONG)
    for host in (other, SPARE):
        await _were_begun(w, host, "install")
        version = (await w.lab.exec(host, "cat", "/var/tmp/step.version")).strip()
        if version != "1.0":
            raise AssertionError(f"{host} should have what ran well, not {version}")
    # It comes back as somebody else's no more, and is cleaned up.
    await w.lab.start(dies)
    await host_trouble.release(w, dies)
    await host_trouble.release(w, other)
    await w.gone(MACHINE, NAMESPACE, machine(POOL, dies), LONG)
    await w.kube.delete(KUBENODE, POOL, NAMESPACE)
    await w.gone(KUBENODE, NAMESPACE, POOL, LONG)


async def _being_changed(w: Environment) -> str:
    """The host on which the held software is installed a second time; empty: none so far."""
    for host in POOLED[:-1]:
        if len(await host_trouble.ran(w, host)) > 1:
            return host
    return ""
